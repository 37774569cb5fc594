// One store on several cores, through several lives: sessions write and read, the disk does what
// disks do, and at some operation, also of the recovery, the process is killed or the power goes.
// After each restart, with another number of cores, everything that was acknowledged or shown is
// there. The last life is free of faults: it has to make progress.
//
// Long because: all that a life may meet is drawn, done and checked in one place.
#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/base/coverage.h"
#include "runtime/base/log.h"
#include "runtime/base/prng.h"
#include "tests/sim/clients/store_client.h"
#include "tests/sim/clients/transaction_client.h"
#include "tests/sim/oracle/oracle.h"
#include "tests/sim/scenario.h"
#include "tests/sim/scenarios/clock_steps.h"
#include "tests/sim/scenarios/draw_compaction.h"
#include "tests/sim/scenarios/value_file_check.h"
#include "tests/sim/world/sim_node.h"

namespace pakv {
namespace {

class StoreScenario {
 public:
  // kClock: a small store on a sound disk, whose keys expire, whose clock is set back and forth by
  // hours at every turn, and which is compacted to the last segment again and again.
  enum class Kind : uint8_t { kAll, kClock };

  StoreScenario(uint64_t seed, Kind kind)
      : world_(seed), prng_(world_.prng()), kind_(kind), node_(world_, "10.0.0.1", DiskOptions()) {
    node_.disk().MakeDirectories("/data");
    segment_bytes_ =
        uint64_t{1} << (prng_.Chance(1, 6) ? prng_.Between(10, 12) : prng_.Between(13, 18));
    // Longer ones as the store grows.
    if (seed % 3 == 0) segment_bytes_min_ = segment_bytes_ >> (1 + seed / 3 % 4);
    flush_apart_.records_min = static_cast<uint32_t>(prng_.Between(1, 6));
    flush_apart_.records_max = 2 * flush_apart_.records_min;
    buffer_bytes_ = size_t{1} << prng_.Between(12, 16);
    cache_bytes_ = prng_.Chance(1, 2) ? 0 : uint64_t{1} << prng_.Between(10, 18);
    key_count_ = static_cast<uint32_t>(prng_.Between(2, 12));
    pipeline_max_ = static_cast<uint32_t>(prng_.Between(1, 5));
    const uint64_t sizes = prng_.Below(4);
    value_bytes_max_ = sizes == 0 ? 200'000 : sizes == 1 ? 200 : 6'000;
    flush_per_10000_ = prng_.Chance(1, 3) ? 100 : 0;
    sweep_dropped_step_ = prng_.Chance(1, 2) ? 1 : 64;
    namespace_count_ = prng_.Between(1, 4);
    keys_expire_ = prng_.Chance(2, 3);
    oracle_.SetClock([this] { return node_.clock().WallUs() / 1000; });
    footers_ = prng_.Chance(2, 3);
    footers_of_any_size_ = prng_.Chance(3, 4);
    read_bytes_ = uint64_t{4096} << prng_.Below(6);
    compaction_ = DrawCompaction(prng_);
    transactions_max_ = prng_.Chance(2, 3) ? prng_.Between(1, 5) : 0;
    publish_pause_ns_ = prng_.Chance(1, 4) ? kNsPerUs << prng_.Between(4, 15) : 0;
    // Keys that have memory of their own, so that each counts.
    if (prng_.Chance(1, 3)) key_bytes_ = prng_.Between(9'000, 20'000);
    if (prng_.Chance(2, 3)) inline_bytes_max_ = static_cast<uint32_t>(prng_.Between(20, 400));
    value_files_.chunk_bytes = 4096u << prng_.Below(4);
    value_files_.uploads_max = static_cast<uint32_t>(prng_.Between(1, 3));
    value_files_.chunks_max = static_cast<uint32_t>(prng_.Between(1, 3));
    if (prng_.Chance(1, 2)) part_keys_max_ = prng_.Between(1, 3);
    if (kind_ == Kind::kClock) MakeSmall();
  }

