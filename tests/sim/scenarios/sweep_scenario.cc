// One short life of a store, and a crash at every step of what it does to its disk: a write that is
// submitted, that has landed, whose flush is done; each sync, rename and unlink. The life goes on;
// what the crash would have left is recovered by a store of its own, in a world of its own, and
// looked at. Now and then that recovery is crashed, too, at some step of its own, and then
// recovered. So crash points cost a recovery each, and no life.
//
// The writers are sequential: each does one thing after the other to keys that are its own (in a
// namespace that is its own), and a thing may be many keys: a transaction, a FLUSH. So after a
// crash a writer's keys are exactly what they were after the last thing that was acknowledged, or,
// all of them, after the one that was under way.
//
// Long because: a life and its crashes know what the writers have done, and are one loop.
#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kv/shard/values/value_upload.h"
#include "kv/store/store.h"
#include "runtime/base/check.h"
#include "runtime/base/coverage.h"
#include "runtime/base/prng.h"
#include "runtime/task/nursery.h"
#include "tests/kv/store/store_call.h"
#include "tests/sim/scenario.h"
#include "tests/sim/scenarios/draw_compaction.h"
#include "tests/sim/world/sim_node.h"

namespace pakv {
namespace {

constexpr const char* kHost = "10.0.0.1";
constexpr const char* kDirectory = "/data/store";
constexpr uint64_t kKeysPerWriter = 4;
// Of a life's steps, about a thousand, every n-th is looked at: every one of a few lives, a few of
// every life. Which, the seeds decide.
constexpr uint64_t kStrideMax = 16;

struct Kept {
  std::string value;
  uint64_t expiry_ms = kNoExpiry;
  friend bool operator==(const Kept&, const Kept&) = default;
};
using Keys = std::map<std::string, Kept>;

struct Writer {
  std::string space;  // the namespace's name
  Keys settled;       // after what was acknowledged
  Keys next;          // after what is under way, else the same
};

std::string KeyOf(uint64_t number) { return "key" + std::to_string(number); }

std::string Describe(const Keys& keys) {
  std::string text;
  for (const auto& [key, kept] : keys) {
    text += " " + key + "=" + kept.value.substr(0, 12) + "(" + std::to_string(kept.value.size()) +
            (kept.expiry_ms == kNoExpiry ? ")" : ", expires)");
  }
  return text.empty() ? " nothing" : text;
}

Change SetUntilFunction(const OldValue&, Request& request) {
  request.reply.kind = Reply::Kind::kOk;
  return {Change::Action::kWrite, request.expiry_ms, request.value};
}
// Its expiry in the request's.
Change LookFunction(const OldValue& old, Request& request) {
  request.reply.kind = !old.exists   ? Reply::Kind::kNull
                       : old.in_file ? Reply::Kind::kFile
                                     : Reply::Kind::kBytes;
  request.reply.bytes = old.value;
  request.expiry_ms = old.expiry_ms;
  return {};
}

Task<absl::StatusOr<std::unique_ptr<Store>>> OpenStore(Cores& cores, StoreOptions options,
                                                       OpenReport& report) {
  return Store::Open(cores, std::move(options), report);
}

// What a store has of a namespace's keys; an error's text in `wrong`.
Task<Keys> ReadKeys(Store& store, Core& here, std::string space, std::string& wrong) {
  Keys found;
  const Catalogue::Found opened = co_await store.OpenNamespace(here, space, /*create=*/false);
  if (!opened.id) co_return found;  // nothing was ever written
  for (uint64_t number = 0; number < kKeysPerWriter; ++number) {
    StoreCall call(store, here);
    call.namespace_id = *opened.id;
    co_await call.Read(LookFunction, OldState::kValueOrFile, KeyOf(number));
    if (call.outcome != Outcome::kDone) {
      wrong = space + "/" + KeyOf(number) + ": " + std::string(call.reply.bytes);
      co_return found;
    }
    if (call.reply.kind == Reply::Kind::kNull) continue;
    Kept kept{std::string(call.reply.bytes), call.expiry_ms};
    if (call.reply.kind == Reply::Kind::kFile) {
      const ValueReference reference = *ValueReference::Decode(call.reply.bytes);
      kept.value.clear();
      for (uint32_t index = 0; index < reference.chunk_count(); ++index) {
        const absl::StatusOr<ValueChunk> chunk =
            co_await store.value_files(here).ReadChunk(reference, index);
        if (!chunk.ok()) {
          wrong = std::string(chunk.status().message());
          break;
        }
        kept.value.append(chunk->view());
      }
      store.ReleaseFile(here, call);
    }
    found.emplace(KeyOf(number), std::move(kept));
  }
  co_return found;
}

class SweepScenario {
 public:
  explicit SweepScenario(uint64_t seed)
      : world_(seed), prng_(world_.prng()), node_(world_, kHost, DiskOptions()) {
    node_.disk().MakeDirectories("/data");
    options_.directory = kDirectory;
    options_.segment_bytes = uint64_t{1} << prng_.Between(alignment_ == 512 ? 10 : 12, 14);
    options_.flush_apart.records_min = static_cast<uint32_t>(prng_.Between(1, 6));
    options_.flush_apart.records_max = 2 * options_.flush_apart.records_min;
    options_.cache_bytes = prng_.Chance(1, 2) ? 0 : 4096;
    options_.footer_segment_bytes_min = prng_.Chance(2, 3) ? 1 : UINT64_MAX;
    options_.footers_of_any_size = true;
    options_.compaction = DrawCompaction(prng_);
    options_.manifest_appends_max = static_cast<uint32_t>(prng_.Between(2, 30));
    options_.inline_value_bytes_max = static_cast<uint32_t>(prng_.Between(100, 400));
    options_.value_files.chunk_bytes = 4096;
    for (uint64_t i = prng_.Between(1, 3); i > 0; --i) {
      writers_.push_back(
          {.space = i == 1 ? "orders" : std::to_string(i), .settled = {}, .next = {}});
    }
    stride_ = prng_.Between(1, kStrideMax);
    next_point_ = prng_.Below(stride_);
  }

