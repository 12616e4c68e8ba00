// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/credentials.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <condition_variable>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "agent/kube/exec_plugin.h"
#include "agent/kube/key_pair.h"
#include "nlohmann/json.hpp"
#include "tests/support/files.h"
#include "tests/unit/agent/kube/pem_samples.h"

namespace pointsman::kube {
namespace {

using nlohmann::json;
using support::ReadFile;
using support::ReplaceFile;
using support::TempDir;
using support::WriteFile;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr absl::Duration kPatience = absl::Seconds(30);
const absl::Time kWall = absl::FromUnixSeconds(1'800'000'000);

// Counts the calls of `wake`, and waits for them.
class Bell {
 public:
  void Ring() {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++rung_;
    changed_.notify_all();
  }
  bool Await(int times) {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, absl::ToChronoSeconds(kPatience), [&] { return rung_ >= times; });
  }
  int rung() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return rung_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int rung_ = 0;
};

std::string Message(const absl::Status& status) { return std::string(status.message()); }

// Credentials and a clock, which only the test moves.
class CredentialsTest : public ::testing::Test {
 protected:
  Credentials& Use(Access access) {
    credentials_ = std::make_unique<Credentials>(std::move(access), [this] { bell_.Ring(); });
    return *credentials_;
  }

  void Pass(absl::Duration time) {
    now_ += time;
    wall_ += time;
  }
  absl::StatusOr<Identity> Get() { return credentials_->Get(now_, wall_); }
  Identity Good() {
    const absl::StatusOr<Identity> identity = Get();
    EXPECT_TRUE(identity.ok()) << identity.status();
    return identity.value_or(Identity());
  }
  std::string Header() {
    const absl::StatusOr<Identity> identity = Get();
    if (!identity.ok()) return identity.status().ToString();
    return identity->headers.empty() ? "" : identity->headers.front();
  }

