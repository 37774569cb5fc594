// What a transaction (kv/store/transaction.h) does at one owner of its keys: a message that goes
// there for each step and comes back when the step is done.
//
//   kLock     the part's keys are held, their old states known
//   kClose    reads of the keys that are written wait
//   kPublish  what is durable is shown, if it is to be, and all keys are let go
//   kAlone    all of it: this owner has all the keys, so it decides and writes by itself
//   kLook     for a snapshot: the states now, nothing is held
//   kConfirm  for a snapshot: whether they still are those
//
// Locks. A key is held by one transaction at a time. Who wants it queues behind all who came before
// (BlockedKey): a device read with its writers, other transactions. Its pending writes are waited
// for, so a key that is held has none. Behind it queue new writes and transactions, in order; plain
// reads go on from the published value until the key is closed. A part asks for all its keys in one
// go, so any two transactions stand in the same order in all queues of one owner; owners are asked
// in the order of their numbers, one after the other: there is no cycle. A FLUSH waits for nobody
// (Shard::Freeze), and what it has removed is judged by its LSN: see Shard::Judge.
//
// Many keys. A step works on so many of them in one pass (ShardOptions::part_keys_max), then others
// have their turn. What keeps such a part whole: while it asks for its keys no other part asks
// (Shard::AskInSteps); its keys are closed before the first is published, and none is let go before
// the last is (Store::PublishFirst); what a snapshot has seen of it is confirmed, also of one
// owner. The coordinator decides in one pass (Store::TransactTogether says why), and encodes the
// records in as many as it takes (Shard::WriteAsOne).
//
// What the owner does is in shard_transaction.cc; what a part asks of it, in shard_messages.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "kv/shard/messages/request.h"
#include "kv/shard/messages/watch.h"
#include "runtime/core/mailbox.h"
#include "runtime/task/ready_queue.h"

namespace pakv {

class TransactionPart;

// One key. It is a Request, so that it can stand where requests stand: in a key's queue, behind a
// device read, among the pending writes, in the log.
class TransactionKey : public Request {
 public:
  TransactionPart* part = nullptr;
  bool may_write = false;
  // A value in a file is kept as the reference to it, with needs kValueOrFile; the file is pinned,
  // until Store::ReleaseFile.
  bool takes_file = false;
  bool is_written = false;  // `new_value` or a delete, with its expiry
  OldValue old;             // as its owner found it; the value lies in old_bytes
  std::string old_bytes;
  std::string_view new_value;  // of new_bytes, or of whoever wrote it
  std::string new_bytes;
  bool is_charged = false;       // of its owner's memory, as if it were new
  bool lacks_memory = false;     // it is new, and there is no memory for it
  const Watch* watch = nullptr;  // has to be unmarked
  Watch absent;                  // a snapshot's, if it found no value

  // Copies.
  void KeepOld(const OldValue& found);
  // What the transaction has made of the key so far.
  OldValue Now() const;
  // Copies, unless the bytes stay as they are for as long as this does (`is_kept`).
  void Write(std::string_view bytes, uint64_t bytes_expiry_ms, bool is_kept);
  void WriteFile(std::string_view reference, uint64_t file_expiry_ms, bool* admitted);
  void Delete();
};

class TransactionPart : public Message {
 public:
  enum class Step : uint8_t { kLock, kClose, kPublish, kAlone, kLook, kConfirm };

  TransactionPart() : decides_(*this) {}
  // On the core that sent it, when it has come back.
  ~TransactionPart() { ForgetOld(); }

  Shard* shard = nullptr;
  uint32_t source_core = 0;
  std::span<TransactionKey* const> keys;  // at least one, none twice
  Step step = Step::kLock;
  // Called on the core that sent it.
  void (*returned)(TransactionPart&) = nullptr;
  // kAlone: decides, on the owner's core. False: nothing is written.
  bool (*decide)(TransactionPart&) = nullptr;
  void* transaction = nullptr;
  // kPublish: what is written is durable. If not, nothing is shown.
  bool is_durable = false;
  // kLook: no other owner has keys, and all are looked at in one pass, so what is found need not be
  // confirmed.
  bool is_only = false;
  Location block;  // then: what is written lies in it
  // One of its keys is written.
  bool is_written = false;
  // The expiry clock of the whole: the largest of its owners'. kLock, kAlone, kLook: what it is
  // here.
  uint64_t clock_ms = 0;

  // ---- Found by the owner ----
  Outcome outcome = Outcome::kDone;
  std::string error;         // the text of an outcome that has one (HasText)
  Lsn lsn = kNoLsn;          // kAlone: of what was written
  bool is_unproven = false;  // a key was found over, and no durable block says so yet
  bool is_changed = false;   // a watch is marked
  // kLook: it has to be looked again. kConfirm: it is not as it was.
  bool is_disturbed = false;

  bool holds() const { return holds_; }

 private:
  friend class Shard;
  friend class TransactionKey;
  enum class Doing : uint8_t { kLocking, kReading, kWriting };
  // The owner: one more old value is kept, if the answer is kDone.
  Outcome KeepsOld(size_t bytes);
  void ForgetOld();
  struct Decides : Runnable {
    explicit Decides(TransactionPart& part_in);
    TransactionPart& part;
  };
  Doing doing_ = Doing::kLocking;
  size_t left_ = 0;         // keys that it is not done with
  size_t read_bytes_ = 0;   // of old values, which count as the owner's memory
  bool holds_ = false;      // its keys
  bool is_closed_ = false;  // it is being published: reads of what is written wait, until let go
  Decides decides_;
};

// Bytes of old values that one part keeps; with more it ends as kTooLarge. What all of them keep of
// an owner's memory is bounded, too (kv/shard/state/transaction_memory.h, kNoRoom).
inline constexpr size_t kPartReadBytesMax = size_t{64} << 20;
// Keys of a part that one pass works on, as a rule.
inline constexpr size_t kPartKeysMax = 512;

}  // namespace pakv
