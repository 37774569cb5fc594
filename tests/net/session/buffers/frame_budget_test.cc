// FrameBudget by itself: its bound, its order, and that nobody waits for ever.
#include "net/session/buffers/frame_budget.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "runtime/base/prng.h"
#include "tests/sim/world/sim_node.h"
#include "tests/sim/world/sim_world.h"

namespace pakv {
namespace {

class FrameBudgetTest : public testing::Test {
 protected:
  struct Client : FrameBudget::Holder {
    explicit Client(FrameBudget& owner, uint64_t host = 1)
        : Holder(
              host, [](Holder& self) { ++static_cast<Client&>(self).granted; },
              [](Holder& self) {
                ++static_cast<Client&>(self).cut_off;
                return static_cast<Client&>(self).listens;
              }),
          budget(owner) {}
    ~Client() { budget.Release(*this); }
    bool Take(size_t bytes) { return budget.Take(*this, bytes); }
    FrameBudget& budget;
    int granted = 0;
    int cut_off = 0;
    uint64_t received_bytes = 0;
    bool listens = true;  // is waited for, when it is cut off
  };

  FrameBudgetTest() { node_.Start({.core_count = 1}); }
  ~FrameBudgetTest() override { node_.Stop(); }

  // At the core's present time; so much has come since the last call.
  void Listen(Client& client, uint64_t sent_bytes) {
    client.received_bytes += sent_bytes;
    ASSERT_TRUE(node_.Run(ListenOnCore(client)));
  }
  static Task<void> ListenOnCore(Client& client) {
    client.budget.Listen(client, client.received_bytes);
    co_return;
  }

