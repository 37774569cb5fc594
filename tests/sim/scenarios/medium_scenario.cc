// One store on a medium that lies: writes that are reported as done, and flushed, and are not
// there; writes that land in another place; bits that turn while nobody looks. What it has hit may
// be refused, or a start may be, with an error that names the place; nothing wrong is ever served,
// and what it has not hit is there.
//
// One loss no store can tell: the newest block of a log, with nothing behind it that would be a
// witness. The keys in it may be what they were before, as may all that the medium has hit; but
// never what they have not been.
#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/base/log.h"
#include "runtime/base/prng.h"
#include "tests/kv/store/store_call.h"
#include "tests/sim/clients/store_client.h"
#include "tests/sim/oracle/oracle.h"
#include "tests/sim/scenario.h"
#include "tests/sim/scenarios/draw_compaction.h"
#include "tests/sim/world/sim_node.h"

namespace pakv {
namespace {

class MediumScenario {
 public:
  explicit MediumScenario(uint64_t seed)
      : world_(seed),
        prng_(world_.prng()),
        node_(world_, "10.0.0.1", {.direct_alignment = prng_.Chance(1, 2) ? 512u : 4096u}) {
    node_.disk().MakeDirectories("/data");
    node_.disk().on_media_fault = [this](std::string_view bytes) { NoteHit(bytes); };
    options_.directory = "/data/store";
    options_.segment_bytes = uint64_t{1} << prng_.Between(13, 16);
    options_.cache_bytes = prng_.Chance(2, 3) ? 0 : uint64_t{1} << prng_.Between(10, 16);
    options_.footer_segment_bytes_min = prng_.Chance(1, 2) ? 1 : UINT64_MAX;
    options_.footers_of_any_size = true;
    options_.manifest_appends_max = static_cast<uint32_t>(prng_.Between(4, 40));
    options_.compaction = DrawCompaction(prng_);
  }

  ScenarioResult Run() {
    // Until the medium has lied once.
    for (int life = 0; life < 4 && fault_count_ == 0 && result_.failure.empty(); ++life) Live();
    if (result_.failure.empty() && fault_count_ > 0) LookAtWhatIsLeft();
    if (result_.failure.empty() && !oracle_.ok()) result_.failure = oracle_.violation();
    result_.operations = oracle_.acknowledged_count();
    result_.digest = world_.digest();
    result_.crash_points = world_.crash_points();
    return result_;
  }

 private:
  void Fail(std::string what) {
    if (result_.failure.empty()) result_.failure = std::move(what);
  }

  // Whose records were in these bytes.
  void NoteHit(std::string_view text) {
    ++fault_count_;
    const Bytes bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size());
    for (size_t at = 0; at + kSectorSize <= bytes.size(); at += kSectorSize) {
      const auto decoded = DecodeBlockHeader(bytes.subspan(at));
      if (!decoded) continue;
      const size_t length = std::min<size_t>(decoded->header.length, bytes.size() - at);
      BlockRecords records(bytes.subspan(at, length), decoded->header.record_count);
      while (const auto record = records.Next())
        hit_.insert("0/" + std::string(record->fields.key));
    }
    if (load_ != nullptr) load_->hit = hit_;
  }

  // At rest, under a store that serves.
  void TurnABit() {
    if (!node_.running()) return;
    std::vector<std::string> names;
    if (node_.disk().List("/data/store", names) < 0) return;
    std::erase_if(names, [](const auto& name) { return name == "LOCK"; });
    if (names.empty()) return;
    const std::string path = "/data/store/" + names[prng_.Below(names.size())];
    const auto bytes = node_.disk().Contents(path.c_str());
    if (!bytes) return;
    const size_t last = bytes->find_last_not_of('\0');
    if (last == std::string::npos) return;
    const uint64_t offset = prng_.Below(last + 1);
    LogDebug("-- a bit of {} at {} turns", path, offset);
    NoteHit(*bytes);
    node_.disk().FlipBit(path.c_str(), offset, static_cast<uint32_t>(prng_.Below(8)));
  }

  static Task<absl::StatusOr<std::unique_ptr<Store>>> Open(Cores& cores, StoreOptions options,
                                                           OpenReport& report) {
    return Store::Open(cores, std::move(options), report);
  }
  static Task<absl::Status> Stop(Store& store) { return store.Stop(); }

  // nullptr: it was refused, or the scenario has failed.
  Store* OpenStore() {
    node_.Start({.core_count = static_cast<uint32_t>(prng_.Between(1, 3)),
                 .core = {.buffer_count = 4, .buffer_bytes = size_t{1} << prng_.Between(12, 14)}});
    StoreOptions options = options_;
    StoreEntropy entropy;
    entropy.hash_seed = prng_.Next();
    entropy.run = prng_.Next() | 1;
    options.entropy = entropy;
    OpenReport report;
    auto opened = node_.Run(Open(node_.cores(), std::move(options), report));
    if (!opened) {
      Fail("the store does not open: " + world_.failure());
      return nullptr;
    }
    if (opened->ok()) return &node_.Own(std::move(**opened));
    const std::string why(opened->status().message());
    const bool names_it = why.find("/data/store/") != std::string::npos;
    if (fault_count_ == 0 || !absl::IsDataLoss(opened->status()) || !names_it) {
      Fail("the store does not open: " + why);
    }
    opened.reset();
    node_.Crash(CrashKind::kProcessKill);
    return nullptr;
  }

