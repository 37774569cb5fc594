// Long because: Shared, what all parts of a store have in common, is known here alone.
#include "kv/store/store.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <utility>

#include "kv/index/hash_range.h"
#include "kv/log/directory.h"
#include "kv/log/file_io.h"
#include "kv/log/key_hash.h"
#include "kv/log/log_reader.h"
#include "kv/log/manifest.h"
#include "kv/log/recovery.h"
#include "kv/log/salvage.h"
#include "kv/store/compactor.h"
#include "kv/store/memory_budget.h"
#include "kv/store/recovery_memory.h"
#include "kv/store/value_recovery.h"
#include "runtime/base/check.h"
#include "runtime/base/log.h"
#include "runtime/base/prng.h"
#include "runtime/task/nursery.h"

namespace pakv {
namespace {

// A cursor is the top 52 bits of a hash: clients keep it in a double.
constexpr uint32_t kCursorShift = 12;

StoreEntropy EntropyOfSystem() {
  StoreEntropy entropy;
  const auto fill = [](void* bytes, size_t count) {
    // Up to 256 bytes come whole (getrandom(2)).
    PAKV_CHECK(getrandom(bytes, count, 0) == static_cast<ssize_t>(count));
  };
  fill(entropy.store_id.data(), entropy.store_id.size());
  fill(&entropy.hash_seed, sizeof(entropy.hash_seed));
  fill(&entropy.run, sizeof(entropy.run));
  return entropy;
}

}  // namespace

// What all shards of one start share. Constant while they run, but for the flag.
struct Store::Shared {
  explicit Shared(Cores& cores_in) : cores(cores_in), one_check(cores_in.core(0).ready(), 1) {}

  Cores& cores;
  std::unique_ptr<StoreDirectory> directory;
  Recovered recovered;  // with this run's MANIFEST
  LogContext context;
  std::vector<std::unique_ptr<LogReader>> readers;
  ValueFilesShared value_files_shared;
  std::vector<std::unique_ptr<ValueFiles>> value_files;
  std::atomic<bool> read_only{false};
  std::atomic<uint64_t> compaction_owed_bytes{0};

  // One per core: its log has failed, and all others have to know. Each failing core sends its own
  // messages, so that two may fail at the same time.
  struct FailureNotice : Message {
    Shard* shard = nullptr;
  };
  struct PerCore {
    Store* store = nullptr;
    uint32_t core = 0;
    bool is_compaction = false;  // the failing log is no core's own
    std::vector<std::unique_ptr<FailureNotice>> notices;
    Prng prng{0};
  };
  std::vector<PerCore> per_core;
  PerCore compaction;
  std::unique_ptr<Compactor> compactor;
  std::unique_ptr<MemoryBudget> memory;
  std::unique_ptr<Catalogue> catalogue;
  Semaphore one_check;  // core 0's
};

// Brings recovered records to their owners, in batches. Any core, several at a time.
class Store::RecordRouter : public RecoverySink {
 public:
  RecordRouter(Store& store, RecoveryMemory& memory) : store_(store), memory_(memory) {}

  Task<absl::Status> Take(Core& here, std::span<const RecoveredRecord> records) override {
    std::vector<Batch> batches(here.count());
    for (Batch& batch : batches) batch.records.reserve(records.size() / here.count() * 9 / 8);
    for (const RecoveredRecord& record : records) {
      const uint32_t namespace_id = record.fields.namespace_id;
      if (namespace_id >= end_.load(std::memory_order_relaxed)) NoteNamespace(namespace_id);
      if ((record.fields.flags & kRecordDrop) != 0) {
        for (Batch& batch : batches) batch.drops.emplace_back(namespace_id, record.fields.lsn);
        continue;
      }
      const uint64_t hash = store_.Hash(namespace_id, record.fields.key);
      batches[store_.OwnerOf(hash)].records.push_back({hash, &record});
    }
    Nursery nursery(here.ready());
    for (uint32_t owner = 0; owner < here.count(); ++owner) {
      Batch& batch = batches[owner];
      if (batch.records.empty() && batch.drops.empty()) continue;
      nursery.Spawn(Give(here, owner, batch));
    }
    co_await nursery.Join();
    co_return memory_.Check();
  }

