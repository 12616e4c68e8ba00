// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_api/certificates.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"

#include "pointsman/net.h"
#include "pointsman/status.h"

namespace pointsman::support {
namespace {

// Ends what OpenSSL made.
struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(BIO* bio) const { BIO_free_all(bio); }
};
using Key = std::unique_ptr<EVP_PKEY, Free>;
using Cert = std::unique_ptr<X509, Free>;
using Bio = std::unique_ptr<BIO, Free>;

Key NewKey() {
  Key key(EVP_EC_gen("P-256"));
  PM_CHECK(key != nullptr);
  return key;
}

std::string Text(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(size));
}

std::string Pem(X509* certificate) {
  const Bio bio(BIO_new(BIO_s_mem()));
  PM_CHECK(PEM_write_bio_X509(bio.get(), certificate) == 1);
  return Text(bio.get());
}

std::string Pem(EVP_PKEY* key) {
  const Bio bio(BIO_new(BIO_s_mem()));
  PM_CHECK(PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return Text(bio.get());
}

void AddToName(X509* certificate, const char* field, const std::string& value) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(value.data());
  PM_CHECK(X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), field, MBSTRING_UTF8, bytes,
                                      static_cast<int>(value.size()), -1, 0) == 1);
}

void Extend(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  PM_CHECK(extension != nullptr);
  PM_CHECK(X509_add_ext(certificate, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

// Without name, issuer and signature yet. Began two days ago, so that `valid` may be negative: expired.
Cert NewCertificate(EVP_PKEY* key, absl::Duration valid) {
  Cert certificate(X509_new());
  PM_CHECK(certificate != nullptr);
  X509_set_version(certificate.get(), X509_VERSION_3);
  uint64_t serial = 0;
  PM_CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) == 1);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate.get()), serial >> 1);
  const absl::Time now = absl::Now();
  ASN1_TIME_set(X509_getm_notBefore(certificate.get()), absl::ToTimeT(now - absl::Hours(48)));
  ASN1_TIME_set(X509_getm_notAfter(certificate.get()), absl::ToTimeT(now + valid));
  X509_set_pubkey(certificate.get(), key);
  return certificate;
}

}  // namespace

struct CertificateAuthority::Impl {
  Key key = NewKey();
  Cert certificate = NewCertificate(key.get(), absl::Hours(24 * 365));

  Certificate Finish(Cert leaf, const Key& leaf_key, const std::string& usage) const {
    Extend(leaf.get(), certificate.get(), NID_basic_constraints, "critical,CA:FALSE");
    Extend(leaf.get(), certificate.get(), NID_key_usage, "critical,digitalSignature");
    Extend(leaf.get(), certificate.get(), NID_ext_key_usage, usage);
    X509_set_issuer_name(leaf.get(), X509_get_subject_name(certificate.get()));
    PM_CHECK(X509_sign(leaf.get(), key.get(), EVP_sha256()) > 0);
    return {.certificate = Pem(leaf.get()), .key = Pem(leaf_key.get())};
  }
};

CertificateAuthority::CertificateAuthority(const std::string& common_name) : impl_(std::make_unique<Impl>()) {
  X509* certificate = impl_->certificate.get();
  AddToName(certificate, "CN", common_name);
  X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
  Extend(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE");
  Extend(certificate, certificate, NID_key_usage, "critical,keyCertSign,digitalSignature");
  Extend(certificate, certificate, NID_subject_key_identifier, "hash");
  PM_CHECK(X509_sign(certificate, impl_->key.get(), EVP_sha256()) > 0);
}

CertificateAuthority::~CertificateAuthority() = default;
CertificateAuthority::CertificateAuthority(CertificateAuthority&&) noexcept = default;
CertificateAuthority& CertificateAuthority::operator=(CertificateAuthority&&) noexcept = default;

std::string CertificateAuthority::pem() const { return Pem(impl_->certificate.get()); }

Certificate CertificateAuthority::ForServer(const std::vector<std::string>& names, absl::Duration valid) const {
  const Key key = NewKey();
  Cert certificate = NewCertificate(key.get(), valid);
  AddToName(certificate.get(), "CN", "kube-apiserver");
  const std::string alternatives = absl::StrJoin(names, ",", [](std::string* out, const std::string& name) {
    absl::StrAppend(out, IpAddr::Parse(name).has_value() ? "IP:" : "DNS:", name);
  });
  Extend(certificate.get(), impl_->certificate.get(), NID_subject_alt_name, alternatives);
  return impl_->Finish(std::move(certificate), key, "serverAuth");
}

Certificate CertificateAuthority::ForClient(const std::string& user, const std::vector<std::string>& groups) const {
  const Key key = NewKey();
  Cert certificate = NewCertificate(key.get(), absl::Hours(24));
  for (const std::string& group : groups) AddToName(certificate.get(), "O", group);
  AddToName(certificate.get(), "CN", user);
  return impl_->Finish(std::move(certificate), key, "clientAuth");
}

}  // namespace pointsman::support
