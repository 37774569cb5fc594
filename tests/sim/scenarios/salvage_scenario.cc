// A store is filled and goes down; its files are damaged; then it is started with --salvage, and
// crashes at some operation of that, a few times over. What can be read in the end, and which value
// files are left, is what it is on another machine that salvages the same files without a crash;
// all of it is something that was written; and the directory opens as usual from then on.
#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kv/log/format/format_value_file.h"
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

constexpr std::string_view kDirectory = "/data/store";
constexpr std::string_view kKept = "/data/store/salvage";
// Ids that keys may lie in: two numbers, and what a name is given first.
constexpr uint32_t kIds[] = {0, 5, kNumberedNamespaces};

class SalvageScenario {
 public:
  explicit SalvageScenario(uint64_t seed)
      : world_(seed),
        prng_(world_.prng()),
        disk_options_{.direct_alignment = prng_.Chance(1, 2) ? 512u : 4096u},
        node_(world_, "10.0.0.1", disk_options_),
        other_(world_, "10.0.0.2", disk_options_) {
    node_.disk().MakeDirectories("/data");
    options_.directory = kDirectory;
    options_.segment_bytes = uint64_t{1} << prng_.Between(13, 16);
    options_.cache_bytes = prng_.Chance(1, 2) ? 0 : uint64_t{1} << 14;
    options_.footer_segment_bytes_min = prng_.Chance(2, 3) ? 1 : UINT64_MAX;
    options_.footers_of_any_size = true;
    options_.manifest_appends_max = static_cast<uint32_t>(prng_.Between(4, 40));
    options_.compaction = DrawCompaction(prng_);
    options_.inline_value_bytes_max = static_cast<uint32_t>(prng_.Between(20, 400));
    options_.value_files.chunk_bytes = 4096;
  }

  ScenarioResult Run() {
    const uint64_t lives = prng_.Between(1, 3);
    for (uint64_t life = 0; life < lives && result_.failure.empty(); ++life) Live();
    if (result_.failure.empty()) Damage();
    if (result_.failure.empty()) SalvageElsewhere();
    if (result_.failure.empty()) SalvageWithCrashes();
    if (result_.failure.empty() && !oracle_.ok()) result_.failure = oracle_.violation();
    result_.operations = oracle_.acknowledged_count();
    result_.digest = world_.digest();
    return result_;
  }

 private:
  using State = std::map<std::string, std::string>;  // "ID/key" and its value, or "damaged"
  using Image = std::map<std::string, std::string>;  // by path

  void Fail(std::string what) {
    if (result_.failure.empty()) result_.failure = std::move(what);
  }
  CrashKind RandomKind() {
    return prng_.Chance(1, 2) ? CrashKind::kProcessKill : CrashKind::kPowerCut;
  }

  // ---- Filling ----

  static Task<absl::StatusOr<std::unique_ptr<Store>>> Open(Cores& cores, StoreOptions options,
                                                           OpenReport& report) {
    return Store::Open(cores, std::move(options), report);
  }
  static Task<absl::Status> Stop(Store& store) { return store.Stop(); }
  static Task<Catalogue::Found> OpenNamespace(Store& store, Core& core) {
    return store.OpenNamespace(core, "orders", /*create=*/true);
  }

  // Of `node`, which is started; after so many operations it crashes, if that is given. Nothing: it
  // has.
  std::optional<absl::Status> TryOpen(SimNode& node, bool salvage,
                                      std::optional<uint64_t> crash_after = std::nullopt) {
    node.Start({.core_count = static_cast<uint32_t>(prng_.Between(1, 3)),
                .core = {.buffer_count = 4, .buffer_bytes = size_t{1} << prng_.Between(12, 14)}});
    if (crash_after) node.CrashAfter(*crash_after, RandomKind());
    StoreOptions options = options_;
    options.salvage = salvage;
    StoreEntropy entropy;
    entropy.hash_seed = 1;
    entropy.run = prng_.Next() | 1;
    options.entropy = entropy;
    report_ = OpenReport();
    auto opened = node.Run(Open(node.cores(), std::move(options), report_));
    if (!opened || !node.running()) {
      if (node.running()) Fail("the store does not open: " + world_.failure());
      return std::nullopt;
    }
    if (opened->ok()) {
      store_ = &node.Own(std::move(**opened));
      return absl::OkStatus();
    }
    const absl::Status status = opened->status();
    opened.reset();
    node.Crash(CrashKind::kProcessKill);
    return status;
  }

