// Shard: what one core owns of the store: the published index with its cache, the pending writes,
// and the log that they go to.
//
//   Start ─► old state (newest pending, else published) ─► function ─► record in the open block
//                                                                         │ durable
//   reply ◄────────────────── published: index and cache ◄────────────────┘
//
// Reads see what is published, which is durable; only a read behind its own session's pending write
// waits, for that write alone. Whatever was decided by a pending write is answered when that write
// is durable. While a key's value is read from the device, or a transaction holds the key
// (kv/shard/messages/transaction_part.h), later writes to it queue behind; other keys pass.
//
// Long because: one core's state is one class; what is done to it lies in shard_*.cc by subject.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/functional/function_ref.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kv/index/drops.h"
#include "kv/index/table.h"
#include "kv/index/value_cache.h"
#include "kv/log/format/lsn.h"
#include "kv/log/read/log_reader.h"
#include "kv/log/read/recovery_sink.h"
#include "kv/log/write/log_writer.h"
#include "kv/shard/messages/request.h"
#include "kv/shard/messages/transaction_part.h"
#include "kv/shard/messages/watch.h"
#include "kv/shard/state/dead_records.h"
#include "kv/shard/state/expiry.h"
#include "kv/shard/state/memory_share.h"
#include "kv/shard/state/pending.h"
#include "kv/shard/state/reply_room.h"
#include "kv/shard/state/stats.h"
#include "kv/shard/state/transaction_memory.h"
#include "kv/shard/values/value_edit.h"
#include "kv/shard/values/value_files.h"
#include "runtime/core/core.h"
#include "runtime/io/timer.h"
#include "runtime/task/nursery.h"
#include "runtime/task/sync.h"

namespace pakv {

struct ShardOptions {
  HashRange range;           // of the hashes that it owns
  uint64_t cache_bytes = 0;  // of values kept in memory
  // Entries that one pass looks at to take out what was dropped.
  uint32_t sweep_dropped_step = 64;
  // Longer values lie in files.
  uint32_t inline_value_bytes_max = 1 << 20;
  // Values are nowhere else than in the cache: it drops none, and they count as the index does.
  bool keeps_values = false;
  // Of old values and replies that transactions hold.
  uint64_t transaction_bytes_max = TransactionMemory::kBytesMax;
  // Keys of a transaction's part that one pass works on: about 300 us.
  size_t part_keys_max = kPartKeysMax;
  // For the simulator: how long it waits between such passes.
  uint64_t part_pause_ns = 0;
  // Of large replies that were not passed on yet, and from how many bytes on one is large.
  uint64_t reply_bytes_max = ReplyRoom::kBytesMax;
  size_t large_reply_bytes = kLargeReplyBytes;
  // Of buffers that records are read into, a quarter for short ones; one may be larger.
  uint64_t device_read_bytes_max = uint64_t{64} << 20;
};

class Shard {
 public:
  // `reader` and everything in `context` outlive the shard.
  Shard(Core& core, const ShardOptions& options);
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;
  // Stop was awaited, or the core is torn down.
  ~Shard();

  // ---- Recovery: before Run ----
  // Records that were found: the newest LSN of a key wins, in whatever order they come.
  struct HashedRecord {
    uint64_t hash = 0;
    const RecoveredRecord* record = nullptr;
  };
  void Recover(std::span<const HashedRecord> records);
  // A drop that was found: everything older in its namespace is gone, also what comes later.
  void RecoverDrop(uint32_t namespace_id, Lsn lsn);
  // All was found: lets go of tombstones and of what was dropped. Yields now and then. Suspends.
  Task<bool> FinishRecovery();
  // After that: the value files that keys refer to, and whose are missing or too short, but for
  // keys whose time was over at `clock_ms`, which is durable. An error is the system's. Suspends.
  Task<absl::StatusOr<ValueFileList>> ListValueFiles(const StoreDirectory& directory,
                                                     const std::set<uint64_t>& present,
                                                     uint64_t clock_ms);
  // Starts serving. `largest` is above every LSN in the directory.
  void Run(const LogContext& context, const LogWriterOptions& log_options, LogReader& reader,
           ValueFiles& files, Lsn largest);