  // All ids of namespaces that were met are below it.
  uint32_t end() const { return end_.load(std::memory_order_relaxed); }

 private:
  void NoteNamespace(uint32_t namespace_id) {
    if (namespace_id == kEveryNamespace) return;
    uint32_t end = end_.load(std::memory_order_relaxed);
    while (end <= namespace_id && !end_.compare_exchange_weak(end, namespace_id + 1)) {
    }
  }

  struct Batch {
    std::vector<Shard::HashedRecord> records;
    std::vector<std::pair<uint32_t, Lsn>> drops;  // by namespace
  };

  Task<void> Give(Core& here, uint32_t owner, const Batch& batch) {
    Shard* shard = store_.shards_[owner].get();
    const Batch* given = &batch;
    const uint64_t index_bytes = co_await here.CallOn(owner, [given, shard](Core&) {
      for (const auto& [namespace_id, lsn] : given->drops) shard->RecoverDrop(namespace_id, lsn);
      shard->Recover(given->records);
      return shard->index_bytes();
    });
    memory_.Note(owner, index_bytes);
  }

  Store& store_;
  RecoveryMemory& memory_;
  std::atomic<uint32_t> end_{kNumberedNamespaces};
};

Store::Store(StoreOptions options) : options_(std::move(options)) {}

Store::~Store() = default;

uint64_t Store::Hash(uint32_t namespace_id, std::string_view key) const {
  return KeyHash(hash_seed_, namespace_id, key);
}

bool Store::read_only() const { return shared_->read_only.load(std::memory_order_relaxed); }

void Store::Prefetch(const Core& here, std::span<const uint64_t> hashes) const {
  std::array<uint64_t, Shard::kPrefetchMax> own;
  size_t count = 0;
  for (const uint64_t hash : hashes) {
    if (count < own.size() && OwnerOf(hash) == here.id()) own[count++] = hash;
  }
  shards_[here.id()]->Prefetch(std::span(own.data(), count));
}

// ---- Open and stop ----

Task<absl::StatusOr<std::unique_ptr<Store>>> Store::Open(Cores& cores, StoreOptions options,
                                                         OpenReport& report) {
  std::unique_ptr<Store> store(new Store(std::move(options)));
  absl::Status status = co_await store->OpenAll(cores, report);
  if (!status.ok()) co_return status;
  co_return std::move(store);
}

Task<bool> Store::MakeShards(Core& here) {
  const uint32_t count = here.count();
  shards_.resize(count);
  shared_->readers.resize(count);
  shared_->value_files.resize(count);
  shared_->value_files_shared.read_only = &shared_->read_only;
  shared_->per_core.resize(count);
  for (uint32_t id = 0; id < count; ++id) {
    ShardOptions shard_options;
    shard_options.range = RangeOf(id, count);
    shard_options.cache_bytes = options_.cache_bytes / count;
    shard_options.sweep_dropped_step = options_.sweep_dropped_step;
    shard_options.keeps_values = options_.engine == EngineKind::kMemory;
    co_await here.CallOn(id, [this, &shard_options](Core& there) {
      shards_[there.id()] = std::make_unique<Shard>(there, shard_options);
      shared_->readers[there.id()] =
          std::make_unique<LogReader>(there, *shared_->directory, options_.open_segments_max);
      shared_->value_files[there.id()] = std::make_unique<ValueFiles>(
          there, *shared_->directory, shared_->value_files_shared, options_.value_files);
      return true;
    });
  }
  for (uint32_t id = 0; id <= count; ++id) {
    const bool is_compaction = id == count;
    Shared::PerCore& own = is_compaction ? shared_->compaction : shared_->per_core[id];
    own.store = this;
    own.core = is_compaction ? here.id() : id;
    own.is_compaction = is_compaction;
    own.prng = Prng(hash_seed_ + id);
    for (uint32_t other = 0; other < count; ++other) {
      own.notices.push_back(std::make_unique<Shared::FailureNotice>());
      own.notices.back()->shard = shards_[other].get();
      own.notices.back()->set_function([](Message& message, Core&) {
        static_cast<Shared::FailureNotice&>(message).shard->RefuseWrites();
      });
    }
  }
  co_return true;
}

Task<absl::Status> Store::OpenAll(Cores& cores, OpenReport& report) {
  Core& here = cores.core(0);
  shared_ = std::make_unique<Shared>(cores);
  DirectoryOptions directory_options;
  directory_options.path = options_.directory;
  directory_options.engine = options_.engine;
  directory_options.entropy = options_.entropy ? *options_.entropy : EntropyOfSystem();
  auto directory = co_await StoreDirectory::Open(here, directory_options);
  if (!directory.ok()) co_return directory.status();
  shared_->directory = std::move(*directory);
  if (options_.on_locked) options_.on_locked();
  hash_seed_ = shared_->directory->identity().hash_seed;
  report.created = shared_->directory->created();
  report.direct_io = shared_->directory->direct();
  absl::Status status = co_await RecoverAndRun(here, directory_options.entropy.run, report);
  if (!status.ok()) co_await shared_->directory->Close();
  co_return status;
}

Task<absl::Status> Store::RecoverAndRun(Core& here, uint64_t run, OpenReport& report) {
  const StoreDirectory& directory = *shared_->directory;
  co_await MakeShards(here);
  RecoveryMemory memory(options_.memory, options_.directory, here.count());
  RecordRouter router(*this, memory);
  RecoveryOptions recovery_options;
  recovery_options.run = run;
  recovery_options.accept_clock = options_.accept_clock;
  recovery_options.salvage = options_.salvage;
  recovery_options.scan.read_bytes = options_.recovery_read_bytes;
  recovery_options.scan.cancel = options_.cancel_open;
  recovery_options.scan.progress = &memory.progress;
  recovery_options.scan.memory_bytes_max = memory.scan_bytes_max();
  auto recovered = co_await Recover(here, directory, router, recovery_options);
  if (!recovered.ok()) co_return recovered.status();
  shared_->recovered = std::move(*recovered);
  Manifest& manifest = *shared_->recovered.manifest;
  const absl::Status named = co_await NameNamespaces(here, router.end(), report);
  if (!named.ok()) {
    co_await manifest.Close();
    co_return named;
  }
  shared_->catalogue = std::make_unique<Catalogue>(here, manifest, LogFailed, &shared_->compaction);
  const RecoveryReport& found = shared_->recovered.report;
  report.records_read = found.records;
  report.segments = found.segments;
  for (const RecoveryCut& cut : found.cuts) {
    report.notes.push_back(cut.path + ": cut " + std::to_string(cut.bytes) + " bytes at offset " +
                           std::to_string(cut.offset) + " (" + cut.reason +
                           "), which were never acknowledged; kept in " + cut.kept_in);
  }
  if (!found.salvage.empty()) {
    report.notes.push_back(
        directory.path() + ": went on without what is damaged (" +
        std::to_string(found.salvage.size()) +
        " lines above). Keys that were written there are missing, or show an older value, and keys "
        "that were deleted there may be back; the damaged files are in " +
        directory.PathOf(kSalvageName));
  }
  shared_->context =
      ContextOf(directory, shared_->recovered,
                options_.segment_bytes != 0 ? options_.segment_bytes
                                            : DefaultSegmentBytes(directory.disk_bytes()));
  shared_->context.discards = options_.engine == EngineKind::kMemory;
  shared_->context.footer_segment_bytes_min = options_.footer_segment_bytes_min;
  shared_->context.footers_of_any_size = options_.footers_of_any_size;
  shared_->context.compaction_owed_bytes = &shared_->compaction_owed_bytes;
  shared_->recovered.manifest->set_appends_max(options_.manifest_appends_max);
  for (uint32_t id = 0; id < here.count(); ++id) {
    Shard* shard = shards_[id].get();
    co_await here.CallTaskOn(id, [shard](Core&) { return shard->FinishRecovery(); });
  }
  shared_->value_files_shared.next_file.store(
      FirstValueFile(shared_->recovered.manifest->run_counter()), std::memory_order_relaxed);
  ValueRecoveryOptions value_options;
  value_options.clock_ms = found.expiry_clock_ms;
  value_options.salvage = options_.salvage;
  value_options.records_lost = !found.salvage.empty();
  const absl::StatusOr<ValueRecovery> values = co_await RecoverValueFiles(
      here, directory, shards_, *shared_->value_files[here.id()], value_options);
  if (!values.ok()) {
    co_await manifest.Close();
    co_return values.status();
  }
  if (!values->kept.empty()) {
    report.notes.push_back(directory.path() + ": " + std::to_string(values->kept.size()) +
                           " value files that no key refers to (lines above) are kept in " +
                           directory.PathOf(kSalvageName));
  }
  for (uint32_t id = 0; id < here.count(); ++id) {
    Shard* shard = shards_[id].get();
    LogReader* reader = shared_->readers[id].get();
    LogWriterOptions log_options;
    log_options.log = id;
    log_options.expiry_clock_ms = found.expiry_clock_ms;
    log_options.flush_apart_records = options_.flush_apart_records;
    log_options.failed = LogFailed;
    log_options.owner = &shared_->per_core[id];
    const LogContext& context = shared_->context;
    const Lsn largest = found.lsn_max;
    const std::vector<FooterJob>& jobs = shared_->recovered.without_footer;
    ValueFiles& files = *shared_->value_files[id];
    co_await here.CallOn(id, [=, &context, &log_options, &jobs, &files](Core& there) {
      shard->Run(context, log_options, *reader, files, largest);
      for (size_t i = there.id(); i < jobs.size(); i += there.count()) shard->AddFooterJob(jobs[i]);
      return true;
    });
  }
  StartCompactor(here, found.expiry_clock_ms);
  std::vector<Shard*> shards;
  shards.reserve(shards_.size());
  for (const auto& shard : shards_) shards.push_back(shard.get());
  const Compactor* compactor = shared_->compactor.get();
  shared_->memory = std::make_unique<MemoryBudget>(
      here, std::move(shards), [compactor] { return compactor->memory_bytes(); }, options_.memory);
  co_await shared_->memory->Start();
  if (!values->lost.empty()) {
    const absl::Status removed = co_await RemoveLost(here, values->lost);
    if (!removed.ok()) {
      const absl::Status stopped = co_await Stop();
      if (!stopped.ok()) LogWarning("{}", MessageOf(stopped));
      co_return removed;
    }
    report.notes.push_back(directory.path() + ": removed " + std::to_string(values->lost.size()) +
                           " keys whose values are lost (lines above)");
  }
  report.keys = co_await CountKeys(here, kEveryNamespace);
  co_return absl::OkStatus();
}

// `end` is above the ids of all keys. Those without a name lost it with a MANIFEST.
Task<absl::Status> Store::NameNamespaces(Core& here, uint32_t end, OpenReport& report) {
  Manifest& manifest = *shared_->recovered.manifest;
  const std::string path = shared_->directory->PathOf("MANIFEST");
  while (manifest.listed().next_namespace < end) {
    ManifestEntry entry;
    entry.type = ManifestEntry::Type::kNamespace;
    entry.namespace_id = manifest.listed().next_namespace;
    const std::string what =
        path + ": has no name for namespace " + std::to_string(entry.namespace_id);
    if (!options_.salvage) {
      co_return absl::DataLossError(what +
                                    ", in which there are keys; --salvage goes on with a new one");
    }
    std::string name = "salvaged-" + std::to_string(entry.namespace_id);
    while (manifest.listed().namespaces.contains(name)) name += '+';
    entry.name = name;  // which lives until the append is done
    std::vector<ManifestEntry> entries{entry};
    const absl::Status status = co_await manifest.Append(here, std::move(entries));
    if (!status.ok()) co_return status;
    report.notes.push_back(what + "; it is " + name + " now");
  }
  co_return absl::OkStatus();
}

// Keys whose values are lost, so that nothing refers to their files any more.
Task<absl::Status> Store::RemoveLost(Core& here, std::span<const LostValue> lost) {
  constexpr size_t kKeysMax = 200;  // of one transaction: of 64 KiB each, they fit
  while (!lost.empty()) {
    const auto some = lost.first(std::min(lost.size(), kKeysMax));
    lost = lost.subspan(some.size());
    Transaction transaction(/*session=*/0);
    for (const LostValue& each : some) {
      transaction.AddKey(Hash(each.namespace_id, each.key), each.namespace_id, each.key,
                         OldState::kExistence, /*may_write=*/true);
    }
    const auto remove = [](Transaction& decided) {
      for (size_t i = 0; i < decided.key_count(); ++i) decided.Delete(i);
      return true;
    };
    const Outcome outcome = co_await Transact(here, transaction, remove);
    if (outcome == Outcome::kDone) continue;
    const std::string what = options_.directory + ": cannot write that values are lost: ";
    if (outcome == Outcome::kDiskFull) co_return absl::ResourceExhaustedError(what + "disk full");
    co_return absl::InternalError(what + "the log has failed");
  }
  co_return absl::OkStatus();
}

void Store::StartCompactor(Core& here, uint64_t expiry_clock_ms) {
  Compactor::Parts parts;
  parts.core = &here;
  parts.context = &shared_->context;
  for (const auto& shard : shards_) parts.shards.push_back(shard.get());
  parts.hash = [this](uint32_t namespace_id, std::string_view key) {
    return Hash(namespace_id, key);
  };
  parts.owner_of = [this](uint64_t hash) { return OwnerOf(hash); };
  parts.read_only = [this] { return read_only(); };
  parts.failed = LogFailed;
  parts.owner = &shared_->compaction;
  parts.expiry_clock_ms = expiry_clock_ms;
  shared_->compactor = std::make_unique<Compactor>(std::move(parts), options_.compaction);
  shared_->compactor->Start();
}

Task<absl::Status> Store::Stop() {
  Core& here = shared_->cores.core(0);
  co_await shared_->memory->Stop();
  co_await shared_->compactor->Stop();
  // They need all logs.
  for (uint32_t id = 0; id < here.count(); ++id) {
    Shard* shard = shards_[id].get();
    const bool finished =
        co_await here.CallTaskOn(id, [shard](Core&) { return shard->FinishTransactions(); });
    PAKV_CHECK(finished);
  }
  {
    // Side by side: each may have footers to write.
    Nursery nursery(here.ready());
    for (uint32_t id = 0; id < here.count(); ++id) nursery.Spawn(StopOn(here, id));
    co_await nursery.Join();
  }
  co_await shared_->recovered.manifest->Close();
  co_await shared_->directory->Close();
  if (read_only()) co_return absl::InternalError("the log has failed; see the messages before");
  co_return absl::OkStatus();
}

Task<void> Store::StopOn(Core& here, uint32_t id) {
  Shard* shard = shards_[id].get();
  LogReader* reader = shared_->readers[id].get();
  ValueFiles* files = shared_->value_files[id].get();
  const bool stopped = co_await here.CallTaskOn(
      id, [shard, reader, files](Core&) { return StopCore(shard, reader, files); });
  PAKV_CHECK(stopped);
}

Task<bool> Store::StopCore(Shard* shard, LogReader* reader, ValueFiles* files) {
  co_await shard->Stop();
  co_await reader->Close();
  co_await files->Stop();
  co_return true;
}

void Store::LogFailed(void* owner, const absl::Status& why) {
  auto& own = *static_cast<Shared::PerCore*>(owner);
  Store& store = *own.store;
  LogError("the store is read-only until restart: {}", MessageOf(why));
  store.shared_->read_only.store(true, std::memory_order_relaxed);
  Core& here = store.shared_->cores.core(own.core);
  for (uint32_t other = 0; other < here.count(); ++other) {
    if (other != own.core || own.is_compaction) here.Send(other, *own.notices[other]);
  }
}

ValueFiles& Store::value_files(const Core& here) { return *shared_->value_files[here.id()]; }

void Store::ReleaseFile(const Core& here, Request& request) {
  const uint64_t file = std::exchange(request.pinned_file_, 0);
  if (file == 0) return;
  value_files(here).Release(*shared_->value_files[OwnerOf(request.hash)], file);
}

// ---- Requests ----

bool Store::Start(Core& here, Request& request) {
  const uint32_t owner = OwnerOf(request.hash);
  request.source_core_ = here.id();
  Shard& shard = *shards_[owner];
  if (owner == here.id()) return shard.Start(request);
  request.shard_ = &shard;
  request.KeepArguments();
  request.set_function(RunAtOwner);
  here.Send(owner, request);
  return false;
}

void Store::StartGroup(Core& here, Request* const* requests, size_t count) {
  PAKV_CHECK(count > 0);
  Request& leader = *requests[0];
  leader.group_ = std::make_unique<std::vector<Request*>>(requests, requests + count);
  leader.kind_ = Request::Kind::kGroup;
  for (size_t i = 0; i < count; ++i) {
    requests[i]->source_core_ = here.id();
    PAKV_CHECK(OwnerOf(requests[i]->hash) == OwnerOf(leader.hash), "a group has one owner");
  }
  const uint32_t owner = OwnerOf(leader.hash);
  leader.shard_ = shards_[owner].get();
  if (owner == here.id()) {
    leader.shard_->StartGroup(leader);
    return;
  }
  for (size_t i = 0; i < count; ++i) requests[i]->KeepArguments();
  leader.set_function(RunAtOwner);
  here.Send(owner, leader);
}

void Store::RunAtOwner(Message& message, Core&) {
  auto& request = static_cast<Request&>(message);
  Shard& shard = *request.shard_;
  shard.PrefetchArrived(request);
  if (shard.Start(request)) shard.Complete(request);
}

// ---- Memory ----

void Store::SetClientMemory(Core& here, std::function<uint64_t()> bytes) {
  shards_[here.id()]->SetClientMemory(std::move(bytes));
}

Task<void> Store::SetMemoryLimit(Core& here, uint64_t bytes) {
  PAKV_CHECK(here.id() == 0, "the limit is divided there");
  co_await shared_->memory->SetLimit(bytes);
}

// ---- Namespaces ----

Task<Catalogue::Found> Store::OpenNamespace(Core& here, std::string name, bool create) {
  Catalogue* catalogue = shared_->catalogue.get();
  auto open = [catalogue, create, moved = std::move(name)](Core&) mutable {
    return catalogue->Open(std::move(moved), create);
  };
  co_return co_await here.CallTaskOn(shared_->cores.core(0).id(), std::move(open));
}

bool Store::IsNamespace(uint32_t namespace_id) const {
  return namespace_id < kNumberedNamespaces || namespace_id < shared_->catalogue->end();
}

// ---- Over all keys ----

Task<ScanStep> Store::Scan(Core& here, uint32_t namespace_id, uint64_t cursor, size_t count,
                           KeyFilter accept) {
  ScanStep step;
  uint64_t begin = cursor << kCursorShift;
  uint32_t owner = OwnerOf(begin);
  size_t left = count == 0 ? 1 : count;
  while (true) {
    struct Visit {
      Shard::LiveVisit live;
      std::vector<std::string> keys;
    };
    const auto entries_max = static_cast<uint32_t>(std::min<size_t>(left, kScanStepMax));
    Shard* shard = shards_[owner].get();
    Visit visit =
        co_await here.CallOn(owner, [shard, begin, entries_max, namespace_id, &accept](Core&) {
          Visit found;
          found.live = shard->VisitLive(begin, entries_max, [&](Entry entry) {
            if (entry.namespace_id() == namespace_id && accept(entry.key())) {
              found.keys.emplace_back(entry.key());
            }
          });
          return found;
        });
    if (visit.live.unproven || visit.live.undecided) {
      const Outcome outcome =
          co_await here.CallTaskOn(owner, [shard](Core&) { return shard->MakeClockDurable(); });
      if (outcome != Outcome::kDone) {
        step.outcome = outcome;
        co_return step;
      }
      // For that a key's time has to end while a write that gives it more is under way.
      if (visit.live.undecided) continue;
    }
    for (std::string& key : visit.keys) step.keys.push_back(std::move(key));
    left -= std::min(left, visit.live.visited);
    if (visit.live.next) {
      begin = *visit.live.next;
      if (left > 0) continue;
      step.cursor = begin >> kCursorShift;
      co_return step;
    }
    if (++owner == here.count()) co_return step;
    begin = RangeOf(owner, here.count()).first;
    // Keys that share a cursor come in one reply, also where two owners meet within one.
    const bool whole = (begin & ((uint64_t{1} << kCursorShift) - 1)) == 0;
    if (left == 0 && whole) {
      step.cursor = begin >> kCursorShift;
      co_return step;
    }
    left = std::max<size_t>(left, 1);
  }
}

Task<uint64_t> Store::CountKeys(Core& here, uint32_t namespace_id) {
  uint64_t count = 0;
  for (uint32_t id = 0; id < here.count(); ++id) {
    const Shard* shard = shards_[id].get();
    count += co_await here.CallOn(id, [shard, namespace_id](Core&) {
      const Table& table = shard->table();
      return namespace_id == kEveryNamespace ? table.count() : table.count(namespace_id);
    });
  }
  co_return count;
}

Task<std::vector<NamespaceCount>> Store::CountNumbered(Core& here) {
  std::vector<NamespaceCount> counts(kNumberedNamespaces);
  for (uint32_t id = 0; id < here.count(); ++id) {
    const Shard* shard = shards_[id].get();
    co_await here.CallOn(id, [shard, &counts](Core&) {
      for (uint32_t number = 0; number < kNumberedNamespaces; ++number) {
        counts[number].namespace_id = number;
        counts[number].keys += shard->table().count(number);
        counts[number].expiring += shard->table().expiring(number);
      }
      return true;
    });
  }
  std::erase_if(counts, [](const NamespaceCount& count) { return count.keys == 0; });
  co_return counts;
}

Task<RandomDraw> Store::RandomKey(Core& here, uint32_t namespace_id) {
  const auto first = static_cast<uint32_t>(shared_->per_core[here.id()].prng.Below(here.count()));
  for (uint32_t i = 0; i < here.count(); ++i) {
    RandomDraw draw = co_await RandomKeyOf(here, (first + i) % here.count(), namespace_id);
    if (draw.key || draw.outcome != Outcome::kDone) co_return draw;
  }
  co_return RandomDraw();
}

// A few draws; then a walk, step by step, from a random hash to the last and from the first again.
Task<RandomDraw> Store::RandomKeyOf(Core& here, uint32_t owner, uint32_t namespace_id) {
  Shard* shard = shards_[owner].get();
  Prng* prng = &shared_->per_core[owner].prng;
  RandomDraw draw;
  while (true) {
    std::optional<uint64_t> begin =
        co_await here.CallOn(owner, [shard, prng, namespace_id, &draw](Core&) {
          std::optional<uint64_t> walk_from;
          if (shard->table().count(namespace_id) == 0) return walk_from;
          const Entry entry = shard->RandomLive(*prng, namespace_id);
          if (entry) {
            draw.key = entry.key();
          } else {
            walk_from = shard->RandomHash(*prng);
          }
          return walk_from;
        });
    if (!begin) co_return draw;
    bool unproven = false;
    bool undecided = false;
    for (int round = 0; round < 2 && !draw.key; ++round) {
      while (begin && !draw.key) {
        const uint64_t from = *begin;
        const Shard::LiveVisit visit =
            co_await here.CallOn(owner, [shard, from, namespace_id, &draw](Core&) {
              return shard->VisitLive(from, kScanStepMax, [&](Entry entry) {
                if (!draw.key && entry.namespace_id() == namespace_id) draw.key = entry.key();
              });
            });
        unproven = unproven || visit.unproven;
        undecided = undecided || visit.undecided;
        begin = visit.next;
      }
      begin = RangeOf(owner, here.count()).first;
    }
    if (draw.key || (!unproven && !undecided)) co_return draw;
    draw.outcome =
        co_await here.CallTaskOn(owner, [shard](Core&) { return shard->MakeClockDurable(); });
    // Once more, if a write that gave a key more time was under way.
    if (draw.outcome != Outcome::kDone || !undecided) co_return draw;
  }
}

Task<Outcome> Store::Flush(Core& here, uint32_t namespace_id, Lsn* lsn) {
  // Nobody decides a write from here on, so the drop's LSN, above all clocks, divides all writes
  // into those before and those after it.
  co_await AtAllOwners(here, [](Shard& shard) { shard.Freeze(); });
  Shard& own = *shards_[here.id()];
  const Lsn drop_lsn = own.NextLsn();
  if (lsn != nullptr) *lsn = drop_lsn;
  const Outcome outcome = co_await own.WriteDrop(namespace_id, drop_lsn);
  if (outcome == Outcome::kDone) {
    // No reader sees a part of it; no write comes behind it before all owners know of it.
    co_await AtAllOwners(here, [](Shard& shard) { shard.CloseReads(); });
    co_await AtAllOwners(here, [namespace_id, drop_lsn](Shard& shard) {
      shard.Drop(namespace_id, drop_lsn);
      shard.OpenReads();
    });
  }
  co_await AtAllOwners(here, [](Shard& shard) { shard.Thaw(); });
  co_return outcome;
}

Task<void> Store::AtAllOwners(Core& here, absl::FunctionRef<void(Shard&)> what) {
  for (uint32_t id = 0; id < here.count(); ++id) {
    Shard* shard = shards_[id].get();
    co_await here.CallOn(id, [shard, what](Core&) {
      what(*shard);
      return true;
    });
  }
}

Task<StoreStats> Store::Stats(Core& here) {
  StoreStats stats;
  for (uint32_t id = 0; id < here.count(); ++id) {
    const Shard* shard = shards_[id].get();
    co_await here.CallOn(id, [shard, &stats](Core&) {
      shard->AddTo(stats);
      return true;
    });
  }
  const Compactor* compactor = shared_->compactor.get();
  const CompactionCounters compaction =
      co_await here.CallOn(0, [compactor](Core&) { return compactor->counters(); });
  const MemoryBudget* memory = shared_->memory.get();
  stats.memory_bytes += co_await here.CallOn(0, [memory](Core&) { return memory->fixed_bytes(); });
  stats.memory_limit_bytes =
      co_await here.CallOn(0, [memory](Core&) { return memory->limit_bytes(); });
  stats.segments = compaction.listed_segments;
  stats.disk_bytes = compaction.disk_bytes;
  stats.compacted_segments = compaction.segments;
  stats.compaction_copied_bytes = compaction.copied_bytes;
  stats.compaction_block_bytes = compaction.block_bytes;
  if (stats.record_bytes != 0) {
    stats.write_amplification_percent =
        (stats.block_bytes + stats.compaction_block_bytes) * 100 / stats.record_bytes;
  }
  stats.slowed_permille = compaction.slowed_permille;
  stats.damaged_segments = compaction.damaged;
  stats.read_only = read_only();
  co_return stats;
}

// ---- For operators ----

Task<CheckReport> Store::Check(Core& here) {
  co_return co_await here.CallTaskOn(0, [this](Core&) { return CheckOnCore0(); });
}

Task<CheckReport> Store::CheckOnCore0() {
  const bool mine = co_await shared_->one_check.Acquire();
  PAKV_CHECK(mine, "nothing asks it to stop");
  CheckReport report = co_await CheckBooks(shared_->cores.core(0), shards_, *shared_->directory,
                                           *shared_->recovered.manifest);
  shared_->one_check.Release();
  co_return report;
}

Task<CompactionProgress> Store::RequestCompaction(Core& here, uint32_t gain_percent) {
  Compactor* compactor = shared_->compactor.get();
  co_return co_await here.CallOn(
      0, [compactor, gain_percent](Core&) { return compactor->Request(gain_percent); });
}

Task<std::optional<CompactionProgress>> Store::CompactionProgressOf(Core& here, uint64_t number) {
  const Compactor* compactor = shared_->compactor.get();
  co_return co_await here.CallOn(
      0, [compactor, number](Core&) { return compactor->ProgressOf(number); });
}

}  // namespace pakv
