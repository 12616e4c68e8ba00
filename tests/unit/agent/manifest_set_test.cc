// SPDX-License-Identifier: Apache-2.0
#include "agent/source/manifest_set.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/support/files.h"

namespace pointsman {
namespace {

using support::TempDir;
using support::WriteFile;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

std::string NodeYaml(absl::string_view name, absl::string_view ip = "192.0.2.1") {
  return absl::StrCat("kind: Node\nmetadata: {name: ", name, "}\nstatus: {addresses: [{type: InternalIP, address: ", ip,
                      "}]}\n");
}

std::vector<std::string> Names(const LoadedManifests& loaded) {
  std::vector<std::string> names;
  for (const LocatedObject& located : loaded.objects) names.push_back(FormatKey(KeyOf(*located.object)));
  return names;
}

std::vector<std::string> Lines(const Diagnostics& diagnostics) {
  std::vector<std::string> lines;
  for (const Diagnostic& diagnostic : diagnostics) lines.push_back(FormatDiagnostic(diagnostic));
  return lines;
}

TEST(ManifestSetTest, ADirectoryIsItsManifestsAndNothingElse) {
  TempDir dir;
  WriteFile(dir.File("b.yaml"), NodeYaml("b"));
  WriteFile(dir.File("a.yml"), NodeYaml("a"));
  WriteFile(dir.File("c.json"), R"({"kind": "Node", "metadata": {"name": "c"}})");
  WriteFile(dir.File(".hidden.yaml"), NodeYaml("hidden"));
  WriteFile(dir.File("notes.txt"), "no YAML: [");
  WriteFile(dir.File("b.yaml~"), NodeYaml("backup"));
  std::filesystem::create_directory(dir.File("sub.yaml"));
  WriteFile(dir.File("sub.yaml/d.yaml"), NodeYaml("d"));

  const LoadedManifests loaded = LoadManifests({dir.path()}, {});

  EXPECT_THAT(Names(loaded), ElementsAre("Node a", "Node b", "Node c"));
  EXPECT_THAT(Lines(loaded.diagnostics), IsEmpty());
  EXPECT_EQ(loaded.files, 3);
  EXPECT_EQ(loaded.objects[0].where, absl::StrCat(dir.File("a.yml"), ":1:1"));
}

TEST(ManifestSetTest, AFileMayBeGivenByAnyNameAndPositionsUseThePathAsGiven) {
  TempDir dir;
  WriteFile(dir.File("nodes"), NodeYaml("a"));
  std::filesystem::create_directory(dir.File("d"));
  WriteFile(dir.File("d/b.yaml"), NodeYaml("b"));

  const LoadedManifests loaded = LoadManifests({dir.File("nodes"), dir.File("d/")}, {});

  ASSERT_THAT(Names(loaded), ElementsAre("Node a", "Node b"));
  EXPECT_EQ(loaded.objects[1].where, absl::StrCat(dir.path(), "/d/b.yaml:1:1"));
}

TEST(ManifestSetTest, CountsOfOtherKindsAddUpOverFiles) {
  TempDir dir;
  WriteFile(dir.File("a.yaml"), "kind: Pod\n---\nkind: Secret\n");
  WriteFile(dir.File("b.yaml"), "kind: Pod\n");

  EXPECT_THAT(LoadManifests({dir.path()}, {}).other_kinds, ElementsAre(Pair("Pod", 2), Pair("Secret", 1)));
}

TEST(ManifestSetTest, TheFileThatSortsFirstDefinesAnObjectUntilItIsGone) {
  TempDir dir;
  WriteFile(dir.File("b.yaml"), NodeYaml("n", "192.0.2.2"));
  WriteFile(dir.File("a.yaml"), NodeYaml("n", "192.0.2.1"));
  ManifestSet set({dir.File("b.yaml"), dir.File("a.yaml")}, {});
  const auto ip = [](const LoadedManifests& loaded) {
    return std::get<Node>(*loaded.objects.at(0).object).internal_ips;
  };

  const ManifestSet::Pass both = set.Load();
  EXPECT_THAT(ip(both.manifests), ElementsAre("192.0.2.1"));
  EXPECT_THAT(Lines(both.fresh),
              ElementsAre(absl::StrCat(dir.File("b.yaml"), ":1:1: warning: Node n: is defined at ", dir.File("a.yaml"),
                                       ":1:1 already; this copy is ignored (remove one of the two)")));

  std::filesystem::remove(dir.File("a.yaml"));
  EXPECT_THAT(ip(set.Load().manifests), ElementsAre("192.0.2.2"));
}

TEST(ManifestSetTest, WithinAFileTheFirstDefinitionCounts) {
  TempDir dir;
  WriteFile(dir.File("a.yaml"), absl::StrCat(NodeYaml("n", "192.0.2.1"), "---\n", NodeYaml("n", "192.0.2.2")));

  const LoadedManifests loaded = LoadManifests({dir.path()}, {});

  ASSERT_THAT(Names(loaded), ElementsAre("Node n"));
  EXPECT_THAT(std::get<Node>(*loaded.objects[0].object).internal_ips, ElementsAre("192.0.2.1"));
  ASSERT_EQ(loaded.diagnostics.size(), 1u);
  EXPECT_EQ(loaded.diagnostics[0].where, absl::StrCat(dir.File("a.yaml"), ":5:1"));
}

TEST(ManifestSetTest, AFileThatBreaksKeepsItsObjectsAndSaysSoOnce) {
  TempDir dir;
  WriteFile(dir.File("a.yaml"), absl::StrCat(NodeYaml("a"), "---\n", NodeYaml("b")));
  WriteFile(dir.File("c.yaml"), NodeYaml("c"));
  ManifestSet set({dir.path()}, {});
  set.Load();

  WriteFile(dir.File("a.yaml"), "kind: Node\n  metadata: [\n");
  const ManifestSet::Pass broken = set.Load();
  EXPECT_THAT(Names(broken.manifests), ElementsAre("Node a", "Node b", "Node c"));
  ASSERT_EQ(broken.fresh.size(), 1u);
  EXPECT_EQ(broken.fresh[0].effect, "keeping the 2 objects of its last good version");

  const ManifestSet::Pass same = set.Load();
  EXPECT_THAT(same.fresh, IsEmpty());
  EXPECT_EQ(same.manifests.diagnostics.size(), 1u);

  WriteFile(dir.File("a.yaml"), NodeYaml("a"));
  const ManifestSet::Pass mended = set.Load();
  EXPECT_THAT(Names(mended.manifests), ElementsAre("Node a", "Node c"));
  EXPECT_THAT(mended.manifests.diagnostics, IsEmpty());
}

TEST(ManifestSetTest, AFileThatIsEmptiedKeepsItsObjectsAndOneThatHoldsOnlyACommentLosesThem) {
  TempDir dir;
  WriteFile(dir.File("a.yaml"), NodeYaml("a"));
  ManifestSet set({dir.path()}, {});
  set.Load();

  WriteFile(dir.File("a.yaml"), "");
  const ManifestSet::Pass empty = set.Load();
  EXPECT_THAT(Names(empty.manifests), ElementsAre("Node a"));
  EXPECT_THAT(Lines(empty.fresh), ElementsAre(absl::StrCat(dir.File("a.yaml"),
                                                           ": warning: is empty; keeping the 1 object of its last good "
                                                           "version (remove the file to remove what it defined)")));

  WriteFile(dir.File("a.yaml"), "# nothing for now\n");
  const ManifestSet::Pass comment = set.Load();
  EXPECT_THAT(Names(comment.manifests), IsEmpty());
  EXPECT_THAT(comment.manifests.diagnostics, IsEmpty());
}

TEST(ManifestSetTest, AnEditThatKeepsAFaultTellsItAgainAndForgetTellsAll) {
  TempDir dir;
  WriteFile(dir.File("a.yaml"), "kind: Node\n");
  WriteFile(dir.File("b.yaml"), "kind: Node\n");
  ManifestSet set({dir.path(), dir.File("none")}, {});
  EXPECT_EQ(set.Load().fresh.size(), 3u);

  WriteFile(dir.File("a.yaml"), "kind: Node\n# no better\n");
  const ManifestSet::Pass edited = set.Load();
  ASSERT_EQ(edited.fresh.size(), 1u);
  EXPECT_TRUE(absl::StrContains(edited.fresh[0].where, "a.yaml"));

  set.Forget();
  EXPECT_EQ(set.Load().fresh.size(), 3u);
  EXPECT_EQ(set.Load().fresh.size(), 0u);
}

TEST(ManifestSetTest, AWriteThatLeavesSizeAndTimeAloneIsSeen) {
  TempDir dir;
  WriteFile(dir.File("a.yaml"), NodeYaml("a"));
  ManifestSet set({dir.path()}, {});
  set.Load();
  struct stat before;
  ASSERT_EQ(stat(dir.File("a.yaml").c_str(), &before), 0);

  WriteFile(dir.File("a.yaml"), NodeYaml("b"));
  const timespec times[] = {before.st_atim, before.st_mtim};
  ASSERT_EQ(utimensat(AT_FDCWD, dir.File("a.yaml").c_str(), times, 0), 0);

  EXPECT_THAT(Names(set.Load().manifests), ElementsAre("Node b"));
}

TEST(ManifestSetTest, UnchangedFilesKeepTheVeryObjects) {
  TempDir dir;
  WriteFile(dir.File("a.yaml"), NodeYaml("a"));
  ManifestSet set({dir.path()}, {});
  const LoadedManifests first = set.Load().manifests;

  const LoadedManifests second = set.Load().manifests;

  EXPECT_EQ(first.objects.at(0).object, second.objects.at(0).object);
}

TEST(ManifestSetTest, AMissingPathIsAnErrorUntilItAppears) {
  TempDir dir;
  ManifestSet set({dir.File("later")}, {});
  const ManifestSet::Pass before = set.Load();
  EXPECT_THAT(Lines(before.fresh),
              ElementsAre(absl::StrCat(dir.File("later"),
                                       ": error: does not exist; it contributes no objects (it is read "
                                       "when it appears)")));

  std::filesystem::create_directory(dir.File("later"));
  WriteFile(dir.File("later/a.yaml"), NodeYaml("a"));
  const ManifestSet::Pass after = set.Load();

  EXPECT_THAT(Names(after.manifests), ElementsAre("Node a"));
  EXPECT_THAT(after.manifests.diagnostics, IsEmpty());
}

// A link to itself: unreadable for root as well, which permissions are not.
TEST(ManifestSetTest, AnUnreadableFileKeepsItsObjects) {
  TempDir dir;
  WriteFile(dir.File("a.yaml"), NodeYaml("a"));
  ManifestSet set({dir.path()}, {});
  set.Load();

  std::filesystem::remove(dir.File("a.yaml"));
  std::filesystem::create_symlink("a.yaml", dir.File("a.yaml"));
  const ManifestSet::Pass pass = set.Load();

  EXPECT_THAT(Names(pass.manifests), ElementsAre("Node a"));
  ASSERT_EQ(pass.fresh.size(), 1u);
  EXPECT_EQ(pass.fresh[0].problem, "cannot be read: Too many levels of symbolic links");
  EXPECT_EQ(pass.fresh[0].effect, "keeping the 1 object of its last good version");
  EXPECT_THAT(set.Load().fresh, IsEmpty());

  std::filesystem::remove(dir.File("a.yaml"));
  WriteFile(dir.File("a.yaml"), NodeYaml("a"));
  EXPECT_THAT(set.Load().manifests.diagnostics, IsEmpty());
}

TEST(ManifestSetTest, APipeCanBeReadOnce) {
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  const std::string text = NodeYaml("a");
  ASSERT_EQ(write(fds[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  close(fds[1]);

  const LoadedManifests loaded = LoadManifests({absl::StrCat("/dev/fd/", fds[0])}, {});
  close(fds[0]);

  EXPECT_THAT(Names(loaded), ElementsAre("Node a"));
}

TEST(ManifestSetTest, TheExamplesOfThisRepositoryLoadWithoutComplaint) {
  const LoadedManifests loaded = LoadManifests({PM_EXAMPLES}, {});

  EXPECT_THAT(Lines(loaded.diagnostics), IsEmpty());
  EXPECT_THAT(Names(loaded),
              ElementsAre("Service default/discovery-service", "Service kube-system/kube-dns", "Service shop/web",
                          "EndpointSlice default/discovery-service-x7k2p", "EndpointSlice kube-system/kube-dns-b5t6w",
                          "EndpointSlice shop/web-4hxq9", "EndpointSlice shop/web-d8r2m"));
  EXPECT_THAT(loaded.other_kinds, ElementsAre(Pair("ConfigMap", 1), Pair("Deployment", 1)));
}

}  // namespace
}  // namespace pointsman
