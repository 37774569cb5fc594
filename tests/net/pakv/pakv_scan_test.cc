// Scans of the pakv protocol: each key once, in pages that stay bounded, in order with the
// session's writes.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/net/pakv/pakv_connection.h"
#include "tests/net/pakv/pakv_frames.h"
#include "tests/net/server/sim_server.h"

namespace pakv {
namespace {

using enum PakvType;

struct ScanOptions {
  std::string prefix;
  uint64_t limit = 0;
  bool with_values = false;
};

// All pages. None is longer than the limit, but by a key where two cores' parts of the hashes meet.
std::vector<PakvTestReply> ScanAll(PakvConnection& client, const ScanOptions& options,
                                   uint32_t cores = 1) {
  size_t excess = 0;
  std::vector<PakvTestReply> pages;
  std::string cursor;
  do {
    std::vector<PakvTestField> fields;
    if (!options.prefix.empty()) fields.push_back(BytesIn(PakvField::kPrefix, options.prefix));
    if (options.limit != 0) fields.push_back(NumberIn(PakvField::kLimit, options.limit));
    if (options.with_values) fields.push_back(Option(PakvOption::kWithValues));
    if (!cursor.empty()) fields.push_back(BytesIn(PakvField::kCursor, cursor));
    pages.push_back(client.Ask(PakvRequest(kScan, 100, std::move(fields))));
    EXPECT_EQ(pages.back().status, PakvStatus::kOk) << pages.back().text;
    if (options.limit != 0) {
      const size_t count = KeysIn(pages.back().text).size();
      excess += count > options.limit ? count - options.limit : 0;
    }
    cursor = pages.back().cursor;
  } while (!cursor.empty() && pages.size() < 100'000);
  EXPECT_LE(excess, cores - 1);
  return pages;
}

void SetMany(PakvConnection& client, const std::vector<std::string>& keys, size_t value_bytes) {
  size_t begin = 0;
  while (begin < keys.size()) {
    const size_t end = std::min(begin + 200, keys.size());
    for (size_t i = begin; i < end; ++i) {
      client.raw.Send(
          PakvRequest(kSet, i + 1, {Key(keys[i]), Value(std::string(value_bytes, 'v'))}));
    }
    for (const PakvTestReply& reply : client.Replies(end - begin)) {
      EXPECT_EQ(reply.status, PakvStatus::kOk);
    }
    begin = end;
  }
}

TEST(PakvScanTest, AScanFindsEachKeyOnceInPages) {
  for (const uint32_t cores : {1u, 3u}) {
    SimServer server({.core_count = cores});
    PakvConnection client(server);
    EXPECT_EQ(client.AskText(PakvRequest(kScan, 2)), "scan 2 ok");
    std::vector<std::string> keys;
    for (int i = 0; i < 1500; ++i) keys.push_back("key" + std::to_string(i));
    SetMany(client, keys, 3);
    std::sort(keys.begin(), keys.end());
    for (const uint64_t limit : {0, 1, 7, 256, 1000, 5000}) {
      const std::vector<PakvTestReply> pages = ScanAll(client, {.limit = limit}, cores);
      std::vector<std::string> found;
      for (const PakvTestReply& page : pages) {
        for (std::string& key : KeysIn(page.text)) found.push_back(std::move(key));
      }
      std::sort(found.begin(), found.end());
      EXPECT_EQ(found, keys) << "limit " << limit;
      if (limit == 0 || limit == 5000) {
        EXPECT_EQ(pages.size(), 1u);
      } else {
        EXPECT_GE(pages.size() + cores, keys.size() / limit);
        EXPECT_LE(pages.size(), keys.size() / limit + 2);
      }
    }
    for (const uint64_t limit : {0, 1, 10, 200}) {
      std::vector<std::string> found;
      for (const PakvTestReply& page :
           ScanAll(client, {.prefix = "key12", .limit = limit}, cores)) {
        for (std::string& key : KeysIn(page.text)) found.push_back(std::move(key));
      }
      EXPECT_EQ(found.size(), 111u) << "limit " << limit;  // key12, key120 to 129, key1200 to 1299
      EXPECT_EQ(std::set<std::string>(found.begin(), found.end()).size(), found.size());
      for (const std::string& key : found) EXPECT_TRUE(key.starts_with("key12"));
    }
    EXPECT_EQ(client.AskText(PakvRequest(kScan, 3, {BytesIn(PakvField::kPrefix, "none")})),
              "scan 3 ok");
  }
}

TEST(PakvScanTest, AScanBringsValuesWithTheirVersions) {
  // From memory, and from the device.
  for (const uint64_t cache_bytes : {uint64_t{1} << 20, uint64_t{0}}) {
    SimServer server({.core_count = 2, .cache_bytes = cache_bytes});
    PakvConnection client(server);
    std::map<std::string, uint64_t> lsns;
    for (const std::string key : {"a", "b", "c"}) {
      lsns[key] = client.Ask(PakvRequest(kSet, 2, {Key(key), Value("value of " + key)})).lsn;
    }
    std::map<std::string, uint64_t> found;
    for (const PakvTestReply& page : ScanAll(client, {.limit = 1, .with_values = true}, 2)) {
      for (const std::string& key : KeysIn(page.text)) {
        EXPECT_NE(page.text.find("value=\"value of " + key + "\""), std::string::npos);
        found[key] = client.Ask(PakvRequest(kGet, 3, {Key(key)})).lsn;
      }
    }
    EXPECT_EQ(found, lsns);
    const std::string all =
        client.AskText(PakvRequest(kScan, 4, {Option(PakvOption::kWithValues)}));
    EXPECT_EQ(KeysIn(all).size(), 3u);
  }
}

TEST(PakvScanTest, APageOfLargeValuesStaysBounded) {
  SimServer server;
  PakvConnection client(server);
  std::vector<std::string> keys;
  for (int i = 0; i < 40; ++i) keys.push_back("key" + std::to_string(i));
  SetMany(client, keys, 200'000);
  const std::vector<PakvTestReply> pages = ScanAll(client, {.with_values = true});
  size_t found = 0;
  for (const PakvTestReply& page : pages) {
    found += KeysIn(page.text).size();
    EXPECT_LE(page.text.size(), (1u << 20) + 17 * 200'100u);
  }
  EXPECT_EQ(found, keys.size());
  EXPECT_GT(pages.size(), 1u);
}

TEST(PakvScanTest, AScanWaitsForTheWritesBeforeItAndHoldsThoseBehindIt) {
  SimServer server({.core_count = 2});
  PakvConnection client(server);
  client.raw.Send(PakvRequest(kSet, 2, {Key("a"), Value("1")}) +
                  PakvRequest(kSet, 3, {Key("b"), Value("1")}) + PakvRequest(kScan, 4) +
                  PakvRequest(kSet, 5, {Key("c"), Value("1")}));
  const std::vector<PakvTestReply> replies = client.Replies(4);
  ASSERT_EQ(replies.size(), 4u);
  EXPECT_EQ(replies[2].id, 4u);
  std::vector<std::string> keys = KeysIn(replies[2].text);
  std::sort(keys.begin(), keys.end());
  EXPECT_EQ(keys, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(replies[3].text, "set 5 ok lsn=#3");
}

}  // namespace
}  // namespace pakv
