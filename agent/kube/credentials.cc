// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/credentials.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "agent/kube/exec_plugin.h"
#include "agent/kube/key_pair.h"
#include "agent/kube/text_file.h"
#include "pointsman/log.h"
#include "pointsman/status.h"

namespace pointsman::kube {
namespace {

// As client-go: a token is renewed when it is a minute old, ten seconds early.
constexpr absl::Duration kTokenAge = absl::Seconds(50);
constexpr absl::Duration kCertificateAge = absl::Minutes(5);
// After a reading that gave nothing new to use, though it should have.
constexpr absl::Duration kRetryAge = absl::Seconds(10);

constexpr absl::Duration kPluginTimeLimit = absl::Seconds(60);
constexpr absl::Duration kLeastPause = absl::Seconds(1);
constexpr absl::Duration kMostPause = absl::Minutes(1);

absl::Status Problem(const std::string& path, absl::string_view what) {
  return absl::FailedPreconditionError(absl::StrCat(absl::Utf8SafeCHexEscape(path), ": ", what));
}

// Tells of a trouble when it begins, when it changes, and when it is over.
class Trouble {
 public:
  // `what` names what stays in use meanwhile.
  void Report(absl::string_view what, const absl::Status& status) {
    if (status.message() == last_) return;
    last_ = std::string(status.message());
    Log(LogLevel::kWarning, "credentials_stale", {{"in_use", what}, {"reason", last_}});
  }
  void Over(absl::string_view what) {
    if (last_.empty()) return;
    last_.clear();
    Log(LogLevel::kInfo, "credentials_renewed", {{"in_use", what}});
  }

 private:
  std::string last_;
};

absl::StatusOr<std::string> ReadToken(const std::string& path) {
  PM_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path));
  const absl::string_view token = absl::StripAsciiWhitespace(text);
  if (token.empty()) return Problem(path, "there is no token in it");
  if (HasControlCharacter(token) || absl::StrContains(token, " ")) {
    return Problem(path, "there is a blank or a line break in the token");
  }
  return std::string(token);
}

absl::StatusOr<std::string> ReadPem(const TextSource& source, absl::string_view label) {
  if (source.path.empty()) return source.text;
  PM_ASSIGN_OR_RETURN(std::string text, ReadTextFile(source.path));
  if (!HasWholePem(text, label))
    return Problem(source.path, absl::StrCat("there is no whole ", label, " in PEM form in it"));
  return text;
}

// The token of a file, or else the one given.
class TokenFile {
 public:
  TokenFile(std::string path, std::string given) : path_(std::move(path)), token_(std::move(given)) {}

  absl::StatusOr<std::string> Get(absl::Time now) {
    if (path_.empty() || now < next_) return token_;
    absl::StatusOr<std::string> read = ReadToken(path_);
    if (read.ok()) {
      token_ = *std::move(read);
      next_ = now + kTokenAge;
      trouble_.Over("token");
    } else if (token_.empty()) {
      return read.status();
    } else {
      next_ = now + kRetryAge;
      trouble_.Report("the last token", read.status());
    }
    return token_;
  }

  void Forget() { next_ = absl::InfinitePast(); }

 private:
  const std::string path_;
  std::string token_;
  absl::Time next_ = absl::InfinitePast();
  Trouble trouble_;
};

class CaFile {
 public:
  explicit CaFile(TextSource source) : source_(std::move(source)) {}

  absl::StatusOr<std::string> Get(absl::Time now) {
    if (source_.empty() || now < next_) return text_;
    absl::StatusOr<std::string> read = ReadPem(source_, "CERTIFICATE");
    if (read.ok()) {
      text_ = *std::move(read);
      next_ = source_.path.empty() ? absl::InfiniteFuture() : now + kCertificateAge;
      trouble_.Over("certificate authority");
    } else if (text_.empty()) {
      return Annotate(read.status(), "certificate authority");
    } else {
      next_ = now + kRetryAge;
      trouble_.Report("the last certificate authority", read.status());
    }
    return text_;
  }

 private:
  const TextSource source_;
  std::string text_;
  absl::Time next_ = absl::InfinitePast();
  Trouble trouble_;
};

struct KeyPair {
  std::string certificate;
  std::string key;

  friend bool operator==(const KeyPair&, const KeyPair&) = default;
};

