// SPDX-License-Identifier: Apache-2.0
//
// What `pointsman trace` prints, one file a packet, in trace/. A file names the case in cases/ whose cluster it is
// about, or has a cluster of its own. Its arguments are SOURCE, DEST and perhaps the interface. The kernel holds the
// compiled program, unless `kernel` says otherwise: "empty", "unreadable", or lines "without SET ELEMENT", ELEMENT
// being the beginning of its text. PM_UPDATE_GOLDEN=1 rewrites the outputs; `json` only where there is one.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

#include "agent/cmd/trace.h"
#include "pointsman/nft_format.h"
#include "pointsman/nft_program.h"
#include "tests/golden/cluster.h"
#include "tests/support/txtar.h"

namespace pointsman {
namespace {

using golden::Cluster;
using golden::Read;
using support::FormatTxtar;
using support::ParseTxtar;
using support::Txtar;

void Remove(const std::string& set, const std::string& element, nft::Ruleset& ruleset) {
  int removed = 0;
  for (auto& [family, table] : ruleset.tables) {
    const auto named = table.sets.find(set);
    if (named == table.sets.end()) continue;
    nft::Set& from = named->second;
    for (auto it = from.elements.begin(); it != from.elements.end();) {
      const bool gone = absl::StartsWith(nft::FormatElement(from.spec, {it->first, it->second}), element);
      removed += gone ? 1 : 0;
      it = gone ? from.elements.erase(it) : std::next(it);
    }
  }
  EXPECT_GT(removed, 0) << "no element of " << set << " begins with " << element;
}

// "CLIENT ENDPOINT": the client was sent there before, whatever Service it asked.
void Remember(const std::string& words, nft::Ruleset& ruleset) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(words, ' ');
  const IpAddr client = IpAddr::Parse(parts.first).value();
  const std::pair<std::string, std::string> endpoint = absl::StrSplit(parts.second, ':');
  const int port = std::stoi(endpoint.second);
  const IpAddr addr = IpAddr::Parse(endpoint.first).value();
  nft::Bytes data(addr.bytes().begin(), addr.bytes().end());
  data.insert(data.end(), {static_cast<uint8_t>(port >> 8), static_cast<uint8_t>(port & 0xff), 0, 0});
  auto& sets = ruleset.tables.at(client.family()).sets;
  for (const auto& [key, value] : sets.at("aff_endpoints").elements) {
    nft::Bytes place(client.bytes().begin(), client.bytes().end());
    place.insert(place.end(), key.begin(), key.begin() + 8);  // which memory
    sets.at("affinity").elements[place].data = data;
  }
}

absl::StatusOr<nft::Ruleset> KernelOf(const std::string& text, nft::Ruleset program) {
  if (text == "empty\n") return nft::Ruleset();
  if (text == "unreadable\n") return absl::PermissionDeniedError("this needs CAP_NET_ADMIN");
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    if (absl::ConsumePrefix(&line, "remembers ")) {
      Remember(std::string(line), program);
      continue;
    }
    EXPECT_TRUE(absl::ConsumePrefix(&line, "without ")) << line;
    const std::pair<std::string, std::string> words = absl::StrSplit(line, absl::MaxSplits(' ', 1));
    Remove(words.first, words.second, program);
  }
  return program;
}

class TraceGoldenTest : public ::testing::TestWithParam<std::filesystem::path> {};

TEST_P(TraceGoldenTest, SaysWhatIsWritten) {
  const std::string written = Read(GetParam());
  Txtar file = ParseTxtar(written);
  const std::string named(absl::StripSuffix(file.file("case"), "\n"));
  const Cluster cluster =
      golden::PlanCase(named.empty() ? file : ParseTxtar(Read(absl::StrCat(PM_GOLDEN_DIR "/cases/", named, ".txtar"))));
  ASSERT_FALSE(cluster.plans.empty());
  const std::vector<std::string> arguments =
      absl::StrSplit(file.file("arguments"), absl::ByAnyChar(" \n"), absl::SkipEmpty());
  ASSERT_GE(arguments.size(), 2u);

  const absl::StatusOr<TraceQuery> query =
      ParseTraceQuery(arguments[0], arguments[1], arguments.size() > 2 ? arguments[2] : "");
  ASSERT_TRUE(query.ok()) << query.status();
  const absl::StatusOr<Packet> packet = MakePacket(*query, cluster.node);
  ASSERT_TRUE(packet.ok()) << packet.status();
  const nft::Ruleset program = nft::CompileAll(cluster.plans, cluster.settings);
  const absl::StatusOr<TraceReport> report =
      ExplainPacket(*packet, cluster.plans, cluster.around(), program, KernelOf(file.file("kernel"), program));
  ASSERT_TRUE(report.ok()) << report.status();

  file.Set("text", FormatTraceText(*report));
  file.Set("exit status", absl::StrCat(ExitStatus(*report), "\n"));
  if (!file.file("json").empty()) file.Set("json", FormatTraceJson(*report) + "\n");
  if (std::getenv("PM_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(GetParam()) << FormatTxtar(file);
  } else {
    EXPECT_EQ(FormatTxtar(file), written) << "to take it over: PM_UPDATE_GOLDEN=1 ./dev test golden";
  }
}

INSTANTIATE_TEST_SUITE_P(Trace, TraceGoldenTest, ::testing::ValuesIn(golden::CasesIn(PM_GOLDEN_DIR "/trace")),
                         [](const auto& param) { return golden::CaseName(param.param); });

}  // namespace
}  // namespace pointsman