  // A sealed segment, of whatever log, that is without a footer. After Run.
  void AddFooterJob(const FooterJob& job) { log_->footers().Add(job); }

  // ---- Serving ----
  // See Store::Start; the request's owner is this shard.
  [[nodiscard]] bool Start(Request& request);
  void StartGroup(Request& leader);
  // See Store::Prefetch: at most kPrefetchMax of them. One would only wait twice: does nothing.
  static constexpr size_t kPrefetchMax = 16;
  void Prefetch(std::span<const uint64_t> hashes) const;
  // See Store::PrefetchPending.
  void PrefetchPending(uint64_t hash) const { pending_.Prefetch(hash); }
  // `request` has come from another core and is run now: of each few that came together, the first
  // lets all of them be fetched.
  void PrefetchArrived(const Request& request);
  // Gives a completed request back to the core that started it.
  void Complete(Request& request);
  // A request that Start has completed and whose reply is kept: takes room for it, if it is large,
  // or puts it off.
  void KeepsReply(Request& request) {
    if (IsLarge(request.reply)) HoldReply(request);
  }

  // FLUSH, step by step by whoever coordinates it, each at all owners before the next: no write is
  // decided between Freeze and Thaw, none is read between CloseReads and Drop. It waits for nobody,
  // also not for a transaction that holds keys: if that one has its LSN it comes before the drop,
  // else its coordinator's Thaw makes it wait until all owners have dropped, and it comes behind.
  void Freeze() { ++freeze_count_; }
  void CloseReads() { ++reads_closed_, ++closed_count_; }
  // Everything in the namespace, or in kEveryNamespace, that is older than `lsn` is gone for
  // readers, at once; its memory comes back in the background.
  void Drop(uint32_t namespace_id, Lsn lsn);
  void OpenReads();
  void Thaw();
  // Appends the record of a drop; this core coordinates. Suspends until it is durable.
  Task<Outcome> WriteDrop(uint32_t namespace_id, Lsn lsn);
  // The next LSN of this core: above all that it has made, recovered, or been told of.
  Lsn NextLsn();

  // ---- Transactions: see kv/shard/messages/transaction_part.h ----
  // Runs a step of the part, whose owner this is; gives it back when that is done.
  void StartPart(TransactionPart& part);
  // As coordinator: whether writes may be decided here. Of FLUSH alone, or of slowed writes too.
  Task<void> WritesMayGo(bool also_slowed);
  // As coordinator, right before it decides: takes out of the old states what a FLUSH has removed
  // since they were read, and what is over by `clock_ms`, which is then this core's clock too.
  struct Judged {
    bool is_unproven = false;
    bool is_changed = false;  // that was watched
  };
  Judged Judge(std::span<TransactionKey* const> keys, uint64_t clock_ms);
  // As coordinator: writes what the keys of other owners have to become, as one. Suspends until it
  // is durable; `block` is where it lies then.
  Task<Outcome> WriteAsOne(std::span<TransactionKey* const> keys, Location& block);
  // A transaction or snapshot of this core's is under way; false: none is begun any more.
  [[nodiscard]] bool BeginTransaction();
  void EndTransaction();
  // No further one is begun, and none is under way. Suspends.
  Task<bool> FinishTransactions();
  // A watch of a key that is owned here.
  void AddWatch(Watch& watch);
  void RemoveWatch(Watch& watch) { watches_.Remove(watch); }
  uint64_t ExpiryClockMs() { return log_->ExpiryClockMs(); }
  // Whether what an edit makes of a value lies in memory, as a record of the log.
  bool EditsInMemory(const OldValue& old, const Request& request, const Change& change) const {
    return !old.in_file &&
           std::max<uint64_t>(request.edit_begin + change.value.size(),
                              old.exists ? old.value_length : 0) <= options_.inline_value_bytes_max;
  }

