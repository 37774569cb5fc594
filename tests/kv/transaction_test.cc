// Transactions and snapshots over one owner and over several, in a simulated world: what they see,
// what waits for whom, and what is left when something fails.
#include "kv/store/transaction.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kv/store/store.h"
#include "tests/kv/store_call.h"
#include "tests/sim/sim_node.h"

namespace pakv {
namespace {

constexpr const char* kMissing = "missing";

class TransactionTest : public testing::Test {
 public:
  void Open(uint32_t core_count, uint64_t seed = 1, uint64_t cache_bytes = 1 << 20) {
    node_ = nullptr;
    world_ = std::make_unique<SimWorld>(seed);
    node_ = std::make_unique<SimNode>(*world_, "10.0.0.1");
    cache_bytes_ = cache_bytes;
    Start(core_count);
  }
  void Start(uint32_t core_count) {
    node_->Start({.core_count = core_count, .core = {.buffer_bytes = 1 << 16}});
    StoreOptions options;
    options.directory = "/store";
    options.segment_bytes = 1 << 16;
    options.cache_bytes = cache_bytes_;
    options.entropy = StoreEntropy{{}, 1, ++run_};
    auto opened = node_->Run(Store::Open(node_->cores(), options, report_));
    ASSERT_TRUE(opened) << world_->failure();
    ASSERT_TRUE(opened->ok()) << opened->status();
    store_ = &node_->Own(std::move(**opened));
  }
  void Restart(uint32_t core_count) {
    node_->Crash(CrashKind::kPowerCut);
    Start(core_count);
  }

  // The `number`-th key that this core owns.
  std::string KeyOn(uint32_t owner, int number = 0) {
    for (int i = 0;; ++i) {
      std::string key = "key" + std::to_string(i);
      if (store_->OwnerOf(store_->Hash(kDefaultNamespace, key)) == owner && number-- == 0) {
        return key;
      }
    }
  }
  size_t Add(Transaction& transaction, const std::string& key, OldState needs,
             bool may_write = true) {
    return transaction.AddKey(store_->Hash(kDefaultNamespace, key), kDefaultNamespace, key, needs,
                              may_write);
  }

  // ---- One after the other ----
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  static Task<Outcome> WriteAll(TransactionTest& test, Core& here, Pairs pairs) {
    Transaction transaction(7);
    for (const auto& [key, value] : pairs) test.Add(transaction, key, OldState::kNothing);
    const auto decide = [&](Transaction& decided) {
      size_t index = 0;
      for (const auto& [key, value] : pairs) decided.Write(index++, value, kNoExpiry);
      return true;
    };
    const Outcome outcome = co_await test.store_->Transact(here, transaction, decide);
    test.lsn_ = transaction.lsn();
    co_return outcome;
  }
  Outcome Write(Pairs pairs, uint32_t core = 0) {
    return node_->Run(WriteAll(*this, node_->core(core), std::move(pairs)))
        .value_or(Outcome::kStopping);
  }
  static Task<std::vector<std::string>> ReadAll(TransactionTest& test, Core& here,
                                                std::vector<std::string> keys) {
    Transaction transaction(8);
    for (const std::string& key : keys) test.Add(transaction, key, OldState::kValue, false);
    test.outcome_ = co_await test.store_->Snapshot(here, transaction);
    std::vector<std::string> values;
    for (size_t index = 0; index < transaction.key_count(); ++index) {
      const OldValue old = transaction.Old(index);
      values.push_back(old.exists ? std::string(old.value) : kMissing);
    }
    co_return values;
  }
  std::vector<std::string> Read(const std::vector<std::string>& keys, uint32_t core = 0) {
    return node_->Run(ReadAll(*this, node_->core(core), keys)).value_or(std::vector<std::string>());
  }
  std::string Get(const std::string& key) {
    StoreCall& call = node_->Own(std::make_unique<StoreCall>(*store_, node_->core(0)));
    EXPECT_TRUE(node_->Run(call.Read(GetFunction, OldState::kValue, key))) << world_->failure();
    return call.reply.kind == Reply::Kind::kBytes ? std::string(call.reply.bytes) : kMissing;
  }
  Outcome Set(const std::string& key, const std::string& value) {
    StoreCall& call = node_->Own(std::make_unique<StoreCall>(*store_, node_->core(0)));
    EXPECT_TRUE(node_->Run(call.Update(SetFunction, OldState::kNothing, key, value)));
    return call.outcome;
  }

