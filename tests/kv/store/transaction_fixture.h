// A store of transactions in a simulated world, and the ways that tests start them and look.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kv/store/store.h"
#include "kv/store/transaction.h"
#include "runtime/base/prng.h"
#include "tests/kv/store/store_call.h"
#include "tests/sim/world/sim_node.h"

namespace pakv {

inline constexpr const char* kMissing = "missing";

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
    options.publish_pause_ns = publish_pause_ns_;
    options.part_keys_max = part_keys_max_;
    options.compaction = compaction_;
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
  static Task<Outcome> WriteUntil(TransactionTest& test, Core& here, std::vector<std::string> keys,
                                  uint64_t expiry_ms) {
    Transaction transaction(7);
    for (const std::string& key : keys) test.Add(transaction, key, OldState::kNothing);
    const auto decide = [&](Transaction& decided) {
      for (size_t i = 0; i < keys.size(); ++i) decided.Write(i, "value", expiry_ms);
      return true;
    };
    co_return co_await test.store_->Transact(here, transaction, decide);
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
  static Task<void> ReadInto(TransactionTest& test, Core& here, std::vector<std::string> keys,
                             std::vector<std::string>& found) {
    std::vector<std::string> read = co_await ReadAll(test, here, std::move(keys));
    found = std::move(read);
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

  // ---- Side by side ----
  // A request of a session, or a transaction, that is started and not waited for.
  struct Sent : Request {
    Sent() {
      done = [](Request& request) {
        request.KeepReply();
        static_cast<Sent&>(request).finished = true;
      };
    }
    std::string text() const {
      return reply.kind == Reply::Kind::kBytes ? std::string(reply.bytes) : kMissing;
    }
    bool finished = false;
  };
  static Task<void> StartSent(TransactionTest& test, Core& here, Sent& sent, uint64_t after_ns) {
    if (after_ns > 0) co_await here.timers().SleepUntil(here.now_ns() + after_ns);
    if (test.store_->Start(here, sent)) {
      sent.KeepReply();
      sent.finished = true;
    }
  }
  Sent& Send(uint32_t core, const std::string& key, KeyFunction function, OldState needs,
             bool reads, const std::string& value = {}, uint64_t after_ns = 0) {
    Sent& sent = node_->Own(std::make_unique<Sent>());
    names_.push_back(std::make_unique<std::string>(key));
    sent.key = *names_.back();
    names_.push_back(std::make_unique<std::string>(value));
    sent.value = *names_.back();
    sent.hash = store_->Hash(kDefaultNamespace, key);
    sent.function = function;
    sent.needs = needs;
    sent.is_read = reads;
    sent.session = 1;
    sent.session_has_writes = true;
    node_->Spawn(core, StartSent(*this, node_->core(core), sent, after_ns));
    return sent;
  }
  Sent& SendSet(uint32_t core, const std::string& key, const std::string& value,
                uint64_t after_ns = 0) {
    return Send(core, key, SetFunction, OldState::kNothing, false, value, after_ns);
  }

  struct Course {
    Transaction transaction{7};
    Outcome outcome = Outcome::kDone;
    std::vector<std::string> seen;
    bool finished = false;
  };
  // Appends to all keys, and says what was in them.
  static Task<void> AppendTo(TransactionTest& test, Core& here, Course& course,
                             std::vector<std::string> keys, std::string tail, OldState needs,
                             uint64_t after_ns) {
    if (after_ns > 0) co_await here.timers().SleepUntil(here.now_ns() + after_ns);
    for (const std::string& key : keys) test.Add(course.transaction, key, needs);
    const auto decide = [&](Transaction& decided) {
      for (size_t index = 0; index < decided.key_count(); ++index) {
        const OldValue old = decided.Old(index);
        course.seen.push_back(old.exists ? std::string(old.value) : kMissing);
        decided.Write(index, std::string(old.value) + tail, kNoExpiry);
      }
      return true;
    };
    course.outcome = co_await test.store_->Transact(here, course.transaction, decide);
    course.finished = true;
  }
  Course& Begin(uint32_t core, const std::vector<std::string>& keys, const std::string& tail,
                OldState needs = OldState::kValue, uint64_t after_ns = 0) {
    Course& course = node_->Own(std::make_unique<Course>());
    node_->Spawn(core, AppendTo(*this, node_->core(core), course, keys, tail, needs, after_ns));
    return course;
  }
  template <typename Call>
  void ExpectEnds(const Call& ended) {
    ASSERT_TRUE(world_->RunUntil(ended)) << world_->failure();
  }
  static Task<Outcome> FlushFrom(TransactionTest& test, Core& here, uint64_t after_ns) {
    if (after_ns > 0) co_await here.timers().SleepUntil(here.now_ns() + after_ns);
    co_return co_await test.store_->Flush(here, kDefaultNamespace);
  }

  OpenReport report_;
  std::vector<std::unique_ptr<std::string>> names_;
  uint64_t run_ = 0;
  uint64_t cache_bytes_ = 0;
  CompactionOptions compaction_;
  uint64_t publish_pause_ns_ = 0;  // in which a transaction holds its keys and is durable
  size_t part_keys_max_ = kPartKeysMax;
  std::unique_ptr<SimWorld> world_;
  std::unique_ptr<SimNode> node_;
  Store* store_ = nullptr;
  Lsn lsn_ = kNoLsn;
  Outcome outcome_ = Outcome::kDone;
};

}  // namespace pakv
