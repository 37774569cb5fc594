// What a session may rely on when it sends without waiting, in a simulated world: each of these was
// found by the simulator (tests/sim/scenarios/store_scenario.cc).
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "kv/store/store.h"
#include "tests/kv/store/store_call.h"
#include "tests/sim/world/sim_node.h"

namespace pakv {
namespace {

Change SetIfAbsentFunction(const OldValue& old, Request& request) {
  request.reply.kind = Reply::Kind::kInteger;
  request.reply.integer = old.exists ? 0 : 1;
  if (old.exists) return {};
  return {.action = Change::Action::kWrite, .value = request.value};
}

// A request that is started and not waited for.
struct Sent : Request {
  Sent() {
    done = [](Request& request) {
      request.KeepReply();
      static_cast<Sent&>(request).finished = true;
    };
  }
  void Start(Store& store, Core& here, bool reads, KeyFunction what, OldState needed,
             std::string_view with_value = {}) {
    is_read = reads;
    function = what;
    needs = needed;
    key = name;
    value = with_value;
    hash = store.Hash(kDefaultNamespace, key);
    session_has_writes = true;
    if (store.Start(here, *this)) {
      KeepReply();
      finished = true;
    }
  }
  std::string text() const {
    return reply.kind == Reply::Kind::kBytes ? std::string(reply.bytes) : "missing";
  }
  std::string_view name = "key";
  bool finished = false;
};

class StoreOrderTest : public testing::Test {
 protected:
  // Opens a store on `core_count` cores of a new world.
  void Open(uint64_t seed, uint32_t core_count) {
    store_ = nullptr;
    node_.reset();
    world_ = std::make_unique<SimWorld>(seed);
    node_ = std::make_unique<SimNode>(*world_, "10.0.0.1");
    node_->Start({.core_count = core_count, .core = {.buffer_bytes = 1 << 16}});
    auto opened = node_->Run(Store::Open(node_->cores(), Options(seed), report_));
    ASSERT_TRUE(opened) << world_->failure();
    ASSERT_TRUE(opened->ok()) << opened->status();
    store_ = &node_->Own(std::move(**opened));
  }
  static StoreOptions Options(uint64_t seed) {
    StoreOptions options;
    options.directory = "/store";
    options.segment_bytes = 1 << 16;
    options.entropy = StoreEntropy{{}, seed, seed + 1};
    return options;
  }
  void ExpectAllFinish(std::initializer_list<const Sent*> calls) {
    ASSERT_TRUE(world_->RunUntil([&] {
      for (const Sent* call : calls) {
        if (!call->finished) return false;
      }
      return true;
    })) << world_->failure();
  }