  ScenarioResult Run() {
    // In memory alone: one life, since nothing is left of it.
    if (kind_ == Kind::kAll && prng_.Chance(1, 12)) engine_ = EngineKind::kMemory;
    const uint64_t lives = engine_ == EngineKind::kMemory ? 0 : prng_.Between(1, 10);
    for (uint64_t life = 0; life < lives && result_.failure.empty(); ++life) {
      Live(Life::kIll);
    }
    if (result_.failure.empty()) {
      if (kind_ == Kind::kAll && lives > 0 && prng_.Chance(1, 3)) RotBits();
      if (result_.failure.empty()) Live(Life::kLast);
    }
    if (result_.failure.empty() && !oracle_.ok()) result_.failure = oracle_.violation();
    result_.operations = oracle_.acknowledged_count();
    result_.digest = world_.digest();
    result_.crash_points = world_.crash_points();
    return result_;
  }

 private:
  uint32_t DrawAlignment() {
    constexpr uint32_t kAlignments[] = {512, 512, 4096, 0};
    alignment_ = kAlignments[prng_.Below(4)];
    return alignment_;
  }
  SimDiskOptions DiskOptions() {
    SimDiskOptions options;
    options.direct_alignment = DrawAlignment();
    disk_fills_ = prng_.Chance(1, 4);
    options.capacity_bytes = uint64_t{1} << 30;
    return options;
  }

  void MakeSmall() {
    segment_bytes_ = uint64_t{1} << prng_.Between(12, 14);
    segment_bytes_min_ = 0;
    key_count_ = static_cast<uint32_t>(prng_.Between(2, 6));
    value_bytes_max_ = 200;
    flush_per_10000_ = 0;
    namespace_count_ = 1;
    keys_expire_ = true;
    transactions_max_ = 0;
    key_bytes_ = 0;
    disk_fills_ = false;
    short_life_ = true;
    // Deletes are many, so logs that rest are rolled for their sake.
    compaction_.grave_bytes_max = prng_.Between(1, 100);
    compaction_.segments_min = 0;
    compaction_.begin_percent = 0;
  }

  enum class Life : uint8_t {
    kIll,     // crashes and faults
    kRotten,  // bits have flipped on the disk: refusals are right, wrong values are not
    kLast,    // all is well: everything has to work
  };

  CrashKind RandomKind() {
    return prng_.Chance(1, 2) ? CrashKind::kProcessKill : CrashKind::kPowerCut;
  }

  // Each kind of fault is on in some lives and off in others.
  void MakeDiskIll() {
    SimDiskFaults& faults = node_.disk().faults;
    faults = {};
    if (kind_ == Kind::kClock) return;
    if (prng_.Chance(1, 3)) faults.short_transfer = static_cast<uint32_t>(prng_.Below(3000));
    if (prng_.Chance(1, 3)) faults.stall = static_cast<uint32_t>(prng_.Below(100));
    // That is nobody's error: what has to last is synced before.
    if (prng_.Chance(1, 3)) faults.write_back_error = static_cast<uint32_t>(prng_.Below(5000));
    if (prng_.Chance(1, 4)) faults.flush_error = static_cast<uint32_t>(prng_.Below(100));
    if (prng_.Chance(1, 5)) faults.write_error = static_cast<uint32_t>(prng_.Below(100));
    if (prng_.Chance(1, 6)) faults.read_error = static_cast<uint32_t>(prng_.Below(50));
    if (prng_.Chance(1, 6)) faults.name_error = static_cast<uint32_t>(prng_.Below(100));
    disk_is_ill_ =
        faults.flush_error + faults.write_error + faults.read_error + faults.name_error > 0 ||
        disk_fills_;
  }

  void Fail(std::string what) {
    if (result_.failure.empty()) result_.failure = std::move(what);
  }