  void Live() {
    const std::optional<absl::Status> opened = TryOpen(node_, /*salvage=*/false);
    if (!opened || !opened->ok()) return Fail("the store does not open");
    StoreLoad& load = node_.Own(std::make_unique<StoreLoad>(StoreLoad{oracle_, *store_}));
    load.namespaces = {{"0", 0}, {"5", 5}};
    if (has_names_) {
      const auto found = node_.Run(OpenNamespace(*store_, node_.core(0)));
      if (!found || found->id != kNumberedNamespaces) return Fail("a namespace does not open");
      load.namespaces.push_back({std::to_string(kNumberedNamespaces), kNumberedNamespaces});
    }
    load.key_count = key_count_;
    load.value_bytes_max = 6'000;
    load.flush_per_10000 = prng_.Chance(1, 3) ? 100 : 0;
    const uint64_t count = prng_.Between(1, 4);
    for (uint64_t i = 0; i < count; ++i) {
      const auto id = static_cast<uint32_t>(prng_.Below(node_.cores().count()));
      StoreSession& session = node_.Own(
          std::make_unique<StoreSession>(load, node_.core(id), next_session_++, prng_.Next()));
      node_.Spawn(id, session.Run(static_cast<uint32_t>(prng_.Between(5, 60))));
    }
    const bool ended = world_.RunUntil(
        [&] { return load.sessions_done == count || !oracle_.ok() || !load.wrong.empty(); },
        120 * kNsPerSecond);
    if (!ended) Fail("no progress: " + world_.failure() + oracle_.DescribePending());
    if (!load.wrong.empty()) Fail(load.wrong);
    if (result_.failure.empty() && prng_.Chance(1, 2)) {
      const auto stopped = node_.Run(Stop(*store_));
      if (!stopped) Fail("the store does not stop: " + world_.failure());
      if (stopped && result_.failure.empty()) node_.Stop();
    }
    node_.Crash(RandomKind());
    oracle_.Crashed();
  }

  // ---- Files ----

  static Image TakeImage(SimDisk& disk) {
    Image image;
    for (const std::string& directory : {std::string(kDirectory), std::string(kKept)}) {
      std::vector<std::string> names;
      if (disk.List(directory.c_str(), names) < 0) continue;
      for (const std::string& name : names) {
        std::string path = directory;
        path.append("/").append(name);
        if (auto contents = disk.Contents(path.c_str())) image.emplace(path, std::move(*contents));
      }
    }
    return image;
  }

