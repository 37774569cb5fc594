// Transaction: several keys, read and written as one. Atomic to readers and to crashes, wherever
// its keys are owned; isolated: between what it sees and what it writes nobody else writes its
// keys.
//
//   Transaction transaction(session);
//   const size_t from = transaction.AddKey(hash, namespace_id, "from", OldState::kValue, true);
//   ...
//   const Outcome outcome = co_await store.Transact(here, transaction, [&](Transaction& t) {
//     if (!t.Old(from).exists) return false;
//     t.Write(from, "value", kNoExpiry);
//     return true;
//   });
//
// All keys on one owner, and no more than StoreOptions::part_keys_max: it decides and writes by
// itself, in one block with one LSN that is published at once; no key is held unless a value has to
// come from the device. Several owners, or many keys: the caller's core coordinates
// (kv/shard/messages/transaction_part.h has the steps and why nothing deadlocks):
//
//   lock, owner by owner ─► decide ─► one block in the coordinator's log, one LSN above all clocks
//     ─► durable ─► close: reads of these keys wait, at all owners ─► publish and let go
//
// When the first owner publishes, no other shows the old values any more: a reader that has seen a
// new one waits for the others, and who has seen an old one came before. The close is a message,
// never a flush. It is left out if one owner alone is written; and if one other than the
// coordinator is, that one publishes while the coordinator's own keys are closed. Neither if an
// owner has so many keys that it publishes them in several passes.
//
// A crash before the block is durable: nothing of it. After it: all of it, whatever was published.
// In between the records lie durable in a log whose index entries do not exist yet; compaction
// leaves their segment alone meanwhile (Shard::FateOf). A refusal (Admit) lets the keys go and
// nothing has happened; a log that fails afterwards leaves the outcome unknown and shows nothing.
//
// Who is told that a key's time is over is told when that is durable. The whole is judged by the
// largest of its owners' expiry clocks, and that is every owner's clock before the keys are let go:
// nobody is told of a later time than the next reader sees.
//
// Bounds: kTransactionKeysMax keys of about 0.6 KiB here, kTransactionBytesMax of keys and written
// values, kPartReadBytesMax of old values per owner; where functions are run, too
// kTransactionReplyBytesMax of their replies, and kTransactionWorkBytesMax of the values that are
// written one after another, whatever is left of them. Beyond: kTooLarge, and nothing has happened.
// Old values and replies of all transactions share the owners' memory
// (kv/shard/state/transaction_memory.h): kNoRoom, likewise.
// A transaction is never given up half-way: when its session goes away it still ends, and a store
// that stops waits for those under way and begins no further one (kStopping).
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <cstddef>
#include <cstdint>
#include <forward_list>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kv/shard/messages/request.h"
#include "kv/shard/messages/transaction_part.h"
#include "kv/shard/messages/watch.h"
#include "runtime/base/chunked_vector.h"

namespace pakv {

inline constexpr size_t kTransactionKeysMax = 65'536;
inline constexpr size_t kTransactionBytesMax = size_t{16} << 20;
inline constexpr size_t kTransactionReplyBytesMax = size_t{64} << 20;
inline constexpr size_t kTransactionWorkBytesMax = size_t{64} << 20;

// The keys that a session watches, each since its own moment. Belongs to the session, on its core;
// Store::Watch and Store::Unwatch change it. Empty when it is destroyed, unless the cores are gone.
// Who adds to it bounds it: a transaction takes kTransactionKeysMax keys and kTransactionBytesMax.
class Watches {
 public:
  Watches() = default;
  Watches(const Watches&) = delete;
  Watches& operator=(const Watches&) = delete;

  bool empty() const { return known_.empty(); }
  size_t count() const { return known_.size(); }
  // Memory that the watches take, here and at the owners; and what one of `key` takes.
  size_t memory_bytes() const { return bytes_; }
  static size_t BytesOf(std::string_view key) { return kBytesBesideKey + key.size(); }

 private:
  friend class Store;
  friend class Transaction;
  // Of a watch: itself, its link here, its places in the set and in the owner's table.
  static constexpr size_t kBytesBesideKey = sizeof(Watch) + 96;
  // Equal are those of one key.
  struct Name {
    explicit Name(const Watch& watch)
        : hash(watch.hash), namespace_id(watch.namespace_id), key(watch.key) {}
    Name(uint64_t hash_in, uint32_t namespace_id_in, std::string_view key_in)
        : hash(hash_in), namespace_id(namespace_id_in), key(key_in) {}
    bool operator==(const Name&) const = default;
    uint64_t hash;
    uint32_t namespace_id;
    std::string_view key;
  };
  struct HashOfName {
    size_t operator()(const Name& name) const { return name.hash; }
  };

  // The watch of a key that was not watched; nullptr if it is already.
  Watch* Add(uint32_t owner, const Name& name);

  std::map<uint32_t, std::forward_list<Watch>> of_owner_;  // which do not move
  absl::flat_hash_set<Name, HashOfName> known_;            // views of their keys
  size_t bytes_ = 0;
};

class Transaction {
 public:
  // Whoever starts it starts nothing else of this session until it has ended.
  explicit Transaction(uint64_t session) : session_(session) {}
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  // On the core of its session. What its replies hold goes back.
  ~Transaction();

