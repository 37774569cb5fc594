#include "tests/sim/scenarios/log_scenario.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "kv/log/files/store_directory.h"
#include "kv/log/read/recovery.h"
#include "kv/log/write/log_writer.h"
#include "runtime/base/seeded_bug.h"
#include "tests/kv/log/identity_bytes.h"
#include "tests/sim/world/sim_node.h"
#include "tests/sim/world/sim_world.h"

namespace pakv {
namespace {

constexpr int kWriters = 3;
constexpr const char* kPath = "/data/store";

// What a key's writer knows. Versions count from 1.
struct KeyState {
  uint64_t acknowledged = 0;  // has to be there, or a later one
  uint64_t attempted = 0;     // a later one cannot be
  // What the last recovery that ended has found, and up to which version that is settled: from
  // then on these and no others of them.
  std::set<uint64_t> seen;
  uint64_t judged = 0;
};

struct Oracle {
  std::map<std::string, KeyState> keys;
  std::map<std::string, size_t> groups;  // by name: how many records it has
  uint64_t next_group = 1;
  std::string failure;

  void Say(const std::string& what) {
    if (failure.empty()) failure = what;
  }
};

// "VERSION GROUP FILLING": the filling is made of the version, so that no two values share it.
std::string MakeValue(uint64_t version, const std::string& group, size_t filling) {
  std::string value = std::to_string(version) + " " + group + " ";
  value.append(filling, static_cast<char>('a' + version % 26));
  return value;
}

struct ParsedValue {
  uint64_t version = 0;
  std::string group;
  bool good = false;
};
ParsedValue ParseValue(std::string_view value) {
  ParsedValue parsed;
  const size_t first = value.find(' ');
  if (first == std::string_view::npos) return parsed;
  const size_t second = value.find(' ', first + 1);
  if (second == std::string_view::npos) return parsed;
  std::from_chars(value.data(), value.data() + first, parsed.version);
  parsed.group = value.substr(first + 1, second - first - 1);
  const char filling = static_cast<char>('a' + parsed.version % 26);
  parsed.good =
      parsed.version != 0 && std::all_of(value.begin() + ptrdiff_t(second) + 1, value.end(),
                                         [filling](char c) { return c == filling; });
  return parsed;
}

// One process: what SimNode owns while it runs.
class Life : private RecoverySink {
 public:
  Life(SimNode& node, Oracle& oracle, Prng& prng, uint64_t run, uint64_t segment_bytes)
      : node_(node),
        core_(node.core(0)),
        oracle_(oracle),
        prng_(prng),
        run_(run),
        segment_bytes_(segment_bytes),
        logs_(node.cores().count()) {}

  // Opens, recovers and checks; then the writers run until `quota` writes were acknowledged or
  // refused. True if it was opened.
  Task<bool> Run(uint64_t quota) {
    DirectoryOptions where{.path = kPath, .engine = EngineKind::kLog, .entropy = {}};
    where.entropy.run = run_;
    auto opened = co_await StoreDirectory::Open(core_, std::move(where));
    if (!opened.ok()) {
      NotOpened("open", opened.status());
      co_return false;
    }
    directory_ = std::move(*opened);
    const RecoveryOptions how{.run = run_};
    auto recovered = co_await Recover(core_, *directory_, *this, how);
    if (!recovered.ok()) {
      NotOpened("recovery", recovered.status());
      co_await directory_->Close();
      co_return false;
    }
    recovered_ = std::move(*recovered);
    CheckRecovered();
    context_ = ContextOf(*directory_, recovered_, segment_bytes_);
    quota_ = quota;
    Nursery cores(core_.ready());
    for (uint32_t id = 0; id < logs_.size(); ++id) cores.Spawn(RunOn(id));
    co_await cores.Join();
    co_return true;
  }
  Task<void> Stop() {
    for (uint32_t id = 0; id < logs_.size(); ++id) {
      auto stop = [this, id](Core&) { return StopLog(id); };
      co_await core_.CallTaskOn(id, std::move(stop));
    }
    if (recovered_.manifest != nullptr) co_await recovered_.manifest->Close();
    if (directory_ != nullptr) co_await directory_->Close();
  }
  // The files were damaged: refusing them is right.
  void ExpectRot() { rot_ = true; }

 private:
  struct Entry : DurableEntry {
    explicit Entry(ReadyQueue& ready)
        : DurableEntry([](DurableEntry& self, Settlement settlement) {
            auto& entry = static_cast<Entry&>(self);
            entry.durable = settlement == Settlement::kDurable;
            entry.settled.Set();
          }),
          settled(ready) {}
    Event settled;
    bool durable = false;
  };