  static Task<absl::StatusOr<std::unique_ptr<Store>>> Open(Cores& cores, StoreOptions options,
                                                           OpenReport& report) {
    return Store::Open(cores, std::move(options), report);
  }
  static Task<absl::Status> Stop(Store& store) { return store.Stop(); }
  static Task<CheckReport> Check(Store& store, Core& core) { return store.Check(core); }

  // Bits flip, one at a time, each before a start that may refuse, or refuse values later, but
  // shows nothing wrong.
  void RotBits() {
    constexpr int kFlips = 16;
    for (int i = 0; i < kFlips && result_.failure.empty(); ++i) {
      const std::string path = RandomSegment();
      if (path.empty()) return;
      const std::string bytes = *node_.disk().Contents(path.c_str());
      const size_t end = bytes.find_last_not_of('\0');
      if (end == std::string::npos) continue;
      // Half of them where headers are.
      uint64_t offset = prng_.Below(end + 1);
      if (prng_.Chance(1, 2)) offset = offset / SimDisk::kSectorBytes * SimDisk::kSectorBytes;
      if (offset % SimDisk::kSectorBytes == 0) offset += prng_.Below(128);
      if (offset >= bytes.size()) continue;
      const auto bit = static_cast<uint32_t>(prng_.Below(8));
      LogDebug("-- bit {} of {} at {} flips", bit, path, offset);
      node_.disk().FlipBit(path.c_str(), offset, bit);
      Live(Life::kRotten);
      const auto now = node_.disk().Contents(path.c_str());
      if (now && offset < now->size()) node_.disk().FlipBit(path.c_str(), offset, bit);
    }
  }

  std::string RandomSegment() {
    const std::string directory = "/data/store/";
    std::vector<std::string> names;
    if (node_.disk().List(directory.c_str(), names) < 0) return {};
    // Those that something was written into.
    std::erase_if(names, [&](const std::string& name) {
      if (!name.ends_with(".seg") && !name.ends_with(".val")) return true;
      const auto bytes = node_.disk().Contents((directory + name).c_str());
      return bytes->find_first_not_of('\0') == std::string::npos;
    });
    return names.empty() ? std::string() : directory + names[prng_.Below(names.size())];
  }

  void Live(Life life) {
    MakeDiskIll();
    if (life != Life::kIll) {
      node_.disk().faults = {};
      disk_is_ill_ = false;
    }
    rotten_ = life == Life::kRotten;
    node_.disk().SetBallast(0);
    if (kind_ == Kind::kClock) {
      clock_steps_.Step();
    } else {
      clock_steps_.StepNowAndThen();
    }
    // The directory is copied to another drive.
    if (prng_.Chance(1, 12)) node_.disk().SetDirectAlignment(DrawAlignment());
    SimNodeOptions options{.core_count = static_cast<uint32_t>(prng_.Between(1, 4)),
                           .core = {.buffer_count = 4, .buffer_bytes = buffer_bytes_}};
    if (prng_.Chance(1, 4)) options.ring.submissions_max = 2;
    if (prng_.Chance(1, 4)) {
      options.core.mailbox_chains_max = static_cast<uint32_t>(prng_.Between(1, 2));
    }
    node_.Start(options);
    const bool crashes = life == Life::kIll && prng_.Chance(1, 3);
    if (crashes) node_.CrashAfter(prng_.Below(150), RandomKind());
    Store* store = OpenStore();
    if (store != nullptr) Serve(*store, life);
  }

  uint64_t Block() const { return alignment_ == 512 ? 512 : 4096; }