  // Some files are changed, cut off, or gone, for good.
  void Damage() {
    const uint64_t count = prng_.Between(1, 3);
    for (uint64_t i = 0; i < count; ++i) {
      std::vector<std::string> paths;
      for (const auto& [path, contents] : TakeImage(node_.disk())) {
        const bool can = path.ends_with(".seg") || path.ends_with(".val") ||
                         (path.ends_with("MANIFEST") && prng_.Chance(1, 4));
        if (can && contents.find_first_not_of('\0') != std::string::npos) paths.push_back(path);
      }
      if (paths.empty()) return;
      const std::string path = paths[prng_.Below(paths.size())];
      const std::string contents = *node_.disk().Contents(path.c_str());
      const size_t used = contents.find_last_not_of('\0') + 1;
      const uint64_t offset = prng_.Below(used);
      LogDebug("-- {} is damaged at {}", path, offset);
      switch (prng_.Below(3)) {
        case 0:
          node_.disk().FlipBit(path.c_str(), offset, static_cast<uint32_t>(prng_.Below(8)));
          break;
        case 1:
          node_.disk().Put(path.c_str(), contents.substr(0, offset));
          break;
        default:
          if (node_.disk().Unlink(path.c_str()) != 0 ||
              node_.disk().SyncDirectory(std::string(kDirectory).c_str()) != 0) {
            Fail("cannot damage " + path);
          }
          break;
      }
    }
    damaged_ = TakeImage(node_.disk());
    // On stable storage, here and there: what a killed process has left in the drive's cache is not
    // lost here alone.
    for (const auto& [path, contents] : damaged_) {
      node_.disk().Put(path.c_str(), contents);
      other_.disk().Put(path.c_str(), contents);
    }
    if (node_.disk().SyncDirectory(std::string(kDirectory).c_str()) != 0) Fail("cannot sync");
  }

  // The value files that are left, wherever they are.
  static std::map<std::string, std::string> ValueFilesOf(const Image& image) {
    std::map<std::string, std::string> files;
    for (const auto& [path, contents] : image) {
      const std::string name = path.substr(path.rfind('/') + 1);
      if (ValueFileOfName(name) != 0) files.emplace(name, contents);
    }
    return files;
  }

  // ---- What can be read ----

  static Change GetAny(const OldValue& old, Request& request) {
    request.reply.kind = !old.exists   ? Reply::Kind::kNull
                         : old.in_file ? Reply::Kind::kFile
                                       : Reply::Kind::kBytes;
    request.reply.bytes = old.value;
    return {};
  }
  static Task<std::string> ReadValue(Store& store, Core& here, uint32_t id, std::string key) {
    StoreCall call(store, here);
    call.namespace_id = id;
    co_await call.Read(GetAny, OldState::kValueOrFile, std::move(key));
    if (call.outcome != Outcome::kDone) co_return "damaged";
    if (call.reply.kind == Reply::Kind::kNull) co_return "missing";
    if (call.reply.kind == Reply::Kind::kBytes) co_return std::string(call.reply.bytes);
    const ValueReference reference = *ValueReference::Decode(call.reply.bytes);
    std::string bytes;
    for (uint32_t i = 0; i < reference.chunk_count(); ++i) {
      const absl::StatusOr<ValueChunk> chunk =
          co_await store.value_files(here).ReadChunk(reference, i);
      bytes = chunk.ok() ? bytes.append(chunk->view()) : "damaged";
      if (!chunk.ok()) break;
    }
    store.ReleaseFile(here, call);
    co_return bytes;
  }
  static Task<State> ReadAll(Store& store, Core& here) {
    State state;
    for (const uint32_t id : kIds) {
      if (!store.IsNamespace(id)) continue;
      uint64_t cursor = 0;
      do {
        const ScanStep step = co_await store.Scan(here, id, cursor, 100,
                                                  [](std::string_view, uint64_t&) { return true; });
        for (const std::string& key : step.keys) {
          std::string value = co_await ReadValue(store, here, id, key);
          state[std::to_string(id) + "/" + key] = std::move(value);
        }
        cursor = step.cursor;
      } while (cursor != 0);
    }
    co_return state;
  }
  std::optional<State> ReadState(SimNode& node) {
    auto state = node.Run(ReadAll(*store_, node.core(0)));
    if (!state) Fail("a read does not end: " + world_.failure());
    return state;
  }

  // ---- Salvaging ----

