// SPDX-License-Identifier: Apache-2.0
//
// The stages between objects and the kernel's messages, each ready to be run by itself, over and over.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/cluster.h"
#include "netlink/core/batch.h"
#include "pointsman/nft_program.h"

namespace pointsman::bench {

// A cluster of MakeCluster(), and what each stage takes of it.
class Stages {
 public:
  Stages(int services, int endpoints);

  // Each does its work once, over the whole cluster, what it makes included from first allocation to last free.
  // Returns: bytes of messages written or read; zero for those that have to do with none.
  int64_t FillStore();        // objects into an empty Store
  int64_t BuildPorts();       // Services and slices joined
  int64_t PlanAll();          // from a Store, ports included
  int64_t CompileServices();  // plans to elements, from nothing
  int64_t DiffOfEquals();     // a whole program with itself
  int64_t FirstPass();        // plans to changes, over an empty kernel
  int64_t EncodeAll();        // those changes to messages
  int64_t DecodeAll();        // messages of a whole program, elements in no order, to what is in the kernel
  int64_t Restart();          // the same messages decoded, then plans to changes: there are none
  int64_t OneChange();        // one endpoint replaced: from the object to messages, through everything
  int64_t FormatProgram();    // as `pointsman dump` prints it; bytes of text

 private:
  struct Node {
    Store store;
    Planner planner;
    nft::Programmer programmer;
  };

  const int endpoints_;
  const NodeInfo node_ = BenchNode();
  const nft::BaseSettings settings_ = BenchSettings();
  const ObjectBatch objects_;
  std::vector<ObjectBatch> one_change_;  // taken in turn
  size_t turn_ = 0;
  Node filled_;  // holds everything, and so does its kernel
  Touched all_;
  PlanPatch patch_;
  nft::Ruleset program_;
  nft::ChangeSet changes_;        // that make it
  std::vector<uint8_t> listing_;  // that list it
};

struct Stage {
  const char* name;
  int64_t (Stages::*run)();
};
inline constexpr Stage kStages[] = {
    {"store", &Stages::FillStore},         {"build", &Stages::BuildPorts},     {"plan", &Stages::PlanAll},
    {"compile", &Stages::CompileServices}, {"diff", &Stages::DiffOfEquals},    {"first-pass", &Stages::FirstPass},
    {"encode", &Stages::EncodeAll},        {"decode", &Stages::DecodeAll},     {"restart", &Stages::Restart},
    {"one-change", &Stages::OneChange},    {"format", &Stages::FormatProgram},
};

}  // namespace pointsman::bench
