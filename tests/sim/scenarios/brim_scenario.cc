// One store fills a small disk to the brim with what lives, and then lives on it: most of its keys
// are deleted, one at a time, so that each delete is a block of its own and takes more than it
// frees; then as much is written again as half of that. Another program may take what is left of
// the disk, and the store may be killed or stopped in between. Nothing else ever frees space: what
// is refused has to be accepted after a while, every delete and, once there is little that lives,
// every write.
#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kv/store/store.h"
#include "runtime/base/prng.h"
#include "runtime/task/nursery.h"
#include "tests/kv/store/store_call.h"
#include "tests/sim/scenario.h"
#include "tests/sim/scenarios/draw_compaction.h"
#include "tests/sim/world/sim_node.h"

namespace pakv {
namespace {

constexpr uint64_t kKiB = 1024;
constexpr uint64_t kMiB = 1024 * kKiB;
// Refusals are taken back within this long, at the latest: compaction and the making of segments
// are at work all the while.
constexpr uint64_t kPatienceNs = 120 * kNsPerSecond;
constexpr uint64_t kRetryNs = 50 * kNsPerMs;

class BrimScenario {
 public:
  explicit BrimScenario(uint64_t seed)
      : world_(seed), prng_(world_.prng()), node_(world_, "10.0.0.1", DiskOptions()) {
    node_.disk().MakeDirectories("/data");
    core_count_ = static_cast<uint32_t>(prng_.Between(1, 4));
    // Of the size of a disk's smallest segments, beside blocks: what MANIFEST takes for each (three
    // blocks) is little beside what a segment gives back. And what each log and compaction have
    // open and in reserve is well below the half of the disk.
    segment_bytes_ = alignment_ << prng_.Between(8, 9);
    while (FootprintBytes() > disk_bytes_ / 3) --core_count_;
    // Longer ones as the store grows, and shorter ones as it shrinks.
    segment_bytes_min_ = segment_bytes_;
    if (prng_.Chance(1, 2)) segment_bytes_min_ >>= prng_.Between(1, 2);
    compaction_ = DrawCompaction(prng_);
    compaction_.tick_ns = std::max(compaction_.tick_ns, kNsPerMs);
    manifest_appends_max_ = static_cast<uint32_t>(prng_.Between(2, 64));
    buffer_bytes_ = size_t{1} << prng_.Between(13, 16);
    const uint64_t sizes = prng_.Below(3);
    value_bytes_max_ = sizes == 0 ? 64 : sizes == 1 ? 500 : 4000;
    value_bytes_max_ = std::max<uint64_t>(value_bytes_max_, disk_bytes_ / kKeysMax);
    at_once_ = prng_.Chance(1, 2) ? 1 : 32;
    overwrites_ = prng_.Chance(1, 3);
    in_order_ = prng_.Chance(1, 2);
  }

  ScenarioResult Run() {
    Play();
    result_.digest = world_.digest();
    result_.crash_points = world_.crash_points();
    return result_;
  }

 private:
  // So many keys fill it.
  static constexpr uint64_t kKeysMax = 2500;

  SimDiskOptions DiskOptions() {
    SimDiskOptions options;
    alignment_ = prng_.Chance(1, 2) ? 512 : 4096;
    disk_bytes_ = prng_.Between(7, 12) * kMiB * (alignment_ / 512);
    options.direct_alignment = alignment_;
    options.capacity_bytes = disk_bytes_;
    return options;
  }
  uint64_t FootprintBytes() const {
    return (core_count_ * 4 + 4) * segment_bytes_ + kSpaceMarginBytes;
  }

  void Fail(const std::string& what) {
    if (result_.failure.empty()) result_.failure = what;
  }
  bool ok() const { return result_.failure.empty(); }

  void Play() {
    if (!Open()) return;
    FillUp();
    if (ok() && prng_.Chance(1, 2)) TakeTheRest();
    if (ok() && prng_.Chance(1, 3)) Restart();
    if (ok()) DeleteMost();
    if (ok() && prng_.Chance(1, 4)) Restart();
    if (ok()) WriteAgain();
    if (ok()) LookAtAll();
    if (node_.running()) node_.Crash(CrashKind::kPowerCut);
  }

  // ---- Operations ----