  void Live() {
    Store* store = OpenStore();
    if (store == nullptr) return;
    StoreLoad& load = MakeLoad(*store);
    SimDiskFaults& faults = node_.disk().faults;
    const uint64_t kind = prng_.Below(4);
    if (kind == 0 || kind == 3) faults.lost_write = static_cast<uint32_t>(prng_.Between(10, 400));
    if (kind == 1 || kind == 3) {
      faults.misdirected_write = static_cast<uint32_t>(prng_.Between(10, 400));
    }
    if (prng_.Chance(1, 3)) faults.stall = static_cast<uint32_t>(prng_.Below(300));
    if (kind >= 2) {
      world_.agenda().After(prng_.Below(20 * kNsPerMs), /*owner=*/0, [this] { TurnABit(); });
    }
    const uint64_t count = prng_.Between(1, 4);
    for (uint64_t i = 0; i < count; ++i) {
      const auto id = static_cast<uint32_t>(prng_.Below(node_.cores().count()));
      StoreSession& session = node_.Own(
          std::make_unique<StoreSession>(load, node_.core(id), next_session_++, prng_.Next()));
      node_.Spawn(id, session.Run(static_cast<uint32_t>(prng_.Between(5, 120))));
    }
    Await(load, count);
    faults = {};
    if (result_.failure.empty() && prng_.Chance(1, 2)) {
      // Footers and what compaction still does may meet the fault, too.
      const auto stopped = node_.Run(Stop(*store));
      if (!stopped) Fail("the store does not stop: " + world_.failure());
      if (stopped && result_.failure.empty()) node_.Stop();
    }
    load_ = nullptr;
    node_.Crash(prng_.Chance(1, 2) ? CrashKind::kProcessKill : CrashKind::kPowerCut);
    oracle_.Crashed();
  }

  void LookAtWhatIsLeft() {
    Store* store = OpenStore();
    if (store == nullptr) return;
    StoreLoad& load = MakeLoad(*store);
    StoreSession& session = node_.Own(
        std::make_unique<StoreSession>(load, node_.core(0), next_session_++, prng_.Next()));
    node_.Spawn(0, session.ReadAll());
    Await(load, 1);
    for (const std::string& key : hit_) {
      if (!result_.failure.empty()) continue;
      const auto wrong = node_.Run(LookAtHit(*store, node_.core(0), oracle_, key));
      if (!wrong || !wrong->empty()) Fail(wrong.value_or("a read does not end"));
    }
    load_ = nullptr;
    node_.Crash(CrashKind::kProcessKill);
    oracle_.Crashed();
  }

  // What a key that was hit may be: anything that it has been, nothing, or an error that says
  // where.
  static Task<std::string> LookAtHit(Store& store, Core& here, const Oracle& oracle,
                                     std::string key) {
    StoreCall call(store, here);
    co_await call.Read(GetFunction, OldState::kValue, key.substr(key.find('/') + 1));
    const std::string answer(call.reply.bytes);
    if (call.outcome == Outcome::kDamaged) {
      co_return answer.find("/data/store/") != std::string::npos ? std::string()
                                                                 : key + ": no place: " + answer;
    }
    if (call.outcome != Outcome::kDone) co_return key + " is refused";
    if (call.reply.kind == Reply::Kind::kNull || oracle.HasBeen(key, answer)) {
      co_return std::string();
    }
    co_return key + " is served as " + answer + ", which it has never been";
  }

  StoreLoad& MakeLoad(Store& store) {
    load_ = &node_.Own(std::make_unique<StoreLoad>(StoreLoad{oracle_, store}));
    load_->key_count = static_cast<uint32_t>(prng_.Between(2, 12));
    key_count_ = std::max(key_count_, load_->key_count);
    load_->key_count = key_count_;
    load_->pipeline_max = static_cast<uint32_t>(prng_.Between(1, 4));
    // Short ones are as long as each other: one record in another's place has its length, too.
    constexpr uint32_t kValueBytes[] = {1, 1, 200, 3000};
    load_->value_bytes_max = kValueBytes[prng_.Below(4)];
    load_->hit = hit_;
    return *load_;
  }

  void Await(StoreLoad& load, uint64_t count) {
    const bool ended = world_.RunUntil(
        [&] { return load.sessions_done == count || !oracle_.ok() || !load.wrong.empty(); },
        120 * kNsPerSecond);
    if (!ended) Fail("no progress: " + world_.failure() + oracle_.DescribePending());
    if (!load.wrong.empty()) Fail(load.wrong);
    if (!oracle_.ok()) Fail(oracle_.violation());
  }

  SimWorld world_;
  Prng& prng_;
  SimNode node_;
  Oracle oracle_;
  ScenarioResult result_;
  StoreOptions options_;
  StoreLoad* load_ = nullptr;
  uint32_t key_count_ = 0;
  uint64_t fault_count_ = 0;
  std::set<std::string> hit_;
  uint64_t next_session_ = 1;
};

}  // namespace

ScenarioResult RunMediumScenario(uint64_t seed) {
  MediumScenario scenario(seed);
  return scenario.Run();
}

}  // namespace pakv