  Store* OpenStore() {
    StoreOptions options;
    options.directory = "/data/store";
    options.engine = engine_;
    // A block at least.
    options.segment_bytes = std::max(segment_bytes_, Block());
    options.segment_bytes_min = segment_bytes_min_ == 0 ? 0 : std::max(segment_bytes_min_, Block());
    options.flush_apart = flush_apart_;
    options.cache_bytes = cache_bytes_;
    options.footer_segment_bytes_min = footers_ ? 1 : UINT64_MAX;
    options.footers_of_any_size = footers_of_any_size_;
    options.recovery_read_bytes = read_bytes_;
    options.compaction = compaction_;
    // From hardly ever to all the time.
    options.manifest_appends_max = prng_.Chance(1, 4) ? 1 : 2 + key_count_ * key_count_;
    options.publish_pause_ns = publish_pause_ns_;
    options.sweep_dropped_step = sweep_dropped_step_;
    options.part_keys_max = part_keys_max_;
    options.inline_value_bytes_max = inline_bytes_max_;
    options.value_files = value_files_;
    StoreEntropy entropy;
    for (uint8_t& byte : entropy.store_id) byte = static_cast<uint8_t>(prng_.Next());
    entropy.hash_seed = prng_.Next();
    entropy.run = prng_.Next() | 1;
    options.entropy = entropy;
    OpenReport report;
    auto opened = node_.Run(Open(node_.cores(), std::move(options), report));
    if (!opened) {
      if (node_.running()) Fail("the store does not open: " + world_.failure());
      oracle_.Crashed();
      return nullptr;
    }
    if (!opened->ok()) {
      const absl::Status& status = opened->status();
      const bool damage = absl::IsDataLoss(status);
      // It has noticed in time what the page cache has lost.
      const bool noticed = absl::IsUnavailable(status) && node_.disk().faults.write_back_error > 0;
      const bool expected = noticed || (rotten_ ? damage : disk_is_ill_ && !damage);
      if (!expected || absl::IsFailedPrecondition(status)) {
        Fail("the store does not open: " + std::string(status.message()));
      }
      opened.reset();
      node_.Crash(CrashKind::kProcessKill);
      return nullptr;
    }
    if (!node_.running()) {
      // It died in the very pass in which the store was open.
      oracle_.Crashed();
      return nullptr;
    }
    return &node_.Own(std::move(**opened));
  }

  void Serve(Store& store, Life life) {
    const bool last = life == Life::kLast;
    StoreLoad& load = node_.Own(std::make_unique<StoreLoad>(StoreLoad{oracle_, store}));
    if (!OpenNamespaces(store, load)) return;
    load.key_count = key_count_;
    load.pipeline_max = pipeline_max_;
    load.value_bytes_max = value_bytes_max_;
    load.flush_per_10000 = flush_per_10000_;
    if (keys_expire_) load.wall_ms = [this] { return node_.clock().WallUs() / 1000; };
    load.disk_is_ill = disk_is_ill_;
    load.values_may_be_damaged = rotten_;
    load.key_bytes = key_bytes_;
    // What recovery shows is shown: it may not go any more.
    const bool reads = life != Life::kIll || prng_.Chance(1, 2);
    if (reads && !RunSessions(load, 1, Work::kReadAll)) return;
    if (reads && transactions_max_ > 0 && !RunSessions(load, 1, Work::kCheckAll)) return;
    if (life == Life::kRotten) return Finish(store, load, last);
    if (key_bytes_ != 0 && !MakeMemoryShort(store, load, last)) return;
    if (!last && kind_ == Kind::kClock) {
      if (LiveByTheClock(store, load)) Finish(store, load, last);
      return;
    }
    if (!last) {
      if (prng_.Chance(1, 4)) {
        node_.Crash(RandomKind());
        oracle_.Crashed();
        return;
      }
      short_life_ = prng_.Chance(1, 2);
      if (prng_.Chance(3, 4)) node_.CrashAfter(prng_.Below(short_life_ ? 100 : 1000), RandomKind());
      FillDiskForAWhile();
      LackDescriptorsForAWhile(load);
      LookAfterStore(store, load);
      if (prng_.Chance(1, 2)) clock_steps_.StepUnderLoad(30 * kNsPerMs, sessions_work_);
      sessions_work_ = true;
      const bool lives = RunSessions(load, prng_.Between(1, 6), Work::kRandom);
      sessions_work_ = false;
      if (!lives) return;
      if (load.lacks_descriptors && !WriteAgain(store, load)) return;
      if (transactions_max_ > 0 && !RunSessions(load, 1, Work::kCheckAll)) return;
    }
    node_.disk().SetBallast(0);
    if (engine_ == EngineKind::kMemory && !RunSessions(load, 6, Work::kRandom)) return;
    if (last && !RunSessions(load, 2, Work::kWriteAll)) return;
    if (last && !RunSessions(load, 1, Work::kReadAll)) return;
    if (last && load.memory_is_short && engine_ == EngineKind::kLog) {
      // What is deleted makes room. (Where values are kept those of transactions, which stay, may
      // be what fills it.)
      if (!RunSessions(load, 1, Work::kDeleteAll)) return;
      if (!RunSessions(load, 1, Work::kWriteUntilDone)) return;
    }
    Finish(store, load, last);
  }