  static Task<absl::StatusOr<std::unique_ptr<Store>>> OpenStore(Cores& cores, StoreOptions options,
                                                                OpenReport& report) {
    return Store::Open(cores, std::move(options), report);
  }
  static Task<absl::Status> StopStore(Store& store) { return store.Stop(); }
  static Task<CheckReport> CheckStore(Store& store, Core& core) { return store.Check(core); }

  bool Open() {
    SimNodeOptions node{.core_count = core_count_,
                        .core = {.buffer_count = 4, .buffer_bytes = buffer_bytes_}};
    node_.Start(node);
    StoreOptions options;
    options.directory = "/data/store";
    options.segment_bytes = segment_bytes_;
    options.segment_bytes_min = segment_bytes_min_;
    options.compaction = compaction_;
    options.cache_bytes = kMiB;
    options.footer_segment_bytes_min = prng_.Chance(1, 2) ? 1 : UINT64_MAX;
    options.footers_of_any_size = true;
    options.manifest_appends_max = manifest_appends_max_;
    options.entropy = StoreEntropy{{}, prng_.Next(), prng_.Next() | 1};
    OpenReport report;
    auto opened = node_.Run(OpenStore(node_.cores(), std::move(options), report));
    if (!opened || !opened->ok()) {
      Fail("the store does not open: " +
           (opened ? std::string(opened->status().message()) : world_.failure()));
      return false;
    }
    store_ = &node_.Own(std::move(**opened));
    return true;
  }

  // With as many cores as before: where others have taken the rest of the disk, there is nothing
  // for more.
  void Restart() {
    if (prng_.Chance(1, 2)) {
      node_.Crash(prng_.Chance(1, 2) ? CrashKind::kProcessKill : CrashKind::kPowerCut);
    } else {
      const auto stopped = node_.Run(StopStore(*store_));
      if (!stopped || !stopped->ok()) return Fail("the store does not stop");
      node_.Stop();
    }
    if (!Open()) return;
    LookAtAll();
  }

  struct Change {
    std::string key;
    std::string value;  // of a set
    Outcome outcome = Outcome::kStopping;
  };
  static Task<void> One(Store& store, Core& here, bool is_set, Change& change) {
    StoreCall call(store, here);
    co_await call.Update(is_set ? SetFunction : DeleteFunction,
                         is_set ? OldState::kNothing : OldState::kExistence, change.key,
                         change.value);
    change.outcome = call.outcome;
  }
  static Task<bool> All(Store& store, Core& here, bool is_set, std::vector<Change>& changes) {
    Nursery nursery(here.ready());
    for (Change& change : changes) nursery.Spawn(One(store, here, is_set, change));
    co_await nursery.Join();
    co_return true;
  }
  // Each is done or refused as the disk is full; false: something else has happened.
  bool Do(bool is_set, std::vector<Change>& changes) {
    Core& here = node_.core(static_cast<uint32_t>(prng_.Below(core_count_)));
    if (!node_.Run(All(*store_, here, is_set, changes))) {
      Fail("an operation does not end: " + world_.failure());
      return false;
    }
    for (const Change& change : changes) {
      if (change.outcome == Outcome::kDiskFull) {
        ++refused_;
        continue;
      }
      if (change.outcome != Outcome::kDone) {
        Fail("an operation ended with " + std::to_string(static_cast<int>(change.outcome)));
        return false;
      }
      ++result_.operations;
      if (is_set) {
        live_[change.key] = change.value;
      } else {
        live_.erase(change.key);
      }
    }
    return true;
  }
  // Again and again until all are accepted.
  bool DoAll(bool is_set, std::vector<Change> changes, const std::string& what) {
    const uint64_t begin_ns = world_.now_ns();
    while (true) {
      if (!Do(is_set, changes)) return false;
      std::erase_if(changes, [](const Change& change) { return change.outcome == Outcome::kDone; });
      if (changes.empty()) return true;
      if (world_.now_ns() - begin_ns > kPatienceNs) break;
      world_.RunFor(kRetryNs);
    }
    SpaceStat space;
    node_.disk().Space(space);
    uint64_t live_bytes = 0;
    for (const auto& [key, value] : live_) live_bytes += EncodedRecordSize(key, value);
    Fail(what + "; " + std::to_string(live_.size()) + " keys of " + std::to_string(live_bytes) +
         " bytes are there, on a disk of " + std::to_string(disk_bytes_) + " with " +
         std::to_string(space.free_bytes) + " free; segments of " + std::to_string(segment_bytes_) +
         ", " + std::to_string(core_count_) + " cores");
    return false;
  }

