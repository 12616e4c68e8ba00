// SPDX-License-Identifier: Apache-2.0
//
// The kernel's side doors. Everything acts on the network namespace of the calling thread at creation.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

#include "pointsman/dataplane.h"
#include "pointsman/flows.h"
#include "pointsman/net.h"
#include "pointsman/nft.h"

namespace pointsman {

struct NftOptions {
  // A set with more elements than this is not listed to its end (Set::complete is false): listing is quadratic in the
  // size, and from here on filling the set anew takes no longer.
  int max_listed_elements = 150'000;
  // Also list what is in sets that packets fill. It changes all the time.
  bool list_filled = false;
};

// Errors: kUnavailable or kPermissionDenied if there is no nf_tables to talk to.
absl::StatusOr<std::unique_ptr<Dataplane>> OpenNftDataplane(const NftOptions& options = {});

// kPermissionDenied, with a sentence for the user, without CAP_NET_ADMIN in the user namespace that owns this network
// namespace. Changes nothing.
absl::Status CheckNetAdmin();

// What trying a program out has shown of one family.
struct NftTrial {
  enum class Verdict {
    kWorks,
    kFamilyOff,  // IPv6 is not used in this network namespace; the program was not tried
    kRefused,    // by the kernel
  };
  Family family = Family::kIpv4;
  Verdict verdict = Verdict::kWorks;
  std::string why;  // one line, for the user; empty if it works

  friend bool operator==(const NftTrial&, const NftTrial&) = default;
};

// Finds out whether the kernel would run `program`, by sending it: each family by itself, in a table by another name,
// in a transaction that ends before its end. Nothing remains, and the generation does not move. IPv6 is off by the same
// signs as for kube-proxy, whatever nf_tables would take. Which hook allows which expression is not found out: the
// kernel looks at that when it commits.
//
// Inputs:  `program`: changes that make tables from nothing; each op of one family in an order it can be executed in.
// Returns: the families that are in `program`, in order.
// Errors:  kPermissionDenied, kUnavailable: nothing could be found out.
absl::StatusOr<std::vector<NftTrial>> ProbeNft(const nft::ChangeSet& program);

// The connection tracking table.
class FlowTable {
 public:
  virtual ~FlowTable() = default;

  // Removes the entries that `checks` find stale, whatever else is in the table. Entries of other conntrack zones, of
  // protocols not named, and those that answer to no check are not touched.
  //
  // Inputs: `checks` sorted by frontend, unique.
  // Errors: kUnavailable, kDataLoss: some may be left; do it again. kPermissionDenied.
  // Cost:   the kernel walks its table once per check, or once for all when there are many; it sends only candidates.
  virtual absl::StatusOr<FlowReport> Clean(absl::Span<const FlowCheck> checks) = 0;
};

absl::StatusOr<std::unique_ptr<FlowTable>> OpenFlowTable();

// The addresses of this node, kept up to date by rtnetlink.
class AddressMonitor {
 public:
  virtual ~AddressMonitor() = default;
  virtual int fd() const = 0;  // readable when something may have changed
  // Reads pending events without blocking. True if the set of addresses is another than before.
  virtual absl::StatusOr<bool> Update() = 0;
  // Usable addresses (not tentative, not failed duplicate detection), sorted, unique; loopback and link-local ones too.
  virtual std::vector<IpAddr> addresses() const = 0;
};
absl::StatusOr<std::unique_ptr<AddressMonitor>> WatchAddresses();

// The same once. Needs no privileges.
absl::StatusOr<std::vector<IpAddr>> ReadAddresses();

}  // namespace pointsman