  SimWorld world_{1};
  SimNode node_{world_, "10.0.0.1", {}};
};

TEST_F(FrameBudgetTest, WhoWaitsIsServedInOrderAndNobodyGoesBefore) {
  FrameBudget budget(node_.core(0), 100);
  Client large(budget);
  Client favoured(budget);
  ASSERT_TRUE(large.Take(80));
  ASSERT_TRUE(favoured.Take(50)) << "one is always served";
  Client first(budget);
  Client second(budget);
  Client third(budget);
  EXPECT_FALSE(first.Take(60));
  EXPECT_FALSE(second.Take(20));
  favoured.budget.Release(favoured);
  EXPECT_EQ(first.granted, 1) << "it is the favoured one now";
  EXPECT_EQ(second.granted, 0);
  EXPECT_FALSE(third.Take(1)) << "somebody was there before";
  EXPECT_EQ(budget.waiting_count(), 2u);
  large.budget.Release(large);
  EXPECT_EQ(second.granted, 1);
  EXPECT_EQ(third.granted, 1);
  EXPECT_EQ(budget.waiting_count(), 0u);
  EXPECT_EQ(budget.used_bytes(), 81u);
}

// Else all there is could be parts of requests none of which gets any further but one at a time.
TEST_F(FrameBudgetTest, WhoHasSomeGoesBeforeWhoHasNone) {
  FrameBudget budget(node_.core(0), 100);
  Client holder(budget);
  Client favoured(budget);
  Client begun(budget);
  ASSERT_TRUE(holder.Take(60));
  ASSERT_TRUE(begun.Take(40));
  ASSERT_TRUE(favoured.Take(20));
  Client none(budget);
  EXPECT_FALSE(none.Take(30));
  EXPECT_FALSE(begun.Take(60));
  budget.Release(favoured);
  EXPECT_EQ(begun.granted, 1);
  EXPECT_EQ(none.granted, 0);
  EXPECT_TRUE(begun.Take(90)) << "and is the favoured one";
  budget.Release(holder);
  EXPECT_EQ(none.granted, 0);
  budget.Release(begun);
  EXPECT_EQ(none.granted, 1);
}

TEST_F(FrameBudgetTest, HostsTakeTurns) {
  FrameBudget budget(node_.core(0), 100);
  Client holder(budget, 1);
  Client favoured(budget, 1);
  ASSERT_TRUE(holder.Take(100));
  ASSERT_TRUE(favoured.Take(1));
  std::vector<std::unique_ptr<Client>> many;
  for (int i = 0; i < 10; ++i) {
    many.push_back(std::make_unique<Client>(budget, 1));
    EXPECT_FALSE(many.back()->Take(30));
  }
  Client other(budget, 2);
  EXPECT_FALSE(other.Take(30));
  budget.Release(holder);
  EXPECT_EQ(many[0]->granted, 1);
  EXPECT_EQ(other.granted, 1);
  EXPECT_EQ(many[1]->granted, 1);
  EXPECT_EQ(many[2]->granted, 0);
}

// Else a client that comes and goes would keep all others at its host waiting.
TEST_F(FrameBudgetTest, WhoGivesUpWaitingTakesNoTurnFromItsHost) {
  FrameBudget budget(node_.core(0), 100);
  Client holder(budget, 1);
  Client favoured(budget, 1);
  ASSERT_TRUE(holder.Take(100));
  ASSERT_TRUE(favoured.Take(1));
  Client stays(budget, 2);
  Client leaves(budget, 2);
  Client other(budget, 3);
  EXPECT_FALSE(stays.Take(60));
  EXPECT_FALSE(other.Take(60));
  EXPECT_FALSE(leaves.Take(60));
  budget.Release(leaves);
  budget.Release(holder);
  EXPECT_EQ(stays.granted, 1);
  EXPECT_EQ(other.granted, 0);
}

TEST_F(FrameBudgetTest, WhoGivesUpWaitingLetsTheNextOn) {
  FrameBudget budget(node_.core(0), 100);
  Client holder(budget);
  Client favoured(budget);
  Client large(budget);
  Client small(budget);
  ASSERT_TRUE(holder.Take(80));
  ASSERT_TRUE(favoured.Take(15));
  ASSERT_TRUE(favoured.Take(30));
  EXPECT_FALSE(large.Take(90));
  EXPECT_FALSE(small.Take(15));
  holder.budget.Release(holder);
  EXPECT_EQ(small.granted, 0);
  large.budget.Release(large);
  EXPECT_EQ(small.granted, 1);
}

// Requests of any length, each in any steps: all are served to their end, and never is more used
// than the bound and one request.
TEST_F(FrameBudgetTest, ItsBoundIsExactAndNothingIsStuck) {
  constexpr size_t kBytesMax = 1000;
  constexpr size_t kRequestBytesMax = 700;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Prng prng(seed);
    FrameBudget budget(node_.core(0), kBytesMax);
    struct Request {
      std::unique_ptr<Client> client;
      size_t bytes;
    };
    std::vector<Request> requests;
    for (int i = 0; i < 40; ++i) {
      requests.push_back(
          {std::make_unique<Client>(budget, prng.Below(3)), 1 + prng.Below(kRequestBytesMax)});
    }
    while (!requests.empty()) {
      std::vector<size_t> able;
      for (size_t i = 0; i < requests.size(); ++i) {
        if (!requests[i].client->is_waiting()) able.push_back(i);
      }
      ASSERT_FALSE(able.empty()) << "all wait for each other, seed " << seed;
      const size_t chosen = able[prng.Below(able.size())];
      Client& client = *requests[chosen].client;
      if (client.bytes() == requests[chosen].bytes) {
        requests.erase(requests.begin() + static_cast<ptrdiff_t>(chosen));
      } else {
        client.Take(client.bytes() + 1 + prng.Below(requests[chosen].bytes - client.bytes()));
      }
      ASSERT_LE(budget.used_bytes(), kBytesMax + kRequestBytesMax) << "seed " << seed;
    }
    EXPECT_EQ(budget.used_bytes(), 0u);
  }
}

TEST_F(FrameBudgetTest, TheLongestSilentGivesWayAndNoMoreThanItTakes) {
  FrameBudget budget(node_.core(0), 6400);
  Client first(budget);
  Client second(budget);
  Client third(budget);
  Client waiter(budget);
  for (Client* client : {&first, &second, &third}) {
    ASSERT_TRUE(client->Take(2560));  // the third is the favoured one
    Listen(*client, 0);
    world_.RunFor(kNsPerMs);
  }
  world_.RunFor(FrameBudget::kProgressNs);
  EXPECT_EQ(first.cut_off + second.cut_off + third.cut_off, 0) << "nobody waits";
  Listen(first, 40);
  EXPECT_FALSE(waiter.Take(3200));
  world_.RunFor(kNsPerMs);
  EXPECT_EQ(second.cut_off, 1);
  world_.RunFor(FrameBudget::kProgressNs / 2);
  EXPECT_EQ(third.cut_off, 0) << "what the second has is on its way";
  budget.Release(second);
  world_.RunFor(kNsPerMs);
  EXPECT_EQ(waiter.granted, 0);
  EXPECT_EQ(third.cut_off, 1);
  budget.Release(third);
  EXPECT_EQ(waiter.granted, 1);
  world_.RunFor(10 * FrameBudget::kProgressNs);
  EXPECT_EQ(first.cut_off, 0);
}

TEST_F(FrameBudgetTest, WhoSendsEnoughOrIsNotWaitedForStays) {
  FrameBudget budget(node_.core(0), 6400);
  Client sends(budget);
  Client busy(budget);
  Client runs(budget);
  Client waiter(budget);
  ASSERT_TRUE(sends.Take(2560));
  ASSERT_TRUE(busy.Take(2560));
  ASSERT_TRUE(runs.Take(2560));
  Listen(sends, 0);
  Listen(busy, 0);
  Listen(runs, 0);
  budget.StopListening(runs);
  busy.listens = false;
  EXPECT_FALSE(waiter.Take(2560));
  for (int i = 0; i < 10; ++i) {
    // A 64th of it, in two parts.
    world_.RunFor(FrameBudget::kProgressNs / 2);
    Listen(sends, 39);
    world_.RunFor(FrameBudget::kProgressNs / 2 - kNsPerMs);
    Listen(sends, 1);
  }
  EXPECT_EQ(sends.cut_off, 0);
  EXPECT_EQ(runs.cut_off, 0);
  EXPECT_GE(busy.cut_off, 8) << "it is asked again";
  EXPECT_EQ(waiter.granted, 0);
}

// So much memory that others wait for is not kept with a byte now and then.
TEST_F(FrameBudgetTest, WhoSendsTooLittleForWhatItHoldsDoesNot) {
  FrameBudget budget(node_.core(0), 6400);
  Client drips(budget);
  Client favoured(budget);
  Client waiter(budget);
  ASSERT_TRUE(drips.Take(6400));
  ASSERT_TRUE(favoured.Take(640));
  Listen(drips, 0);
  EXPECT_FALSE(waiter.Take(2560));
  for (int i = 0; i < 99; ++i) {
    world_.RunFor(FrameBudget::kProgressNs / 100);
    Listen(drips, 1);
    EXPECT_EQ(drips.cut_off, 0);
  }
  // 99 bytes, of 100 that are asked for.
  world_.RunFor(FrameBudget::kProgressNs / 100 + kNsPerMs);
  EXPECT_EQ(drips.cut_off, 1);
}

}  // namespace
}  // namespace pakv