  const TempDir dir_;
  Bell bell_;
  absl::Time now_ = absl::UnixEpoch() + absl::Hours(5);
  absl::Time wall_ = kWall;
  std::unique_ptr<Credentials> credentials_;
};

// --- Texts ---

TEST_F(CredentialsTest, WithoutAnythingThereIsNothingToShow) {
  Use({.servers = {"https://h"}});

  const Identity identity = Good();

  EXPECT_THAT(identity.headers, IsEmpty());
  EXPECT_EQ(identity.certificate + identity.key + identity.ca, "");
  EXPECT_EQ(identity.certificate_revision, 0U);
}

TEST_F(CredentialsTest, WhatIsGivenAsTextIsShown) {
  Use({.ca = {.text = kRsaCertificate},
       .client_certificate = {.text = kEcCertificateA},
       .client_key = {.text = kEcKeyA},
       .token = "abc",
       .impersonate = {"Impersonate-User: jane"}});

  const Identity identity = Good();

  EXPECT_THAT(identity.headers, ElementsAre("Authorization: Bearer abc", "Impersonate-User: jane"));
  EXPECT_EQ(identity.ca, kRsaCertificate);
  EXPECT_EQ(identity.certificate, kEcCertificateA);
  EXPECT_EQ(identity.key, kEcKeyA);
}

TEST_F(CredentialsTest, UserAndPasswordAreSentAsHttpDoes) {
  Use({.username = "Aladdin", .password = "open sesame"});  // the example of RFC 7617

  EXPECT_EQ(Header(), "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
}

// --- Token files ---

class TokenFile : public CredentialsTest {
 protected:
  void SetUp() override { WriteFile(Path(), "first\n"); }
  std::string Path() const { return dir_.File("token"); }
};

TEST_F(TokenFile, ANewTokenIsUsedWithinAMinute) {
  Use({.token_file = Path()});
  EXPECT_EQ(Header(), "Authorization: Bearer first");

  ReplaceFile(Path(), "second");
  Pass(absl::Seconds(49));
  EXPECT_EQ(Header(), "Authorization: Bearer first");
  Pass(absl::Seconds(1));
  EXPECT_EQ(Header(), "Authorization: Bearer second");
}

TEST_F(TokenFile, ANewTokenIsUsedAtOnceWhenTheOldOneWasRefused) {
  Use({.token_file = Path()});
  EXPECT_EQ(Header(), "Authorization: Bearer first");

  ReplaceFile(Path(), "second");
  credentials_->Refused();

  EXPECT_EQ(Header(), "Authorization: Bearer second");
}

TEST_F(TokenFile, TheLastTokenIsKeptWhileTheFileIsGoneAndThatIsToldOnce) {
  Use({.token_file = Path()});
  EXPECT_EQ(Header(), "Authorization: Bearer first");
  std::filesystem::remove(Path());

  ::testing::internal::CaptureStderr();
  for (int i = 0; i < 5; ++i) {
    Pass(absl::Minutes(1));
    EXPECT_EQ(Header(), "Authorization: Bearer first");
  }
  const std::string gone = ::testing::internal::GetCapturedStderr();
  ::testing::internal::CaptureStderr();
  WriteFile(Path(), "");
  Pass(absl::Minutes(1));
  EXPECT_EQ(Header(), "Authorization: Bearer first");
  const std::string empty = ::testing::internal::GetCapturedStderr();
  ::testing::internal::CaptureStderr();
  WriteFile(Path(), "third");
  Pass(absl::Seconds(10));
  EXPECT_EQ(Header(), "Authorization: Bearer third");
  const std::string back = ::testing::internal::GetCapturedStderr();

  EXPECT_EQ(std::vector<std::string>(absl::StrSplit(gone, "credentials_stale")).size(), 2U) << gone;
  EXPECT_THAT(gone, HasSubstr("No such file or directory"));
  EXPECT_THAT(empty, HasSubstr("there is no token in it"));
  EXPECT_THAT(back, HasSubstr("credentials_renewed"));
}

TEST_F(TokenFile, WhereThereNeverWasATokenThatIsAnErrorAndTheFileIsLookedForAgain) {
  std::filesystem::remove(Path());
  Use({.token_file = Path()});

  const absl::Status status = Get().status();
  EXPECT_NE(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(Message(status), HasSubstr(absl::StrCat("read ", Path(), ": No such file")));

  WriteFile(Path(), "late");
  EXPECT_EQ(Header(), "Authorization: Bearer late");
}

TEST_F(TokenFile, TheTokenGivenIsUsedUntilTheFileCouldBeRead) {
  std::filesystem::remove(Path());
  Use({.token = "given", .token_file = Path()});

  ::testing::internal::CaptureStderr();
  EXPECT_EQ(Header(), "Authorization: Bearer given");
  ::testing::internal::GetCapturedStderr();
  WriteFile(Path(), "read");
  Pass(absl::Minutes(1));
  EXPECT_EQ(Header(), "Authorization: Bearer read");
}

TEST_F(TokenFile, ATokenThatWouldForgeAHeaderIsRefused) {
  for (const char* forged : {"a\r\nX-Evil: 1", "a\nb", "a b", "a\tb", "a\x7f", "a\x01"}) {
    WriteFile(Path(), forged);
    Use({.token_file = Path()});

    EXPECT_THAT(Message(Get().status()), HasSubstr("there is a blank or a line break in the token")) << forged;
  }
}

// --- Certificates, keys and CAs ---

TEST(KeyPairs, ThoseThatBelongTogetherAreToldFromOthers) {
  struct Row {
    const char* certificate;
    const char* key;
    PairFit fit;
  };
  const Row rows[] = {
      {kEcCertificateA, kEcKeyA, PairFit::kFits},         {kEcCertificateA, kEcPkcs8KeyA, PairFit::kFits},
      {kEcCertificateB, kEcKeyB, PairFit::kFits},         {kEcCertificateA, kEcKeyB, PairFit::kDiffers},
      {kEcCertificateB, kEcPkcs8KeyA, PairFit::kDiffers}, {kEcCertificateA, kEcKeyAWithoutPoint, PairFit::kUnknown},
      {kRsaCertificate, kRsaKey, PairFit::kFits},         {kRsaCertificate, kRsaPkcs8Key, PairFit::kFits},
      {kRsaCertificate, kEcKeyA, PairFit::kDiffers},      {kEcCertificateA, kRsaPkcs8Key, PairFit::kDiffers},
      {kEdCertificateA, kEdKeyA, PairFit::kUnknown},      {kEdCertificateA, kEdKeyB, PairFit::kUnknown},
      {kEcCertificateA, "", PairFit::kUnknown},           {"", kEcKeyA, PairFit::kUnknown},
  };
  int number = 0;
  for (const Row& row : rows) EXPECT_EQ(FitOf(row.certificate, row.key), row.fit) << "row " << number++;
}

TEST(KeyPairs, NoCutOrChangedByteIsMoreThanNotUnderstood) {
  const std::string certificate = kRsaCertificate;
  for (size_t length = 0; length < certificate.size(); length += 7) {
    EXPECT_NE(FitOf(certificate.substr(0, length), kRsaKey), PairFit::kFits);
    EXPECT_FALSE(HasWholePem(certificate.substr(0, length), "CERTIFICATE"));
  }
  EXPECT_TRUE(HasWholePem(certificate, "CERTIFICATE"));
  EXPECT_FALSE(HasWholePem(certificate, "PRIVATE KEY"));
  EXPECT_FALSE(HasWholePem(certificate + "-----BEGIN CERTIFICATE-----\nMII", "CERTIFICATE"));
}

class CertificateFiles : public CredentialsTest {
 protected:
  void SetUp() override {
    WriteFile(dir_.File("crt"), kEcCertificateA);
    WriteFile(dir_.File("key"), kEcKeyA);
  }
  Access Both() const {
    return {.client_certificate = {.path = dir_.File("crt")}, .client_key = {.path = dir_.File("key")}};
  }
};

TEST_F(CertificateFiles, ANewPairIsUsedWithinFiveMinutesAndMovesTheRevision) {
  Use(Both());
  const Identity first = Good();
  EXPECT_EQ(first.certificate, kEcCertificateA);
  EXPECT_EQ(first.key, kEcKeyA);

  ReplaceFile(dir_.File("crt"), kEcCertificateB);
  ReplaceFile(dir_.File("key"), kEcKeyB);
  Pass(absl::Minutes(5) - absl::Seconds(1));
  EXPECT_EQ(Good().certificate_revision, first.certificate_revision);
  Pass(absl::Seconds(1));
  const Identity second = Good();

  EXPECT_EQ(second.certificate, kEcCertificateB);
  EXPECT_EQ(second.key, kEcKeyB);
  EXPECT_EQ(second.certificate_revision, first.certificate_revision + 1);
}

TEST_F(CertificateFiles, TheRevisionStaysWhereFilesWereWrittenAnewWithTheSameText) {
  Use(Both());
  const uint64_t revision = Good().certificate_revision;

  ReplaceFile(dir_.File("crt"), kEcCertificateA);
  ReplaceFile(dir_.File("key"), kEcKeyA);
  Pass(absl::Minutes(5));

  EXPECT_EQ(Good().certificate_revision, revision);
}

TEST_F(CertificateFiles, HalfARotationIsNotUsed) {
  Use(Both());
  const uint64_t revision = Good().certificate_revision;

  ReplaceFile(dir_.File("crt"), kEcCertificateB);
  Pass(absl::Minutes(5));
  ::testing::internal::CaptureStderr();
  const Identity half = Good();
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("this key is not that of the certificate"));
  EXPECT_EQ(half.certificate, kEcCertificateA);
  EXPECT_EQ(half.key, kEcKeyA);
  EXPECT_EQ(half.certificate_revision, revision);

  ReplaceFile(dir_.File("key"), kEcKeyB);
  Pass(absl::Seconds(10));
  const Identity whole = Good();
  EXPECT_EQ(whole.certificate, kEcCertificateB);
  EXPECT_EQ(whole.key, kEcKeyB);
}

TEST_F(CertificateFiles, WhereNothingTellsWhetherTheyFitTheyAreUsedOnceTheyHaveSettled) {
  WriteFile(dir_.File("crt"), kEdCertificateA);
  WriteFile(dir_.File("key"), kEdKeyA);
  Use(Both());
  EXPECT_EQ(Good().certificate, kEdCertificateA);

  ReplaceFile(dir_.File("crt"), kEdCertificateB);
  Pass(absl::Minutes(5));
  EXPECT_EQ(Good().certificate, kEdCertificateA);
  Pass(absl::Seconds(5));
  ReplaceFile(dir_.File("key"), kEdKeyB);
  Pass(absl::Seconds(5));
  EXPECT_EQ(Good().certificate, kEdCertificateA);
  credentials_->Refused();  // reading again is not waiting
  EXPECT_EQ(Good().certificate, kEdCertificateA);
  Pass(absl::Seconds(10));
  const Identity identity = Good();

  EXPECT_EQ(identity.certificate, kEdCertificateB);
  EXPECT_EQ(identity.key, kEdKeyB);
}

TEST_F(CertificateFiles, AFileHalfWrittenLeavesTheOldPairInUse) {
  Use(Both());
  EXPECT_EQ(Good().certificate, kEcCertificateA);

  WriteFile(dir_.File("crt"), std::string(kEcCertificateB).substr(0, 100));
  Pass(absl::Minutes(5));
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(Good().certificate, kEcCertificateA);

  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("there is no whole CERTIFICATE in PEM form in it"));
}

TEST_F(CertificateFiles, OneFileMayHoldBoth) {
  WriteFile(dir_.File("both.pem"), absl::StrCat(kEcCertificateA, kEcKeyA));
  Use({.client_certificate = {.path = dir_.File("both.pem")}, .client_key = {.path = dir_.File("both.pem")}});
  EXPECT_THAT(Good().key, HasSubstr(kEcKeyA));

  ReplaceFile(dir_.File("both.pem"), absl::StrCat(kEcCertificateB, kEcKeyB));
  Pass(absl::Minutes(5));

  EXPECT_THAT(Good().key, HasSubstr(kEcKeyB));
}

TEST_F(CertificateFiles, APairThatNeverFittedIsAnErrorThatNamesBothFiles) {
  WriteFile(dir_.File("key"), kEcKeyB);
  Use(Both());

  const absl::Status status = Get().status();

  EXPECT_THAT(Message(status), HasSubstr(dir_.File("key")));
  EXPECT_THAT(Message(status), HasSubstr(dir_.File("crt")));
  EXPECT_NE(status.code(), absl::StatusCode::kUnavailable);
}

TEST_F(CertificateFiles, TheCaIsReadAgainEveryFiveMinutesAndTheLastGoodOneKept) {
  WriteFile(dir_.File("ca"), kEcCertificateA);
  Use({.ca = {.path = dir_.File("ca")}});
  EXPECT_EQ(Good().ca, kEcCertificateA);

  WriteFile(dir_.File("ca"), "nonsense");
  Pass(absl::Minutes(5));
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(Good().ca, kEcCertificateA);
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("credentials_stale"));
  WriteFile(dir_.File("ca"), kEcCertificateB);
  Pass(absl::Seconds(10));
  EXPECT_EQ(Good().ca, kEcCertificateB);
}

// --- Plug-ins ---

constexpr char kV1[] = "client.authentication.k8s.io/v1";

std::string Credential(absl::string_view status) {
  return absl::StrCat(R"({"kind":"ExecCredential","apiVersion":")", kV1, R"(","status":)", status, "}");
}

TEST(ExecCredentials, WhatAPlugInPrintsIsUnderstood) {
  const json with_pair = {{"kind", "ExecCredential"},
                          {"apiVersion", kV1},
                          {"status", {{"clientCertificateData", kEcCertificateA}, {"clientKeyData", kEcKeyA}}}};

  EXPECT_EQ(*ParseExecCredential(kV1, Credential(R"({"token":"t\n","more":1})")), (PluginAnswer{.token = "t"}));
  EXPECT_EQ(*ParseExecCredential(kV1, Credential(R"({"token":"t","expirationTimestamp":"2027-01-15T09:00:00+01:00"})")),
            (PluginAnswer{.token = "t", .expires = kWall}));
  EXPECT_EQ(*ParseExecCredential(kV1, Credential(R"({"token":"t","expirationTimestamp":null})")),
            (PluginAnswer{.token = "t"}));
  EXPECT_EQ(*ParseExecCredential(kV1, with_pair.dump()),
            (PluginAnswer{.certificate = kEcCertificateA, .key = kEcKeyA}));
}

TEST(ExecCredentials, WhatIsNoAnswerIsRefusedWithoutShowingIt) {
  const json bad_pair = {{"kind", "ExecCredential"},
                         {"apiVersion", kV1},
                         {"status", {{"clientCertificateData", kEcCertificateA}, {"clientKeyData", kEcKeyB}}}};
  const std::pair<std::string, const char*> rows[] = {
      {"", "no JSON object"},
      {"s3cret", "no JSON object"},
      {"[1]", "no JSON object"},
      {std::string(100'000, '['), "no JSON object"},
      {R"({"kind":"ExecCredential","apiVersion":"v1"} {})", "no JSON object"},
      {R"({"kind":5})", "no ExecCredential"},
      {R"({"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1beta1","status":{"token":"s3cret"}})",
       "it answered in version \"client.authentication.k8s.io/v1beta1\""},
      {R"({"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1"})", "no `status`"},
      {Credential("[]"), "no `status`"},
      {Credential("{}"), "neither a token nor a certificate"},
      {Credential(R"({"token":7})"), "neither a token nor a certificate"},
      {Credential(R"({"token":"s3cret\r\nX-Evil: 1"})"), "a blank or a line break"},
      {Credential(R"({"token":"t","clientKeyData":"s3cret"})"), "it gave but one"},
      {Credential(R"({"clientCertificateData":"x","clientKeyData":"s3cret"})"), "`clientCertificateData` is no PEM"},
      {bad_pair.dump(), "the key it gave is not that of its certificate"},
      {Credential(R"({"token":"s3cret","expirationTimestamp":"soon"})"), "is no time"},
      {Credential(R"({"token":"s3cret","expirationTimestamp":5})"), "is no time"},
  };
  for (const auto& [text, part] : rows) {
    const absl::Status status = ParseExecCredential(kV1, text).status();

    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(Message(status), HasSubstr(part)) << text.substr(0, 200);
    EXPECT_THAT(Message(status), Not(HasSubstr("s3cret")));
  }
}

// Programs of sh, run for real.
class Plugin : public CredentialsTest {
 protected:
  // A program that notes each of its runs, does this, and prints answers.
  std::string Program(const std::string& script) {
    std::string path = dir_.File("plugin");
    WriteFile(path + ".new", absl::StrCat("#!/bin/sh\necho run >> ", dir_.File("runs"), "\n", script, "\n"));
    EXPECT_EQ(chmod((path + ".new").c_str(), 0700), 0);
    std::filesystem::rename(path + ".new", path);
    return path;
  }
  Access With(const std::string& script) {
    return {.servers = {"https://192.0.2.1:6443"}, .exec = ExecPlugin{.api_version = kV1, .command = Program(script)}};
  }
  int Runs() const {
    if (!std::filesystem::exists(dir_.File("runs"))) return 0;
    return static_cast<int>(std::vector<std::string>(absl::StrSplit(ReadFile(dir_.File("runs")), '\n')).size()) - 1;
  }
  // Gets until the plug-in has answered.
  absl::StatusOr<Identity> Answered() {
    const int before = bell_.rung();
    absl::StatusOr<Identity> identity = Get();
    if (identity.status().code() != absl::StatusCode::kUnavailable) return identity;
    EXPECT_TRUE(bell_.Await(before + 1));
    return Get();
  }
  std::string AnsweredHeader() {
    const absl::StatusOr<Identity> identity = Answered();
    if (!identity.ok()) return identity.status().ToString();
    return identity->headers.front();
  }
};

std::string Print(absl::string_view status) { return absl::StrCat("cat <<'END'\n", Credential(status), "\nEND"); }

// Prints token-1, token-2 and so on.
std::string PrintNumbered(const std::string& runs, absl::string_view more = "") {
  const std::string status = absl::StrCat(R"({"token":"token-$n")", more, "}");
  return absl::StrCat("n=$(wc -l < ", runs, ")\ncat <<END\n", Credential(status), "\nEND");
}

TEST_F(Plugin, ItRunsOnItsOwnAndItsTokenIsUsedUntilItIsRefused) {
  Use(With(PrintNumbered(dir_.File("runs"))));

  EXPECT_EQ(Get().status().code(), absl::StatusCode::kUnavailable);
  ASSERT_TRUE(bell_.Await(1));
  EXPECT_EQ(Header(), "Authorization: Bearer token-1");
  Pass(absl::Hours(100));
  EXPECT_EQ(Header(), "Authorization: Bearer token-1");
  EXPECT_EQ(Runs(), 1);

  credentials_->Refused();
  EXPECT_EQ(AnsweredHeader(), "Authorization: Bearer token-2");
  EXPECT_EQ(Runs(), 2);
}

TEST_F(Plugin, ItsCertificateIsShownAndMovesTheRevision) {
  const json status = {{"clientCertificateData", kEcCertificateA}, {"clientKeyData", kEcKeyA}};
  Use(With(Print(status.dump())));

  const absl::StatusOr<Identity> identity = Answered();

  ASSERT_TRUE(identity.ok()) << identity.status();
  EXPECT_THAT(identity->headers, IsEmpty());
  EXPECT_EQ(identity->certificate, kEcCertificateA);
  EXPECT_EQ(identity->key, kEcKeyA);
  EXPECT_EQ(identity->certificate_revision, 1U);
}

TEST_F(Plugin, ItRunsAgainWhenWhatItGaveHasExpired) {
  Use(With(PrintNumbered(dir_.File("runs"), R"(,"expirationTimestamp":"2027-01-15T08:30:00Z")")));  // half an hour
  EXPECT_EQ(AnsweredHeader(), "Authorization: Bearer token-1");

  Pass(absl::Minutes(30) - absl::Seconds(1));
  EXPECT_EQ(Header(), "Authorization: Bearer token-1");
  Pass(absl::Seconds(1));

  EXPECT_EQ(AnsweredHeader(), "Authorization: Bearer token-2");
}

TEST_F(Plugin, AClockSetBackDoesNotMakeATokenLast) {
  Use(With(PrintNumbered(dir_.File("runs"), R"(,"expirationTimestamp":"2027-01-15T08:30:00Z")")));
  EXPECT_EQ(AnsweredHeader(), "Authorization: Bearer token-1");

  wall_ -= absl::Hours(1000);
  now_ += absl::Minutes(30);

  EXPECT_EQ(AnsweredHeader(), "Authorization: Bearer token-2");
}

TEST_F(Plugin, AClockSetForwardEndsAToken) {
  Use(With(PrintNumbered(dir_.File("runs"), R"(,"expirationTimestamp":"2027-01-15T08:30:00Z")")));
  EXPECT_EQ(AnsweredHeader(), "Authorization: Bearer token-1");

  wall_ += absl::Hours(1);

  EXPECT_EQ(AnsweredHeader(), "Authorization: Bearer token-2");
}

TEST_F(Plugin, TokensThatAreAlwaysRefusedAreAskedForEverMoreRarely) {
  Use(With(PrintNumbered(dir_.File("runs"))));
  EXPECT_EQ(AnsweredHeader(), "Authorization: Bearer token-1");

  std::vector<absl::Duration> pauses;
  absl::Time last = now_;
  for (int ticks = 0; ticks < 20'000 && pauses.size() < 9; ++ticks) {
    credentials_->Refused();
    const int runs = Runs();
    EXPECT_TRUE(Answered().ok());
    if (Runs() > runs) pauses.push_back(now_ - std::exchange(last, now_));
    Pass(absl::Milliseconds(100));
  }

  EXPECT_THAT(pauses,
              ElementsAre(absl::Seconds(1), absl::Seconds(2), absl::Seconds(4), absl::Seconds(8), absl::Seconds(16),
                          absl::Seconds(32), absl::Seconds(60), absl::Seconds(60), absl::Seconds(60)));
}

TEST_F(Plugin, TokensThatHaveExpiredWhenTheyComeAreNoHotLoop) {
  Use(With(PrintNumbered(dir_.File("runs"), R"(,"expirationTimestamp":"2020-01-01T00:00:00Z")")));

  for (int i = 0; i < 100; ++i) EXPECT_EQ(AnsweredHeader(), "Authorization: Bearer token-1");

  EXPECT_EQ(Runs(), 1);
  Pass(absl::Seconds(1));
  EXPECT_EQ(AnsweredHeader(), "Authorization: Bearer token-2");
}

TEST_F(Plugin, WhereItFailsItIsAskedAgainAfterAPause) {
  Use(With("echo first >&2; echo 'log in first' >&2; exit 3"));

  const absl::Status status = Answered().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Message(status),
            absl::StrCat("credential plug-in ", dir_.File("plugin"), ": it ended with status 3: log in first"));
  EXPECT_EQ(Answered().status(), status);
  EXPECT_EQ(Runs(), 1);

  Program(Print(R"({"token":"t"})"));
  Pass(absl::Seconds(1));
  EXPECT_EQ(AnsweredHeader(), "Authorization: Bearer t");
}

TEST_F(Plugin, WhatItGaveStaysInUseWhereItFailsLater) {
  Use(With(Print(R"({"token":"t","expirationTimestamp":"2027-01-15T08:30:00Z"})")));
  EXPECT_EQ(AnsweredHeader(), "Authorization: Bearer t");

  Program("exit 1");
  Pass(absl::Hours(1));
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(AnsweredHeader(), "Authorization: Bearer t");

  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("it ended with status 1"));
}

TEST_F(Plugin, ATokenOrAPasswordGoesBeforeIt) {
  Access access = With("exit 1");
  access.token = "given";
  Use(access);
  EXPECT_EQ(Header(), "Authorization: Bearer given");

  access.token.clear();
  access.username = "u";
  Use(access);
  EXPECT_EQ(Header(), "Authorization: Basic dTo=");
  EXPECT_EQ(Runs(), 0);
}

TEST_F(Plugin, ItIsKilledWhenItIsNotNeededAnyMore) {
  // A child holds the pipes open: of the whole group nothing may be left.
  Use(With(absl::StrCat("sleep 1000 & echo $! > ", dir_.File("child.new"), "; mv ", dir_.File("child.new"), " ",
                        dir_.File("child"), "; wait")));
  EXPECT_EQ(Get().status().code(), absl::StatusCode::kUnavailable);
  const absl::Time deadline = absl::Now() + kPatience;
  while (!std::filesystem::exists(dir_.File("child")) && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(5));
  const pid_t child = static_cast<pid_t>(std::stol(ReadFile(dir_.File("child"))));

  credentials_.reset();

  const auto gone = [&] {
    if (kill(child, 0) != 0) return true;
    // Where nobody reaps orphans, a zombie is what is left.
    return absl::StrContains(ReadFile(absl::StrCat("/proc/", child, "/stat")), ") Z ");
  };
  while (!gone() && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_TRUE(gone());
  EXPECT_EQ(bell_.rung(), 0);
}

// --- How a plug-in runs ---

class PluginRun : public Plugin {
 protected:
  absl::StatusOr<PluginAnswer> Run(ExecPlugin plugin, absl::Duration limit = kPatience,
                                   const std::string& info = "{}") {
    const int before = bell_.rung();
    PluginRunner runner(std::move(plugin), limit, [this] { bell_.Ring(); });
    runner.Start(info);
    EXPECT_TRUE(runner.running());
    EXPECT_TRUE(bell_.Await(before + 1));
    auto answer = runner.Take();
    EXPECT_TRUE(answer.has_value());
    EXPECT_FALSE(runner.running());
    return answer ? *std::move(answer) : absl::UnknownError("no answer");
  }
  ExecPlugin Of(const std::string& script) { return {.api_version = kV1, .command = Program(script)}; }
  // What a script writes to descriptor 3 before it answers.
  std::string Said(const std::string& script, ExecPlugin plugin = {}, const std::string& info = "{}") {
    plugin.api_version = kV1;
    plugin.command =
        Program(absl::StrCat("exec 3> ", dir_.File("said"), "\n", script, "\n", Print(R"({"token":"t"})")));
    const auto answer = Run(plugin, kPatience, info);
    EXPECT_TRUE(answer.ok()) << answer.status();
    return ReadFile(dir_.File("said"));
  }
};

TEST_F(PluginRun, ArgumentsAndEnvironmentReachIt) {
  setenv("PM_TEST_INHERITED", "from us", 1);
  setenv("PM_TEST_REPLACED", "from us", 1);
  const ExecPlugin plugin = {.args = {"a b", "", "c"}, .env = {{"PM_TEST_REPLACED", "x"}, {"PM_TEST_REPLACED", "y z"}}};

  EXPECT_EQ(Said(R"(printf '%s|' "$#" "$1" "$2" "$3" "$PM_TEST_INHERITED" "$PM_TEST_REPLACED" >&3)", plugin),
            "3|a b||c|from us|y z|");
}

TEST_F(PluginRun, ItIsToldWhichClusterOnlyWhereThatIsAskedFor) {
  Access access = {.servers = {"https://192.0.2.1:6443"},
                   .tls_server_name = "kubernetes",
                   .insecure_skip_tls_verify = true,
                   .proxy_url = "http://192.0.2.3:3128",
                   .disable_compression = true,
                   .exec = ExecPlugin{.api_version = kV1}};
  const json bare = {{"kind", "ExecCredential"}, {"apiVersion", kV1}, {"spec", {{"interactive", false}}}};

  EXPECT_EQ(json::parse(Said(R"(printf '%s' "$KUBERNETES_EXEC_INFO" >&3)", {}, FormatExecInfo(access, "PEM"))), bare);

  access.exec->provide_cluster_info = true;
  json full = bare;
  full["spec"]["cluster"] = {{"server", "https://192.0.2.1:6443"},   {"tls-server-name", "kubernetes"},
                             {"insecure-skip-tls-verify", true},     {"certificate-authority-data", "UEVN"},
                             {"proxy-url", "http://192.0.2.3:3128"}, {"disable-compression", true}};
  EXPECT_EQ(json::parse(FormatExecInfo(access, "PEM")), full);
}

TEST_F(PluginRun, ItsThreeDescriptorsAreAllItHas) {
  const TempDir held;
  WriteFile(held.File("f"), "");
  FILE* const ours = fopen(held.File("f").c_str(), "r");  // without close-on-exec
  ASSERT_NE(ours, nullptr);

  const std::string said = Said("readlink /proc/$$/fd/0 >&3; for fd in /proc/$$/fd/*; do readlink $fd >&3; done");

  fclose(ours);
  EXPECT_THAT(said, ::testing::StartsWith("/dev/null\n"));
  EXPECT_THAT(said, Not(HasSubstr(held.path())));
}

TEST_F(PluginRun, ItHasNoSignalBlockedOrIgnoredAndAGroupOfItsOwn) {
  sigset_t blocked;
  sigset_t before;
  sigfillset(&blocked);
  ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &blocked, &before), 0);
  const auto ignored = signal(SIGPIPE, SIG_IGN);

  const std::string said = Said(
      // Without another process: the shell blocks signals while it starts one.
      "while read -r name value; do case $name in SigBlk:|SigIgn:) echo $value >&3;; esac; done < /proc/$$/status\n"
      "[ \"$(cut -d' ' -f5 /proc/$$/stat)\" = $$ ] && echo leader >&3");

  signal(SIGPIPE, ignored);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  const std::vector<std::string> lines = absl::StrSplit(said, '\n');
  ASSERT_EQ(lines.size(), 4U) << said;
  EXPECT_EQ(std::stoull(lines[0], nullptr, 16), 0U);
  EXPECT_EQ(std::stoull(lines[1], nullptr, 16) & 0x7fff'ffff, 0U);  // the C library ignores two of its own, 32 and 33
  EXPECT_EQ(lines[2], "leader");
}

TEST_F(PluginRun, ANameIsLookedUpInPath) {
  const std::string path = getenv("PATH");
  Program(Print(R"({"token":"found"})"));
  setenv("PATH", absl::StrCat(dir_.path(), ":", path).c_str(), 1);

  const auto answer = Run({.api_version = kV1, .command = "plugin"});

  setenv("PATH", path.c_str(), 1);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->token, "found");
}

TEST_F(PluginRun, WhereItIsNotInstalledTheHintIsShown) {
  EXPECT_EQ(
      Message(Run({.api_version = kV1, .command = "pm-no-such", .install_hint = "get it\nat example.com\n"}).status()),
      "credential plug-in pm-no-such: there is no such program in PATH; get it\\nat example.com");
  EXPECT_EQ(Message(Run({.api_version = kV1, .command = dir_.File("none")}).status()),
            absl::StrCat("credential plug-in ", dir_.File("none"), ": there is no such program"));
}

TEST_F(PluginRun, AFileThatIsNoProgramSaysSo) {
  WriteFile(dir_.File("text"), "hello");

  EXPECT_THAT(Message(Run({.api_version = kV1, .command = dir_.File("text")}).status()),
              HasSubstr("it cannot be started: Permission denied"));
}

TEST_F(PluginRun, WhatTakesTooLongIsKilled) {
  const absl::Status status = Run(Of("echo 'open example.com' >&2; sleep 1000"), absl::Milliseconds(500)).status();

  EXPECT_THAT(Message(status), HasSubstr("no answer within 500ms; its last words: open example.com"));
}

TEST_F(PluginRun, WhatPrintsWithoutEndIsKilled) {
  EXPECT_THAT(Message(Run(Of("yes")).status()), HasSubstr("it printed more than 1 MiB"));
}

TEST_F(PluginRun, WhatComplainsWithoutEndDoesNotFillTheMemoryAndItsLastLineIsShown) {
  const absl::Status status = Run(Of("yes | head -c 3000000 >&2; echo the last >&2; exit 1")).status();

  EXPECT_THAT(Message(status), HasSubstr("it ended with status 1: the last"));
}

TEST_F(PluginRun, ALongAnswerIsReadWhole) {
  const auto answer =
      Run(Of(absl::StrCat("sleep 0.1\n", Print(absl::StrCat(R"({"token":")", std::string(300'000, 'x'), "\"}")))));

  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->token.size(), 300'000U);
}

TEST_F(PluginRun, WhatItLeavesInTheBackgroundIsNotWaitedFor) {
  const auto answer =
      Run(Of(absl::StrCat("sleep 20 &\necho $! > ", dir_.File("child"), "\n", Print(R"({"token":"t"})"))),
          absl::Seconds(15));

  kill(static_cast<pid_t>(std::stol(ReadFile(dir_.File("child")))), SIGKILL);
  ASSERT_TRUE(answer.ok()) << answer.status();
}

TEST_F(PluginRun, ASignalThatEndsItIsNamed) {
  EXPECT_THAT(Message(Run(Of("kill -9 $$")).status()), HasSubstr("it was ended by signal 9"));
}

}  // namespace
}  // namespace pointsman::kube