  // One core's log and its clock.
  struct Log {
    std::unique_ptr<LsnClock> clock;
    std::unique_ptr<LogWriter> writer;
  };

  Task<void> RunOn(uint32_t id) {
    auto run = [this, id](Core&) { return RunLog(id); };
    const bool ended = co_await core_.CallTaskOn(id, std::move(run));
    PAKV_CHECK(ended);
  }
  Task<bool> RunLog(uint32_t id) {
    Core& core = node_.core(id);
    logs_[id].clock = std::make_unique<LsnClock>(id, recovered_.report.lsn_max);
    LogWriterOptions options;
    options.log = id;
    logs_[id].writer = std::make_unique<LogWriter>(core, context_, options);
    logs_[id].writer->Start();
    Nursery writers(core.ready());
    for (int i = 0; i < kWriters; ++i) writers.Spawn(WriteKeys(core, i));
    co_await writers.Join();
    co_return true;
  }
  Task<bool> StopLog(uint32_t id) {
    if (logs_[id].writer != nullptr) co_await logs_[id].writer->Stop();
    logs_[id].writer.reset();
    co_return true;
  }

  // Only errors that the disk has made may keep a store from opening.
  void NotOpened(const char* what, const absl::Status& status) {
    const SimDiskFaults& faults = node_.disk().faults;
    const bool disk_may_fail = faults.write_error + faults.flush_error + faults.read_error != 0;
    if (disk_may_fail && status.code() == absl::StatusCode::kInternal) return;
    if (rot_ && status.code() == absl::StatusCode::kDataLoss) return;
    oracle_.Say(std::string(what) + ": " + status.ToString());
  }

  Task<absl::Status> Take(Core&, std::span<const RecoveredRecord> records) override {
    for (const RecoveredRecord& record : records) {
      const std::string key(record.fields.key);
      const ParsedValue value = ParseValue(record.fields.value);
      const auto known = oracle_.keys.find(key);
      if (known == oracle_.keys.end() || !value.good || value.version > known->second.attempted) {
        oracle_.Say("a record of '" + key + "' that nobody wrote");
        continue;
      }
      seen_[key].insert(value.version);
      auto& newest = newest_[key];
      if (record.fields.lsn > newest.first) newest = {record.fields.lsn, value.version};
      if (value.group != "-") ++groups_[value.group];
    }
    co_return absl::OkStatus();
  }

  void CheckRecovered() {
    for (auto& [key, state] : oracle_.keys) {
      const uint64_t version = newest_.contains(key) ? newest_[key].second : 0;
      if (version < state.acknowledged) {
        oracle_.Say("'" + key + "' is back at version " + std::to_string(version) +
                    ", acknowledged was " + std::to_string(state.acknowledged));
      }
      // It is shown now: from here on it has to stay, and what came after it never was.
      state.acknowledged = version;
      std::set<uint64_t>& seen = seen_[key];
      const std::set<uint64_t> old(seen.begin(), seen.upper_bound(state.judged));
      if (old != state.seen) {
        oracle_.Say("'" + key + "' has " + std::to_string(old.size()) +
                    " of its old versions, the last recovery found " +
                    std::to_string(state.seen.size()));
      }
      state.seen = seen;
      state.judged = state.attempted;
    }
    for (const auto& [group, count] : oracle_.groups) {
      const size_t found = groups_.contains(group) ? groups_[group] : 0;
      if (found != 0 && found != count) {
        oracle_.Say("group " + group + " has " + std::to_string(found) + " of " +
                    std::to_string(count) + " records");
      }
    }
  }

  Task<void> WriteKeys(Core& core, int writer) {
    Log& log = logs_[core.id()];
    while (quota_ > 0 && !log.writer->read_only()) {
      --quota_;
      if (prng_.Chance(1, 4)) {
        co_await WriteGroup(core, log, writer);
      } else {
        co_await WriteOne(core, log, writer);
      }
      if (prng_.Chance(1, 8)) {
        const uint64_t pause_ns = prng_.Below(4) * kNsPerMs;
        co_await core.timers().SleepUntil(core.now_ns() + pause_ns);
      }
    }
  }

  // A key has one writer in a life, on whatever core it is then.
  static std::string KeyOf(const Core& core, int writer, uint64_t number) {
    return "w" + std::to_string(core.id() * kWriters + static_cast<uint32_t>(writer)) + "-" +
           std::to_string(number);
  }
  size_t FillingLength() {
    if (prng_.Chance(1, 40)) return prng_.Below(2 * segment_bytes_);
    return prng_.Chance(1, 6) ? prng_.Below(segment_bytes_ / 2) : prng_.Below(300);
  }