  // ---- For compaction, which runs on one core and asks the owners ----
  enum class Fate : uint8_t {
    kDead,   // nobody will ask for it
    kLive,   // the index refers to it
    kGrave,  // a delete, or a record that is over: it hides older ones, if there are any
    // A transaction's, durable but not published yet, or one that such a record of the same segment
    // may make dead: the segment has to wait.
    kUnpublished,
  };
  // What becomes of a record that lies at `location`, in a sealed segment in which no transaction
  // that is under way has written with an LSN above `newest`. Drops belong to any core. Of an entry
  // that was dropped and not swept out yet, this is the end.
  Fate FateOf(uint64_t hash, const RecordFields& fields, const Location& location, Lsn newest);
  // Places in that segment whose records are dead, that were noted since it was asked last: FateOf
  // would say so, from now on.
  RecordPlaces TakeDead(uint32_t segment) { return dead_records_.Take(segment); }
  // FateOf for many, whose cache misses are waited for together.
  struct Asked {
    uint64_t hash = 0;
    const RecoveredRecord* record = nullptr;
    Fate fate = Fate::kDead;  // the answer
  };
  void JudgeFates(std::span<Asked> asked, Lsn newest);
  // The index follows records to their copies, those that it still refers to at that place.
  struct Moved {
    uint64_t hash = 0;
    Lsn lsn = kNoLsn;
    Location source;
    Location target;
  };
  void FollowMoves(std::span<const Moved> moves);
  // Until no read of this segment is under way; nothing of it is live. Suspends.
  Task<bool> ReleaseSegment(uint32_t segment);
  // Writes wait for `permille` of the time, 0 to 1000: there is little space.
  void SlowWrites(uint32_t permille);
  struct Space {
    std::vector<LiveBytes::OfSegment> live;
    bool disk_full = false;
    // A segment of its log in which nothing lies, 0 if there is none: no record that it will hold
    // is older than `floor`.
    uint32_t empty_segment = 0;
    Lsn floor = kNoLsn;
  };
  Space LookAtSpace();
  // Bytes of its log's segment that nothing was written into yet.
  uint64_t unwritten_bytes() const { return log_->unwritten_bytes(); }
  void SpaceFreed() { log_->SpaceFreed(); }
  void RollLog() { log_->RollNow(); }

  // ---- Memory (kv/shard/state/memory_share.h) ----
  MemoryUse UseOfMemory() const;
  // What this core may hold, from now on. MemoryShare::kNoLimit: anything.
  void SetMemoryLimit(uint64_t bytes);
  bool refuses_new_keys() const { return memory_.refusing(); }
  // What others hold on this core for the store's clients is counted with it; nothing: no more.
  void SetClientMemory(std::function<uint64_t()> bytes) { client_bytes_ = std::move(bytes); }
  // Bytes of the index alone: during recovery.
  uint64_t index_bytes() const { return table_->bytes_used(); }

  // Counts the live bytes again while the shard serves, and compares: the segments whose running
  // sum is not what was counted; `live` is what was counted, of the same moment. One at a time.
  // Suspends.
  struct LiveCheck {
    struct Wrong {
      uint32_t segment = 0;
      uint64_t known_bytes = 0;
      uint64_t counted_bytes = 0;
    };
    std::vector<Wrong> wrong;
    std::vector<LiveBytes::OfSegment> live;
  };
  Task<LiveCheck> CheckLiveBytes();

  // ---- Over all keys, those left out whose time is over (kv/shard/state/expiry.h) ----
  struct LiveVisit {
    std::optional<uint64_t> next;
    size_t visited = 0;      // entries looked at, also those left out
    bool unproven = false;   // who is told that one of those is gone waits for MakeClockDurable
    bool undecided = false;  // one may have been given more time: wait likewise, and look again
  };
  // As Table::VisitFrom.
  LiveVisit VisitLive(uint64_t hash_begin, const VisitBounds& bounds,
                      absl::FunctionRef<uint64_t(Entry)> visit);
  // Some key of the namespace, each as likely as the others; none if a few draws find none. Then a
  // walk from a random hash on will.
  Entry RandomLive(Prng& prng, uint32_t namespace_id);
  uint64_t RandomHash(Prng& prng) const;
  // Suspends until what is over now is so for good; else why it cannot be made so (Admission).
  Task<Outcome> MakeClockDurable();

  // All that was started is answered; the log ends with a mark. Nothing is started meanwhile.
  Task<bool> Stop();
  // Another core's log has failed: refuses writes from now on.
  void RefuseWrites();

