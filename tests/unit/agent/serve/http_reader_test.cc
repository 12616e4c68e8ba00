// SPDX-License-Identifier: Apache-2.0
#include "agent/serve/http_reader.h"

#include <algorithm>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "agent/serve/gzip.h"

namespace pointsman::serve {
namespace {

using State = HttpReader::State;
using testing::ElementsAre;
using testing::Pair;

const HttpReader::Limits kLimits = {.head = 256, .body = 16};

TEST(HttpReaderTest, ARequestIsTheSameHoweverItIsCutIntoPieces) {
  const std::string bytes =
      "PUT /a/b?c=d&e HTTP/1.1\r\nHost: x\r\nX-Two: 1\r\nx-two: 2\r\nContent-Length: 4\r\n\r\nbodyGET";
  for (size_t step = 1; step <= bytes.size(); ++step) {
    SCOPED_TRACE(step);
    HttpReader reader(kLimits);
    size_t at = 0;
    while (reader.state() == State::kMore && at < bytes.size()) {
      at += reader.Feed(absl::string_view(bytes).substr(at, step));
    }
    ASSERT_EQ(reader.state(), State::kComplete);
    EXPECT_EQ(at, bytes.size() - 3);
    EXPECT_EQ(reader.request().method, "PUT");
    EXPECT_EQ(reader.request().path, "/a/b");
    EXPECT_EQ(reader.request().query, "c=d&e");
    EXPECT_EQ(reader.request().body, "body");
    EXPECT_THAT(reader.request().headers,
                ElementsAre(Pair("content-length", "4"), Pair("host", "x"), Pair("x-two", "1, 2")));
    EXPECT_TRUE(reader.keep_alive());
  }
}

struct Row {
  const char* name;
  std::string bytes;
  State state;
  int refusal = 0;
  bool keep_alive = false;
  std::string path;
};
void PrintTo(const Row& row, std::ostream* out) { *out << row.name; }
class HttpReaderRows : public testing::TestWithParam<Row> {};

TEST_P(HttpReaderRows, BytesAreTakenAsTheyMustBe) {
  HttpReader reader(kLimits);
  reader.Feed(GetParam().bytes);
  ASSERT_EQ(reader.state(), GetParam().state);
  if (reader.state() == State::kRefused) {
    EXPECT_EQ(reader.refusal(), GetParam().refusal);
  }
  if (reader.state() == State::kComplete) {
    EXPECT_EQ(reader.keep_alive(), GetParam().keep_alive);
    EXPECT_EQ(reader.request().path, GetParam().path);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Rows, HttpReaderRows,
    testing::Values(
        Row{"half", "GET / HTTP/1.1\r\nHost: x\r\n", State::kMore},
        Row{"plain", "GET /x HTTP/1.1\r\n\r\n", State::kComplete, 0, true, "/x"},
        Row{"http10", "GET /x HTTP/1.0\r\n\r\n", State::kComplete, 0, false, "/x"},
        Row{"http10_kept", "GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", State::kComplete, 0, true, "/x"},
        Row{"last", "GET /x HTTP/1.1\r\nConnection: close\r\n\r\n", State::kComplete, 0, false, "/x"},
        Row{"whole_url", "GET http://h:1/x?y HTTP/1.1\r\n\r\n", State::kComplete, 0, true, "/x"},
        Row{"other_protocol", "GET /x HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", State::kComplete, 0,
            false, "/x"},
        Row{"chunks", "PUT /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nT: v\r\n\r\n",
            State::kComplete, 0, true, "/x"},
        Row{"nonsense", "HELO example.org\r\n\r\n", State::kRefused, 400},
        Row{"tls", std::string("\x16\x03\x01\x02\x00\x01", 6), State::kRefused, 400},
        Row{"two_lengths", "PUT /x HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", State::kRefused, 400},
        Row{"length_and_chunks", "PUT /x HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            State::kRefused, 400},
        Row{"long_head", absl::StrCat("GET / HTTP/1.1\r\nX: ", std::string(300, 'x')), State::kRefused, 431},
        Row{"long_target", absl::StrCat("GET /", std::string(300, 'x')), State::kRefused, 431},
        Row{"empty_lines", std::string(300, '\n'), State::kRefused, 431},
        Row{"long_body", absl::StrCat("PUT /x HTTP/1.1\r\nContent-Length: 17\r\n\r\n", std::string(17, 'x')),
            State::kRefused, 413}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(HttpReaderTest, AfterNextTheFollowingRequestIsRead) {
  HttpReader reader(kLimits);
  const std::string bytes = "GET /1 HTTP/1.1\r\nA: b\r\n\r\nGET /2 HTTP/1.1\r\n\r\n";
  const size_t used = reader.Feed(bytes);
  EXPECT_EQ(reader.request().path, "/1");

  reader.Next();
  EXPECT_EQ(reader.Feed(absl::string_view(bytes).substr(used)), bytes.size() - used);

  EXPECT_EQ(reader.request().path, "/2");
  EXPECT_TRUE(reader.request().headers.empty());
}

TEST(FormatResponseTest, AnAnswerCarriesItsLengthAndDateAndHeadGetsNoBody) {
  const Response response = {.status = 503, .headers = {{"A", "b"}}, .body = "text"};
  const absl::Time date = absl::FromUnixSeconds(784111777);
  const std::string head =
      "HTTP/1.1 503 Service Unavailable\r\nA: b\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 4\r\n";
  EXPECT_EQ(FormatResponse(response, "GET", "", date), head + "\r\ntext");
  EXPECT_EQ(FormatResponse(response, "HEAD", "close", date), head + "Connection: close\r\n\r\n");
}

TEST(GzipTest, ItIsUsedWhenAskedForOnly) {
  for (const char* yes : {"gzip", "deflate, gzip", "GZIP;q=0.5", "*", "br;q=1, gzip ; q=0.1"}) {
    EXPECT_TRUE(AcceptsGzip(yes)) << yes;
  }
  for (const char* no : {"", "identity", "gzip;q=0", "*, gzip;q=0", "gzipped", "gzip;q=x"}) {
    EXPECT_FALSE(AcceptsGzip(no)) << no;
  }
}

}  // namespace
}  // namespace pointsman::serve
