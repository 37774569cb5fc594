// ReplyQueue: the replies of one session, from the start of a request until its bytes are in the
// output. A slot is the request that travels to its key's owner and back
// (kv/shard/messages/request.h), so nothing is copied or allocated on the way.
//
// In order (RESP), a slot that is filled before its turn keeps its reply; the filled prefix moves
// to the output. In any order (the pakv protocol), a filled slot's reply is encoded at once. Either
// way none is while the output is full: slots keep their replies until enough of it was sent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kv/shard/messages/request.h"
#include "net/session/buffers/output_buffer.h"

namespace pakv {

class Session;

enum class ReplyOrder : uint8_t { kAsRequested, kAny };

class ReplySlot final : public Request {
 public:
  ReplySlot() { may_be_put_off = true; }

  // Appends the reply to `output`. Set by whoever starts the request.
  using Encode = void (*)(const ReplySlot& slot, OutputBuffer& output);
  Encode encode = nullptr;
  // Of a reply that nobody wants.
  static void EncodeNothing(const ReplySlot&, OutputBuffer&) {}
  bool is_unwanted() const { return encode == &EncodeNothing; }
  uint64_t id = 0;  // the client's own, in the pakv protocol
  bool is_write = false;

 private:
  friend class ReplyQueue;
  friend class SlotPool;
  friend class Session;
  friend class PutOffReplies;

  Session* session_ = nullptr;
  ReplySlot* next_ = nullptr;    // in the queue, or among the free ones
  ReplySlot* parent_ = nullptr;  // of the command that this is a part of
  uint32_t parts_ = 0;           // not yet back, of a command on several keys
  uint32_t reserved_args_bytes_ = 0;
  uint32_t reserved_reply_bytes_ = 0;
  uint32_t due_bytes_ = 0;   // of a reply that was put off, once it was asked for again
  uint32_t kept_bytes_ = 0;  // of its own memory, while it is free
#ifdef PAKV_SIMULATOR
  uint32_t args_checksum_ = 0;  // of key and value, from StartKey to their start
#endif
  bool filled_ = false;
  bool put_off_ = false;  // and not asked for again
  bool is_text_ = false;  // text_ is the reply
  OutputBuffer text_;
};

// The slots of one core, in chunks that are allocated as they are needed. The one that was used
// last is the next to be used, so that few of them are warm.
class SlotPool {
 public:
  SlotPool() = default;
  SlotPool(const SlotPool&) = delete;
  SlotPool& operator=(const SlotPool&) = delete;
  ~SlotPool();

  // The slot that the next Take returns.
  ReplySlot& Peek() {
    if (free_ == nullptr) [[unlikely]]
      AddChunk();
    return *free_;
  }
  ReplySlot& Take();
  // `slot` is nobody's any more.
  void Give(ReplySlot& slot);

  size_t slots() const { return chunks_.size() * kChunkSlots; }
  size_t taken() const { return taken_; }
  size_t kept_bytes() const { return kept_bytes_; }

 private:
  static constexpr size_t kChunkSlots = 32;
  // Bytes that free slots may hold in their own memory, all together.
  static constexpr size_t kKeptBytesMax = 8 << 20;

  void AddChunk();

  std::vector<std::unique_ptr<ReplySlot[]>> chunks_;
  ReplySlot* free_ = nullptr;
  size_t taken_ = 0;
  size_t kept_bytes_ = 0;
};

class ReplyQueue {
 public:
  // The output is full from `output_bytes_max` on; one reply may go beyond that.
  explicit ReplyQueue(SlotPool& pool, size_t output_bytes_max = SIZE_MAX)
      : pool_(pool), output_bytes_max_(output_bytes_max) {}
  ReplyQueue(const ReplyQueue&) = delete;
  ReplyQueue& operator=(const ReplyQueue&) = delete;

  // Before the first request.
  void set_order(ReplyOrder order) { order_ = order; }

  // Replies that are ready to be sent.
  OutputBuffer& output() { return output_; }
  const OutputBuffer& output() const { return output_; }
  // No reply waits for its turn.
  bool empty() const { return head_ == nullptr; }
  size_t count() const { return count_; }
  // Of replies in the output and of those that wait for their turn.
  size_t unsent_bytes() const { return output_.size() + held_bytes_; }
  // But for what counts as the owners' memory (Request::room_bytes).
  size_t memory_bytes() const { return output_.capacity() + held_bytes_ - room_bytes_; }
  bool is_full() const {
    return output_.size() + sending_bytes_ >= output_bytes_max_ && !discarding_;
  }
  // What has left the output and is being sent counts as if it were there. With less of it, replies
  // may leave that were kept: then there is more output.
  void SetSending(size_t bytes) {
    sending_bytes_ = bytes;
    if (head_ != nullptr && bytes == 0) PassFilled();
  }
  // Whether a reply that was put off may be asked for again, and one of which nothing comes before
  // it: its turn has come.
  bool has_room_for_due() const {
    return output_.size() + sending_bytes_ + due_bytes_ < output_bytes_max_;
  }
  ReplySlot* PutOffNext() const {
    return head_ != nullptr && head_->put_off_ && !is_full() ? head_ : nullptr;
  }
  // The reply of `slot` was asked for again; it counts until it is in the output.
  void AddDue(ReplySlot& slot, uint32_t bytes) {
    slot.due_bytes_ = bytes;
    due_bytes_ += bytes;
  }

  // Where the next reply's bytes go when they are known already: write them, then call Close.
  OutputBuffer& Open();
  void Close();

  // `slot`'s reply is known and it is nobody's but this call's: encodes it. False: it has to keep
  // its reply for its turn, so the caller takes it from the pool and appends it.
  bool PassAtOnce(ReplySlot& slot) {
    if (head_ != nullptr && order_ == ReplyOrder::kAsRequested) return false;
    if (slot.reply.kind >= Reply::Kind::kFile || is_full()) [[unlikely]]
      return false;
    slot.encode(slot, output_);
    return true;
  }
  // `slot`, taken from the pool, is the next in order.
  void Append(ReplySlot& slot);
  // `slot`'s reply is known: it goes to the output now, or as soon as it is its turn, and the slot
  // back to the pool then.
  void Fill(ReplySlot& slot);

  // The slot whose turn it is and whose value lies in a file (Reply::Kind::kFile); nullptr if there
  // is none. It is not passed by itself, nor is what comes behind it in order, until EndFile: its
  // value is written to output() meanwhile, and its file is released.
  ReplySlot* FileDue() const {
    return head_ != nullptr && head_->filled_ && head_->reply.kind == Reply::Kind::kFile ? head_
                                                                                         : nullptr;
  }
  void EndFile();

  // From now on replies are dropped, but for those of the kind kFile.
  void Discard();

 private:
  void Pass(ReplySlot& slot);
  void Keep(ReplySlot& slot);
  void Forget(const ReplySlot& slot);
  void Link(ReplySlot& slot);
  void PassFilled();
  void PassAny();

  SlotPool& pool_;
  const size_t output_bytes_max_;
  ReplyOrder order_ = ReplyOrder::kAsRequested;
  bool discarding_ = false;
  ReplySlot* head_ = nullptr;
  ReplySlot* tail_ = nullptr;
  size_t count_ = 0;
  size_t held_bytes_ = 0;
  size_t room_bytes_ = 0;  // of these
  size_t due_bytes_ = 0;
  size_t sending_bytes_ = 0;
  size_t open_bytes_ = 0;  // of what Open gave, before
  OutputBuffer output_;
};

}  // namespace pakv
