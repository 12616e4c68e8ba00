// SPDX-License-Identifier: Apache-2.0
#include "agent/source/file_source.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "agent/source/debounce.h"
#include "tests/support/files.h"

namespace pointsman {
namespace {

namespace fs = std::filesystem;
using support::ReplaceFile;
using support::TempDir;
using support::WriteFile;

constexpr absl::Duration kPatience = absl::Seconds(30);

std::string NodeYaml(absl::string_view name, absl::string_view ip = "192.0.2.1") {
  return absl::StrCat("kind: Node\nmetadata: {name: ", name, "}\nstatus: {addresses: [{type: InternalIP, address: ", ip,
                      "}]}\n");
}

// A source, and what a reader of its inbox has come to know.
class Follower {
 public:
  explicit Follower(std::vector<std::string> paths, AllocationRanges ranges = {})
      : source_(std::make_unique<FileSource>(std::move(paths), std::move(ranges), inbox_, [this](const Diagnostic& d) {
          absl::MutexLock lock(&mutex_);
          told_.push_back(FormatDiagnostic(d));
        })) {}

  // Waits until what is known satisfies the condition.
  bool Until(const std::function<bool()>& condition) {
    const absl::Time deadline = absl::Now() + kPatience;
    for (;;) {
      Take();
      if (condition()) return true;
      if (absl::Now() >= deadline) return false;
      pollfd fd = {inbox_.fd(), POLLIN, 0};
      poll(&fd, 1, 20);  // Diagnostics make no noise in the inbox
    }
  }
  bool synced() const { return inbox_.synced(); }
  bool UntilSynced() {
    return Until([&] { return inbox_.synced(); });
  }
  // Waits until exactly these objects are known: "a=192.0.2.1,b=192.0.2.1".
  bool UntilKnown(absl::string_view nodes) {
    return Until([&] { return Known() == nodes; });
  }
  bool UntilTold(absl::string_view part) {
    return Until([&] { return TimesTold(part) > 0; });
  }

  std::string Known() const { return absl::StrJoin(nodes_, ",", absl::PairFormatter("=")); }
  int TimesTold(absl::string_view part) {
    absl::MutexLock lock(&mutex_);
    int times = 0;
    for (const std::string& line : told_) times += absl::StrContains(line, part) ? 1 : 0;
    return times;
  }
  // Every change seen so far, in order of arrival.
  const std::vector<std::string>& changes() const { return changes_; }
  // The trigger times among them.
  const std::vector<absl::Time>& triggers() const { return triggers_; }
  FileSource& source() { return *source_; }
  void Stop() { source_.reset(); }

 private:
  void Take() {
    for (const ObjectChange& change : inbox_.Take().batch.changes) {
      const std::string& name = change.key.name.name;
      changes_.push_back(absl::StrCat(change.object ? "+" : "-", name));
      triggers_.insert(triggers_.end(), change.triggers->begin(), change.triggers->end());
      if (!change.object) {
        nodes_.erase(name);
        continue;
      }
      const Object object = change.object.Unpack();
      if (const auto* node = std::get_if<Node>(&object)) {
        nodes_[name] = node->internal_ips.at(0);
      } else if (const auto* slice = std::get_if<EndpointSlice>(&object)) {
        nodes_[name] = slice->endpoints.at(0).addresses.at(0);
      } else {
        nodes_[name] = absl::StrJoin(std::get<Service>(object).cluster_ips, "+");
      }
    }
  }

