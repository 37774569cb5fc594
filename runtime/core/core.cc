#include "runtime/core/core.h"

#include <algorithm>
#include <bit>

#include "runtime/base/check.h"
#include "runtime/base/coverage.h"
#include "runtime/base/seeded_bug.h"

namespace pakv {
namespace {

// Rounds of what is ready that one pass runs before it looks at the ring again.
constexpr int kReadyRoundsMax = 8;
// A chain whose mailbox is full is offered again after this long, if nothing happens sooner.
constexpr uint64_t kFullMailboxRetryNs = 50 * kNsPerUs;
// What a pass counts as at least, and a piece of what waits for an idle core, too: in virtual time
// neither takes any. And how much may be saved up.
constexpr uint64_t kPieceNsMin = 1 * kNsPerUs;
constexpr int64_t kIdleCreditNsMax = 1 * kNsPerMs;

}  // namespace

Core::Core(uint32_t id, uint32_t count, Clock& clock, std::unique_ptr<Ring> ring,
           const CoreOptions& options)
    : id_(id),
      count_(count),
      clock_(clock),
      seed_(options.seed),
      blocking_pool_(options.blocking_pool),
      monitor_pool_(options.monitor_pool),
      ring_(std::move(ring)),
      buffers_(*ring_, options.buffer_count, options.buffer_bytes),
      io_{*ring_, timers_, ready_, buffers_},
      mailboxes_(std::make_unique<Mailbox[]>(count)),
      outgoing_(count),
      mailbox_chains_max_(options.mailbox_chains_max),
      nursery_(ready_) {
  PAKV_CHECK(id < count && count <= kCoresMax);
  PAKV_CHECK(mailbox_chains_max_ > 0 && mailbox_chains_max_ <= Mailbox::kCapacity);
  ReadClock();
}

Core::~Core() = default;

void Core::ReadClock() {
  now_ns_ = clock_.MonotonicNs();
  wall_us_ = 0;
}

uint64_t Core::wall_us() {
  if (wall_us_ == 0) wall_us_ = clock_.WallUs();
  return wall_us_;
}

void Core::Post(Message& message) {
  foreign_.Push(message);
  if (sleep_.TakeWakeDuty()) ring_->Wake();
}

bool Core::MailWaits() const {
  for (const auto& word : mail_from_) {
    if (word.load(std::memory_order_seq_cst) != 0) return true;
  }
  return !foreign_.empty();
}

void Core::RunChain(Message* chain) {
  MessageChain messages;
  messages.Assign(chain);
  while (Message* message = messages.PopFront()) message->Run(*this);
}

void Core::TakeMail() {
  // What this core sent to itself in the last pass.
  if (Message* chain = outgoing_[id_].Release()) RunChain(chain);
  for (size_t word = 0; word * 64 < count_; ++word) {
    if (mail_from_[word].load(std::memory_order_relaxed) == 0) continue;
    uint64_t sources = mail_from_[word].exchange(0, std::memory_order_seq_cst);
    while (sources != 0) {
      const size_t source = word * 64 + static_cast<size_t>(std::countr_zero(sources));
      sources &= sources - 1;
      Message* chain = nullptr;
      uint64_t stamp = 0;
      while (mailboxes_[source].TryPop(chain, stamp)) {
        if (stamp > causal_clock) causal_clock = stamp;
        RunChain(chain);
      }
    }
  }
  if (!foreign_.empty()) RunChain(foreign_.TakeAll());
}

void Core::RunIdle() {
  if (idle_.empty()) {
    idle_credit_ns_ = std::min<int64_t>(idle_credit_ns_, 0);
    return;
  }
  const bool busy = !completed_.empty() || !ready_.empty() || !pass_end_.empty() ||
                    !outgoing_[id_].empty() || MailWaits();
  if (!busy) {
    idle_credit_ns_ = 0;
    idle_.RunOne();
    ReadClock();
    return;
  }
  while (idle_credit_ns_ > 0 && !idle_.empty()) {
    const uint64_t begin_ns = now_ns_;
    idle_.RunOne();
    ReadClock();
    idle_credit_ns_ -= static_cast<int64_t>(std::max(now_ns_ - begin_ns, kPieceNsMin));
  }
}

void Core::HandOverChains() {
  chain_waits_ = false;
  for (uint32_t target = 0; target < count_; ++target) {
    if (target == id_ || outgoing_[target].empty()) continue;
    Core& peer = *peers_[target];
    MessageChain& chain = outgoing_[target];
    Message* head = chain.Release();
    if (!peer.mailboxes_[id_].TryPush(head, causal_clock, mailbox_chains_max_)) {
      PAKV_COVERED(kMailboxFull);
      chain.Reassign(head);
      chain_waits_ = true;
      continue;
    }
    ++counters_.chains_sent;
    peer.mail_from_[id_ / 64].fetch_or(uint64_t{1} << (id_ % 64), std::memory_order_seq_cst);
    if (PAKV_BUG(kLostWakeUp)) continue;
    if (peer.sleep_.TakeWakeDuty()) {
      ++counters_.wakes_sent;
      peer.ring_->Wake();
    }
  }
}

void Core::PrepareToSleep() {
  asleep_ = false;
  if (!ready_.empty() || !pass_end_.empty() || !idle_.empty() || !outgoing_[id_].empty()) return;
  sleep_.AnnounceSleep();
  if (MailWaits()) {
    sleep_.AnnounceAwake();
    return;
  }
  asleep_ = true;
}

uint64_t Core::next_deadline_ns() const {
  const uint64_t deadline_ns = timers_.next_deadline_ns();
  return chain_waits_ ? std::min(deadline_ns, now_ns_ + kFullMailboxRetryNs) : deadline_ns;
}

void Core::RunPass() {
  ring_->Enter(asleep_ ? next_deadline_ns() : 0, completed_);
  if (asleep_) sleep_.AnnounceAwake();
  ReadClock();
  const uint64_t begin_ns = now_ns_;
  CurrentCheckContext() = {static_cast<int32_t>(id_), seed_, now_ns_};
  ++counters_.passes;

  // Now that what the last pass asked for is under way.
  RunIdle();
  const uint64_t others_begin_ns = now_ns_;
  while (!completed_.empty()) {
    ++counters_.completions;
    completed_.PopFront().Complete();
  }
  TakeMail();
  timers_.Fire(now_ns_);
  for (int round = 0; round < kReadyRoundsMax && !ready_.empty(); ++round) ready_.RunReady();
  IntrusiveList<Runnable> hooks;
  hooks.Splice(pass_end_);
  while (!hooks.empty()) hooks.PopFront().Run();
  HandOverChains();
  const uint64_t end_ns = clock_.MonotonicNs();
  stalls_.PassEnded(id_, begin_ns, end_ns);
  idle_credit_ns_ += static_cast<int64_t>(std::max(end_ns - others_begin_ns, kPieceNsMin));
  idle_credit_ns_ = std::min(idle_credit_ns_, kIdleCreditNsMax);
  PrepareToSleep();
}

void Core::Run() {
  ring_->Start();
  while (!leaving_) RunPass();
  ring_->Stop();
}

}  // namespace pakv