  Task<void> WriteOne(Core& core, Log& log, int writer) {
    const std::string key = KeyOf(core, writer, prng_.Below(3));
    KeyState& state = oracle_.keys[key];
    const uint64_t version = state.attempted + 1;
    const std::string value = MakeValue(version, "-", FillingLength());
    if (log.writer->Admit(EncodedRecordSize(key, value), false) != Admission::kOk) co_return;
    state.attempted = version;
    Entry entry(core.ready());
    const RecordFields fields{.lsn = log.clock->Next(core.wall_us()), .key = key, .value = value};
    const Appended appended = log.writer->Append(fields, entry);
    if (appended.key() != key || appended.value() != value) oracle_.Say("a pending value differs");
    co_await entry.settled.Wait();
    if (entry.durable) state.acknowledged = version;
  }

  Task<void> WriteGroup(Core& core, Log& log, int writer) {
    std::vector<std::string> keys;
    for (uint64_t i = 0; i < 3; ++i) keys.push_back(KeyOf(core, writer, i));
    const std::string group = "g" + std::to_string(oracle_.next_group++);
    std::vector<std::string> values;
    std::vector<RecordFields> records;
    std::vector<std::unique_ptr<Entry>> entries;
    std::vector<DurableEntry*> pointers;
    size_t bytes = 0;
    for (const std::string& key : keys) {
      values.push_back(MakeValue(oracle_.keys[key].attempted + 1, group, FillingLength()));
      bytes += EncodedRecordSize(key, values.back());
    }
    if (log.writer->Admit(bytes, false) != Admission::kOk) co_return;
    const Lsn lsn = log.clock->Next(core.wall_us());
    for (size_t i = 0; i < keys.size(); ++i) {
      ++oracle_.keys[keys[i]].attempted;
      records.push_back({.lsn = lsn, .key = keys[i], .value = values[i]});
      entries.push_back(std::make_unique<Entry>(core.ready()));
      pointers.push_back(entries.back().get());
    }
    oracle_.groups[group] = keys.size();
    log.writer->AppendGroup(records, pointers, {});
    co_await entries.back()->settled.Wait();
    for (size_t i = 0; i < keys.size(); ++i) {
      if (entries[i]->durable) oracle_.keys[keys[i]].acknowledged = oracle_.keys[keys[i]].attempted;
    }
  }

  SimNode& node_;
  Core& core_;
  Oracle& oracle_;
  Prng& prng_;
  const uint64_t run_;
  const uint64_t segment_bytes_;
  std::unique_ptr<StoreDirectory> directory_;
  Recovered recovered_;
  LogContext context_;
  std::vector<Log> logs_;
  uint64_t quota_ = 0;
  bool rot_ = false;
  std::map<std::string, std::pair<Lsn, uint64_t>> newest_;  // by key: LSN and version
  std::map<std::string, std::set<uint64_t>> seen_;
  std::map<std::string, size_t> groups_;
};

class Scenario {
 public:
  Scenario(uint64_t seed, const LogScenarioOptions& options)
      : options_(options), world_(seed), prng_(seed * 31 + 7) {
    SimDiskOptions disk;
    const uint32_t alignments[] = {512, 4096, 0};
    disk.direct_alignment = options_.buffered ? 0 : alignments[prng_.Below(3)];
    node_ = std::make_unique<SimNode>(world_, "10.0.0.1", disk);
    node_->disk().MakeDirectories("/data");
    segment_bytes_ = (uint64_t{16} << 10) << prng_.Below(3);
    buffer_bytes_ = (size_t{8} << 10) << prng_.Below(3);
  }

  std::string Play() {
    for (int life = 0; life < options_.lives && oracle_.failure.empty(); ++life) {
      PlayLife(/*last=*/false);
    }
    // The last word: no faults, no crash. Then the medium itself goes bad.
    if (oracle_.failure.empty()) PlayLife(/*last=*/true);
    for (int i = 0; i < options_.flipped_bits && oracle_.failure.empty(); ++i) {
      if (!PlayRot()) break;
    }
    if (oracle_.failure.empty()) return "";
    return "seed " + std::to_string(world_.seed()) + ", run " + std::to_string(run_) + ": " +
           oracle_.failure;
  }

  uint64_t crash_points() const { return world_.crash_points(); }