  // ---- Before Transact ----
  // `needs`: what it wants to know of the key. The same key twice is one, with the larger needs.
  // Returns its index. The bytes of `key` stay as they are until Transact has returned.
  size_t AddKey(uint64_t hash, uint32_t namespace_id, std::string_view key, OldState needs,
                bool may_write);
  // The key's value may lie in a file; it was added with kValueOrFile. Old then has the reference,
  // and the file stays pinned until Store::ReleaseFiles.
  void TakeFile(size_t index) { Key(index).takes_file = true; }
  // Decides nothing and writes nothing if one of these keys has changed since it is watched; see
  // watch_broken. `watches` stays as it is until Transact has returned.
  void Require(const Watches& watches);
  // Functions that are run may reply with so many bytes and no more (kNoRoom), for now.
  void LimitReplies(size_t bytes) { reply_bytes_max_ = bytes; }

  size_t key_count() const { return own_keys_.size(); }
  // Of its keys, apart from what they were and become.
  size_t memory_bytes() const { return own_keys_.memory_bytes(); }
  // When all is over: frees a part of its keys. False: the destructor frees the rest in no time.
  bool FreeSome();

  // ---- Within `decide` ----
  // What is known of the key: as it was before, then as the writes so far have left it (without an
  // LSN then). Valid until it is written.
  OldValue Old(size_t index) const { return Key(index).Now(); }
  // Copies the value, which may be a view of Old's. The key was added with may_write.
  void Write(size_t index, std::string_view value, uint64_t expiry_ms);
  // As Write, of bytes that stay as they are until Transact has returned: not copied.
  void WriteKept(size_t index, std::string_view value, uint64_t expiry_ms);
  // As Write, of a value in a file: `reference` is of a ValueUpload for this write. `admitted`: see
  // Request::file_admitted.
  void WriteFile(size_t index, std::string_view reference, uint64_t expiry_ms, bool* admitted);
  void Delete(size_t index);
  // Runs a command's function on the key as it is by now, and does what it says. The reply is in
  // `request`, kept; its `lsn` is that of the value it saw, see lsn() for what it wrote. The bytes
  // of its `value` stay as they are until Transact has returned: written, they are not copied.
  // Functions
  // of reads may also run after Snapshot. From the first refusal() on nothing is run.
  void Run(size_t index, Request& request);
  // Not kDone: it has come to more than it may, and as a whole has not happened.
  Outcome refusal() const {
    if (too_large()) return Outcome::kTooLarge;
    return lacks_room_ ? Outcome::kNoRoom : Outcome::kDone;
  }
  // Milliseconds since 1970. What Old shows lives beyond it.
  uint64_t expiry_clock_ms() const { return clock_ms_; }

  // ---- Afterwards ----
  // Of its writes; kNoLsn if there are none.
  Lsn lsn() const { return lsn_; }
  bool watch_broken() const { return watch_broken_; }
  // For outcomes that have a text (HasText): what, and where.
  std::string_view damage() const { return error_; }

 private:
  friend class Store;
  static constexpr size_t kChunkKeys = 16;
  // So many are compared one by one before there is a map.
  static constexpr size_t kUnmappedKeysMax = 32;
  static constexpr size_t kNoKey = SIZE_MAX;
  static constexpr size_t kFreedAtOnce = 1024;

  TransactionKey& Key(size_t index) const { return own_keys_[index]; }
  TransactionKey* FindKey(uint64_t hash, uint32_t namespace_id, std::string_view key,
                          size_t& index);
  void MapByHash(size_t index);
  void TakeClock(Shard& shard, uint64_t clock_ms) {
    shard_ = &shard;
    clock_ms_ = clock_ms;
  }
  bool too_large() const {
    return key_count() > kTransactionKeysMax || bytes_ > kTransactionBytesMax ||
           work_bytes_ > kTransactionWorkBytesMax || reply_bytes_ > kTransactionReplyBytesMax;
  }
  bool KeepsReply(Request& request);
  void WriteValue(size_t index, std::string_view value, uint64_t expiry_ms, bool is_kept);
  bool any_written() const;
  // A key that it would make is too much for its owner's memory.
  bool lacks_memory() const;

  const uint64_t session_;
  ChunkedVector<TransactionKey, kChunkKeys> own_keys_;
  std::vector<uint64_t> hashes_;  // by index
  // Beyond kUnmappedKeysMax: the newest key of each hash, and by index the one before it.
  absl::flat_hash_map<uint64_t, size_t> by_hash_;
  std::vector<size_t> same_hash_before_;
  size_t bytes_ = 0;
  size_t work_bytes_ = 0;  // written so far, also what was written over
  size_t reply_bytes_ = 0;
  size_t reply_bytes_max_ = SIZE_MAX;
  size_t held_bytes_ = 0;  // of them, charged to shard_
  bool lacks_room_ = false;

  std::vector<TransactionKey*> keys_;         // grouped by owner, those in ascending order
  std::unique_ptr<TransactionPart[]> parts_;  // one per owner, in that order
  size_t part_count_ = 0;

  Shard* shard_ = nullptr;  // that decides
  uint64_t clock_ms_ = 0;
  Lsn lsn_ = kNoLsn;
  bool watch_broken_ = false;
  std::string error_;
};

}  // namespace pakv
