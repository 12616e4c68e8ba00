// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "agent/cmd/command.h"
#include "pointsman/netlink.h"
#include "pointsman/nft_format.h"
#include "pointsman/status.h"

namespace pointsman {
namespace {

// Prints changes as a difference: under each object what the kernel has too much, with a minus, and what it lacks, with
// a plus.
class DiffPrinter {
 public:
  explicit DiffPrinter(const nft::Ruleset& have) : have_(have) {}

  std::string Print(const nft::Changes& changes) && {
    for (const nft::Op& op : changes.commit) std::visit([&](const auto& o) { Do(o); }, op);
    for (const nft::Op& op : changes.sweep) std::visit([&](const auto& o) { Do(o); }, op);
    std::string text;
    for (const auto& [object, lines] : objects_) absl::StrAppend(&text, object, "\n", lines);
    return text;
  }

 private:
  void Heading(Family family, const std::string& object) {
    lines_ = &objects_[absl::StrCat(family == Family::kIpv4 ? "ip " : "ip6 ", nft::kTableName,
                                    object.empty() ? "" : " ", object)];
  }
  void Line(char sign, const std::string& line) { absl::StrAppend(lines_, std::string(1, sign), "   ", line, "\n"); }

  void Do(const nft::AddTable& op) {
    Heading(op.family, "");
    Line('+', "the table");
  }
  void Do(const nft::DeleteTable& op) {
    Heading(op.family, "");
    Line('-', "the table");
  }
  void Do(const nft::AddChain& op) {
    Heading(op.family, absl::StrCat("chain ", op.name));
    Line('+', "the chain");
  }
  void Do(const nft::DeleteChain& op) {
    Heading(op.family, absl::StrCat("chain ", op.name));
    Line('-', "the chain");
  }
  void Do(const nft::FlushChain& op) {
    Heading(op.family, absl::StrCat("chain ", op.name));
    for (const nft::Rule& rule : have_.tables.at(op.family).chains.at(op.name).rules) {
      Line('-', nft::FormatRule(op.family, rule));
    }
  }
  void Do(const nft::AddRule& op) {
    Heading(op.family, absl::StrCat("chain ", op.chain));
    Line('+', nft::FormatRule(op.family, op.rule));
  }
  void Do(const nft::AddSet& op) {
    Heading(op.family, absl::StrCat(op.spec.is_map() ? "map " : "set ", op.name));
    Line('+', op.spec.is_map() ? "the map" : "the set");
  }
  void Do(const nft::FlushSet& op) {
    Heading(op.family, Named(op.family, op.name));
    Line('-', "all elements");
  }
  void Do(const nft::DeleteSet& op) {
    Heading(op.family, Named(op.family, op.name));
    Line('-', "the set");
  }
  void Do(const nft::AddElements& op) { Elements('+', op); }
  void Do(const nft::DeleteElements& op) { Elements('-', op); }

  template <typename ElementOp>
  void Elements(char sign, const ElementOp& op) {
    Heading(op.family, absl::StrCat(op.spec.is_map() ? "map " : "set ", op.set));
    for (const nft::Element& element : op.elements) Line(sign, nft::FormatElement(op.spec, element));
  }

  // "map NAME" or "set NAME", of a set that is there.
  std::string Named(Family family, const std::string& set) const {
    return absl::StrCat(have_.tables.at(family).sets.at(set).spec.is_map() ? "map " : "set ", set);
  }

  const nft::Ruleset& have_;
  std::map<std::string, std::string> objects_;  // lines by heading
  std::string* lines_ = nullptr;                // of the object being printed
};

// The desired program against the kernel's. Where the order of slots and the width of a size class are history, the
// kernel's own history counts: what it holds is right if it is one of the right ones.
absl::StatusOr<std::pair<nft::Changes, nft::Ruleset>> Compare(Config config) {
  PM_RETURN_IF_ERROR(LeaveOutFamilies(config).status());
  PM_ASSIGN_OR_RETURN(const Desired desired, LoadDesired(config));
  PM_ASSIGN_OR_RETURN(const std::unique_ptr<Dataplane> dataplane, OpenNftDataplane({.max_listed_elements = 1 << 30}));
  PM_ASSIGN_OR_RETURN(const Observation observation, dataplane->Observe());
  nft::Programmer programmer;
  programmer.Observe(observation.ruleset);
  nft::Changes changes = programmer.Stage(desired.plan, desired.settings, /*full=*/true);
  return std::make_pair(std::move(changes), observation.ruleset);
}

}  // namespace

int DiffCommand(const Flags& flags) {
  const absl::StatusOr<Config> config = ParseConfig(flags);
  const auto compared = config.ok() ? Compare(*config) : config.status();
  if (!compared.ok()) {
    PrintError(compared.status());
    return 2;
  }
  const auto& [changes, have] = *compared;
  if (flags.output == OutputFormat::kJson) {
    nft::ChangeSet all = changes.commit;
    all.insert(all.end(), changes.sweep.begin(), changes.sweep.end());
    absl::PrintF("%s\n", nft::FormatChangesJson(all));
  } else if (changes.empty()) {
    absl::PrintF("no differences\n");
  } else {
    absl::PrintF("%s", DiffPrinter(have).Print(changes));
  }
  return changes.empty() ? 0 : 1;
}

}  // namespace pointsman
