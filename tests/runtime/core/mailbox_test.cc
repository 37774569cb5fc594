// Mailboxes and who wakes whom: order and bounds of the real code, and a model of the protocol
// whose every interleaving is explored, on the kind of memory that x86 has: a store may linger in
// its thread's store buffer while later loads of that thread run.
#include "runtime/core/mailbox.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace pakv {
namespace {

struct Numbered : Message {
  explicit Numbered(int number_in) : number(number_in) {}
  int number;
};

std::vector<int> Numbers(Message* head) {
  MessageChain chain;
  chain.Assign(head);
  std::vector<int> numbers;
  while (Message* message = chain.PopFront()) {
    numbers.push_back(static_cast<Numbered*>(message)->number);
  }
  return numbers;
}

TEST(MessageChainTest, KeepsTheOrderOfAppending) {
  std::deque<Numbered> messages;
  MessageChain chain;
  EXPECT_TRUE(chain.empty());
  for (int i = 0; i < 5; ++i) chain.Append(messages.emplace_back(i));
  EXPECT_FALSE(chain.empty());
  Message* head = chain.Release();
  EXPECT_TRUE(chain.empty());
  EXPECT_EQ(Numbers(head), (std::vector<int>{0, 1, 2, 3, 4}));
}

TEST(MessageChainTest, AReleasedChainMayBeTakenBackAndGrow) {
  std::deque<Numbered> messages;
  MessageChain chain;
  for (int i = 0; i < 3; ++i) chain.Append(messages.emplace_back(i));
  chain.Reassign(chain.Release());
  chain.Append(messages.emplace_back(3));
  EXPECT_EQ(Numbers(chain.Release()), (std::vector<int>{0, 1, 2, 3}));
}

TEST(MailboxTest, ABoundBelowItsCapacityIsKept) {
  Mailbox mailbox;
  std::deque<Numbered> messages;
  EXPECT_TRUE(mailbox.TryPush(&messages.emplace_back(0), 1, /*chains_max=*/2));
  EXPECT_TRUE(mailbox.TryPush(&messages.emplace_back(1), 2, /*chains_max=*/2));
  EXPECT_FALSE(mailbox.TryPush(&messages.emplace_back(2), 3, /*chains_max=*/2));
  Message* chain = nullptr;
  uint64_t stamp = 0;
  ASSERT_TRUE(mailbox.TryPop(chain, stamp));
  EXPECT_EQ(stamp, 1u);
  EXPECT_TRUE(mailbox.TryPush(&messages.back(), 3, /*chains_max=*/2));
}

TEST(MailboxTest, AFullRingTakesNothing) {
  Mailbox mailbox;
  std::deque<Numbered> messages;
  for (uint32_t i = 0; i < Mailbox::kCapacity; ++i) {
    EXPECT_TRUE(mailbox.TryPush(&messages.emplace_back(static_cast<int>(i)), i));
  }
  Numbered late(99);
  EXPECT_FALSE(mailbox.TryPush(&late, 99));
  Message* chain = nullptr;
  uint64_t stamp = 0;
  for (uint32_t i = 0; i < Mailbox::kCapacity; ++i) {
    ASSERT_TRUE(mailbox.TryPop(chain, stamp));
    EXPECT_EQ(static_cast<Numbered*>(chain)->number, static_cast<int>(i));
    EXPECT_EQ(stamp, i);
  }
  EXPECT_FALSE(mailbox.TryPop(chain, stamp));
  EXPECT_TRUE(mailbox.TryPush(&late, 99));
}

TEST(MailboxTest, ItsCountersMayWrapAround) {
  // As after 2^32 chains: the ring is pushed through many times its size, in every fill level.
  Mailbox mailbox;
  Numbered message(0);
  Message* chain = nullptr;
  uint64_t stamp = 0;
  uint64_t pushed = 0;
  uint64_t popped = 0;
  for (uint32_t level = 1; level <= Mailbox::kCapacity; ++level) {
    for (int round = 0; round < 100; ++round) {
      for (uint32_t i = 0; i < level; ++i) ASSERT_TRUE(mailbox.TryPush(&message, pushed++));
      for (uint32_t i = 0; i < level; ++i) {
        ASSERT_TRUE(mailbox.TryPop(chain, stamp));
        ASSERT_EQ(stamp, popped++);
      }
    }
  }
}

TEST(MailboxTest, TwoThreadsHandOverEverythingInOrder) {
  constexpr uint64_t kCount = 200000;
  Mailbox mailbox;
  Numbered message(0);
  std::thread producer([&] {
    for (uint64_t i = 0; i < kCount; ++i) {
      while (!mailbox.TryPush(&message, i)) std::this_thread::yield();
    }
  });
  Message* chain = nullptr;
  uint64_t stamp = 0;
  for (uint64_t i = 0; i < kCount; ++i) {
    while (!mailbox.TryPop(chain, stamp)) std::this_thread::yield();
    if (stamp != i) {
      ADD_FAILURE() << "entry " << stamp << " came in place of " << i;
      break;
    }
  }
  producer.join();
}

TEST(ForeignInboxTest, GivesWhatWasPushedInItsOrder) {
  ForeignInbox inbox;
  EXPECT_TRUE(inbox.empty());
  EXPECT_EQ(inbox.TakeAll(), nullptr);
  std::deque<Numbered> messages;
  for (int i = 0; i < 5; ++i) inbox.Push(messages.emplace_back(i));
  EXPECT_FALSE(inbox.empty());
  EXPECT_EQ(Numbers(inbox.TakeAll()), (std::vector<int>{0, 1, 2, 3, 4}));
  EXPECT_TRUE(inbox.empty());
}

TEST(ForeignInboxTest, ManyThreadsKeepEachTheirOrder) {
  constexpr int kThreads = 4;
  constexpr int kEach = 5000;
  ForeignInbox inbox;
  std::vector<std::unique_ptr<std::deque<Numbered>>> messages;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    messages.push_back(std::make_unique<std::deque<Numbered>>());
    for (int i = 0; i < kEach; ++i) messages.back()->emplace_back(thread * kEach + i);
  }
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&inbox, &own = *messages[static_cast<size_t>(thread)]] {
      for (Numbered& message : own) inbox.Push(message);
    });
  }
  std::array<int, kThreads> next{};
  int taken = 0;
  while (taken < kThreads * kEach) {
    for (const int number : Numbers(inbox.TakeAll())) {
      ASSERT_EQ(number % kEach, next[static_cast<size_t>(number / kEach)]++);
      ++taken;
    }
  }
  for (std::thread& thread : threads) thread.join();
}

