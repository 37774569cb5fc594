// ReplyQueue, SlotPool and ByteBudget, each by itself.
#include "net/session/buffers/reply_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "net/session/buffers/byte_budget.h"
#include "runtime/base/prng.h"

namespace pakv {
namespace {

void EncodeText(const ReplySlot& slot, OutputBuffer& output) {
  output.Append(slot.reply.bytes);
  output.Append(";");
}

class ReplyQueueTest : public testing::Test {
 protected:
  ReplySlot& Start() {
    ReplySlot& slot = pool_.Take();
    slot.encode = &EncodeText;
    queue_.Append(slot);
    return slot;
  }
  void Fill(ReplySlot& slot, std::string text) {
    slot.reply.kind = Reply::Kind::kBytes;
    slot.reply.bytes = text;
    queue_.Fill(slot);
    // What the reply was a view of is gone now.
    std::fill(text.begin(), text.end(), '?');
  }
  void Write(std::string_view text) {
    queue_.Open().Append(text);
    queue_.Close();
  }
  std::string_view output() { return queue_.output().view(); }

  SlotPool pool_;
  ReplyQueue queue_{pool_};
};

TEST_F(ReplyQueueTest, RepliesLeaveInTheOrderOfTheirRequests) {
  ReplySlot& a = Start();
  ReplySlot& b = Start();
  ReplySlot& c = Start();
  Fill(c, "c");
  Fill(b, "b");
  EXPECT_EQ(output(), "");
  EXPECT_EQ(queue_.unsent_bytes(), 2u);
  Fill(a, "a");
  EXPECT_EQ(output(), "a;b;c;");
  EXPECT_TRUE(queue_.empty());
  EXPECT_EQ(queue_.count(), 0u);
  EXPECT_EQ(pool_.taken(), 0u);
}

TEST_F(ReplyQueueTest, InAnyOrderAReplyLeavesAtOnce) {
  queue_.set_order(ReplyOrder::kAny);
  ReplySlot& a = Start();
  ReplySlot& b = Start();
  Write("x;");
  Fill(b, "b");
  Fill(a, "a");
  EXPECT_EQ(output(), "x;b;a;");
  EXPECT_EQ(queue_.count(), 0u);
}

TEST_F(ReplyQueueTest, AReplyThatIsKnownAtOnceWaitsForThoseBeforeIt) {
  Write("1;");
  EXPECT_EQ(output(), "1;");
  ReplySlot& a = Start();
  Write("2;");
  Write("3;");
  EXPECT_EQ(queue_.count(), 2u) << "replies known at once share a slot";
  ReplySlot& b = Start();
  Write("4;");
  Fill(b, "b");
  EXPECT_EQ(output(), "1;");
  Fill(a, "a");
  EXPECT_EQ(output(), "1;a;2;3;b;4;");
  EXPECT_EQ(queue_.unsent_bytes(), output().size());
}

// The output is full from 4 bytes on.
TEST_F(ReplyQueueTest, RepliesStayWhereTheyAreWhileTheOutputIsFull) {
  for (const ReplyOrder order : {ReplyOrder::kAsRequested, ReplyOrder::kAny}) {
    SlotPool pool;
    ReplyQueue queue(pool, 4);
    queue.set_order(order);
    std::vector<ReplySlot*> slots;
    for (int i = 0; i < 6; ++i) {
      slots.push_back(&pool.Take());
      slots[i]->encode = &EncodeText;
      queue.Append(*slots[i]);
    }
    const auto fill = [&](int index) {
      std::string text(2, static_cast<char>('a' + index));
      slots[index]->reply.kind = Reply::Kind::kBytes;
      slots[index]->reply.bytes = text;
      queue.Fill(*slots[index]);
      std::fill(text.begin(), text.end(), '?');
    };
    for (int i = 0; i < 5; ++i) fill(i);
    EXPECT_EQ(queue.output().view(), "aa;bb;");
    EXPECT_EQ(queue.unsent_bytes(), 6u + 6u);
    EXPECT_EQ(queue.count(), 4u);
    ReplySlot& at_once = pool.Take();
    EXPECT_FALSE(queue.PassAtOnce(at_once)) << "it would not be held by anybody";
    pool.Give(at_once);
    // On its way it counts as before.
    queue.output().Clear();
    queue.SetSending(6);
    fill(5);
    EXPECT_EQ(queue.output().view(), "");
    queue.SetSending(0);
    EXPECT_EQ(queue.output().view(), "cc;dd;");
    queue.output().Clear();
    queue.SetSending(0);
    EXPECT_EQ(queue.output().view(), "ee;ff;");
    EXPECT_TRUE(queue.empty());
    EXPECT_EQ(queue.unsent_bytes(), 6u);
    EXPECT_EQ(pool.taken(), 0u);
  }
}

TEST_F(ReplyQueueTest, WhatWaitsForTheOutputIsDroppedWithTheConnection) {
  for (const ReplyOrder order : {ReplyOrder::kAsRequested, ReplyOrder::kAny}) {
    SlotPool pool;
    ReplyQueue queue(pool, 1);
    queue.set_order(order);
    std::vector<ReplySlot*> slots;
    for (int i = 0; i < 3; ++i) {
      slots.push_back(&pool.Take());
      slots[i]->encode = &EncodeText;
      queue.Append(*slots[i]);
    }
    for (int i = 0; i < 2; ++i) {
      slots[i]->reply.bytes = "text";
      queue.Fill(*slots[i]);
    }
    EXPECT_EQ(pool.taken(), 2u);
    queue.Discard();
    EXPECT_EQ(pool.taken(), 1u);
    queue.Fill(*slots[2]);
    EXPECT_EQ(pool.taken(), 0u);
    EXPECT_EQ(queue.unsent_bytes(), 0u);
  }
}

TEST_F(ReplyQueueTest, DiscardedRepliesStillGiveTheirSlotsBack) {
  ReplySlot& a = Start();
  ReplySlot& b = Start();
  Write("x");
  queue_.Discard();
  Fill(b, "b");
  Fill(a, "a");
  EXPECT_EQ(output(), "");
  EXPECT_EQ(pool_.taken(), 0u);
}

TEST_F(ReplyQueueTest, WhatIsWrittenForOneWhoHasGoneIsCountedToItsEnd) {
  ReplySlot& a = Start();
  queue_.Discard();
  Write("error;");
  Fill(a, "a");
  EXPECT_EQ(output(), "");
  EXPECT_EQ(queue_.count(), 0u);
  EXPECT_EQ(queue_.unsent_bytes(), 0u);
  EXPECT_LT(queue_.memory_bytes(), size_t{1} << 20);
}

TEST_F(ReplyQueueTest, AnyOrderOfFillingGivesTheOrderOfRequests) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Prng prng(seed);
    std::vector<std::pair<ReplySlot*, std::string>> open;
    std::string expected;
    for (int step = 0; step < 300; ++step) {
      const std::string text = std::to_string(step);
      const uint64_t action = prng.Below(4);
      if (action == 0) {
        Write(text + ";");
        expected += text + ";";
      } else if (action == 1 || open.empty()) {
        open.emplace_back(&Start(), text);
        expected += text + ";";
      } else {
        const size_t index = prng.Below(open.size());
        Fill(*open[index].first, open[index].second);
        open.erase(open.begin() + static_cast<ptrdiff_t>(index));
      }
    }
    for (auto& [slot, text] : open) Fill(*slot, text);
    ASSERT_EQ(output(), expected) << "seed " << seed;
    ASSERT_EQ(queue_.unsent_bytes(), expected.size());
    ASSERT_EQ(pool_.taken(), 0u);
    queue_.output().Clear();
  }
}

