// A start through the page cache, which still has what a killed process has written and not synced,
// and loses it between two reads, as the disk does not take it: nothing comes of that but a start
// that says so. Method: a kill at each operation of a few writes.
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "kv/store/store.h"
#include "tests/kv/store/store_call.h"
#include "tests/sim/world/sim_node.h"

namespace pakv {
namespace {

class RecoveryWriteBackTest : public testing::Test {
 protected:
  // nullopt: the machine has crashed meanwhile.
  std::optional<absl::Status> Open() {
    node_.Start({.core_count = 1, .core = {.buffer_bytes = 1 << 16}});
    StoreOptions options;
    options.directory = "/store";
    options.segment_bytes = 1 << 16;
    options.entropy = StoreEntropy{{}, 1, ++run_};
    OpenReport report;
    auto opened = node_.Run(Store::Open(node_.cores(), options, report));
    if (!opened) return std::nullopt;
    if (opened->ok()) store_ = &node_.Own(std::move(**opened));
    return opened->status();
  }
  static Task<void> WriteSome(Store& store, Core& here, uint64_t& acknowledged) {
    for (uint64_t i = acknowledged + 1; i <= acknowledged + 5; ++i) {
      StoreCall call(store, here);
      co_await call.Update(SetFunction, OldState::kNothing, "key", std::to_string(i));
      if (call.outcome == Outcome::kDone) acknowledged = i;
    }
  }
  static Task<std::string> Get(Store& store, Core& here) {
    StoreCall call(store, here);
    co_await call.Read(GetFunction, OldState::kValue, "key");
    if (call.outcome != Outcome::kDone) co_return "failed";
    co_return call.reply.kind == Reply::Kind::kNull ? "0" : std::string(call.reply.bytes);
  }

  SimWorld world_{1};
  // No direct I/O.
  SimNode node_{world_, "10.0.0.1", SimDiskOptions{.direct_alignment = 0}};
  Store* store_ = nullptr;
  uint64_t run_ = 0;
};

TEST_F(RecoveryWriteBackTest, WhatTheCacheLosesBetweenTwoReadsIsNoticedBeforeAnybodyIsShownIt) {
  int noticed = 0;
  for (uint64_t submissions = 1; submissions <= 60; ++submissions) {
    std::optional<absl::Status> opened = Open();
    ASSERT_TRUE(opened && opened->ok()) << world_.failure();
    uint64_t acknowledged =
        std::stoull(node_.Run(Get(*store_, node_.core(0))).value_or("nothing at all"));
    node_.CrashAfter(submissions, CrashKind::kProcessKill);
    static_cast<void>(node_.Run(WriteSome(*store_, node_.core(0), acknowledged)));
    if (node_.running()) node_.Crash(CrashKind::kProcessKill);

    node_.disk().faults.write_back_error = 10'000;
    opened = Open();
    ASSERT_TRUE(opened.has_value()) << world_.failure();
    if (absl::IsUnavailable(*opened)) {
      EXPECT_NE(opened->message().find("has changed since it was read"), std::string::npos);
      ++noticed;
    } else {
      ASSERT_TRUE(opened->ok()) << *opened;
    }
    node_.Crash(CrashKind::kProcessKill);
    node_.disk().faults = {};
    opened = Open();
    ASSERT_TRUE(opened && opened->ok()) << *opened;
    EXPECT_GE(std::stoull(node_.Run(Get(*store_, node_.core(0))).value_or("nothing at all")),
              acknowledged);
    node_.Crash(CrashKind::kPowerCut);
  }
  EXPECT_GT(noticed, 0);
}

}  // namespace
}  // namespace pakv