// Certificate and key, which belong together: whoever rotates them writes one file after the other.
class KeyPairFiles {
 public:
  KeyPairFiles(TextSource certificate, TextSource key) : certificate_(std::move(certificate)), key_(std::move(key)) {}

  absl::StatusOr<KeyPair> Get(absl::Time now) {
    if (certificate_.empty() || now < next_) return pair_;
    absl::StatusOr<KeyPair> read = Read();
    const bool known = !pair_.certificate.empty();
    if (read.ok() && FitOf(read->certificate, read->key) == PairFit::kDiffers) {
      read = Problem(key_.path.empty() ? "client-key-data" : key_.path,
                     absl::StrCat("this key is not that of the certificate in ",
                                  certificate_.path.empty() ? "client-certificate-data"
                                                            : absl::Utf8SafeCHexEscape(certificate_.path)));
    }
    if (!read.ok()) {
      candidate_.reset();
      if (!known) return Annotate(read.status(), "client certificate");
      next_ = now + kRetryAge;
      trouble_.Report("the last client certificate", read.status());
      return pair_;
    }
    // Where nothing tells whether they fit, they are taken for a pair when they have stayed as they are for a while.
    const bool settled = !known || *read == pair_ || FitOf(read->certificate, read->key) == PairFit::kFits ||
                         (candidate_ == *read && now >= candidate_since_ + kRetryAge);
    if (!settled) {
      if (candidate_ != *read) candidate_since_ = now;
      candidate_ = *std::move(read);
      next_ = candidate_since_ + kRetryAge;
      return pair_;
    }
    candidate_.reset();
    pair_ = *std::move(read);
    next_ = certificate_.path.empty() && key_.path.empty() ? absl::InfiniteFuture() : now + kCertificateAge;
    trouble_.Over("client certificate");
    return pair_;
  }

  void Forget() { next_ = absl::InfinitePast(); }

 private:
  absl::StatusOr<KeyPair> Read() const {
    KeyPair pair;
    PM_ASSIGN_OR_RETURN(pair.certificate, ReadPem(certificate_, "CERTIFICATE"));
    // The kubelet keeps both in one file, and replaces it at once.
    if (!key_.path.empty() && key_.path == certificate_.path) {
      pair.key = pair.certificate;
      if (!HasWholePem(pair.key, "PRIVATE KEY"))
        return Problem(key_.path, "there is no whole PRIVATE KEY in PEM form in it");
      return pair;
    }
    PM_ASSIGN_OR_RETURN(pair.key, ReadPem(key_, "PRIVATE KEY"));
    return pair;
  }

  const TextSource certificate_;
  const TextSource key_;
  KeyPair pair_;
  std::optional<KeyPair> candidate_;
  absl::Time candidate_since_;
  absl::Time next_ = absl::InfinitePast();
  Trouble trouble_;
};

// What a plug-in gave, and when it is to be asked again.
class PluginCredentials {
 public:
  PluginCredentials(const Access& access, absl::AnyInvocable<void()> wake)
      : access_(access), runner_(*access.exec, kPluginTimeLimit, std::move(wake)) {}

  absl::StatusOr<PluginAnswer> Get(absl::Time now, absl::Time wall, absl::string_view ca) {
    if (auto answer = runner_.Take()) Accept(*std::move(answer), now, wall);
    const bool expired = answer_ && (wall >= answer_->expires || now >= steady_expiry_);
    if (!runner_.running() && (!answer_ || expired || refused_)) {
      if (expired || refused_) SetPause(now);
      if (now >= next_run_) {
        refused_ = false;
        ended_ = false;
        runner_.Start(FormatExecInfo(access_, ca));
      }
    }
    if (runner_.running()) return absl::UnavailableError("the credential plug-in is still running");
    if (answer_) return *answer_;
    return failure_;
  }

  // What comes while it runs concerns what was given before.
  void Refused() { refused_ |= answer_.has_value() && !runner_.running(); }

