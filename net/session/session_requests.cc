// The parts of Session that start requests on the store, and take them back with their replies.
#include <algorithm>
#include <array>
#include <span>
#include <utility>
#include <vector>

#include "net/session/session.h"
#include "runtime/base/check.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/seeded_bug.h"

namespace pakv {
namespace {

// Of what is expected of a reply, at least so much.
constexpr uint32_t kReplyBytesExpectedMin = 64;
// A slot that is used again at once keeps this much of what the last request made.
constexpr size_t kScratchBytesKept = 4096;

#ifdef PAKV_SIMULATOR
uint32_t ArgsChecksum(const ReplySlot& slot) {
  const uint32_t of_key = Crc32c(0, slot.key.data(), slot.key.size());
  return Crc32c(of_key, slot.value.data(), slot.value.size());
}
#endif

}  // namespace

void Session::Reserve(ReplySlot& slot) {
  slot.session_ = this;
  slot.reserved_reply_bytes_ = slot.needs >= OldState::kValue ? reply_bytes_expected_ : 0;
  reserved_reply_bytes_ += slot.reserved_reply_bytes_;
  ++outstanding_;
  if (slot.is_write) {
    ++writes_outstanding_;
    slot.reserved_args_bytes_ =
        static_cast<uint32_t>(sizeof(ReplySlot) + slot.key.size() + slot.value.size());
    group_.write_budget.Take(slot.reserved_args_bytes_);
  } else {
    group_.read_budget.Take(slot.reserved_reply_bytes_);
  }
}

void Session::StartKey(ReplySlot& slot) {
  slot.hash = store_->Hash(slot.namespace_id, slot.key);
#ifdef PAKV_SIMULATOR
  slot.args_checksum_ = ArgsChecksum(slot);
#endif
  if (++group_.batch.count == SessionGroup::Batch::kMax || !batching_) StartBatchNow();
}

void Session::StartBatchNow() {
  SessionGroup::Batch& batch = group_.batch;
  const size_t count = std::exchange(batch.count, 0);
  std::array<uint64_t, SessionGroup::Batch::kMax> hashes;
  size_t hash_count = 0;
  for (size_t index = 0; index < count; ++index) {
    const ReplySlot& slot = *batch.slots[index];
    PAKV_DCHECK(slot.args_checksum_ == ArgsChecksum(slot), "see StartKey: its bytes have changed");
    if (slot.needs != OldState::kNothing) {
      hashes[hash_count++] = slot.hash;
    } else {
      store_->PrefetchPending(core_, slot.hash);
    }
  }
  store_->Prefetch(core_, std::span(hashes.data(), hash_count));
  for (size_t index = 0; index < count; ++index) {
    ReplySlot& slot = *batch.slots[index];
    bool is_put_off = false;
    if (StartNow(slot)) {
      if (queue_.PassAtOnce(slot)) {
        if (slot.scratch.capacity() > kScratchBytesKept) [[unlikely]]
          slot.Reset();
        continue;
      }
      is_put_off = !Keeps(slot);
      slot.filled_ = !is_put_off;
    } else {
      Reserve(slot);
    }
    batch.slots[index] = nullptr;
    queue_.Append(slot);
    if (is_put_off) [[unlikely]]
      PutOff(slot);
  }
  StartStream();
  HasOutput();
}

// Of a slot that is complete but cannot be passed now: false, if its reply is put off.
bool Session::Keeps(ReplySlot& slot) {
  slot.session_ = this;
  store_->KeepsReply(slot);
  return slot.reply.kind != Reply::Kind::kLater;
}

// Its owner had no room for its reply. It counts as unsent all the same.
void Session::PutOff(ReplySlot& slot) {
  PAKV_DCHECK(slot.parent_ == nullptr, "parts have small replies");
  const auto bytes = static_cast<uint32_t>(slot.reply.integer);
  slot.reserved_reply_bytes_ = bytes;
  reserved_reply_bytes_ += bytes;
  reply_bytes_expected_ = std::max(reply_bytes_expected_, bytes);
  if (broken_) return DropPutOff(slot);
  if (discarding_) linger_end_ns_ = core_.now_ns() + kLingerNs;
  if (put_off_ == nullptr) put_off_ = std::make_unique<PutOffReplies>(*this);
  put_off_->Add(slot);
}

void Session::StartDue(ReplySlot& slot) {
  ++outstanding_;
  group_.read_budget.Take(slot.reserved_reply_bytes_);
  queue_.AddDue(slot, slot.reserved_reply_bytes_);
  store_->StartDue(core_, slot);
}

void Session::DropPutOff(ReplySlot& slot) {
  reserved_reply_bytes_ -= slot.reserved_reply_bytes_;
  slot.reply = Reply();
  queue_.Fill(slot);
}

void Session::StartStream() {
  if (queue_.FileDue() == nullptr) [[likely]]
    return;
  if (stream_ == nullptr) stream_ = std::make_unique<ReplyStream>(*this);
  if (discarding_) linger_end_ns_ = core_.now_ns() + kLingerNs;
  stream_->Start();
}

// True: it is complete.
bool Session::StartNow(ReplySlot& slot) {
  slot.session = info_.id;
  slot.session_has_writes = writes_outstanding_ > 0 && !PAKV_BUG(kGetMissesOwnSet);
  slot.done = &Session::Done;
  return store_->Start(core_, slot);
}

ReplySlot& Session::BeginParts(ReplySlot::Encode encode) {
  StartBatch();
  ReplySlot& whole = group_.slots().Take();
  whole.encode = encode;
  whole.outcome = Outcome::kDone;
  whole.reply = Reply();
  whole.reply.kind = Reply::Kind::kInteger;
  whole.session_ = this;
  whole.parts_ = 1;  // until EndParts
  queue_.Append(whole);
  return whole;
}

void Session::StartPart(ReplySlot& whole, ReplySlot& slot) {
  slot.hash = store_->Hash(slot.namespace_id, slot.key);
  if (StartNow(slot)) {
    AddPart(whole, slot);
    return;
  }
  Reserve(TakePart(whole));
}

ReplySlot& Session::TakePart(ReplySlot& whole) {
  ReplySlot& slot = *std::exchange(group_.batch.slots[0], nullptr);
  slot.parent_ = &whole;
  ++whole.parts_;
  ++parts_;
  return slot;
}

void Session::StartGroup(ReplySlot* const* parts, size_t count) {
  std::vector<Request*> requests(count);
  for (size_t index = 0; index < count; ++index) {
    ReplySlot& slot = *parts[index];
    slot.hash = store_->Hash(slot.namespace_id, slot.key);
    slot.session = info_.id;
    slot.done = &Session::Done;
    Reserve(slot);
    requests[index] = &slot;
  }
  store_->StartGroup(core_, requests.data(), count);
}

void Session::EndParts(ReplySlot& whole) {
  if (--whole.parts_ > 0) return;
  queue_.Fill(whole);
  HasOutput();
}

void Session::AddPart(ReplySlot& whole, const ReplySlot& part) {
  if (whole.outcome != Outcome::kDone || whole.reply.kind == Reply::Kind::kError) return;
  if (part.outcome == Outcome::kDone && part.reply.kind != Reply::Kind::kError) {
    whole.reply.integer += part.reply.integer;
    return;
  }
  whole.outcome = part.outcome;
  whole.reply = part.reply;
  whole.KeepReply();
}

void Session::Done(Request& request) {
  ReplySlot& slot = static_cast<ReplySlot&>(request);
  slot.session_->Returned(slot);
}

void Session::Returned(ReplySlot& slot) {
  --outstanding_;
  if (slot.is_write) {
    --writes_outstanding_;
    group_.write_budget.Give(slot.reserved_args_bytes_);
  } else {
    group_.read_budget.Give(slot.reserved_reply_bytes_);
  }
  if (slot.needs >= OldState::kValue) {
    reserved_reply_bytes_ -= slot.reserved_reply_bytes_;
    const auto bytes = static_cast<uint32_t>(slot.reply.bytes.size());
    reply_bytes_expected_ = std::max(
        {bytes, reply_bytes_expected_ - reply_bytes_expected_ / 8, kReplyBytesExpectedMin});
  }
  if (slot.reply.kind == Reply::Kind::kLater) [[unlikely]] {
    PutOff(slot);
    StartStream();
    return Poke();
  }
  if (queue_.output().capacity() == 0) group_.BorrowBuffer(queue_.output());
  if (slot.parent_ == nullptr) {
    queue_.Fill(slot);
  } else {
    ReplySlot& whole = *slot.parent_;
    AddPart(whole, slot);
    --parts_;
    group_.slots().Give(slot);
    if (--whole.parts_ == 0) queue_.Fill(whole);
  }
  StartStream();
  HasOutput();
  Poke();
}

}  // namespace pakv
