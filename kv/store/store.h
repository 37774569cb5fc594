// Store: the public face of kv. Keys with values over all cores of a server, durable when answered.
//
// Each key has an owner core, found by its hash; only that one touches its index entry, its cached
// value and its pending writes. Whoever has a request calls Start on his own core; the store
// brings it to the owner and its reply back.
#pragma once

#include <absl/functional/function_ref.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "kv/shard/messages/request.h"
#include "kv/shard/shard.h"
#include "kv/shard/state/stats.h"
#include "kv/store/catalogue.h"
#include "kv/store/check_books.h"
#include "kv/store/compaction/compaction_progress.h"
#include "kv/store/options.h"
#include "kv/store/transaction.h"
#include "runtime/core/cores.h"
#include "runtime/task/task.h"

namespace pakv {

class RecoveryMemory;
struct RecoveryOptions;
struct RecoveryReport;

inline constexpr uint32_t kDefaultNamespace = 0;

// What Open found and did, for the start line and the log.
struct OpenReport {
  bool created = false;
  uint64_t keys = 0;
  uint64_t records_read = 0;
  uint64_t segments = 0;
  bool direct_io = true;           // false: this file system refuses it, writes are buffered
  std::vector<std::string> notes;  // what was cut off and where the bytes are kept, and the like
};

// One step of a scan.
struct ScanStep {
  uint64_t cursor = 0;  // 0: done
  std::vector<std::string> keys;
  // Not kDone: no step. That a key's time is over has to be durable before it is left out, and the
  // log has failed or its disk is full.
  Outcome outcome = Outcome::kDone;
};

struct RandomDraw {
  std::optional<std::string> key;
  Outcome outcome = Outcome::kDone;  // as a scan step's
};

// What lies in one namespace.
struct NamespaceCount {
  uint32_t namespace_id = 0;
  uint64_t keys = 0;
  uint64_t expiring = 0;  // of these, those with a time to live
};

// Some of the namespaces, in the order of their ids.
struct NamespacePage {
  struct Entry {
    uint32_t namespace_id = 0;
    std::string name;
    uint64_t keys = 0;  // as CountKeys counts them
  };
  std::vector<Entry> entries;
  std::optional<uint32_t> next;  // where the next page begins; nothing: this is the last
};

class Store {
 public:
  // Opens the directory, creating it if missing, and recovers what is in it. Runs on core 0, which
  // calls the others; all cores run. Errors: FailedPrecondition (locked, foreign, wrong engine,
  // newer format, clock), DataLoss (corrupt: names file and offset), others as the system says.
  static Task<absl::StatusOr<std::unique_ptr<Store>>> Open(Cores& cores, StoreOptions options,
                                                           OpenReport& report);
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;
  // Stop was awaited, or the cores are gone (a simulated crash).
  ~Store();

  // Makes everything that was accepted durable, writes the marks of a clean stop, and closes all
  // files. On core 0, once; no request is started after it.
  Task<absl::Status> Stop();

  const StoreOptions& options() const { return options_; }
  uint64_t Hash(uint32_t namespace_id, std::string_view key) const;
  uint32_t OwnerOf(uint64_t hash) const {
    return pakv::OwnerOf(hash, static_cast<uint32_t>(shards_.size()));
  }

  // Any core, its own requests. True: the request is complete, its reply is in it. False: it will
  // be, and `done` is then called on this core, from its loop. Keys and values within the options'
  // limits. Requests on one key from one core run in the order of their start.
  [[nodiscard]] bool Start(Core& here, Request& request);

  // A request that Start has completed at once, and whose reply is kept: a large one may be put off
  // instead (Reply::Kind::kLater). The same core.
  void KeepsReply(Request& request);
  // Starts a read again that was put off: it is answered now, or fails. `done` is called, perhaps
  // from within this call.
  void StartDue(Core& here, Request& request);

  // For batches: fetches memory that Starts with these hashes will need, of keys that `here` owns,
  // so that they wait for it together and not one after another.
  void Prefetch(const Core& here, std::span<const uint64_t> hashes) const;
  // The same for one write that needs nothing of the index before it settles.
  void PrefetchPending(const Core& here, uint64_t hash) const;
  // About as much memory as the reply to a read of the key takes that has this hash and that `here`
  // owns; its record's length. Cheap.
  size_t ReadBytesExpected(const Core& here, uint64_t hash) const;