  OpenReport report_;
  uint64_t run_ = 0;
  uint64_t cache_bytes_ = 0;
  std::unique_ptr<SimWorld> world_;
  std::unique_ptr<SimNode> node_;
  Store* store_ = nullptr;
  Lsn lsn_ = kNoLsn;
  Outcome outcome_ = Outcome::kDone;
};

TEST_F(TransactionTest, WritesOfOneOrSeveralOwnersAreAllThereAlsoAfterACrash) {
  for (const uint32_t cores : {1u, 2u, 4u}) {
    for (uint32_t from = 0; from < cores; ++from) {
      Open(cores, 10 + cores);
      Pairs pairs;
      std::vector<std::string> keys;
      for (uint32_t owner = 0; owner < cores; ++owner) {
        for (int i = 0; i < 3; ++i) pairs.emplace_back(KeyOn(owner, i), std::to_string(i));
      }
      ASSERT_EQ(Write(pairs, from), Outcome::kDone);
      EXPECT_NE(lsn_, kNoLsn);
      for (const auto& [key, value] : pairs) EXPECT_EQ(Get(key), value);
      Restart(3);
      for (const auto& [key, value] : pairs) EXPECT_EQ(Get(key), value);
    }
  }
}

TEST_F(TransactionTest, SnapshotReadsWhatIsThereAndWhatIsNot) {
  for (const uint64_t cache_bytes : {uint64_t{0}, uint64_t{1} << 20}) {
    Open(3, 5, cache_bytes);
    const std::string a = KeyOn(0);
    const std::string b = KeyOn(1);
    const std::string c = KeyOn(2);
    ASSERT_EQ(Write({{a, "one"}, {c, "three"}}), Outcome::kDone);
    EXPECT_EQ(Read({c, b, a, c}), (std::vector<std::string>{"three", kMissing, "one"}));
    EXPECT_EQ(outcome_, Outcome::kDone);
    EXPECT_EQ(Read({a}, 2), (std::vector<std::string>{"one"}));
  }
}

// The same key twice is one, functions see what came before them, and a delete of nothing writes
// nothing.
TEST_F(TransactionTest, FunctionsRunOneAfterTheOther) {
  for (const uint32_t cores : {1u, 2u}) {
    for (const uint64_t cache_bytes : {uint64_t{0}, uint64_t{1} << 20}) {
      Open(cores, 3, cache_bytes);
      const std::string a = KeyOn(0);
      const std::string b = KeyOn(cores - 1, 1);
      const std::string c = KeyOn(0, 2);
      ASSERT_EQ(Set(a, "a"), Outcome::kDone);
      const auto run = [](TransactionTest& test, Core& here, const std::string& first,
                          const std::string& second, const std::string& third) -> Task<Outcome> {
        Transaction transaction(7);
        const size_t one = test.Add(transaction, first, OldState::kValue);
        const size_t two = test.Add(transaction, second, OldState::kExistence);
        EXPECT_EQ(test.Add(transaction, first, OldState::kNothing), one);
        const size_t three = test.Add(transaction, third, OldState::kExistence);
        const auto decide = [&](Transaction& decided) {
          Request append;
          append.function = AppendFunction;
          append.value = "+";
          decided.Run(one, append);
          EXPECT_EQ(append.reply.integer, 2);
          decided.Run(one, append);
          EXPECT_EQ(append.reply.integer, 3);
          Request get;
          get.function = GetFunction;
          decided.Run(one, get);
          EXPECT_EQ(get.reply.bytes, "a++");
          Request remove;
          remove.function = DeleteFunction;
          decided.Run(two, remove);
          EXPECT_EQ(remove.reply.integer, 0);
          decided.Write(three, "new", kNoExpiry);
          decided.Delete(three);
          EXPECT_FALSE(decided.Old(three).exists);
          return true;
        };
        co_return co_await test.store_->Transact(here, transaction, decide);
      };
      EXPECT_EQ(node_->Run(run(*this, node_->core(0), a, b, c)), Outcome::kDone);
      EXPECT_EQ(Get(a), "a++");
      EXPECT_EQ(Get(b), kMissing);
      EXPECT_EQ(Get(c), kMissing);
    }
  }
}

}  // namespace
}  // namespace pakv