 private:
  void Accept(absl::StatusOr<PluginAnswer> answer, absl::Time now, absl::Time wall) {
    given_at_ = now;
    if (!answer.ok()) {
      failure_ = answer.status();
      LengthenPause();
      next_run_ = now + pause_;
      if (answer_) trouble_.Report("what the credential plug-in gave before", failure_);
      ended_ = true;
      return;
    }
    answer_ = *std::move(answer);
    expired_at_once_ = wall >= answer_->expires;
    // Whoever sets the clock back does not make it last longer. One that has expired serves until asking again may
    // help.
    steady_expiry_ = now + std::max(answer_->expires - wall, absl::ZeroDuration());
    next_run_ = now;
    trouble_.Over("credential plug-in");
  }

  // Once for each answer that is of no more use. One that served for a while, or until it expired, is made up for at
  // once; a plug-in that gives what is of no use is asked ever more rarely.
  void SetPause(absl::Time now) {
    if (std::exchange(ended_, true)) return;
    if (now - given_at_ >= kMostPause || (!refused_ && !expired_at_once_)) {
      pause_ = absl::ZeroDuration();
      return;
    }
    LengthenPause();
    next_run_ = given_at_ + pause_;
  }

  void LengthenPause() { pause_ = std::clamp(2 * pause_, kLeastPause, kMostPause); }

  const Access& access_;
  std::optional<PluginAnswer> answer_;
  absl::Status failure_;
  absl::Time given_at_;
  absl::Time steady_expiry_;
  bool expired_at_once_ = false;
  bool refused_ = false;
  bool ended_ = false;  // the answer is of no more use, and the pause that follows is known
  absl::Duration pause_;
  absl::Time next_run_ = absl::InfinitePast();
  Trouble trouble_;
  PluginRunner runner_;  // last: its thread is to end first
};

}  // namespace

class Credentials::Impl {
 public:
  Impl(Access access, absl::AnyInvocable<void()> wake)
      : access_(std::move(access)),
        token_(access_.token_file, access_.token),
        ca_(access_.ca),
        pair_(access_.client_certificate, access_.client_key) {
    // A token or a password goes before a plug-in, as in client-go.
    const bool has_header = !access_.token.empty() || !access_.token_file.empty() || HasPassword();
    if (access_.exec && !has_header) plugin_.emplace(access_, std::move(wake));
  }

  absl::StatusOr<Identity> Get(absl::Time now, absl::Time wall) {
    Identity identity;
    PM_ASSIGN_OR_RETURN(identity.ca, ca_.Get(now));
    PM_ASSIGN_OR_RETURN(KeyPair pair, pair_.Get(now));
    PM_ASSIGN_OR_RETURN(std::string token, token_.Get(now));
    if (plugin_) {
      PM_ASSIGN_OR_RETURN(PluginAnswer answer, plugin_->Get(now, wall, identity.ca));
      token = std::move(answer.token);
      if (!answer.certificate.empty()) pair = {std::move(answer.certificate), std::move(answer.key)};
    }
    if (!token.empty()) {
      identity.headers.push_back(absl::StrCat("Authorization: Bearer ", token));
    } else if (HasPassword()) {
      identity.headers.push_back(absl::StrCat(
          "Authorization: Basic ", absl::Base64Escape(absl::StrCat(access_.username, ":", access_.password))));
    }
    identity.headers.insert(identity.headers.end(), access_.impersonate.begin(), access_.impersonate.end());
    if (!(pair == shown_)) {
      shown_ = pair;
      ++revision_;
    }
    identity.certificate = std::move(pair.certificate);
    identity.key = std::move(pair.key);
    identity.certificate_revision = revision_;
    return identity;
  }

  void Refused() {
    token_.Forget();
    pair_.Forget();
    if (plugin_) plugin_->Refused();
  }

 private:
  bool HasPassword() const { return !access_.username.empty() || !access_.password.empty(); }

  const Access access_;
  TokenFile token_;
  CaFile ca_;
  KeyPairFiles pair_;
  KeyPair shown_;  // at `revision_`
  uint64_t revision_ = 0;
  std::optional<PluginCredentials> plugin_;
};

Credentials::Credentials(Access access, absl::AnyInvocable<void()> wake)
    : impl_(std::make_unique<Impl>(std::move(access), std::move(wake))) {}

Credentials::~Credentials() = default;

absl::StatusOr<Identity> Credentials::Get(absl::Time now, absl::Time wall) { return impl_->Get(now, wall); }

void Credentials::Refused() { impl_->Refused(); }

}  // namespace pointsman::kube