  std::string RandomValue() {
    return std::string(prng_.Between(value_bytes_max_ / 2, value_bytes_max_),
                       static_cast<char>('a' + prng_.Below(26)));
  }
  Change SetOf(uint64_t number) { return {"key" + std::to_string(number), RandomValue()}; }

  // ---- The story ----

  void FillUp() {
    int full = 0;
    for (uint64_t number = 0; full < 20;) {
      std::vector<Change> changes;
      for (uint64_t i = 0; i < at_once_; ++i) {
        const bool over = overwrites_ && number > 0 && prng_.Chance(1, 2);
        changes.push_back(SetOf(over ? prng_.Below(number) : number++));
        // Once in each turn: those of one turn may be done in any order.
        if (over) break;
      }
      if (!Do(/*is_set=*/true, changes)) return;
      full = changes.back().outcome == Outcome::kDiskFull ? full + 1 : 0;
      if (full > 0) world_.RunFor(kRetryNs);
    }
    world_.RunFor(kNsPerSecond);
  }

  void TakeTheRest() {
    SpaceStat space;
    node_.disk().Space(space);
    node_.disk().SetBallast(space.free_bytes);
  }

  // Of four keys three, or all but a few.
  void DeleteMost() {
    std::vector<std::string> keys;
    const uint64_t kept = prng_.Chance(1, 2) ? 4 : 100;
    uint64_t number = 0;
    for (const auto& [key, value] : live_) {
      if (number++ % kept != 0) keys.push_back(key);
    }
    if (!in_order_) {
      for (size_t i = keys.size(); i > 1; --i) std::swap(keys[i - 1], keys[prng_.Below(i)]);
    }
    for (const std::string& key : keys) {
      freed_bytes_ += EncodedRecordSize(key, live_.at(key));
      if (!DoAll(/*is_set=*/false, {{key, {}}}, "a full disk refuses a delete for ever")) return;
    }
  }

  void WriteAgain() {
    uint64_t written = 0;
    for (uint64_t number = 1'000'000; written < freed_bytes_ / 2; ++number) {
      const Change change = SetOf(number);
      written += EncodedRecordSize(change.key, change.value);
      if (!DoAll(/*is_set=*/true, {change}, "space does not come back")) return;
    }
  }

  static Task<std::string> Get(Store& store, Core& here, std::string key) {
    StoreCall call(store, here);
    co_await call.Read(GetFunction, OldState::kValue, std::move(key));
    co_return call.outcome == Outcome::kDone ? std::string(call.reply.bytes) : "refused";
  }

  static Task<uint64_t> Count(Store& store, Core& here) {
    return store.CountKeys(here, kDefaultNamespace);
  }

  void LookAtAll() {
    for (const auto& [key, value] : live_) {
      const auto got = node_.Run(Get(*store_, node_.core(0), key));
      if (!got || *got != value) return Fail(key + " is not what it was set to");
    }
    // What was refused is not there.
    const auto count = node_.Run(Count(*store_, node_.core(0)));
    if (!count || *count != live_.size()) return Fail("there are keys that were refused");
    const auto report = node_.Run(CheckStore(*store_, node_.core(0)));
    if (!report) return Fail("the check does not end: " + world_.failure());
    if (!report->findings.empty()) Fail("the check found: " + report->findings.front().what);
  }

  SimWorld world_;
  Prng& prng_;
  uint32_t alignment_ = 0;
  uint64_t disk_bytes_ = 0;
  SimNode node_;
  uint32_t core_count_ = 1;
  uint64_t segment_bytes_ = 0;
  uint64_t segment_bytes_min_ = 0;
  CompactionOptions compaction_;
  uint32_t manifest_appends_max_ = 0;
  size_t buffer_bytes_ = 0;
  uint64_t value_bytes_max_ = 0;
  uint64_t at_once_ = 1;
  bool overwrites_ = false;
  bool in_order_ = false;
  Store* store_ = nullptr;
  std::map<std::string, std::string> live_;
  uint64_t freed_bytes_ = 0;
  uint64_t refused_ = 0;
  ScenarioResult result_;
};

}  // namespace

ScenarioResult RunBrimScenario(uint64_t seed) { return BrimScenario(seed).Run(); }

}  // namespace pakv