  OpenReport report_;
  std::unique_ptr<SimWorld> world_;
  std::unique_ptr<SimNode> node_;
  Store* store_ = nullptr;
};

// SETNX was refused because of another session's write that is not durable yet. A read that was
// sent behind it may not say that there is no such key.
TEST_F(StoreOrderTest, ReadBehindARefusalSeesWhatTheRefusalSaw) {
  Open(1, 1);
  Sent write;
  Sent refused;
  Sent read;
  write.session = 1;
  refused.session = read.session = 2;
  const auto send = [](Store& store, Core& core, Sent& set, Sent& setnx, Sent& get) -> Task<void> {
    set.Start(store, core, false, SetFunction, OldState::kNothing, "theirs");
    setnx.Start(store, core, false, SetIfAbsentFunction, OldState::kExistence, "ours");
    get.Start(store, core, true, GetFunction, OldState::kValue);
    co_return;
  };
  node_->Spawn(0, send(*store_, node_->core(0), write, refused, read));
  ExpectAllFinish({&write, &refused, &read});
  EXPECT_EQ(refused.reply.integer, 0);
  EXPECT_EQ(read.text(), "theirs");
}

// No cache: what a read is answered from is the write that it waited for.
TEST_F(StoreOrderTest, ReadBetweenOwnWritesSeesTheOneBeforeIt) {
  Open(1, 1);
  Sent set;
  Sent get;
  Sent remove;
  const auto send = [](Store& store, Core& core, Sent& first, Sent& second,
                       Sent& third) -> Task<void> {
    first.Start(store, core, false, SetFunction, OldState::kNothing, "value");
    second.Start(store, core, true, GetFunction, OldState::kValue);
    third.Start(store, core, false, DeleteFunction, OldState::kExistence);
    co_return;
  };
  node_->Spawn(0, send(*store_, node_->core(0), set, get, remove));
  ExpectAllFinish({&set, &get, &remove});
  EXPECT_EQ(get.text(), "value");
  EXPECT_EQ(remove.reply.integer, 1);
}

// A FLUSH holds writes while it is under way; a read that comes behind a held write of its session
// may not pass it, and may not be answered from what was there before it either.
TEST_F(StoreOrderTest, ReadDoesNotPassItsSessionsWriteThatAFlushHolds) {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    Open(seed, 3);
    Sent set;
    Sent append;
    Sent get;
    const auto flush = [](Store& store, Core& core) -> Task<void> {
      const Outcome outcome = co_await store.Flush(core, kDefaultNamespace);
      EXPECT_EQ(outcome, Outcome::kDone);
    };
    const auto send = [](Store& store, Core& core, Sent& first, Sent& second,
                         Sent& third) -> Task<void> {
      co_await core.timers().SleepUntil(core.now_ns() + core.id() * 20 * kNsPerUs);
      first.Start(store, core, false, SetFunction, OldState::kNothing, "before");
      co_await core.timers().SleepUntil(core.now_ns() + 30 * kNsPerUs);
      second.Start(store, core, false, AppendFunction, OldState::kValue, "+behind");
      co_await core.timers().SleepUntil(core.now_ns() + 10 * kNsPerUs);
      if (!second.finished) {
        third.Start(store, core, true, GetFunction, OldState::kValue);
      } else {
        third.finished = true;
      }
    };
    const auto sender = static_cast<uint32_t>(seed % 3);
    node_->Spawn(sender, send(*store_, node_->core(sender), set, append, get));
    node_->Spawn(0, flush(*store_, node_->core(0)));
    node_->Spawn(1, flush(*store_, node_->core(1)));
    ExpectAllFinish({&set, &append, &get});
    if (get.hash == 0) continue;
    ASSERT_EQ(get.text().size(), static_cast<size_t>(append.reply.integer)) << "seed " << seed;
  }
}

// A key waits for the device, and a FLUSH holds what its session writes elsewhere. A read of that
// key has no business behind the latter: the session's next write of the key would pass it there.
TEST_F(StoreOrderTest, ReadOfABlockedKeyIsNotHeldByAFlush) {
  int answered_at_once = 0;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    Open(seed, 1);
    Sent set;
    Sent theirs;
    Sent elsewhere;
    Sent get;
    Sent later;
    theirs.session = 1;
    elsewhere.session = get.session = later.session = 2;
    elsewhere.name = "elsewhere";
    const auto flush = [](Store& store, Core& core) -> Task<void> {
      const Outcome outcome = co_await store.Flush(core, kDefaultNamespace);
      EXPECT_EQ(outcome, Outcome::kDone);
    };
    const auto first = [](Store& store, Core& core, Sent& write) -> Task<void> {
      write.Start(store, core, false, SetFunction, OldState::kNothing, "base");
      co_return;
    };
    node_->Spawn(0, first(*store_, node_->core(0), set));
    ExpectAllFinish({&set});
    const auto block = [](Store& store, Core& core, Sent& append) -> Task<void> {
      append.Start(store, core, false, AppendFunction, OldState::kValue, "+theirs");
      co_return;
    };
    const auto send = [](Store& store, Core& core, Sent& other, Sent& read, Sent& append,
                         uint64_t pause_ns) -> Task<void> {
      co_await core.timers().SleepUntil(core.now_ns() + pause_ns);
      other.Start(store, core, false, SetFunction, OldState::kNothing, "x");
      read.Start(store, core, true, GetFunction, OldState::kValue);
      append.Start(store, core, false, AppendFunction, OldState::kValue, "+later");
    };
    node_->Spawn(0, block(*store_, node_->core(0), theirs));
    node_->Spawn(0, flush(*store_, node_->core(0)));
    node_->Spawn(0, send(*store_, node_->core(0), elsewhere, get, later, seed * kNsPerUs));
    ExpectAllFinish({&theirs, &elsewhere, &get, &later});
    answered_at_once += static_cast<int>(get.text() == "base");
    ASSERT_EQ(get.text().find("+later"), std::string::npos) << "seed " << seed;
  }
  EXPECT_GT(answered_at_once, 0);
}

