// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_api/selector.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace pointsman::support {

std::vector<Selector::Term> Selector::Terms(absl::string_view text) {
  std::vector<Term> terms;
  for (const absl::string_view part : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    absl::string_view rest = part;
    Term term;
    const size_t equals = part.find('=');
    if (absl::ConsumePrefix(&rest, "!")) {
      term.key = std::string(rest);
      term.op = Term::Op::kAbsent;
    } else if (equals == absl::string_view::npos) {
      term.key = std::string(part);
    } else {
      absl::string_view key = part.substr(0, equals);
      absl::string_view value = part.substr(equals + 1);
      term.op = absl::ConsumeSuffix(&key, "!") ? Term::Op::kDiffers : Term::Op::kEqual;
      absl::ConsumePrefix(&value, "=");
      term.key = std::string(key);
      term.value = std::string(value);
    }
    terms.push_back(term);
  }
  return terms;
}

absl::StatusOr<Selector> Selector::Parse(const ResourceInfo& resource, absl::string_view labels,
                                         absl::string_view fields) {
  Selector selector;
  selector.labels_ = Terms(labels);
  for (const Term& term : selector.labels_) {
    if (term.key.empty() || term.key.find_first_of(" ()!") != std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat("unable to parse requirement: ", labels));
    }
  }
  selector.fields_ = Terms(fields);
  for (const Term& term : selector.fields_) {
    const bool known = term.key == "metadata.name" || term.key == "metadata.namespace" ||
                       (term.key == "spec.clusterIP" && absl::string_view(resource.plural) == "services");
    if (!known) return absl::InvalidArgumentError(absl::StrCat("field label not supported: ", term.key));
    if (term.op != Term::Op::kEqual && term.op != Term::Op::kDiffers) {
      return absl::InvalidArgumentError(absl::StrCat("invalid field selector: ", fields));
    }
  }
  return selector;
}

bool Selector::Matches(const Stored& object) const {
  const kube::ObjectMeta& meta = object.meta();
  for (const Term& term : labels_) {
    const auto found = meta.labels().find(term.key);
    const bool has = found != meta.labels().end();
    const bool equal = has && found->second == term.value;
    const bool matches = term.op == Term::Op::kExists   ? has
                         : term.op == Term::Op::kAbsent ? !has
                         : term.op == Term::Op::kEqual  ? equal
                                                        : !equal;
    if (!matches) return false;
  }
  return std::all_of(fields_.begin(), fields_.end(), [&](const Term& term) {
    const std::string value = term.key == "metadata.name"        ? meta.name()
                              : term.key == "metadata.namespace" ? meta.namespace_()
                                                                 : object.cluster_ip();
    return (value == term.value) == (term.op == Term::Op::kEqual);
  });
}

std::string Selector::name() const {
  for (const Term& term : fields_) {
    if (term.key == "metadata.name" && term.op == Term::Op::kEqual) return term.value;
  }
  return "";
}

}  // namespace pointsman::support