  Inbox inbox_;
  absl::Mutex mutex_;
  std::vector<std::string> told_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::string> nodes_;
  std::vector<std::string> changes_;
  std::vector<absl::Time> triggers_;
  std::unique_ptr<FileSource> source_;  // last: it calls into the others
};

TEST(FileSourceTest, TheFirstPassDeliversEverythingAndThenSyncs) {
  TempDir dir;
  WriteFile(dir.File("a.yaml"), NodeYaml("a"));
  WriteFile(dir.File("b.yaml"), NodeYaml("b"));

  Follower follower({dir.path()});

  ASSERT_TRUE(follower.UntilSynced());
  EXPECT_TRUE(follower.UntilKnown("a=192.0.2.1,b=192.0.2.1"));
}

TEST(FileSourceTest, AChangeSinceTheStartHasTheTimeItHappenedAtAndAnOlderOneHasNone) {
  const auto slice = [](absl::string_view ip, absl::Time trigger) {
    return absl::StrCat(
        "kind: EndpointSlice\nmetadata:\n  name: a\n  labels: {kubernetes.io/service-name: a}\n"
        "  annotations: {endpoints.kubernetes.io/last-change-trigger-time: \"",
        absl::FormatTime(absl::RFC3339_full, trigger, absl::UTCTimeZone()),
        "\"}\naddressType: IPv4\nendpoints: [{addresses: [", ip, "]}]\n");
  };
  TempDir dir;
  const absl::Time before = absl::Now();
  WriteFile(dir.File("a.yaml"), slice("192.0.2.1", before));
  Follower follower({dir.path()});
  ASSERT_TRUE(follower.UntilKnown("a=192.0.2.1"));

  const absl::Time after = absl::Now();
  WriteFile(dir.File("a.yaml"), slice("192.0.2.2", after));
  ASSERT_TRUE(follower.UntilKnown("a=192.0.2.2"));
  WriteFile(dir.File("a.yaml"), slice("192.0.2.3", before));
  ASSERT_TRUE(follower.UntilKnown("a=192.0.2.3"));

  EXPECT_THAT(follower.triggers(), ::testing::ElementsAre(after));
}

TEST(FileSourceTest, AnEditInPlaceChangesThatObjectAlone) {
  TempDir dir;
  WriteFile(dir.File("a.yaml"), NodeYaml("a"));
  WriteFile(dir.File("b.yaml"), NodeYaml("b"));
  Follower follower({dir.path()});
  ASSERT_TRUE(follower.UntilKnown("a=192.0.2.1,b=192.0.2.1"));

  WriteFile(dir.File("b.yaml"), NodeYaml("b", "192.0.2.2"));

  ASSERT_TRUE(follower.UntilKnown("a=192.0.2.1,b=192.0.2.2"));
  EXPECT_THAT(follower.changes(), ::testing::UnorderedElementsAre("+a", "+b", "+b"));
}

TEST(FileSourceTest, AnAtomicRenameIsFollowed) {
  TempDir dir;
  WriteFile(dir.File("a.yaml"), NodeYaml("a"));
  Follower follower({dir.path()});
  ASSERT_TRUE(follower.UntilKnown("a=192.0.2.1"));

  ReplaceFile(dir.File("a.yaml"), NodeYaml("a", "192.0.2.2"));
  ASSERT_TRUE(follower.UntilKnown("a=192.0.2.2"));
  ReplaceFile(dir.File("a.yaml"), NodeYaml("a", "192.0.2.3"));

  EXPECT_TRUE(follower.UntilKnown("a=192.0.2.3"));
}

TEST(FileSourceTest, AFileThatAppearsAddsAndOneThatGoesTakesAway) {
  TempDir dir;
  Follower follower({dir.path()});
  ASSERT_TRUE(follower.UntilSynced());

  WriteFile(dir.File("a.yaml"), NodeYaml("a"));
  ASSERT_TRUE(follower.UntilKnown("a=192.0.2.1"));
  fs::remove(dir.File("a.yaml"));

  EXPECT_TRUE(follower.UntilKnown(""));
}

TEST(FileSourceTest, AFileGivenDirectlyMayBeReplacedRemovedAndMadeAgain) {
  TempDir dir;
  WriteFile(dir.File("a.yaml"), NodeYaml("a"));
  Follower follower({dir.File("a.yaml")});
  ASSERT_TRUE(follower.UntilKnown("a=192.0.2.1"));

  ReplaceFile(dir.File("a.yaml"), NodeYaml("a", "192.0.2.2"));
  ASSERT_TRUE(follower.UntilKnown("a=192.0.2.2"));
  fs::remove(dir.File("a.yaml"));
  ASSERT_TRUE(follower.UntilKnown(""));
  ASSERT_TRUE(follower.UntilTold("does not exist"));
  WriteFile(dir.File("a.yaml"), NodeYaml("a", "192.0.2.3"));
  ASSERT_TRUE(follower.UntilKnown("a=192.0.2.3"));
  WriteFile(dir.File("a.yaml"), NodeYaml("a", "192.0.2.4"));

  EXPECT_TRUE(follower.UntilKnown("a=192.0.2.4"));
}

TEST(FileSourceTest, ADirectoryRemovedAndMadeAgainIsFollowed) {
  TempDir dir;
  fs::create_directories(dir.File("x/manifests"));
  WriteFile(dir.File("x/manifests/a.yaml"), NodeYaml("a"));
  Follower follower({dir.File("x/manifests")});
  ASSERT_TRUE(follower.UntilKnown("a=192.0.2.1"));

  fs::remove_all(dir.File("x"));
  ASSERT_TRUE(follower.UntilKnown(""));
  fs::create_directories(dir.File("x/manifests"));
  WriteFile(dir.File("x/manifests/b.yaml"), NodeYaml("b"));
  ASSERT_TRUE(follower.UntilKnown("b=192.0.2.1"));
  WriteFile(dir.File("x/manifests/b.yaml"), NodeYaml("b", "192.0.2.2"));

  EXPECT_TRUE(follower.UntilKnown("b=192.0.2.2"));
}

TEST(FileSourceTest, ADirectoryAboveMayBeRenamedAway) {
  TempDir dir;
  fs::create_directories(dir.File("x/y/manifests"));
  WriteFile(dir.File("x/y/manifests/a.yaml"), NodeYaml("a"));
  Follower follower({dir.File("x/y/manifests")});
  ASSERT_TRUE(follower.UntilKnown("a=192.0.2.1"));

  fs::rename(dir.File("x"), dir.File("z"));

  EXPECT_TRUE(follower.UntilKnown(""));
}

TEST(FileSourceTest, APathThatIsMissingAtTheStartIsToldAndAwaited) {
  TempDir dir;
  WriteFile(dir.File("b.yaml"), NodeYaml("b"));
  Follower follower({dir.File("b.yaml"), dir.File("x/y/manifests")});
  ASSERT_TRUE(follower.UntilKnown("b=192.0.2.1"));
  EXPECT_EQ(follower.TimesTold("does not exist"), 1);
  EXPECT_FALSE(follower.synced());

  fs::create_directories(dir.File("x/y/manifests"));
  WriteFile(dir.File("x/y/manifests/a.yaml"), NodeYaml("a"));

  EXPECT_TRUE(follower.UntilKnown("a=192.0.2.1,b=192.0.2.1"));
  EXPECT_TRUE(follower.UntilSynced());
}

// As a kubelet does it: the data in a directory of their own, `..data` a link to it, the names links through `..data`.
TEST(FileSourceTest, TheLinkSwapOfAConfigMapVolumeIsFollowed) {
  TempDir dir;
  fs::create_directory(dir.File("..v1"));
  WriteFile(dir.File("..v1/a.yaml"), NodeYaml("a"));
  fs::create_symlink("..v1", dir.File("..data"));
  fs::create_symlink("..data/a.yaml", dir.File("a.yaml"));
  Follower by_directory({dir.path()});
  Follower by_file({dir.File("a.yaml")});
  ASSERT_TRUE(by_directory.UntilKnown("a=192.0.2.1"));
  ASSERT_TRUE(by_file.UntilKnown("a=192.0.2.1"));

  for (const char* version : {"2", "3"}) {
    fs::create_directory(dir.File(absl::StrCat("..v", version)));
    WriteFile(dir.File(absl::StrCat("..v", version, "/a.yaml")), NodeYaml("a", absl::StrCat("192.0.2.", version)));
    fs::create_symlink(absl::StrCat("..v", version), dir.File("..data_tmp"));
    fs::rename(dir.File("..data_tmp"), dir.File("..data"));

    EXPECT_TRUE(by_directory.UntilKnown(absl::StrCat("a=192.0.2.", version)));
    EXPECT_TRUE(by_file.UntilKnown(absl::StrCat("a=192.0.2.", version)));
  }
}

TEST(FileSourceTest, ALinkToAFileElsewhereIsFollowedThere) {
  TempDir dir;
  TempDir elsewhere;
  WriteFile(elsewhere.File("real"), NodeYaml("a"));
  fs::create_symlink(elsewhere.File("real"), dir.File("a.yaml"));
  Follower follower({dir.path()});
  ASSERT_TRUE(follower.UntilKnown("a=192.0.2.1"));

  WriteFile(elsewhere.File("real"), NodeYaml("a", "192.0.2.2"));
  ASSERT_TRUE(follower.UntilKnown("a=192.0.2.2"));
  ReplaceFile(elsewhere.File("real"), NodeYaml("a", "192.0.2.3"));

  EXPECT_TRUE(follower.UntilKnown("a=192.0.2.3"));
}

TEST(FileSourceTest, AFileThatBreaksKeepsItsObjectsUntilItIsMended) {
  TempDir dir;
  WriteFile(dir.File("a.yaml"), NodeYaml("a"));
  Follower follower({dir.path()});
  ASSERT_TRUE(follower.UntilKnown("a=192.0.2.1"));

  WriteFile(dir.File("a.yaml"), "kind: Node\n  metadata: {name: a}\n");
  ASSERT_TRUE(follower.UntilTold("keeping the 1 object of its last good version"));
  WriteFile(dir.File("b.yaml"), NodeYaml("b"));
  ASSERT_TRUE(follower.UntilKnown("a=192.0.2.1,b=192.0.2.1"));
  EXPECT_EQ(follower.TimesTold("keeping the 1 object"), 1);
  WriteFile(dir.File("a.yaml"), NodeYaml("a", "192.0.2.2"));

  ASSERT_TRUE(follower.UntilKnown("a=192.0.2.2,b=192.0.2.1"));
  EXPECT_THAT(follower.changes(), ::testing::Not(::testing::Contains("-a")));
}

TEST(FileSourceTest, AFileWrittenPieceByPieceEndsUpWhole) {
  TempDir dir;
  WriteFile(dir.File("a.yaml"), absl::StrCat(NodeYaml("a"), "---\n", NodeYaml("b")));
  Follower follower({dir.path()});
  ASSERT_TRUE(follower.UntilKnown("a=192.0.2.1,b=192.0.2.1"));

  // Truncated, the first half, the second half: each state parses, and only the last is meant.
  const int fd = open(dir.File("a.yaml").c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  for (const std::string& half : {NodeYaml("a", "192.0.2.2"), absl::StrCat("---\n", NodeYaml("b", "192.0.2.2"))}) {
    absl::SleepFor(absl::Milliseconds(5));
    ASSERT_EQ(write(fd, half.data(), half.size()), static_cast<ssize_t>(half.size()));
  }
  close(fd);

  ASSERT_TRUE(follower.UntilKnown("a=192.0.2.2,b=192.0.2.2"));
}

TEST(FileSourceTest, TheSameObjectInTwoFilesIsHandedOver) {
  TempDir dir;
  WriteFile(dir.File("a.yaml"), NodeYaml("n", "192.0.2.1"));
  WriteFile(dir.File("b.yaml"), NodeYaml("n", "192.0.2.2"));
  Follower follower({dir.path()});
  ASSERT_TRUE(follower.UntilKnown("n=192.0.2.1"));
  EXPECT_EQ(follower.TimesTold("this copy is ignored"), 1);

  fs::remove(dir.File("a.yaml"));

  ASSERT_TRUE(follower.UntilKnown("n=192.0.2.2"));
  EXPECT_THAT(follower.changes(), ::testing::ElementsAre("+n", "+n"));
}

TEST(FileSourceTest, ReloadTellsAgainAndPutsNothingThatDidNotChange) {
  TempDir dir;
  WriteFile(dir.File("a.yaml"), absl::StrCat(NodeYaml("a"), "---\nkind: Node\n"));
  Follower follower({dir.path()});
  ASSERT_TRUE(follower.UntilKnown("a=192.0.2.1"));
  ASSERT_EQ(follower.TimesTold("metadata.name: is missing"), 1);

  follower.source().Reload();

  ASSERT_TRUE(follower.Until([&] { return follower.TimesTold("metadata.name: is missing") == 2; }));
  EXPECT_THAT(follower.changes(), ::testing::ElementsAre("+a"));
}

TEST(FileSourceTest, AddressesAreAllocatedAndKept) {
  TempDir dir;
  const std::string web = "kind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}]}\n";
  WriteFile(dir.File("web.yaml"), web);
  Follower follower({dir.path()}, ParseAllocationRanges("192.0.2.0/24").value());
  ASSERT_TRUE(follower.Until([&] { return absl::StartsWith(follower.Known(), "web=192.0.2."); }));
  const std::string address = follower.Known();

  WriteFile(dir.File("node.yaml"), NodeYaml("a"));

  ASSERT_TRUE(follower.UntilKnown(absl::StrCat("a=192.0.2.1,", address)));
  EXPECT_THAT(follower.changes(), ::testing::ElementsAre("+web", "+a"));
}

TEST(FileSourceTest, AThousandFilesAtOnceAllArrive) {
  TempDir dir;
  Follower follower({dir.path()});
  ASSERT_TRUE(follower.UntilSynced());

  for (int i = 0; i < 1000; ++i) WriteFile(dir.File(absl::StrCat("n", i, ".yaml")), NodeYaml(absl::StrCat("n", i)));

  EXPECT_TRUE(follower.Until([&] { return follower.changes().size() >= 1000; }));
}

TEST(FileSourceTest, StoppingEndsTheThreadWhateverItWaitsFor) {
  TempDir dir;
  Follower follower({dir.path()});
  WriteFile(dir.File("a.yaml"), NodeYaml("a"));

  follower.Stop();
  WriteFile(dir.File("b.yaml"), NodeYaml("b"));

  // Joined: nobody is left who could tell of b.
  follower.Until([] { return true; });
  EXPECT_THAT(follower.changes(), ::testing::Not(::testing::Contains("+b")));
}

const absl::Time kStart = absl::FromUnixSeconds(1'700'000'000);

absl::Time After(int ms) { return kStart + absl::Milliseconds(ms); }

TEST(DebounceTest, NothingIsDueBeforeSomethingHappened) {
  Debounce debounce;
  EXPECT_EQ(debounce.Due(), absl::InfiniteFuture());

  debounce.Note("a", false, kStart);
  debounce.Clear();

  EXPECT_EQ(debounce.Due(), absl::InfiniteFuture());
}

TEST(DebounceTest, AFileBeingWrittenIsAwaitedUntilItIsQuietOrClosed) {
  Debounce debounce;
  debounce.Note("a", false, After(0));
  EXPECT_EQ(debounce.Due(), After(50));
  debounce.Note("a", false, After(40));
  EXPECT_EQ(debounce.Due(), After(90));

  debounce.Note("a", true, After(41));

  EXPECT_EQ(debounce.Due(), After(46));
}

TEST(DebounceTest, AFinishedFileDoesNotHurryAnUnfinishedOne) {
  Debounce debounce;
  debounce.Note("a", false, After(0));

  debounce.Note("b", true, After(1));

  EXPECT_EQ(debounce.Due(), After(50));
}

TEST(DebounceTest, NobodyWaitsForeverForAWriterWhoNeverStops) {
  Debounce debounce;
  for (int ms = 0; ms <= 600; ms += 30) debounce.Note("a", false, After(ms));

  EXPECT_EQ(debounce.Due(), After(500));
}

}  // namespace
}  // namespace pointsman