  ScenarioResult Run() {
    // What a life before has left makes the first start one that recovers something, torn ends too.
    if (prng_.Chance(2, 3)) Live(/*looks=*/false);
    if (result_.failure.empty()) Live(/*looks=*/true);
    result_.crash_points += world_.crash_points();
    result_.digest = world_.digest() ^ images_digest_.digest();
    return result_;
  }

 private:
  SimDiskOptions DiskOptions() {
    SimDiskOptions options;
    constexpr uint32_t kAlignments[] = {512, 512, 4096, 0};
    alignment_ = kAlignments[prng_.Below(4)];
    options.direct_alignment = alignment_;
    return options;
  }
  static SimNodeOptions NodeOptions(Prng& prng) {
    SimNodeOptions options{
        .core_count = static_cast<uint32_t>(std::min(prng.Between(1, 3), prng.Between(1, 3))),
        .ring = {.receive_buffer_count = 1, .receive_buffer_bytes = 64},
        .core = {.buffer_count = 4, .buffer_bytes = 4096}};
    if (prng.Chance(1, 4)) options.ring.submissions_max = 2;
    if (prng.Chance(1, 4)) {
      options.core.mailbox_chains_max = static_cast<uint32_t>(prng.Between(1, 2));
    }
    return options;
  }
  CrashKind RandomKind() {
    return prng_.Chance(1, 3) ? CrashKind::kProcessKill : CrashKind::kPowerCut;
  }
  void Fail(const std::string& what) {
    if (result_.failure.empty()) result_.failure = what;
  }
  StoreOptions DrawnOptions(Prng& prng) const {
    StoreOptions options = options_;
    StoreEntropy entropy;
    entropy.hash_seed = prng.Next();
    entropy.run = prng.Next() | 1;
    options.entropy = entropy;
    return options;
  }

  // ---- The life ----

  void Live(bool looks) {
    node_.Start(NodeOptions(prng_));
    process_steps_ = 0;
    if (!looks && prng_.Chance(2, 3)) node_.CrashAfter(prng_.Between(1, 800), RandomKind());
    OpenReport report;
    std::unique_ptr<Store> opened;
    node_.Spawn(0, Open(report, opened));
    if (!Watch([&] { return opened != nullptr; }, looks)) return;
    Store& store = node_.Own(std::move(opened));
    bool adopted = false;
    node_.Spawn(0, Adopt(store, node_.core(0), adopted));
    if (!Watch([&] { return adopted; }, looks)) return;
    uint64_t done = 0;
    for (uint64_t i = 0; i < writers_.size(); ++i) {
      const auto id = static_cast<uint32_t>(prng_.Below(node_.cores().count()));
      node_.Spawn(id, Write(store, node_.core(id), writers_[i], prng_.Between(3, 12), done));
    }
    if (!Watch([&] { return done == writers_.size(); }, looks)) return;
    if (prng_.Chance(1, 2)) {
      bool stopped = false;
      node_.Spawn(0, Stop(store, stopped));
      if (!Watch([&] { return stopped; }, looks)) return;
      return node_.Stop();
    }
    node_.Crash(RandomKind());
  }