// ---- The model. ----------------------------------------------------------------------------
//
// One owner, which sleeps when it finds no mail, and two senders with two messages each. Every
// shared access is one step; a plain store goes into its thread's store buffer and reaches memory
// in a step of its own, at any time later but in order. The explorer visits every state that any
// interleaving reaches. A wake-up is lost if nobody can take a step while there is mail.

// What is left out of, or changed in, the protocol; kNone is what runtime/core does.
enum class Fault : uint8_t {
  kNone,
  kNoSecondLook,       // the owner sleeps without looking for mail after its announcement
  kRelaxedAnnounce,    // the announcement may linger in the store buffer while it looks
  kMarkAfterAsking,    // the sender asks whether the owner sleeps before its mail is marked
  kPlainMarkNoFence,   // the sender's mark may linger in the store buffer while it asks
  kWakeWithoutTaking,  // (harmless) each sender wakes, not one of them
  kNoWake,             // the seeded bug kLostWakeUp
};

constexpr size_t kSenders = 2;
constexpr uint8_t kMessagesEach = 2;
constexpr size_t kThreads = 1 + kSenders;
constexpr uint8_t kOwner = 0;

// Variables of the shared memory.
enum Variable : uint8_t { kMark0, kMark1, kTail0, kTail1, kAsleep, kVariables };

struct Store {
  uint8_t variable;
  uint8_t value;
  auto operator<=>(const Store&) const = default;
};