  Core& core() { return core_; }
  const Table& table() const { return *table_; }
  const ValueCache& cache() const { return *cache_; }
  const LogWriter& log() const { return *log_; }
  TransactionMemory& transaction_memory() { return transaction_memory_; }
  // Adds this core's numbers.
  void AddTo(StoreStats& stats) const;

 private:
  friend class Request;
  friend class TransactionPart;
  struct DeviceRead;
  // A version of a key, as a record of the log.
  struct VersionOnDevice {
    Location location;
    Lsn lsn = kNoLsn;
    uint64_t expiry_ms = kNoExpiry;
    uint64_t file = 0;  // that its value lies in
    uint64_t file_bytes = 0;
  };
  // Reads from the device of records of like length: a short one waits for no long ones.
  struct ReadLane {
    uint64_t bytes_max = 0, bytes = 0;  // of the buffers of those that are under way
    IntrusiveList<DeviceRead> waiting;  // those that have no buffer yet
  };
  struct SlowTimer : Timer {
    explicit SlowTimer(Shard& shard_in);
    Shard& shard;
  };

  // What the device gave for one record, while those who waited for it are served.
  struct AtHand {
    Location location;
    std::string_view value;
    const std::string* error = nullptr;  // why there is no value
    Outcome outcome = Outcome::kDone;    // then
    ValueEdit* edit = nullptr;           // that was made of it
  };
  // kOver…: there is a key, but see Lifetime.
  enum class Found : uint8_t { kMissing, kValue, kNeedsDevice, kFailed, kOver, kOverUnproven };

  std::unique_ptr<ValueCache> MakeCache();
  void RecoverOne(uint64_t hash, const RecordFields& fields, Location location);
  bool StartRead(Request& request);
  bool StartUpdate(Request& request);
  bool ReadPublished(Request& request);
  void ReadPending(Request& request);
  bool Decide(Request& request, const OldValue& old, PendingTable::Slot* slot, bool expired);
  bool Refuse(Request& request, Outcome outcome);
  bool AppendWrite(Request& request, const Change& change, bool in_file);
  void BecomePending(Request& request, const Appended& appended, bool is_delete);
  void Settled(Request& request, Settlement settlement);
  void Publish(Request& request);
  void NoteDead(const Version& overtaken);
  Found OldPublished(const Request& request, OldValue& old);
  Lsn DropLsn(uint32_t namespace_id) const { return drops_.Of(namespace_id); }
  std::optional<bool> ReadBehindOwnWrite(Request& request);
  void QueueBehind(Request& write, Request& request);
  Found OldNewest(const Request& request, const PendingTable::Slot* slot, OldValue& old);
  static RecordFields RecordOf(const Request& request);
  std::optional<Outcome> AppendAsOne(std::span<Request* const> requests,
                                     std::vector<Appended>& appended);
  bool WritesAreHeld() const { return freeze_count_ > 0 || slow_holds_; }
  void RestartFrozen();
  bool ReadOver(Request& request, bool proven);
  void Restart(Request& request);
  void RestartAll(IntrusiveList<Request>& requests);

  // Large replies (shard_replies.cc).
  bool IsLarge(const Reply& reply) const {
    return reply.bytes.size() > options_.large_reply_bytes && reply.kind == Reply::Kind::kBytes;
  }
  void AnswerRead(Request& request, const OldValue& old);
  bool HasRoom(const Request& request) const;
  void TakeRoom(Request& request, size_t bytes);
  void HoldReply(Request& request);
  void PutOff(Request& request, size_t bytes);
  // Whether a write has to be refused, since there is no room for its reply.
  bool LacksRoom(const Request& request) const {
    return IsLarge(request.reply) && !HasRoom(request);
  }
  // Of a write, or of one that waits for a write: its reply, which there is room for.
  void KeepLongReply(Request& request) {
    request.KeepReply();
    if (IsLarge(request.reply)) [[unlikely]]
      TakeRoom(request, request.reply.bytes.size());
  }
  bool StartDue(Request& request);

