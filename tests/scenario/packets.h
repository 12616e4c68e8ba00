// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "tests/scenario/bed.h"
#include "tests/scenario/model.h"
#include "tests/scenario/probe.h"
#include "tests/scenario/report.h"
#include "tests/scenario/scenario.h"
#include "tests/support/agent_process.h"
#include "tests/support/files.h"

namespace pointsman::scenario {

// One case with the real binary in a real kernel: its bed in namespaces, a server at every endpoint, and one at every
// address that is asked, in the world or at the node itself, so that what is not translated gives itself away.
class PacketRun {
 public:
  PacketRun(const Case& scenario, const std::string& backend, Report& report);

  // Errors: the case makes no sense, or the agent does not do as told. Rows that fail are in the report.
  absl::Status Run();
  std::string agent_log() { return agent_ == nullptr ? "" : agent_->log(); }

 private:
  struct Pending;
  using Client = std::tuple<IpAddr, std::string, Wire>;  // who, of which Service, over what

  absl::Status Do(const Step& step);
  absl::Status StartAgent();
  absl::Status Use(const std::string& state);
  void StartServers();
  // False if this kernel cannot do it, or the row is not for packets; it is in the report then.
  bool CanRun(const Question& question);
  void ListenWhereAsked(const std::vector<Question>& questions);
  void Judge(const Question& question, const std::string& wrong);

  void AskPooled();
  void AskClients(const Question& question);
  std::vector<Answer> AskAgain(const std::vector<Probe>& probes, std::vector<Answer> answers);
  void AskHealth(const Question& question);
  Probe ProbeFor(const Question& question);
  // What is wrong with the answer; empty if nothing is.
  std::string Wrong(const Question& question, const Answer& answer);

  const Case& scenario_;
  const std::string backend_;
  Report& report_;
  const bool sctp_;
  Bed bed_;
  support::TempDir dir_;
  std::unique_ptr<support::AgentProcess> agent_;
  absl::StatusOr<Model> model_;
  std::vector<Question> pool_;
  std::map<Client, std::string> sticks_to_;
  std::map<std::string, std::vector<std::pair<Question, std::unique_ptr<Persistent>>>> flows_;
};

}  // namespace pointsman::scenario