  // Writes `count` requests as one: one block, one LSN, so all or none after a crash, and readers
  // of one core see all or none. All have needs kNothing and the same owner, no key twice. `done`
  // is called for each, as a rule from the loop, but for a refusal from within this call. The
  // array is the caller's. Whoever starts a group starts nothing else on its keys until it is done.
  void StartGroup(Core& here, Request* const* requests, size_t count);

  // Several keys as one, of any owners; kv/store/transaction.h. Reads what is asked for, calls
  // `decide` once (false: nothing is written), writes, and returns when that is durable and
  // published. `decide` may run on another core while the caller waits: it uses the transaction and
  // what is the caller's alone. It does not run if a watch is broken, nor after a refusal.
  Task<Outcome> Transact(Core& here, Transaction& transaction,
                         absl::FunctionRef<bool(Transaction&)> decide);
  // Reads the transaction's keys, none of which needs kNothing, as they all were at one moment;
  // afterwards Old tells. Nothing is held, unless they change so fast that three tries fail.
  Task<Outcome> Snapshot(Core& here, Transaction& transaction);
  // From now on `watches` notices each change of the keys. The same key twice is one. The keys stay
  // as they are until it has returned. Suspends.
  Task<void> Watch(Core& here, Watches& watches, uint32_t namespace_id,
                   std::span<const std::string_view> keys);
  // Leaves `watches` empty.
  Task<void> Unwatch(Core& here, Watches& watches);
  // Any core: the namespace of this name, 1 to kNamespaceNameBytesMax bytes of UTF-8; "0" to "15"
  // have these ids and are always there. `create`: makes it durably if it is not there. Suspends.
  Task<Catalogue::Found> OpenNamespace(Core& here, std::string name, bool create);
  // Any core: the namespaces with the id `begin` or larger ones, of which it looks at `count`, and
  // how many keys they have; of the numbered ones only those that have any. Suspends.
  Task<NamespacePage> ListNamespaces(Core& here, uint32_t begin, size_t count);
  // Any core: whether some name has this id. Requests are for such namespaces alone. Cheap.
  bool IsNamespace(uint32_t namespace_id) const;

  // Visits keys of the namespace from `cursor` (0 starts) in hash order until at least `count`
  // entries were looked at, or kScanBytesMax of keys were found. Keys that `accept` declines are
  // left out; it runs on other cores, and adds the bytes that it has compared to `work`: when there
  // are many, others of that core have their turn before the next key. A key that is there all the
  // while is returned at least once, also across growth, restarts and other numbers of cores.
  using KeyFilter = std::function<bool(std::string_view key, uint64_t& work)>;
  static constexpr size_t kScanBytesMax = 1 << 20;
  // Keys that share a cursor come in one step; this is the smallest hash of them.
  static uint64_t FirstHashOf(uint64_t cursor) { return cursor << kCursorShift; }
  Task<ScanStep> Scan(Core& here, uint32_t namespace_id, uint64_t cursor, size_t count,
                      KeyFilter accept);
  // In a namespace or in kEveryNamespace. Those too whose time is over, until they are taken out of
  // the index. `but_for`: keys of the one namespace, by their hashes, none twice, that are not
  // counted; in each core's moment, whether they are there then or not. Many of them are looked up
  // in several passes, so some that others make or delete meanwhile may be counted.
  struct KeyName {
    uint64_t hash;
    std::string_view key;
  };
  Task<uint64_t> CountKeys(Core& here, uint32_t namespace_id,
                           std::span<const KeyName> but_for = {});
  // The same for each of the numbered namespaces in which there are keys.
  Task<std::vector<NamespaceCount>> CountNumbered(Core& here);
  // Some key; nothing if there is none. Every key is as likely as the others where those of the
  // namespace are many among all; else it takes the first behind a random place.
  Task<RandomDraw> RandomKey(Core& here, uint32_t namespace_id);
  // Removes all keys of the namespace, or of kEveryNamespace, durably, with one record; the time
  // that takes does not depend on their number. `lsn`, if given, is set to that of the record: what
  // is older is gone.
  Task<Outcome> Flush(Core& here, uint32_t namespace_id, Lsn* lsn = nullptr);
  // The same; then the transaction's functions of reads may be run (Transaction::Run), on what it
  // has left of the transaction's keys, all of which are of what it removes: nothing.
  Task<Outcome> FlushFor(Core& here, uint32_t namespace_id, Transaction& transaction);
  Task<StoreStats> Stats(Core& here);
  // What clients hold on `here` (sessions, buffers): counted with the store's own memory, asked now
  // and then on that core, until it is replaced by nothing or the core is gone.
  void SetClientMemory(Core& here, std::function<uint64_t()> bytes);
  // Changes MemoryOptions::limit_bytes while the store serves. On core 0.
  Task<void> SetMemoryLimit(Core& here, uint64_t bytes);
  // Counts again what lives in each segment and compares it with the running sums, with the
  // segments that MANIFEST lists and with their files; serving goes on. Any core; one runs at a
  // time, others wait for it.
  Task<CheckReport> Check(Core& here);
  // Asks compaction for what is worth it now, or joins whoever has asked (CompactionProgress).
  // Returns at once. Any core. `gain_percent`: 1 to 100.
  Task<CompactionProgress> RequestCompaction(Core& here, uint32_t gain_percent);
  // How far the request of that number is; nothing if this run has given no such number. Any core.
  Task<std::optional<CompactionProgress>> CompactionProgressOf(Core& here, uint64_t number);
  // The files of values that are longer than options().inline_value_bytes_max, as `here` sees them:
  // for a ValueUpload, and to read what a reply refers to.
  ValueFiles& value_files(const Core& here);
  // A reply of the kind kFile is not needed any more: its file may go. On the core that received
  // it.
  void ReleaseFile(const Core& here, Request& request);
  // The same for all that a transaction or snapshot has pinned (Transaction::TakeFile), on the core
  // of its session.
  void ReleaseFiles(const Core& here, Transaction& transaction);
  // Any core: a failed log has made the store read-only until restart. Cheap.
  bool read_only() const;