  DeviceRead& ReadFromDevice(const Request& request);
  DeviceRead& ReadVersion(const Request& request, const VersionOnDevice& version);
  ReadLane& LaneOf(const DeviceRead& read);
  void StartDeviceReads(ReadLane& lane);
  void WaitForDevice(Request& reader);
  void WaitForVersion(Request& reader, const VersionOnDevice& version);
  Task<void> RunDeviceRead(DeviceRead& read);
  void DeviceReadDone(DeviceRead& read);
  static size_t BufferBytes(const DeviceRead& read);
  void AnswerFromDevice(Request& request, const OldValue& old);
  Lifetime LifetimeOf(uint64_t expiry_ms) const;
  bool AnswerWhenProven(Request& request);
  bool HasPending(Entry entry);
  void NoteExpiry(uint64_t hash, uint64_t expiry_ms);
  void ExpiryDue();
  uint32_t SweepExpired(uint64_t durable_ms);
  struct ExpiryTimer : Timer {
    explicit ExpiryTimer(Shard& shard_in);
    Shard& shard;
  };

  uint64_t CountedBytes() const;
  void LookAtMemory(uint64_t wanted_bytes);
  Task<void> ShrinkCache();
  bool RefusesForMemory(const Request& request, uint64_t cost);
  std::optional<Outcome> AppendOwn(std::span<Request* const> requests,
                                   std::vector<Appended>& appended);
  void ReserveMemory(std::span<TransactionKey* const> keys);
  void ReturnMemory(std::span<TransactionKey* const> keys);
  bool IsThere(const Request& request);
  bool GrowsTooFar(const Request& request, uint64_t cost);
  // What a write may take of memory: its key, if it is new, and its value, if that is kept.
  uint64_t WriteCost(size_t key_bytes, size_t value_bytes) const {
    return MemoryShare::KeyCost(key_bytes) +
           (options_.keeps_values ? MemoryShare::ValueCost(value_bytes) : 0);
  }

  // Transactions.
  void StartKind(Request& request);
  // What a step does with some of the part's keys, and what follows when it is done with all.
  using DoWithKeys = void (Shard::*)(TransactionPart&, std::span<TransactionKey* const>);
  using AfterKeys = void (Shard::*)(TransactionPart&);
  void ForKeys(TransactionPart& part, DoWithKeys what, AfterKeys then);
  Task<void> ForKeysInSteps(TransactionPart& part, DoWithKeys what, AfterKeys then);
  template <typename What>
  void ForGroups(std::span<TransactionKey* const> keys, What&& what);
  Task<void> StepEnds();
  bool TakesSteps(const TransactionPart& part) const {
    return part.keys.size() > options_.part_keys_max;
  }
  void TakeKeys(TransactionPart& part, std::span<TransactionKey* const> keys);
  void PutOffPart(TransactionPart& part, IntrusiveList<Request>& list);
  void PartDone(TransactionPart& part);
  static void KeyDone(Request& request);
  void OneDone(TransactionPart& part);
  void LockPart(TransactionPart& part);
  void AskFor(TransactionPart& part, std::span<TransactionKey* const> keys);
  Task<void> AskInSteps(TransactionPart& part);
  void TakeLock(TransactionKey& key);
  void Held(BlockedKey& blocked);
  void ReadPart(TransactionPart& part);
  void ReadKeys(TransactionPart& part, std::span<TransactionKey* const> keys);
  bool ReadKey(TransactionKey& key);
  bool IsChanged(const TransactionKey& key) const;
  void KeepFound(TransactionKey& key, Found found, const OldValue& old);
  void ClosePart(TransactionPart& part);
  void PublishPart(TransactionPart& part);
  void PublishKeys(TransactionPart& part, std::span<TransactionKey* const> keys);
  void ReleasePart(TransactionPart& part);
  void PartReleased(TransactionPart& part);
  void ReleaseKeys(TransactionPart& part, std::span<TransactionKey* const> keys);
  void Release(BlockedKey& blocked);
  void StartAlone(TransactionPart& part);
  bool DecideAtOnce(TransactionPart& part);
  void DecideAlone(TransactionPart& part, bool by_pending);
  bool WriteAlone(TransactionPart& part);
  bool WaitForProof(TransactionPart& part, bool by_pending);
  void LookAtPart(TransactionPart& part);
  void LookAtKeys(TransactionPart& part, std::span<TransactionKey* const> keys);
  void LookAtKey(TransactionKey& key);
  void ConfirmPart(TransactionPart& part);
  void ConfirmKeys(TransactionPart& part, std::span<TransactionKey* const> keys);
  bool IsClosed(const PendingTable::Slot* slot) const;
  bool WaitsForClose(Request& request);
  void HoldRead(Request& request, IntrusiveList<Request>& list);