  // False: the life is over.
  bool LiveByTheClock(Store& store, StoreLoad& load) {
    if (prng_.Chance(1, 3)) node_.CrashAfter(prng_.Below(200), RandomKind());
    for (uint64_t turns = prng_.Between(1, 8); turns > 0; --turns) {
      clock_steps_.Step();
      switch (prng_.Below(3)) {
        case 0:
          if (!RunSessions(load, prng_.Between(1, 2), Work::kRandom)) return false;
          break;
        case 1:
          if (!RunSessions(load, 1, Work::kReadAll)) return false;
          break;
        default:
          node_.Spawn(0, Compact(store, node_.core(0), 1));
          world_.RunFor(prng_.Below(4) * kNsPerSecond);
          if (node_.running()) break;
          oracle_.Crashed();
          return false;
      }
    }
    return true;
  }

  // Two have numbers, two have names, which are asked for in any order: an id that was given to a
  // name once is that name's in all lives. False: the life is over.
  bool OpenNamespaces(Store& store, StoreLoad& load) {
    load.namespaces.clear();
    load.namespaces.push_back({"0", 0});
    if (namespace_count_ > 1) load.namespaces.push_back({"5", 5});
    std::vector<std::string> names;
    if (namespace_count_ > 2) names.emplace_back("orders");
    if (namespace_count_ > 3) names.emplace_back("a name");
    if (prng_.Chance(1, 2)) std::reverse(names.begin(), names.end());
    for (const std::string& name : names) {
      const auto found = node_.Run(OpenNamespace(store, node_.core(0), name));
      if (!found && node_.running()) Fail("a namespace does not open: " + world_.failure());
      if (!found || !found->id) {
        if (found && !disk_is_ill_) Fail("a namespace was refused");
        node_.Crash(RandomKind());
        oracle_.Crashed();
        return false;
      }
      const auto [known, is_new] = namespace_ids_.emplace(name, *found->id);
      if (known->second != *found->id) {
        Fail("the namespace " + name + " was " + std::to_string(known->second) + " and is " +
             std::to_string(*found->id));
      }
    }
    // Keys keep their namespaces from life to life.
    for (const auto& [name, id] : namespace_ids_) load.namespaces.push_back({name, id});
    return result_.failure.empty();
  }
  static Task<Catalogue::Found> OpenNamespace(Store& store, Core& core, std::string name) {
    return store.OpenNamespace(core, std::move(name), /*create=*/true);
  }

