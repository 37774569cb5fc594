// A store's life: how it opens and recovers what is there, what it does when a log fails, and how
// it stops.
#include <sys/random.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "kv/index/hash_range.h"
#include "kv/log/files/file_io.h"
#include "kv/log/read/salvage.h"
#include "kv/store/start/start_check.h"
#include "kv/store/start/value_recovery.h"
#include "kv/store/store_shared.h"
#include "runtime/base/check.h"
#include "runtime/base/counted.h"
#include "runtime/base/log.h"
#include "runtime/task/nursery.h"

namespace pakv {
namespace {

// Of all memory, what transactions may hold.
constexpr uint64_t kTransactionMemoryDivisor = 4;

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
    shard_options.inline_value_bytes_max = options_.inline_value_bytes_max;
    shard_options.sweep_dropped_step = options_.sweep_dropped_step;
    shard_options.keeps_values = options_.engine == EngineKind::kMemory;
    shard_options.transaction_bytes_max = options_.transaction_bytes_max;
    shard_options.part_keys_max = options_.part_keys_max;
    shard_options.part_pause_ns = options_.publish_pause_ns;
    shard_options.reply_bytes_max = options_.reply_bytes_max;
    shard_options.large_reply_bytes = options_.large_reply_bytes;
    shard_options.device_read_bytes_max = options_.device_read_bytes_max;
    if (options_.memory.limit_bytes != 0) {
      const uint64_t share = options_.memory.limit_bytes / kTransactionMemoryDivisor / count;
      shard_options.transaction_bytes_max = std::min(options_.transaction_bytes_max, share);
      shard_options.reply_bytes_max = std::min(options_.reply_bytes_max, share);
    }
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
  RecoveryMemory memory(options_.memory, options_.directory, here.count(), options_.progress);
  ValueFileRecovery values(directory, shards_, options_.salvage);
  StartCheck check(directory, shards_, memory, values, options_.salvage);
  const RecoveryOptions recovery_options = OptionsOfRecovery(run, memory);
  auto recovered = co_await Recover(here, directory, check, recovery_options);
  if (!recovered.ok()) co_return recovered.status();
  shared_->recovered = std::move(*recovered);
  Manifest& manifest = *shared_->recovered.manifest;
  if (options_.salvage) {
    const absl::Status named = co_await NameNamespaces(here, check.namespaces_end(), report);
    if (!named.ok()) {
      co_await manifest.Close();
      co_return named;
    }
  }
  shared_->catalogue = std::make_unique<Catalogue>(here, manifest, LogFailed, &shared_->compaction);
  const RecoveryReport& found = shared_->recovered.report;
  Tell(found, report);
  shared_->context =
      options_.segment_bytes != 0
          ? ContextOf(directory, shared_->recovered, options_.segment_bytes,
                      options_.segment_bytes_min != 0 ? options_.segment_bytes_min : UINT64_MAX)
          : ContextOf(directory, shared_->recovered, DefaultSegmentBytes(directory.disk_bytes()),
                      kDefaultSegmentBytesMin);
  shared_->context.discards = options_.engine == EngineKind::kMemory;
  shared_->context.footer_segment_bytes_min = options_.footer_segment_bytes_min;
  shared_->context.footers_of_any_size = options_.footers_of_any_size;
  ClaimSpace(here.count());
  shared_->recovered.manifest->set_appends_max(options_.manifest_appends_max);
  shared_->value_files_shared.next_file.store(
      FirstValueFile(shared_->recovered.manifest->run_counter()), std::memory_order_relaxed);
  const absl::Status settled = co_await values.Settle(here, *shared_->value_files[here.id()],
                                                      /*records_lost=*/!found.salvage.empty());
  if (!settled.ok()) {
    co_await manifest.Close();
    co_return settled;
  }
  if (!values.kept().empty()) {
    report.notes.push_back(directory.path() + ": kept in " + directory.PathOf(kSalvageName) + ": " +
                           Counted(values.kept().size(), "value file") +
                           " that no key refers to (lines above)");
  }
  co_await RunShards(here);
  StartCompactor(here, found.expiry_clock_ms);
  std::vector<Shard*> shards;
  shards.reserve(shards_.size());
  for (const auto& shard : shards_) shards.push_back(shard.get());
  const Compactor* compactor = shared_->compactor.get();
  shared_->memory = std::make_unique<MemoryBudget>(
      here, std::move(shards), [compactor] { return compactor->memory_bytes(); }, options_.memory);
  co_await shared_->memory->Start();
  if (!values.lost().empty()) {
    const absl::Status removed = co_await RemoveLost(here, values.lost());
    if (!removed.ok()) {
      const absl::Status stopped = co_await Stop();
      if (!stopped.ok()) LogWarning("{}", MessageOf(stopped));
      co_return removed;
    }
    report.notes.push_back(
        directory.path() + ": removed " + Counted(values.lost().size(), "key") +
        (values.lost().size() == 1 ? " whose value is lost" : " whose values are lost") +
        " (lines above)");
  }
  report.keys = co_await CountKeys(here, kEveryNamespace);
  co_return absl::OkStatus();
}

// Before anybody takes any.
void Store::ClaimSpace(uint32_t core_count) {
  if (shared_->context.discards) return;
  uint64_t files_bytes = 0;
  uint64_t longest_bytes = 0;
  for (const auto& [segment, info] : shared_->recovered.manifest->segments()) {
    const uint64_t bytes = info.sealed_end.value_or(info.size);
    files_bytes += bytes;
    longest_bytes = std::max(longest_bytes, bytes);
  }
  shared_->claims.SetFiles(files_bytes, longest_bytes);
  shared_->context.claims = &shared_->claims;
  shared_->value_files_shared.claims = &shared_->claims;
  for (uint32_t id = 0; id < core_count; ++id) {
    SegmentSupply::ClaimReserve(shared_->context, SegmentKind::kCommit);
  }
  SegmentSupply::ClaimReserve(shared_->context, SegmentKind::kCompaction);
}

RecoveryOptions Store::OptionsOfRecovery(uint64_t run, RecoveryMemory& memory) const {
  RecoveryOptions recovery_options;
  recovery_options.run = run;
  recovery_options.accept_clock = options_.accept_clock;
  recovery_options.salvage = options_.salvage;
  recovery_options.scan.read_bytes = options_.recovery_read_bytes;
  recovery_options.scan.cancel = options_.cancel_open;
  recovery_options.scan.progress = &memory.scan_progress();
  recovery_options.scan.logs_progress = options_.progress == nullptr;
  recovery_options.scan.memory_bytes_max = memory.scan_bytes_max();
  return recovery_options;
}

void Store::Tell(const RecoveryReport& found, OpenReport& report) const {
  const StoreDirectory& directory = *shared_->directory;
  report.records_read = found.records;
  report.segments = found.segments;
  for (const RecoveryCut& cut : found.cuts) {
    report.notes.push_back(cut.path + ": cut " + Counted(cut.bytes, "byte") + " at offset " +
                           std::to_string(cut.offset) + " (" + cut.reason +
                           "), which were never acknowledged; kept in " + cut.kept_in);
  }
  if (!found.salvage.empty()) {
    report.notes.push_back(
        directory.path() + ": went on without what is damaged (" +
        Counted(found.salvage.size(), "line") +
        " above). Keys that were written there are missing, or show an older value, and keys "
        "that were deleted there may be back; the damaged files are in " +
        directory.PathOf(kSalvageName));
  }
}

Task<void> Store::RunShards(Core& here) {
  const RecoveryReport& found = shared_->recovered.report;
  for (uint32_t id = 0; id < here.count(); ++id) {
    Shard* shard = shards_[id].get();
    LogReader* reader = shared_->readers[id].get();
    LogWriterOptions log_options;
    log_options.log = id;
    log_options.expiry_clock_ms = found.expiry_clock_ms;
    log_options.flush_apart = options_.flush_apart;
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
}

// `end` is above the ids of all keys. Those without a name lost it with a MANIFEST.
Task<absl::Status> Store::NameNamespaces(Core& here, uint32_t end, OpenReport& report) {
  Manifest& manifest = *shared_->recovered.manifest;
  while (manifest.listed().next_namespace < end) {
    ManifestEntry entry;
    entry.type = ManifestEntry::Type::kNamespace;
    entry.namespace_id = manifest.listed().next_namespace;
    std::string name = "salvaged-" + std::to_string(entry.namespace_id);
    while (manifest.listed().namespaces.contains(name)) name += '+';
    entry.name = name;  // which lives until the append is done
    std::vector<ManifestEntry> entries{entry};
    const absl::Status status = co_await manifest.Append(here, std::move(entries));
    if (!status.ok()) co_return status;
    std::string& note =
        report.notes.emplace_back(NamelessNamespace(*shared_->directory, entry.namespace_id));
    note += "; it is ";
    note += name;
    note += " now";
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
    if (outcome == Outcome::kNoDescriptors) {
      co_return absl::ResourceExhaustedError(what + "out of file descriptors (ulimit -n)");
    }
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

}  // namespace pakv