  bool AnyDeviceReadOf(uint32_t segment) const;
  void PrefetchSettling(std::span<const uint64_t> hashes) const;
  void TakeTurn();
  Task<void> FreeInBackground(std::unique_ptr<Table> table, std::unique_ptr<ValueCache> cache);
  Task<void> SweepDropped();

  // Values that lie in files (shard_values.cc).
  Change CallFunction(const OldValue& old, Request& request) {
    if (old.in_file) [[unlikely]]
      return CallOnFile(old, request);
    return request.function(old, request);
  }
  Change CallOnFile(const OldValue& old, Request& request);
  static bool WritesReference(const OldValue& old, const Request& request, const Change& change);
  static uint32_t LengthOf(const OldValue& old);
  static void NoteFile(std::string_view reference, Version& version);
  void PinFile(Request& request, std::string_view reference);
  void DropPin(Request& request);
  void RemoveUnpublished(const Request& request);
  void TakeFileBack(const Request& request);
  void RemovePublishedEarly(const Request& request);
  bool Edit(Request& request, const OldValue& old, const Change& change);
  Task<void> RunEdit(BlockedKey& blocked, Request& request, std::unique_ptr<ValueEdit> edit);
  Task<void> RemoveFilesOf(const Table& table);

  Core& core_;
  const ShardOptions options_;
  MemoryShare memory_;
  Drops drops_;
  std::unique_ptr<Table> table_;
  std::unique_ptr<ValueCache> cache_;
  PendingTable pending_;
  DeadRecords dead_records_;
  std::optional<LsnClock> clock_;
  std::unique_ptr<LogWriter> log_;
  LogReader* reader_ = nullptr;
  ValueFiles* files_ = nullptr;

  ExpiryMap expiries_;
  ExpiryTimer expiry_timer_;
  std::optional<HashRange> sweeping_;  // what is left of the part that is looked through
  bool stopping_ = false;

  bool sweeping_drops_ = false;
  uint32_t freeze_count_ = 0;
  bool refuses_writes_ = false;
  IntrusiveList<Request> frozen_;
  std::vector<BlockedKey*> kept_;  // that nobody holds, with those who wait for them
  Event thawed_;

  uint32_t closed_count_ = 0;  // parts that are closed, FLUSHes that close all: none as a rule
  uint32_t reads_closed_ = 0;
  IntrusiveList<Request> closed_reads_;
  WatchTable watches_;
  // A part asks for its keys in steps, and those that want to ask next.
  bool part_asks_ = false;
  IntrusiveList<Request> asks_next_;
  uint32_t transactions_ = 0;  // coordinated here and under way
  bool transactions_end_ = false;
  Event transaction_ended_;

  // By segment << 32 | offset.
  absl::flat_hash_map<uint64_t, std::unique_ptr<DeviceRead>> device_reads_;
  ReadLane short_reads_;
  ReadLane long_reads_;
  AtHand at_hand_;
  Event device_read_ended_;

  uint64_t memory_looked_ns_ = 0;
  uint64_t dropping_bytes_ = 0;  // of what FreeInBackground has not freed yet
  uint64_t releases_ = 0;        // of segments
  TransactionMemory transaction_memory_;
  ReplyRoom reply_room_;
  std::function<uint64_t()> client_bytes_;
  bool shrinking_ = false;

  // Writes are held back for a part of each period.
  SlowTimer slow_timer_;
  uint32_t slow_permille_ = 0;
  bool slow_holds_ = false;

  size_t arrived_left_ = 0;  // requests of other cores that are fetched and not started
  StoreStats counters_;      // what is counted here; the rest is asked when it is wanted
  Nursery nursery_;          // last: its tasks use all of the above
};

}  // namespace pakv