  // An operator has it compacted, and checked, while sessions work. The check finds nothing then
  // either.
  void LookAfterStore(Store& store, StoreLoad& load) {
    const auto id = static_cast<uint32_t>(prng_.Below(node_.cores().count()));
    if (prng_.Chance(1, 3)) {
      node_.Spawn(id, Compact(store, node_.core(id), static_cast<uint32_t>(prng_.Between(1, 100))));
    }
    if (!prng_.Chance(1, 3)) return;
    ++load.checks_under_way;
    node_.Spawn(id, CheckUnderLoad(store, node_.core(id), load));
  }
  static Task<void> Compact(Store& store, Core& core, uint32_t gain_percent) {
    const CompactionProgress begun = co_await store.RequestCompaction(core, gain_percent);
    PAKV_CHECK(begun.number != 0);
  }
  static Task<void> CheckUnderLoad(Store& store, Core& core, StoreLoad& load) {
    const CheckReport report = co_await store.Check(core);
    --load.checks_under_way;
    if (report.findings.empty()) co_return;
    load.wrong = report.findings.front().file + ": " + report.findings.front().what;
  }

  static Task<bool> Limit(Store& store, Core& core, uint64_t more) {
    const StoreStats stats = co_await store.Stats(core);
    co_await store.SetMemoryLimit(core, stats.memory_bytes + more);
    co_return true;
  }