struct State {
  std::array<uint8_t, kVariables> memory{};
  std::array<std::vector<Store>, kThreads> buffers;  // of pending stores, the oldest first
  std::array<uint8_t, kThreads> step{};              // where each thread is in its program
  std::array<uint8_t, kSenders> sent{};
  std::array<uint8_t, kSenders> received{};
  uint8_t wakes = 0;          // what the eventfd holds
  bool owner_sleeps = false;  // its next Enter may wait
  uint8_t found = 0;          // marks that it has taken and not yet looked at
  auto operator<=>(const State&) const = default;
};

class Explorer {
 public:
  explicit Explorer(Fault fault) : fault_(fault) {}

  // Empty if no interleaving loses a wake-up, else what the state looks like where it is lost.
  std::string Run() {
    std::vector<State> todo{State{}};
    std::set<State> seen{State{}};
    while (!todo.empty()) {
      const State state = todo.back();
      todo.pop_back();
      std::vector<State> next;
      for (uint8_t thread = 0; thread < kThreads; ++thread) {
        Drain(state, thread, next);
        if (thread == kOwner) {
          OwnerStep(state, next);
        } else {
          SenderStep(state, thread, next);
        }
      }
      if (next.empty()) {
        for (size_t sender = 0; sender < kSenders; ++sender) {
          if (state.received[sender] != kMessagesEach) {
            return "asleep with mail of sender " + std::to_string(sender);
          }
        }
      }
      for (State& each : next) {
        if (seen.insert(each).second) todo.push_back(std::move(each));
      }
    }
    states_ = seen.size();
    return "";
  }
  size_t states() const { return states_; }

 private:
  // The oldest pending store of a thread reaches memory.
  static void Drain(const State& state, uint8_t thread, std::vector<State>& next) {
    if (state.buffers[thread].empty()) return;
    State after = state;
    Flush(after, thread, 1);
    next.push_back(std::move(after));
  }
  static void Flush(State& state, uint8_t thread, size_t count = SIZE_MAX) {
    auto& buffer = state.buffers[thread];
    for (; count > 0 && !buffer.empty(); --count) {
      state.memory[buffer.front().variable] = buffer.front().value;
      buffer.erase(buffer.begin());
    }
  }
  // A thread sees its own pending stores, the newest first.
  static uint8_t Load(const State& state, uint8_t thread, uint8_t variable) {
    const auto& buffer = state.buffers[thread];
    for (size_t i = buffer.size(); i > 0; --i) {
      if (buffer[i - 1].variable == variable) return buffer[i - 1].value;
    }
    return state.memory[variable];
  }
  static void PlainStore(State& state, uint8_t thread, uint8_t variable, uint8_t value) {
    state.buffers[thread].push_back({variable, value});
  }
  // Sequentially consistent stores, exchanges and fences leave nothing in the buffer.
  static void FencedStore(State& state, uint8_t thread, uint8_t variable, uint8_t value) {
    Flush(state, thread);
    state.memory[variable] = value;
  }
  static uint8_t Exchange(State& state, uint8_t thread, uint8_t variable, uint8_t value) {
    Flush(state, thread);
    return std::exchange(state.memory[variable], value);
  }

  // Core::RunPass and PrepareToSleep.
  void OwnerStep(const State& state, std::vector<State>& next) const {
    State after = state;
    uint8_t& step = after.step[kOwner];
    switch (step) {
      case 0:  // Enter
        if (state.owner_sleeps && state.wakes == 0) return;
        after.wakes = 0;
        step = state.owner_sleeps ? 1 : 2;
        break;
      case 1:  // AnnounceAwake
        PlainStore(after, kOwner, kAsleep, 0);
        step = 2;
        break;
      case 2:  // TakeMail: the marks
      case 3:
        if (Exchange(after, kOwner, static_cast<uint8_t>(kMark0 + step - 2), 0) != 0) {
          after.found |= static_cast<uint8_t>(1u << (step - 2));
        }
        ++step;
        break;
      case 4:  // TakeMail: the mailboxes of the sources that were marked
      case 5: {
        const auto sender = static_cast<uint8_t>(step - 4);
        if ((state.found & (1u << sender)) != 0) {
          after.received[sender] = Load(state, kOwner, static_cast<uint8_t>(kTail0 + sender));
        }
        ++step;
        break;
      }
      case 6:  // AnnounceSleep
        after.found = 0;
        if (fault_ == Fault::kRelaxedAnnounce) {
          PlainStore(after, kOwner, kAsleep, 1);
        } else {
          FencedStore(after, kOwner, kAsleep, 1);
        }
        step = fault_ == Fault::kNoSecondLook ? 9 : 7;
        break;
      case 7:  // MailWaits
      case 8:
        if (Load(state, kOwner, static_cast<uint8_t>(kMark0 + step - 7)) != 0) {
          PlainStore(after, kOwner, kAsleep, 0);
          after.owner_sleeps = false;
          step = 0;
        } else {
          ++step;
        }
        break;
      default:
        after.owner_sleeps = true;
        step = 0;
    }
    next.push_back(std::move(after));
  }