 private:
  struct Shared;
  class Course;
  // A cursor is the top 52 bits of a hash: clients keep it in a double.
  static constexpr uint32_t kCursorShift = 12;
  // What one visit of a scan does on one core: entries, and bytes that it compares and copies.
  static constexpr size_t kScanStepMax = 1024;
  static constexpr uint64_t kScanWorkMax = 256 << 10;

  explicit Store(StoreOptions options);
  Task<absl::Status> OpenAll(Cores& cores, OpenReport& report);
  Task<bool> MakeShards(Core& here);
  Task<absl::Status> RecoverAndRun(Core& here, uint64_t run, OpenReport& report);
  Task<void> StopOn(Core& here, uint32_t id);
  Task<RandomDraw> RandomKeyOf(Core& here, uint32_t owner, uint32_t namespace_id);
  RecoveryOptions OptionsOfRecovery(uint64_t run, RecoveryMemory& memory) const;
  void Tell(const RecoveryReport& found, OpenReport& report) const;
  void ClaimSpace(uint32_t core_count);
  Task<void> RunShards(Core& here);
  Task<absl::Status> NameNamespaces(Core& here, uint32_t end, OpenReport& report);
  Task<absl::Status> RemoveLost(Core& here, std::span<const LostValue> lost);
  void StartCompactor(Core& here, uint64_t expiry_clock_ms);
  Task<CheckReport> CheckOnCore0();
  static Task<bool> StopCore(Shard* shard, LogReader* reader, ValueFiles* files);
  // A log has failed: on its core, before anything of it is settled.
  static void LogFailed(void* owner, const absl::Status& why);
  static void RunAtOwner(Message& message, Core& there);
  // One after the other.
  Task<void> AtAllOwners(Core& here, absl::FunctionRef<void(Shard&)> what);
  // How many of the keys, all owned by it, are in its index.
  static uint64_t CountThere(const Shard& shard, uint32_t namespace_id,
                             std::span<const KeyName> names);
  void MakeParts(Core& here, Transaction& transaction);
  // One owner does all of it in one pass.
  bool IsForOnePass(const Transaction& transaction) const;
  Task<Outcome> TransactAlone(Core& here, Transaction& transaction,
                              absl::FunctionRef<bool(Transaction&)> decide);
  Task<Outcome> TransactTogether(Core& here, Transaction& transaction,
                                 absl::FunctionRef<bool(Transaction&)> decide);
  Task<void> PublishFirst(Course& course);
  Task<std::optional<Outcome>> TrySnapshot(Core& here, Transaction& transaction);

  StoreOptions options_;
  uint64_t hash_seed_ = 0;
  std::unique_ptr<Shared> shared_;
  std::vector<std::unique_ptr<Shard>> shards_;  // by core
};

}  // namespace pakv