 private:
  void PlayLife(bool last) {
    SimDiskFaults faults;
    if (!last && options_.short_transfers && prng_.Chance(1, 2)) faults.short_transfer = 300;
    if (!last && options_.disk_errors && prng_.Chance(1, 3)) {
      faults.write_error = 30;
      faults.flush_error = 60;
      faults.read_error = 10;
    }
    node_->disk().faults = faults;
    if (options_.clock_steps && prng_.Chance(1, 3)) node_->clock().StepWall(-60'000'000);
    if (prng_.Chance(1, 4)) MakeOlder();
    node_->Start(
        {.core_count = 1, .ring = {}, .core = {.buffer_count = 3, .buffer_bytes = buffer_bytes_}});
    Life& life = node_->Own(std::make_unique<Life>(*node_, oracle_, prng_, ++run_, segment_bytes_));
    const CrashKind kind =
        options_.power_cuts && prng_.Chance(2, 3) ? CrashKind::kPowerCut : CrashKind::kProcessKill;
    const bool crash = !last && prng_.Chance(4, 5);
    // Now and then within the recovery, mostly later.
    if (crash) node_->CrashAfter(prng_.Chance(1, 3) ? prng_.Below(60) : prng_.Below(600), kind);
    const std::optional<bool> opened = node_->Run(life.Run(prng_.Between(1, 150)));
    if (!node_->running()) return;
    if (!opened.has_value()) return oracle_.Say("it hangs: " + world_.failure());
    const bool stop = last || !*opened || !prng_.Chance(1, 2);
    if (stop && !node_->Run(life.Stop()) && node_->running())
      oracle_.Say("its stop hangs: " + world_.failure());
    if (node_->running()) node_->Crash(kind);
    if (opened == true && FormatOnDisk() != kFormatVersion) {
      oracle_.Say("what has served is of an older format again");
    }
  }

  static std::string IdentityPath() { return std::string(kPath) + "/IDENTITY"; }
  std::optional<uint32_t> FormatOnDisk() {
    const std::optional<std::string> bytes = node_->disk().Contents(IdentityPath().c_str());
    if (!bytes || bytes->size() != kIdentitySize) return std::nullopt;
    return FormatOfIdentity(*bytes);
  }
  // The directory as the version before left it.
  void MakeOlder() {
    if (!FormatOnDisk()) return;
    const std::string bytes = *node_->disk().Contents(IdentityPath().c_str());
    node_->disk().Put(IdentityPath().c_str(), IdentityOfFormat(bytes, kFormatVersion - 1));
  }

  // With any number of cores, each time anew.
  void Boot() {
    const auto core_count = static_cast<uint32_t>(prng_.Between(1, 3));
    node_->Start({.core_count = core_count,
                  .ring = {},
                  .core = {.buffer_count = 3, .buffer_bytes = buffer_bytes_}});
  }

  // One bit of one file flips: the store refuses to open, or shows nothing wrong. False if it
  // opened, and so may have changed its files.
  bool PlayRot() {
    SimDisk& disk = node_->disk();
    std::vector<std::string> names;
    PAKV_CHECK(disk.List(kPath, names) >= 0);
    std::erase(names, "LOCK");
    std::erase(names, "cut");
    const std::string path = std::string(kPath) + "/" + names[prng_.Below(names.size())];
    const size_t size = disk.Contents(path.c_str())->size();
    if (size == 0) return true;
    const uint64_t offset = prng_.Below(size);
    const auto bit = static_cast<uint32_t>(prng_.Below(8));
    disk.FlipBit(path.c_str(), offset, bit);
    disk.faults = {};
    node_->Start(
        {.core_count = 1, .ring = {}, .core = {.buffer_count = 3, .buffer_bytes = buffer_bytes_}});
    Life& life = node_->Own(std::make_unique<Life>(*node_, oracle_, prng_, ++run_, segment_bytes_));
    life.ExpectRot();
    const std::optional<bool> opened = node_->Run(life.Run(0));
    if (!opened.has_value()) oracle_.Say("it hangs: " + world_.failure());
    if (opened == true && !node_->Run(life.Stop())) oracle_.Say("its stop hangs");
    node_->Crash(CrashKind::kProcessKill);
    if (opened == true) return false;
    disk.FlipBit(path.c_str(), offset, bit);
    return true;
  }

  const LogScenarioOptions options_;
  SimWorld world_;
  Prng prng_;
  std::unique_ptr<SimNode> node_;
  Oracle oracle_;
  uint64_t segment_bytes_ = 0;
  size_t buffer_bytes_ = 0;
  uint64_t run_ = 0;
};

}  // namespace

std::string PlayLogScenario(uint64_t seed, const LogScenarioOptions& options,
                            uint64_t* crash_points) {
  Scenario scenario(seed, options);
  std::string failure = scenario.Play();
  if (crash_points != nullptr) *crash_points = scenario.crash_points();
  return failure;
}

}  // namespace pakv