TEST(SlotPoolTest, SlotsAreUsedAgainAndGiveLargeMemoryBack) {
  SlotPool pool;
  for (int round = 0; round < 20; ++round) {
    std::vector<ReplySlot*> slots;
    for (int i = 0; i < 50; ++i) {
      slots.push_back(&pool.Take());
      slots.back()->scratch.assign(1 << 18, 'x');
    }
    for (ReplySlot* slot : slots) pool.Give(*slot);
  }
  EXPECT_LE(pool.slots(), 64u);
  EXPECT_LE(pool.Take().memory_bytes(), 16384u);
}

class BudgetTest : public testing::Test {
 protected:
  struct Taker : ByteBudget::Taker {
    Taker()
        : ByteBudget::Taker([](ByteBudget::Taker& self) { ++static_cast<Taker&>(self).retries; }) {}
    int retries = 0;
  };
  ByteBudget budget_{100};
};

TEST_F(BudgetTest, WhoFindsNoRoomIsToldWhenThereIs) {
  Taker first;
  Taker second;
  budget_.Take(150);
  EXPECT_FALSE(budget_.has_room());
  budget_.Wait(first);
  budget_.Wait(second);
  budget_.Give(40);
  EXPECT_EQ(first.retries + second.retries, 0);
  budget_.Give(60);
  EXPECT_EQ(first.retries, 1);
  EXPECT_EQ(second.retries, 1);
}

}  // namespace
}  // namespace pakv
