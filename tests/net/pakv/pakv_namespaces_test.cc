// Namespaces in the pakv protocol: names and ids, and what each request does in them.
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/net/pakv/pakv_connection.h"
#include "tests/net/pakv/pakv_frames.h"
#include "tests/net/server/sim_server.h"

namespace pakv {
namespace {

using enum PakvType;

PakvTestField In(uint64_t namespace_id) { return NumberIn(PakvField::kNamespace, namespace_id); }
PakvTestField Name(std::string name) { return BytesIn(PakvField::kName, std::move(name)); }

TEST(PakvNamespacesTest, AnIdThatNoNamespaceHasIsRefused) {
  SimServer server;
  PakvConnection client(server);
  const PakvTestField key = Key("k");
  const PakvTestField value = Value("v");
  for (const uint64_t unknown : {uint64_t{16}, uint64_t{65535}, uint64_t{65536}, UINT64_MAX}) {
    const PakvTestField in = In(unknown);
    EXPECT_EQ(client.AskText(PakvRequest(kSet, 2, {key, value, in})), "set 2 unknown-namespace");
    EXPECT_EQ(client.AskText(PakvRequest(kGet, 3, {key, in})), "get 3 unknown-namespace");
    EXPECT_EQ(client.AskText(PakvRequest(kDelete, 4, {key, in})), "delete 4 unknown-namespace");
    EXPECT_EQ(client.AskText(PakvRequest(kIncr, 5, {key, in})), "incr 5 unknown-namespace");
    EXPECT_EQ(client.AskText(PakvRequest(kScan, 6, {in})), "scan 6 unknown-namespace");
    EXPECT_EQ(client.AskText(PakvRequest(kFlush, 7, {in})), "flush 7 unknown-namespace");
  }
  EXPECT_EQ(client.AskText(PakvRequest(kFlush, 8, {In(3), Option(PakvOption::kAllNamespaces)})),
            "flush 8 bad-value");
}

TEST(PakvNamespacesTest, ANameGetsAnIdWhenItIsCreated) {
  SimServer server({.core_count = 2});
  PakvConnection client(server);
  const auto ask = [&](uint64_t id, const std::string& name, bool create) {
    std::vector<PakvTestField> fields{Name(name)};
    if (create) fields.push_back(Option(PakvOption::kCreate));
    return client.AskText(PakvRequest(PakvType::kNamespace, id, fields));
  };
  EXPECT_EQ(ask(2, "15", false), "namespace 2 ok namespace=15");
  EXPECT_EQ(ask(3, "orders", false), "namespace 3 not-found");
  EXPECT_EQ(ask(4, "orders", true), "namespace 4 ok namespace=16");
  EXPECT_EQ(ask(5, "orders", false), "namespace 5 ok namespace=16");
  EXPECT_EQ(ask(6, "16", true), "namespace 6 ok namespace=17");
  EXPECT_EQ(ask(7, "", true), "namespace 7 bad-value");
  EXPECT_EQ(ask(8, std::string(256, 'n'), true), "namespace 8 bad-value");
  EXPECT_EQ(ask(9, "\xff", true), "namespace 9 bad-value");
  EXPECT_EQ(client.AskText(PakvRequest(PakvType::kNamespace, 10)), "namespace 10 field-missing");
}

TEST(PakvNamespacesTest, TheyAreListedInPagesWithTheNumberOfTheirKeys) {
  SimServer server({.core_count = 2});
  PakvConnection client(server);
  for (const char* name : {"orders", "empty", "more"}) {
    client.Ask(PakvRequest(PakvType::kNamespace, 1, {Name(name), Option(PakvOption::kCreate)}));
  }
  for (const uint64_t in : {3, 16, 16, 18}) {
    client.Ask(PakvRequest(kSet, 2, {Key("k" + std::to_string(in)), Value("v"), In(in)}));
    client.Ask(PakvRequest(kSet, 3, {Key("l"), Value("v"), In(in)}));
  }
  const std::string all =
      "{ namespace=3 number=2 name=\"3\" } { namespace=16 number=2 name=\"orders\" } "
      "{ namespace=17 number=0 name=\"empty\" } { namespace=18 number=2 name=\"more\" }";
  EXPECT_EQ(client.AskText(PakvRequest(kNamespaces, 4)), "namespaces 4 ok " + all);
  // In pages of whatever length it is the same.
  for (const uint64_t limit : {1, 2, 3, 5, 19, 20}) {
    std::string found;
    std::string cursor;
    do {
      std::vector<PakvTestField> fields{NumberIn(PakvField::kLimit, limit)};
      if (!cursor.empty()) fields.push_back(BytesIn(PakvField::kCursor, cursor));
      const PakvTestReply reply = client.Ask(PakvRequest(kNamespaces, 5, fields));
      ASSERT_EQ(reply.status, PakvStatus::kOk) << reply.text;
      const size_t entries = reply.text.find("{ namespace");
      if (entries != std::string::npos) {
        found += (found.empty() ? "" : " ") + reply.text.substr(entries);
      }
      cursor = reply.cursor;
    } while (!cursor.empty());
    EXPECT_EQ(found, all) << "in pages of " << limit;
  }
  EXPECT_EQ(client.Ask(PakvRequest(kFlush, 6, {In(16)})).status, PakvStatus::kOk);
  EXPECT_NE(client.AskText(PakvRequest(kNamespaces, 7)).find("namespace=16 number=0"),
            std::string::npos);
  for (const std::string& wrong : {std::string("x"), std::string(8, '\xff')}) {
    EXPECT_EQ(client.AskText(PakvRequest(kNamespaces, 8, {BytesIn(PakvField::kCursor, wrong)})),
              "namespaces 8 bad-value");
  }
}

TEST(PakvNamespacesTest, NamespacesHaveKeysOfTheirOwn) {
  SimServer server({.core_count = 2});
  PakvConnection client(server);
  client.Ask(PakvRequest(PakvType::kNamespace, 1, {Name("orders"), Option(PakvOption::kCreate)}));
  for (const uint64_t in : {0, 3, 16}) {
    client.Ask(PakvRequest(kSet, 2, {Key("k"), Value(std::to_string(in)), In(in)}));
  }
  client.Ask(PakvRequest(kSet, 3, {Key("only here"), Value("1"), In(16)}));
  for (const uint64_t in : {0, 3, 16}) {
    EXPECT_NE(client.AskText(PakvRequest(kGet, 4, {Key("k"), In(in)}))
                  .find("value=\"" + std::to_string(in) + "\""),
              std::string::npos);
  }
  EXPECT_EQ(KeysIn(client.AskText(PakvRequest(kScan, 5, {In(3)}))).size(), 1u);
  const std::string with_values =
      client.AskText(PakvRequest(kScan, 6, {In(16), Option(PakvOption::kWithValues)}));
  EXPECT_EQ(KeysIn(with_values).size(), 2u);
  EXPECT_NE(with_values.find("value=\"16\""), std::string::npos) << with_values;
  EXPECT_EQ(client.Ask(PakvRequest(kFlush, 7, {In(16)})).status, PakvStatus::kOk);
  EXPECT_EQ(client.AskText(PakvRequest(kScan, 8, {In(16)})), "scan 8 ok");
  EXPECT_EQ(client.AskText(PakvRequest(kGet, 9, {Key("k"), In(16)})), "get 9 not-found");
  EXPECT_EQ(client.Ask(PakvRequest(kGet, 10, {Key("k"), In(3)})).status, PakvStatus::kOk);
  EXPECT_EQ(client.Ask(PakvRequest(kGet, 11, {Key("k")})).status, PakvStatus::kOk);
  EXPECT_EQ(client.Ask(PakvRequest(kFlush, 12, {Option(PakvOption::kAllNamespaces)})).status,
            PakvStatus::kOk);
  for (const uint64_t in : {0, 3, 16}) {
    EXPECT_EQ(client.AskText(PakvRequest(kGet, 13, {Key("k"), In(in)})), "get 13 not-found");
  }
}

}  // namespace
}  // namespace pakv
