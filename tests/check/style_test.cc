// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/check/tree.h"

namespace pointsman::check {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kLicence[] = "// SPDX-License-Identifier: Apache-2.0\n";
constexpr int kMostLines = 600;

std::vector<std::string> Unlicensed(const Tree& tree) {
  std::vector<std::string> found;
  for (const auto& [path, text] : tree) {
    if (!absl::StartsWith(text, kLicence)) found.push_back(path);
  }
  return found;
}

// A file past that is usually two ideas.
std::vector<std::string> TooLong(const Tree& tree) {
  std::vector<std::string> found;
  for (const auto& [path, text] : tree) {
    const auto lines = std::count(text.begin(), text.end(), '\n');
    if (lines > kMostLines) found.push_back(absl::StrCat(path, ": ", lines, " lines"));
  }
  return found;
}

// Targets of Markdown links, `[text](target)`, that lead nowhere; links to elsewhere are not followed. `exists` is
// asked about paths from the top.
std::vector<std::string> DeadLinks(const Tree& tree, const std::function<bool(const std::string&)>& exists) {
  std::vector<std::string> found;
  for (const auto& [path, text] : tree) {
    bool code = false;
    ForEachLine(text, [&, &file = path](int number, absl::string_view line) {
      if (absl::StartsWith(line, "```")) code = !code;
      for (size_t at = line.find("]("); !code && at != absl::string_view::npos; at = line.find("](", at + 1)) {
        const size_t end = line.find(')', at);
        if (end == absl::string_view::npos) break;
        const std::string link(line.substr(at + 2, end - at - 2));
        const std::string target = link.substr(0, link.find('#'));
        if (target.empty() || absl::StrContains(link, "://") || absl::StartsWith(link, "mailto:")) continue;
        const auto resolved = (std::filesystem::path(file).parent_path() / target).lexically_normal().string();
        if (!exists(resolved)) found.push_back(absl::StrCat(file, ":", number, ": ", link));
      }
    });
  }
  return found;
}

TEST(StyleTest, EveryFileNamesItsLicence) {
  const Tree tree =
      ReadTree(PM_SOURCE_DIR, {"include", "rules", "netlink", "agent", "tests", "bench", "examples"}, {".h", ".cc"});
  ASSERT_GT(tree.size(), 50U) << "read the wrong directory?";
  EXPECT_THAT(Unlicensed(tree), IsEmpty());
}

TEST(StyleTest, NoFileIsTwoIdeas) {
  EXPECT_THAT(TooLong(ReadTree(PM_SOURCE_DIR, {"include", "rules", "netlink", "agent"}, {".h", ".cc"})), IsEmpty());
}

TEST(StyleTest, LinksInDocumentsLeadSomewhere) {
  const Tree tree = ReadTree(PM_SOURCE_DIR, {""}, {".md"});
  ASSERT_FALSE(tree.empty()) << "no documents?";
  const auto exists = [](const std::string& path) {
    return std::filesystem::exists(std::filesystem::path(PM_SOURCE_DIR) / path);
  };
  EXPECT_THAT(DeadLinks(tree, exists), IsEmpty());
}

TEST(StyleTest, WouldSeeAMissingLicenceAndALongFile) {
  std::string long_text = kLicence;
  for (int i = 0; i < kMostLines; ++i) long_text += '\n';
  const Tree tree = {{"a.cc", "int x;\n"}, {"b.cc", long_text}, {"c.cc", kLicence}};
  EXPECT_THAT(Unlicensed(tree), ElementsAre("a.cc"));
  EXPECT_THAT(TooLong(tree), ElementsAre("b.cc: 601 lines"));
}

TEST(StyleTest, WouldSeeADeadLink) {
  const Tree tree = {{"docs/a.md",
                      "[up](../README.md), [beside](b.md#part), [here](#there), [web](https://example.com/x.md)\n"
                      "[gone](c.md) and [gone too](../docs/d.md#part)\n"
                      "```\n[code](e.md)\n```\n"}};
  const auto exists = [](const std::string& path) { return path == "README.md" || path == "docs/b.md"; };
  EXPECT_THAT(DeadLinks(tree, exists), ElementsAre("docs/a.md:2: c.md", "docs/a.md:2: ../docs/d.md#part"));
}

}  // namespace
}  // namespace pointsman::check