  // Core::HandOverChains for one chain: push, mark, TakeWakeDuty, Wake.
  void SenderStep(const State& state, uint8_t thread, std::vector<State>& next) const {
    const auto sender = static_cast<uint8_t>(thread - 1);
    const auto mark = static_cast<uint8_t>(kMark0 + sender);
    State after = state;
    uint8_t& step = after.step[thread];
    const auto finish = [&] {
      step = 0;
      ++after.sent[sender];
    };
    switch (step) {
      case 0:  // TryPush
        if (state.sent[sender] == kMessagesEach) return;
        PlainStore(after, thread, static_cast<uint8_t>(kTail0 + sender),
                   static_cast<uint8_t>(state.sent[sender] + 1));
        step = fault_ == Fault::kMarkAfterAsking ? 2 : 1;
        break;
      case 1:  // fetch_or of the mark
        if (fault_ == Fault::kPlainMarkNoFence) {
          PlainStore(after, thread, mark, 1);
        } else {
          Exchange(after, thread, mark, 1);
        }
        if (fault_ == Fault::kMarkAfterAsking || fault_ == Fault::kNoWake) {
          finish();
        } else {
          step = 2;
        }
        break;
      case 2:  // asks whether the owner sleeps
        if (Load(state, thread, kAsleep) != 0) {
          step = fault_ == Fault::kWakeWithoutTaking ? 4 : 3;
        } else if (fault_ == Fault::kMarkAfterAsking) {
          step = 1;
        } else {
          finish();
        }
        break;
      case 3:  // takes the duty
        if (Exchange(after, thread, kAsleep, 0) != 0) {
          step = 4;
        } else if (fault_ == Fault::kMarkAfterAsking) {
          step = 1;
        } else {
          finish();
        }
        break;
      default:  // Wake
        ++after.wakes;
        if (fault_ == Fault::kMarkAfterAsking) {
          step = 1;
        } else {
          finish();
        }
    }
    next.push_back(std::move(after));
  }

  const Fault fault_;
  size_t states_ = 0;
};

TEST(WakeUpModelTest, NoInterleavingLosesAWakeUp) {
  Explorer explorer(Fault::kNone);
  EXPECT_EQ(explorer.Run(), "");
  EXPECT_GT(explorer.states(), 1000u) << "it explored next to nothing";
}

TEST(WakeUpModelTest, EverySenderMayWake) {
  EXPECT_EQ(Explorer(Fault::kWakeWithoutTaking).Run(), "");
}

// The model is no proof unless it sees what each step is there for.
TEST(WakeUpModelTest, EachStepOfTheProtocolIsNeeded) {
  EXPECT_NE(Explorer(Fault::kNoSecondLook).Run(), "");
  EXPECT_NE(Explorer(Fault::kRelaxedAnnounce).Run(), "");
  EXPECT_NE(Explorer(Fault::kMarkAfterAsking).Run(), "");
  EXPECT_NE(Explorer(Fault::kPlainMarkNoFence).Run(), "");
  EXPECT_NE(Explorer(Fault::kNoWake).Run(), "");
}

}  // namespace
}  // namespace pakv