  Task<void> Open(OpenReport& report, std::unique_ptr<Store>& target) {
    StoreOptions options = DrawnOptions(prng_);
    auto opened = co_await OpenStore(node_.cores(), std::move(options), report);
    if (opened.ok()) {
      target = std::move(*opened);
    } else {
      Fail("the store does not open: " + std::string(opened.status().message()));
    }
  }
  Task<void> Stop(Store& store, bool& stopped) {
    const absl::Status status = co_await store.Stop();
    if (!status.ok()) Fail("the store does not stop: " + std::string(status.message()));
    stopped = true;
  }

  // What the life before has left is shown now: from here on it stays.
  Task<void> Adopt(Store& store, Core& here, bool& adopted) {
    for (Writer& writer : writers_) {
      Keys found = co_await LookAt(store, here, writer);
      writer.settled = found;
      writer.next = std::move(found);
    }
    adopted = true;
  }

  // Steps the world until `done`, crashing copies of it on the way. False: the life is over, or the
  // scenario has failed.
  bool Watch(const std::function<bool()>& done, bool looks) {
    const bool ended = world_.RunUntil([&] {
      if (looks && result_.failure.empty()) Look();
      return done() || !node_.running() || !result_.failure.empty();
    });
    if (!ended) Fail("no progress: " + world_.failure());
    if (!result_.failure.empty() && node_.running()) node_.Crash(CrashKind::kProcessKill);
    return node_.running();
  }

  void Look() {
    if (!node_.running()) return;
    const uint64_t steps = node_.process().disk_steps();
    if (steps == process_steps_) return;
    process_steps_ = steps;
    if (next_point_-- > 0) return;
    next_point_ = stride_ - 1;
    CrashACopy();
  }

