// SPDX-License-Identifier: Apache-2.0
#include "netlink/leftovers/legacy.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

#include "netlink/core/error.h"
#include "netlink/leftovers/names.h"
#include "netlink/leftovers/xtables.h"
#include "pointsman/status.h"

namespace pointsman::nl {
namespace {

constexpr char kLockFile[] = "/run/xtables.lock";
constexpr absl::Duration kLockPatience = absl::Seconds(5);  // as long as kube-proxy waits
constexpr absl::Duration kLockPause = absl::Milliseconds(50);

std::string Attempted(const char* what, Family family, const std::string& table) {
  return absl::StrCat(what, " ", TableText(family, table), " (legacy)");
}

absl::Status Error(const char* what, Family family, const std::string& table) {
  const int error = errno;
  return absl::Status(CodeOf(error),
                      absl::StrCat(Attempted(what, family, table), ": ",
                                   family == Family::kIpv4 ? XtablesV4::kText(error) : XtablesV6::kText(error)));
}

// The names in this namespace's list of tables; the file is missing where the kernel, or its module, is.
std::vector<std::string> TableNames(Family family) {
  std::ifstream file(family == Family::kIpv4 ? "/proc/thread-self/net/ip_tables_names"
                                             : "/proc/thread-self/net/ip6_tables_names");
  std::vector<std::string> names;
  for (std::string name; std::getline(file, name);) names.push_back(name);
  return names;
}

// `V` is XtablesV4 or XtablesV6.
template <typename V>
class Table {
 public:
  static absl::StatusOr<Table> Open(const std::string& name) {
    Handle handle(V::kInit(name.c_str()));
    if (handle == nullptr) return Error("read", V::kFamily, name);
    return Table(name, std::move(handle));
  }

  IptablesTable Read() const {
    IptablesTable table = {.variant = IptablesVariant::kLegacy, .family = V::kFamily, .name = name_};
    for (const char* name = V::kFirstChain(get()); name != nullptr; name = V::kNextChain(get())) {
      table.chains[name].builtin = V::kIsBuiltin(name, get()) != 0;
    }
    for (auto& [name, chain] : table.chains) {
      uint64_t number = 0;
      for (auto* rule = V::kFirstRule(name.c_str(), get()); rule != nullptr; rule = V::kNextRule(rule, get())) {
        ++number;
        const char* target = V::kTarget(rule, get());
        if (target == nullptr || !table.chains.contains(target)) continue;
        chain.rules.push_back({.target = target, .comment = CommentOf(*rule), .handle = number});
      }
    }
    return table;
  }

  absl::Status Remove(const Judgement& judgement) {
    // From the end, so that the numbers of those that are still to go stay right.
    for (size_t i = judgement.rules.size(); i-- > 0;) {
      const CondemnedRule& rule = judgement.rules[i];
      if (V::kDeleteRule(rule.chain.c_str(), static_cast<unsigned>(rule.handle - 1), get()) == 0)
        return Error("remove a rule from", V::kFamily, name_);
    }
    for (const std::string& chain : judgement.goes.chains) {
      if (V::kFlushChain(chain.c_str(), get()) == 0) return Error("empty a chain of", V::kFamily, name_);
    }
    for (const std::string& chain : judgement.goes.chains) {
      if (V::kDeleteChain(chain.c_str(), get()) == 0)
        return Annotate(Error("remove a chain from", V::kFamily, name_), chain);
    }
    if (V::kCommit(get()) == 0) return Error("replace", V::kFamily, name_);
    return absl::OkStatus();
  }

 private:
  struct Free {
    void operator()(xtc_handle* handle) const { V::kFree(handle); }
  };
  using Handle = std::unique_ptr<xtc_handle, Free>;

  Table(std::string name, Handle handle) : name_(std::move(name)), handle_(std::move(handle)) {}

  xtc_handle* get() const { return handle_.get(); }

  std::string name_;
  Handle handle_;
};

template <typename V>
absl::Status FindIn(std::vector<Judgement>& found) {
  const std::vector<std::string> present = TableNames(V::kFamily);
  for (const char* name : kIptablesTables) {
    if (std::find(present.begin(), present.end(), name) == present.end()) continue;
    PM_ASSIGN_OR_RETURN(const Table<V> table, Table<V>::Open(name));
    found.push_back(Judge(table.Read()));
  }
  return absl::OkStatus();
}

template <typename V>
absl::Status RemoveFrom(const LeftoverTable& found) {
  PM_ASSIGN_OR_RETURN(Table<V> table, Table<V>::Open(found.name));
  const Judgement now = Judge(table.Read());
  if (now.goes != found) {
    return absl::AbortedError(
        absl::StrCat(Attempted("remove kube-proxy's rules from", found.family, found.name), ": ", kChangedMeanwhile));
  }
  return table.Remove(now);
}

// Held until the file is closed.
absl::StatusOr<int> TakeLock() {
  const char* named = std::getenv("XTABLES_LOCKFILE");  // as iptables has it
  const char* path = named != nullptr ? named : kLockFile;
  const int fd = open(path, O_CREAT | O_RDONLY | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("open ", path));
  const absl::Time deadline = absl::Now() + kLockPatience;
  while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
    const int error = errno;
    if (error == EINTR) continue;
    if (error != EWOULDBLOCK || absl::Now() > deadline) {
      close(fd);
      return ErrnoStatus(error, absl::StrCat("lock ", path, ", which another iptables may hold"));
    }
    absl::SleepFor(kLockPause);
  }
  return fd;
}

}  // namespace

absl::StatusOr<std::vector<Judgement>> FindLegacy() {
  std::vector<Judgement> found;
  PM_RETURN_IF_ERROR(FindIn<XtablesV4>(found));
  PM_RETURN_IF_ERROR(FindIn<XtablesV6>(found));
  return found;
}

absl::Status RemoveLegacy(const LeftoverTable& found) {
  PM_ASSIGN_OR_RETURN(const int lock, TakeLock());
  const absl::Cleanup unlock = [lock] { close(lock); };
  return found.family == Family::kIpv4 ? RemoveFrom<XtablesV4>(found) : RemoveFrom<XtablesV6>(found);
}

}  // namespace pointsman::nl