  void SalvageElsewhere() {
    const std::optional<absl::Status> opened = TryOpen(other_, /*salvage=*/true);
    if (!opened || !opened->ok()) {
      return Fail("cannot be salvaged: " + std::string(opened ? opened->message() : ""));
    }
    is_salvaged_ = !report_.notes.empty();
    const std::optional<State> state = ReadState(other_);
    if (!state) return;
    expected_ = *state;
    for (const auto& [name, value] : expected_) {
      if (value != "damaged" && !oracle_.HasBeen(name, value)) {
        Fail(name + " is salvaged as something that it has never been");
      }
    }
    world_.RunFor(kNsPerSecond);  // what is removed is
    files_ = ValueFilesOf(TakeImage(other_.disk()));
    // Where a record may be lost no value file goes.
    const bool keeps =
        std::any_of(report_.notes.begin(), report_.notes.end(), [](const auto& note) {
          return note.find("went on without what is damaged") != std::string::npos;
        });
    if (keeps && files_ != ValueFilesOf(damaged_)) Fail("a value file is gone");
    other_.Crash(CrashKind::kProcessKill);
  }

  void SalvageWithCrashes() {
    const uint64_t crashes = prng_.Between(1, 3);
    for (uint64_t i = 0; i < crashes; ++i) {
      const std::optional<absl::Status> opened =
          TryOpen(node_, /*salvage=*/i == 0 || prng_.Chance(1, 2), prng_.Below(200));
      if (!result_.failure.empty()) return;
      if (opened && !opened->ok() && !absl::IsDataLoss(*opened)) {
        return Fail("the store does not open: " + std::string(opened->message()));
      }
      node_.Crash(RandomKind());
    }
    std::optional<absl::Status> opened = TryOpen(node_, /*salvage=*/prng_.Chance(1, 2));
    if (opened && absl::IsDataLoss(*opened)) opened = TryOpen(node_, /*salvage=*/true);
    if (!opened || !opened->ok()) {
      return Fail("cannot be salvaged after crashes: " +
                  std::string(opened ? opened->message() : ""));
    }
    Compare("after crashes");
    node_.Crash(RandomKind());
    if (!result_.failure.empty()) return;
    opened = TryOpen(node_, /*salvage=*/false);
    if (!opened || !opened->ok()) {
      return Fail("does not open as usual: " + std::string(opened ? opened->message() : ""));
    }
    Compare("after one more start");
    node_.Crash(CrashKind::kProcessKill);
  }

  void Compare(const std::string& when) {
    const std::optional<State> state = ReadState(node_);
    if (!state) return;
    for (const auto& [name, value] : expected_) {
      const auto found = state->find(name);
      if (found == state->end()) {
        Fail(name + " is gone " + when);
      } else if (found->second != value) {
        Fail(name + " is another " + when);
      }
    }
    for (const auto& [name, value] : *state) {
      if (!expected_.contains(name)) Fail(name + " has come back " + when);
    }
    world_.RunFor(kNsPerSecond);
    if (!is_salvaged_) return;
    const auto files = ValueFilesOf(TakeImage(node_.disk()));
    for (const auto& [name, contents] : files_) {
      const auto found = files.find(name);
      if (found == files.end()) {
        Fail("the value file " + name + " is gone " + when);
      } else if (found->second != contents) {
        Fail("the value file " + name + " is another " + when);
      }
    }
  }

  SimWorld world_;
  Prng& prng_;
  const SimDiskOptions disk_options_;
  SimNode node_;
  SimNode other_;
  Oracle oracle_;
  ScenarioResult result_;
  StoreOptions options_;
  OpenReport report_;
  Store* store_ = nullptr;
  const uint32_t key_count_ = static_cast<uint32_t>(prng_.Between(3, 30));
  const bool has_names_ = prng_.Chance(1, 2);
  Image damaged_;
  State expected_;
  std::map<std::string, std::string> files_;
  bool is_salvaged_ = false;
  uint64_t next_session_ = 1;
};

}  // namespace

ScenarioResult RunSalvageScenario(uint64_t seed) {
  SalvageScenario scenario(seed);
  return scenario.Run();
}

}  // namespace pakv
