// Core::WhenIdle: what it gives to work that nobody waits for, pass by pass in a time of its own.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "runtime/base/check.h"
#include "runtime/base/clock.h"
#include "runtime/core/core.h"
#include "runtime/io/uring_ring.h"

namespace pakv {
namespace {

// Time that passes when a test says so.
class TestClock : public Clock {
 public:
  uint64_t MonotonicNs() override { return now_ns; }
  uint64_t WallUs() override { return now_ns / kNsPerUs; }
  uint64_t now_ns = kNsPerSecond;
};

class IdleTest : public testing::Test {
 protected:
  IdleTest() {
    std::string error;
    std::unique_ptr<Ring> ring = UringRing::Create({}, error);
    PAKV_CHECK(ring != nullptr, error.c_str());
    core = std::make_unique<Core>(0, 1, clock, std::move(ring), CoreOptions{});
    core->ring().Start();
  }
  ~IdleTest() override { core->ring().Stop(); }

  // Has work that nobody waits for: `left` pieces of `piece_ns`.
  Task<void> RunPieces(uint64_t piece_ns, size_t& left) {
    while (left > 0) {
      co_await core->WhenIdle();
      clock.now_ns += piece_ns;
      --left;
    }
  }
  // `count` passes, each with `pass_ns` of other work.
  void RunBusyPasses(size_t count, uint64_t pass_ns) {
    struct Work : Runnable {
      Work(IdleTest& test_in, uint64_t ns_in)
          : Runnable([](Runnable& self) {
              auto& work = static_cast<Work&>(self);
              work.test.clock.now_ns += work.ns;
              work.test.core->AtPassEnd(work);
            }),
            test(test_in),
            ns(ns_in) {}
      IdleTest& test;
      const uint64_t ns;
    };
    Work work(*this, pass_ns);
    core->AtPassEnd(work);
    for (size_t pass = 0; pass < count; ++pass) core->RunPass();
  }

  TestClock clock;
  std::unique_ptr<Core> core;
};

TEST_F(IdleTest, AnIdleCoreDoesAPieceAPassAndDoesNotSleepUntilAllIsDone) {
  size_t left = 100;
  core->nursery().Spawn(RunPieces(10 * kNsPerMs, left));
  for (size_t pass = 1; pass <= 100; ++pass) {
    core->RunPass();
    EXPECT_EQ(left, 100 - pass);
    EXPECT_EQ(core->runnable(), left > 0);
  }
}

TEST_F(IdleTest, ABusyCoreGivesItHalfOfTheTime) {
  size_t left = 10'000;
  core->nursery().Spawn(RunPieces(100 * kNsPerUs, left));
  RunBusyPasses(1000, 300 * kNsPerUs);
  EXPECT_NEAR(static_cast<double>(10'000 - left), 3000, 5);
}

TEST_F(IdleTest, APieceThatTookLongIsPaidForBeforeTheNext) {
  size_t left = 10'000;
  core->nursery().Spawn(RunPieces(5 * kNsPerMs, left));
  RunBusyPasses(1000, 100 * kNsPerUs);
  EXPECT_NEAR(static_cast<double>(10'000 - left), 20, 1);
}

TEST_F(IdleTest, APassThatTakesNoTimeCountsAllTheSame) {
  size_t left = 10'000;
  core->nursery().Spawn(RunPieces(0, left));
  RunBusyPasses(1000, 0);
  EXPECT_NEAR(static_cast<double>(10'000 - left), 1000, 5);
}

TEST_F(IdleTest, WhoWaitsLongerComesFirst) {
  std::string order;
  const auto append = [](Core& here, std::string& to, char what) -> Task<void> {
    for (int i = 0; i < 3; ++i) {
      co_await here.WhenIdle();
      to.push_back(what);
    }
  };
  core->nursery().Spawn(append(*core, order, 'a'));
  core->nursery().Spawn(append(*core, order, 'b'));
  while (core->runnable()) core->RunPass();
  EXPECT_EQ(order, "ababab");
}

}  // namespace
}  // namespace pakv