  std::string NewValue() {
    std::string value = std::to_string(next_value_++) + ".";
    const uint64_t kind = prng_.Below(8);
    const size_t length = kind == 0   ? prng_.Below(3 * 4096)
                          : kind == 1 ? prng_.Below(2'000)
                                      : prng_.Below(60);
    if (value.size() < length) value.resize(length, static_cast<char>('a' + next_value_ % 26));
    return value;
  }

  Task<void> Write(Store& store, Core& here, Writer& writer, uint64_t count, uint64_t& done) {
    const Catalogue::Found opened =
        co_await store.OpenNamespace(here, writer.space, /*create=*/true);
    if (!opened.id) Fail("a namespace was refused");
    for (uint64_t i = 0; opened.id && i < count && result_.failure.empty(); ++i) {
      const Outcome outcome = co_await DoOne(store, here, writer, *opened.id);
      if (outcome != Outcome::kDone) {
        Fail("a write ended as outcome " + std::to_string(static_cast<int>(outcome)) +
             " although the disk is well");
      }
      writer.settled = writer.next;
      if (!prng_.Chance(1, 6)) continue;
      const uint64_t wake_ns = here.now_ns() + prng_.Below(3 * kNsPerMs);
      co_await here.timers().SleepUntil(wake_ns);
    }
    ++done;
  }

  // One thing, of which a crash leaves all or nothing.
  Task<Outcome> DoOne(Store& store, Core& here, Writer& writer, uint32_t namespace_id) {
    const uint64_t dice = prng_.Below(100);
    if (dice < 12) {
      writer.next.clear();
      co_return co_await store.Flush(here, namespace_id);
    }
    if (dice < 40) co_return co_await WriteTogether(store, here, writer, namespace_id);
    const std::string key = KeyOf(prng_.Below(kKeysPerWriter));
    const std::string long_one = LongKeyOf(writer);
    if (dice < 50 && !long_one.empty() && key != long_one) {
      co_return co_await CopyFile(store, here, writer, namespace_id, long_one, key);
    }
    StoreCall call(store, here);
    call.namespace_id = namespace_id;
    if (dice < 55) {
      writer.next.erase(key);
      co_await call.Update(DeleteFunction, OldState::kExistence, key);
      co_return call.outcome;
    }
    Kept kept{NewValue()};
    // Far ahead: what a short life expires depends on when it is looked at.
    if (prng_.Chance(1, 4))
      kept.expiry_ms =
          SimClock::kStartWallUs / 1000 + prng_.Next() % 1000 + uint64_t{1000} * 86'400'000;
    writer.next[key] = kept;
    call.expiry_ms = kept.expiry_ms;
    if (kept.value.size() <= options_.inline_value_bytes_max) {
      co_await call.Update(SetUntilFunction, OldState::kNothing, key, kept.value);
      co_return call.outcome;
    }
    ValueUpload upload(store.value_files(here));
    const Outcome written = co_await Upload(upload, kept.value);
    if (written != Outcome::kDone) {
      co_await upload.Close(false);
      co_return written;
    }
    bool admitted = false;
    call.file_admitted = &admitted;
    co_await call.Update(SetUntilFunction, OldState::kNothing, key,
                         std::string(upload.reference()));
    co_await upload.Close(admitted);
    co_return call.outcome;
  }

  // A key whose value lies in a file; empty: there is none.
  std::string LongKeyOf(const Writer& writer) const {
    for (const auto& [key, kept] : writer.settled) {
      if (kept.value.size() > options_.inline_value_bytes_max) return key;
    }
    return {};
  }

  // As COPY does it: another name for the file, and a record that refers to that.
  static Task<Outcome> CopyFile(Store& store, Core& here, Writer& writer, uint32_t namespace_id,
                                std::string source, std::string target) {
    StoreCall look(store, here);
    look.namespace_id = namespace_id;
    co_await look.Read(LookFunction, OldState::kValueOrFile, source);
    if (look.outcome != Outcome::kDone) co_return look.outcome;
    PAKV_CHECK(look.reply.kind == Reply::Kind::kFile, "it is too long for the log");
    ValueUpload copy(store.value_files(here));
    Outcome outcome = co_await copy.CopyFrom(*ValueReference::Decode(look.reply.bytes));
    store.ReleaseFile(here, look);
    bool admitted = false;
    if (outcome == Outcome::kDone) {
      writer.next[target] = Kept{writer.settled.at(source).value};
      StoreCall call(store, here);
      call.namespace_id = namespace_id;
      call.file_admitted = &admitted;
      co_await call.Update(SetFunction, OldState::kNothing, target, std::string(copy.reference()));
      outcome = call.outcome;
    }
    co_await copy.Close(admitted);
    co_return outcome;
  }

  static Task<Outcome> Upload(ValueUpload& upload, std::string_view value) {
    Outcome outcome = co_await upload.Begin(value.size());
    while (outcome == Outcome::kDone && !value.empty()) {
      const size_t piece = std::min(value.size(), upload.room());
      upload.Add(value.substr(0, piece));
      value.remove_prefix(piece);
      if (upload.room() == 0) outcome = co_await upload.MakeRoom();
    }
    if (outcome == Outcome::kDone) outcome = co_await upload.Finish();
    co_return outcome;
  }

  Task<Outcome> WriteTogether(Store& store, Core& here, Writer& writer, uint32_t namespace_id) {
    std::vector<std::string> keys;
    for (uint64_t i = 0; i < kKeysPerWriter; ++i) keys.push_back(KeyOf(i));
    Transaction transaction(/*session=*/prng_.Next());
    for (const std::string& key : keys) {
      transaction.AddKey(store.Hash(namespace_id, key), namespace_id, key, OldState::kNothing,
                         true);
      Kept kept{NewValue()};
      kept.value.resize(std::min<size_t>(kept.value.size(), options_.inline_value_bytes_max));
      writer.next[key] = std::move(kept);
    }
    if (prng_.Chance(1, 3)) writer.next.erase(keys[prng_.Below(keys.size())]);
    const auto decide = [&](Transaction& decided) {
      for (size_t index = 0; index < keys.size(); ++index) {
        const auto kept = writer.next.find(keys[index]);
        if (kept == writer.next.end()) {
          decided.Delete(index);
        } else {
          decided.Write(index, kept->second.value, kNoExpiry);
        }
      }
      return true;
    };
    const Outcome outcome = co_await store.Transact(here, transaction, decide);
    co_return outcome;
  }

  // ---- The crashes ----

  // What a crash at this moment would leave, recovered and looked at.
  void CrashACopy() {
    Prng prng(prng_.Next());
    SimWorld world(prng.Next());
    SimNode node(world, kHost);
    node_.CrashInto(node.disk(), RandomKind());
    ++result_.crash_points;
    if (prng.Chance(1, 4) && RecoverAndCrash(world, node, prng)) PAKV_COVERED(kRecoveryCrashed);
    RecoverAndLook(world, node, prng);
    images_digest_.Add(world.digest());
  }

  // Starts on `node` and crashes at a step that is drawn. False: it was open before.
  bool RecoverAndCrash(SimWorld& world, SimNode& node, Prng& prng) {
    node.Start(NodeOptions(prng));
    OpenReport report;
    std::unique_ptr<Store> store;
    node.Spawn(0, Reopen(node, DrawnOptions(prng), report, store));
    const uint64_t steps = prng.Below(60);
    const bool ended = world.RunUntil([&] {
      return store != nullptr || !result_.failure.empty() || node.process().disk_steps() > steps;
    });
    if (!ended) Fail("a recovery does not end: " + world.failure());
    const bool open = store != nullptr;
    if (open) node.Own(std::move(store));
    node.Crash(prng.Chance(1, 3) ? CrashKind::kProcessKill : CrashKind::kPowerCut);
    if (!open) ++result_.crash_points;
    return !open;
  }

  void RecoverAndLook(SimWorld& world, SimNode& node, Prng& prng) {
    if (!result_.failure.empty()) return;
    node.Start(NodeOptions(prng));
    OpenReport report;
    std::unique_ptr<Store> opened;
    bool done = false;
    node.Spawn(0, Reopen(node, DrawnOptions(prng), report, opened));
    bool ended = world.RunUntil([&] { return opened != nullptr || !result_.failure.empty(); });
    if (ended && opened != nullptr) {
      Store& store = node.Own(std::move(opened));
      node.Spawn(0, LookAtAll(store, node.core(0), prng.Chance(1, 8), done));
      ended = world.RunUntil([&] { return done || !result_.failure.empty(); });
    }
    if (!ended) Fail("after a crash there is no progress: " + world.failure());
    ++result_.operations;
    node.Crash(CrashKind::kProcessKill);
  }

  Task<void> Reopen(SimNode& node, StoreOptions options, OpenReport& report,
                    std::unique_ptr<Store>& target) {
    auto opened = co_await OpenStore(node.cores(), std::move(options), report);
    if (opened.ok()) {
      target = std::move(*opened);
    } else {
      Fail("after a crash the store does not open: " + std::string(opened.status().message()));
    }
  }

  // What a store has of a writer's keys: all or nothing of what was under way.
  Task<Keys> LookAt(Store& store, Core& here, const Writer& writer) {
    std::string wrong;
    Keys found = co_await ReadKeys(store, here, writer.space, wrong);
    if (!wrong.empty()) Fail("after a crash: " + wrong);
    if (found != writer.settled && found != writer.next) {
      Fail("after a crash namespace " + writer.space + " has" + Describe(found) +
           "; acknowledged was" + Describe(writer.settled) + "; under way was" +
           Describe(writer.next));
    }
    co_return found;
  }

  Task<void> LookAtAll(Store& store, Core& here, bool checks, bool& done) {
    for (const Writer& writer : writers_) {
      const Keys found = co_await LookAt(store, here, writer);
      static_cast<void>(found);
    }
    if (checks) {
      const CheckReport report = co_await store.Check(here);
      if (!report.findings.empty()) {
        Fail("after a crash: " + report.findings[0].file + ": " + report.findings[0].what);
      }
    }
    done = true;
  }

  SimWorld world_;
  Prng& prng_;
  uint32_t alignment_ = 0;
  SimNode node_;
  StoreOptions options_;
  std::vector<Writer> writers_;
  ScenarioResult result_;
  SimTrace images_digest_;
  uint64_t next_value_ = 0;
  uint64_t process_steps_ = 0;  // of the disk, that were looked at
  uint64_t stride_ = 1;
  uint64_t next_point_ = 0;
};

}  // namespace

ScenarioResult RunSweepScenario(uint64_t seed) {
  SweepScenario scenario(seed);
  return scenario.Run();
}

}  // namespace pakv