// A FLUSH holds reads, too, for a moment. One that was sent before its session's next write of the
// key is over first, and does not show that.
TEST_F(StoreOrderTest, ReadThatAFlushHoldsIsNotPassedByItsSessionsNextWrite) {
  int flushed = 0;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Open(seed, 2);
    Sent set;
    Sent get;
    Sent later;
    get.session = later.session = 2;
    const auto flush = [](Store& store, Core& core) -> Task<void> {
      const Outcome outcome = co_await store.Flush(core, kDefaultNamespace);
      EXPECT_EQ(outcome, Outcome::kDone);
    };
    const auto first = [](Store& store, Core& core, Sent& write) -> Task<void> {
      write.Start(store, core, false, SetFunction, OldState::kNothing, "base");
      co_return;
    };
    node_->Spawn(0, first(*store_, node_->core(0), set));
    ExpectAllFinish({&set});
    const auto send = [](Store& store, Core& core, Sent& read, Sent& write,
                         uint64_t pause_ns) -> Task<void> {
      co_await core.timers().SleepUntil(core.now_ns() + pause_ns);
      read.Start(store, core, true, GetFunction, OldState::kValue);
      write.Start(store, core, false, SetFunction, OldState::kNothing, "later");
    };
    node_->Spawn(1, flush(*store_, node_->core(1)));
    node_->Spawn(0, send(*store_, node_->core(0), get, later, seed * kNsPerUs));
    ExpectAllFinish({&get, &later});
    flushed += static_cast<int>(get.text() == "missing");
    ASSERT_NE(get.text(), "later") << "seed " << seed;
  }
  EXPECT_GT(flushed, 0);
}

// A FLUSH that is over has taken what was pending: nobody is shown that any more, nor is its own
// session, as nobody after that would be.
TEST_F(StoreOrderTest, WhatAFlushHasTakenIsNotShownToItsOwnSession) {
  int taken = 0;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Open(seed, 2);
    Sent set;
    Sent get;
    Sent after;
    const auto send = [](Store& store, Core& core, Sent& write, Sent& read,
                         uint64_t pause_ns) -> Task<void> {
      co_await core.timers().SleepUntil(core.now_ns() + pause_ns);
      write.Start(store, core, false, SetFunction, OldState::kNothing, "taken");
      const Outcome outcome = co_await store.Flush(core, kDefaultNamespace);
      EXPECT_EQ(outcome, Outcome::kDone);
      read.Start(store, core, true, GetFunction, OldState::kValue);
    };
    node_->Spawn(0, send(*store_, node_->core(0), set, get, seed * kNsPerUs));
    ASSERT_TRUE(world_->RunUntil([&] { return set.finished && get.finished; }));
    const auto look = [](Store& store, Core& core, Sent& read) -> Task<void> {
      read.Start(store, core, true, GetFunction, OldState::kValue);
      co_return;
    };
    node_->Spawn(0, look(*store_, node_->core(0), after));
    ExpectAllFinish({&after});
    ASSERT_EQ(get.text(), after.text()) << "seed " << seed;
    taken += static_cast<int>(after.text() == "missing");
  }
  EXPECT_GT(taken, 0);
}

// One log fails while others are not there yet: the store is read-only, and the process lives.
TEST_F(StoreOrderTest, LogThatFailsDuringTheStartMakesTheStoreReadOnly) {
  int opened_count = 0;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SimWorld world(seed);
    SimNode node(world, "10.0.0.1");
    node.Start({.core_count = 4, .core = {.buffer_bytes = 1 << 16}});
    node.disk().faults.flush_error = 1500;
    OpenReport report;
    auto opened = node.Run(Store::Open(node.cores(), Options(seed), report));
    ASSERT_TRUE(opened) << world.failure();
    if (!opened->ok()) continue;
    ++opened_count;
    Store& store = node.Own(std::move(**opened));
    world.RunFor(10 * kNsPerMs);
    if (!store.read_only()) continue;
    StoreCall& call = node.Own(std::make_unique<StoreCall>(store, node.core(0)));
    ASSERT_TRUE(node.Run(call.Update(SetFunction, OldState::kNothing, "key", "value")));
    EXPECT_EQ(call.outcome, Outcome::kReadOnly) << "seed " << seed;
  }
  EXPECT_GT(opened_count, 0);
}

}  // namespace
}  // namespace pakv