  // From now on there is memory for a few keys more, or for none; at last for what the log keeps of
  // its buffers, and some. False: the life is over.
  bool MakeMemoryShort(Store& store, StoreLoad& load, bool last) {
    if (prng_.Chance(1, 4)) return true;
    const uint64_t more = prng_.Below(2) * prng_.Below(8 * key_bytes_) +
                          (last ? (node_.cores().count() + 1) * (4 * buffer_bytes_ + 200'000) : 0);
    if (!node_.Run(Limit(store, node_.core(0), more))) {
      if (node_.running()) Fail("the limit is not set: " + world_.failure());
      oracle_.Crashed();
      return false;
    }
    load.memory_is_short = true;
    load.alone = true;
    if (prng_.Chance(1, 2) && !RunSessions(load, 1, Work::kWriteAll)) return false;
    load.alone = false;
    return true;
  }

  // Somebody else fills the disk, and frees it again: once for long, or a few times while something
  // is on its way to it.
  void FillDiskForAWhile() {
    if (!disk_fills_ || !prng_.Chance(1, 2)) return;
    const bool for_long = prng_.Chance(1, 3);
    for (uint64_t times = for_long ? 1 : prng_.Between(1, 10); times > 0; --times) {
      const uint64_t left_bytes = prng_.Chance(1, 2) ? 0 : prng_.Below(1 << 20);
      const uint64_t begin_ns = for_long ? 0 : prng_.Below(20 * kNsPerMs);
      const uint64_t end_ns = begin_ns + prng_.Below(for_long ? 5 * kNsPerSecond : 2 * kNsPerMs);
      world_.agenda().After(begin_ns, /*owner=*/0, [this, left_bytes] {
        if (!sessions_work_) return;
        SpaceStat space;
        node_.disk().SetBallast(0);
        node_.disk().Space(space);
        node_.disk().SetBallast(space.free_bytes - std::min(space.free_bytes, left_bytes));
      });
      world_.agenda().After(end_ns, /*owner=*/0, [this] { node_.disk().SetBallast(0); });
    }
  }

  // The system opens no further file, or only some.
  void LackDescriptorsForAWhile(StoreLoad& load) {
    if (kind_ == Kind::kClock || !prng_.Chance(1, 4)) return;
    load.lacks_descriptors = true;
    uint32_t& chance = node_.disk().faults.no_descriptor;
    constexpr uint32_t kChances[] = {10'000, 10'000, 3'000, 1'000};
    chance = kChances[prng_.Below(4)];
    world_.agenda().After(prng_.Below(3 * kNsPerSecond), /*owner=*/0, [&chance] { chance = 0; });
  }

  // There are descriptors again: writes go on by themselves, on each core. False: the life is over.
  bool WriteAgain(Store& store, StoreLoad& load) {
    node_.disk().faults.no_descriptor = 0;
    if (!disk_is_ill_) {
      const bool opens = node_.Run(UntilFilesOpen(store, node_.core(0))).has_value();
      if (!opens && node_.running()) Fail("no file is opened again: " + world_.failure());
      if (!opens) oracle_.Crashed();
      if (!opens || !node_.running()) return false;
      // What memory refuses is another matter.
      if (key_bytes_ == 0 && !RunSessions(load, 1, Work::kWriteEachUntilDone)) return false;
    }
    load.lacks_descriptors = false;
    return true;
  }
  static Task<bool> UntilFilesOpen(Store& store, Core& core) {
    while (true) {
      const StoreStats stats = co_await store.Stats(core);
      if (!stats.no_descriptors) co_return true;
      co_await core.timers().SleepUntil(core.now_ns() + 100 * kNsPerMs);
    }
  }

  enum class Work : uint8_t {
    kRandom,
    kReadAll,
    kWriteAll,
    kCheckAll,
    kDeleteAll,
    kWriteUntilDone,
    kWriteEachUntilDone,
  };

  // False if the life is over: the node crashed, or the scenario has failed.
  bool RunSessions(StoreLoad& load, uint64_t count, Work work) {
    load.sessions_done = 0;
    const uint64_t transactions = work == Work::kCheckAll ? count
                                  : work == Work::kRandom ? prng_.Below(transactions_max_ + 1)
                                                          : 0;
    for (uint64_t i = 0; i < transactions; ++i) StartTransactions(load, work == Work::kCheckAll);
    if (work == Work::kCheckAll) count = 0;
    for (uint64_t i = 0; i < count; ++i) {
      const auto id = static_cast<uint32_t>(prng_.Below(node_.cores().count()));
      Core& core = node_.core(id);
      StoreSession& session =
          node_.Own(std::make_unique<StoreSession>(load, core, next_session_++, prng_.Next()));
      switch (work) {
        case Work::kRandom:
          node_.Spawn(id,
                      session.Run(static_cast<uint32_t>(prng_.Between(1, short_life_ ? 8 : 80))));
          break;
        case Work::kReadAll:
          node_.Spawn(id, session.ReadAll());
          break;
        case Work::kWriteAll:
          node_.Spawn(id, session.WriteAll());
          break;
        case Work::kCheckAll:
          break;
        case Work::kDeleteAll:
          node_.Spawn(id, session.DeleteAll());
          break;
        case Work::kWriteUntilDone:
          node_.Spawn(id, session.WriteUntilDone());
          break;
        case Work::kWriteEachUntilDone:
          node_.Spawn(id, session.WriteEachUntilDone());
          break;
      }
    }
    std::string wrong;
    const bool ended = world_.RunUntil(
        [&] {
          if (!node_.running()) return true;
          wrong = load.wrong;
          return load.sessions_done == count + transactions || !oracle_.ok() || !wrong.empty();
        },
        120 * kNsPerSecond);
    if (!ended) Fail("no progress: " + world_.failure() + oracle_.DescribePending());
    if (!wrong.empty()) Fail(wrong);
    if (!oracle_.ok()) Fail(oracle_.violation());
    if (!node_.running()) oracle_.Crashed();
    return node_.running() && result_.failure.empty();
  }

  void StartTransactions(StoreLoad& load, bool checks) {
    const auto id = static_cast<uint32_t>(prng_.Below(node_.cores().count()));
    TransactionSession& session = node_.Own(
        std::make_unique<TransactionSession>(load, node_.core(id), next_session_++, prng_.Next()));
    const auto count = static_cast<uint32_t>(prng_.Between(1, short_life_ ? 8 : 60));
    node_.Spawn(id, checks ? session.CheckAll() : session.Run(count));
  }

  void Finish(Store& store, const StoreLoad& load, bool last) {
    // Who asks for a check waits for it, before he stops the store.
    const bool checked =
        world_.RunUntil([&] { return !node_.running() || load.checks_under_way == 0; });
    if (!checked) Fail("a check under load does not end: " + world_.failure());
    if (last || !disk_is_ill_) {
      for (const LoadNamespace& in : load.namespaces) {
        if (!node_.running()) break;
        auto wrong = node_.Run(
            CheckKeys(node_.core(0), store, oracle_, in, prng_.Between(1, 20), keys_expire_));
        if (!wrong && node_.running()) Fail("a scan does not end: " + world_.failure());
        if (wrong && !wrong->empty()) Fail(*wrong);
      }
      CheckBooks(store);
      LookAtValueFiles(store);
    }
    if (node_.running() && result_.failure.empty() && (last || prng_.Chance(1, 2))) {
      if (!last && prng_.Chance(1, 3)) node_.CrashAfter(prng_.Below(60), RandomKind());
      auto stopped = node_.Run(Stop(store));
      if (!node_.running()) PAKV_COVERED(kStopCrashed);
      if (!stopped && node_.running()) Fail("the store does not stop: " + world_.failure());
      if (stopped && !stopped->ok() && !disk_is_ill_) {
        Fail("the store does not stop well: " + std::string(stopped->message()));
      }
      if (stopped && result_.failure.empty()) node_.Stop();
    }
    node_.Crash(RandomKind());
    oracle_.Crashed();
  }

  // At rest, the sums that compaction goes by are exact.
  void CheckBooks(Store& store) {
    if (!node_.running() || !result_.failure.empty()) return;
    auto report = node_.Run(Check(store, node_.core(0)));
    if (!report && node_.running()) Fail("a check does not end: " + world_.failure());
    if (report && !report->findings.empty())
      Fail(report->findings.front().file + ": " + report->findings.front().what);
  }

  // As far as the check gets: what a bit flip has taken from the log may leave files behind.
  void LookAtValueFiles(Store& store) {
    if (!node_.running() || rotten_ || !result_.failure.empty()) return;
    const std::string wrong = CheckValueFiles(world_, node_, store, "/data/store");
    if (!wrong.empty()) Fail(wrong);
  }

  SimWorld world_;
  Prng& prng_;
  const Kind kind_;
  bool disk_fills_ = false;
  uint32_t alignment_ = 0;
  bool sessions_work_ = false;
  SimNode node_;
  Oracle oracle_;
  ClockSteps clock_steps_{world_, node_, oracle_};
  ScenarioResult result_;
  uint64_t segment_bytes_ = 0;
  uint64_t segment_bytes_min_ = 0;
  FlushApart flush_apart_;
  size_t buffer_bytes_ = 0;
  uint64_t cache_bytes_ = 0;
  uint32_t key_count_ = 0;
  uint32_t pipeline_max_ = 0;
  uint32_t value_bytes_max_ = 0;
  uint32_t flush_per_10000_ = 0;
  uint32_t sweep_dropped_step_ = 64;
  size_t part_keys_max_ = kPartKeysMax;
  uint64_t namespace_count_ = 1;
  std::map<std::string, uint32_t> namespace_ids_;  // of those with names
  bool keys_expire_ = false;
  bool footers_ = false;
  bool footers_of_any_size_ = false;
  uint64_t read_bytes_ = 0;
  uint64_t key_bytes_ = 0;
  EngineKind engine_ = EngineKind::kLog;
  CompactionOptions compaction_;
  uint32_t inline_bytes_max_ = 1 << 20;
  ValueFilesOptions value_files_;
  bool disk_is_ill_ = false;
  bool rotten_ = false;
  bool short_life_ = false;
  uint64_t next_session_ = 1;
  uint64_t publish_pause_ns_ = 0;
  uint64_t transactions_max_ = 0;  // sessions of transactions at a time
};

}  // namespace

ScenarioResult RunStoreScenario(uint64_t seed) {
  StoreScenario scenario(seed, StoreScenario::Kind::kAll);
  return scenario.Run();
}

ScenarioResult RunClockScenario(uint64_t seed) {
  StoreScenario scenario(seed, StoreScenario::Kind::kClock);
  return scenario.Run();
}

}  // namespace pakv
