// Whole servers: clients over a simulated network, sessions, several cores, the store, the disk
// with its faults; the process is killed or the power goes at any operation, or the server is
// stopped as asked. What a client was answered is there afterwards, replies are those of their
// commands, and in the end, without faults, everything goes on.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kv/log/write/segment_supply.h"
#include "kv/store/store.h"
#include "net/server/server.h"
#include "runtime/base/prng.h"
#include "tests/sim/clients/load_client.h"
#include "tests/sim/clients/pakv_client.h"
#include "tests/sim/clients/resp_client.h"
#include "tests/sim/clients/resp_group_client.h"
#include "tests/sim/clients/resp_multi_client.h"
#include "tests/sim/clients/resp_scan_client.h"
#include "tests/sim/oracle/oracle.h"
#include "tests/sim/scenario.h"
#include "tests/sim/scenarios/clock_steps.h"
#include "tests/sim/scenarios/draw_compaction.h"
#include "tests/sim/scenarios/value_file_check.h"
#include "tests/sim/world/sim_node.h"

namespace pakv {
namespace {

constexpr const char* kAddress = "10.0.0.1:7379";

class ServerScenario {
 public:
  explicit ServerScenario(uint64_t seed)
      : world_(seed), prng_(world_.prng()), node_(world_, "10.0.0.1", DiskOptions()) {
    node_.disk().MakeDirectories("/data");
    segment_bytes_ = uint64_t{1} << prng_.Between(12, 17);
    flush_apart_.records_min = static_cast<uint32_t>(prng_.Between(1, 6));
    flush_apart_.records_max = 2 * flush_apart_.records_min;
    buffer_bytes_ = size_t{1} << prng_.Between(12, 16);
    cache_bytes_ = prng_.Chance(1, 2) ? 0 : uint64_t{1} << prng_.Between(10, 18);
    key_count_ = static_cast<uint32_t>(prng_.Between(2, 12));
    database_count_ = static_cast<uint32_t>(prng_.Between(1, 3));
    pipeline_max_ = static_cast<uint32_t>(prng_.Between(1, 6));
    value_bytes_max_ = prng_.Chance(1, 4) ? 20'000 : 200;
    flush_per_10000_ = prng_.Chance(1, 3) ? 100 : 0;
    keys_expire_ = prng_.Chance(1, 2);
    oracle_.SetClock([this] { return node_.clock().WallUs() / 1000; });
    compaction_ = DrawCompaction(prng_);
    publish_pause_ns_ = prng_.Chance(1, 4) ? kNsPerUs << prng_.Between(4, 13) : 0;
    if (prng_.Chance(1, 2)) {
      large_reply_bytes_ = prng_.Between(8, 200);
      reply_bytes_max_ = prng_.Chance(1, 2) ? 0 : prng_.Below(1000);
      device_read_bytes_max_ = prng_.Chance(1, 2) ? 1 : uint64_t{64} << 20;
      output_bytes_max_ = prng_.Between(1, 1000);
    }
    if (prng_.Chance(1, 2)) inline_bytes_max_ = static_cast<uint32_t>(prng_.Between(64, 300));
    if (prng_.Chance(1, 2)) part_keys_max_ = prng_.Between(1, 3);
  }

  ScenarioResult Run() {
    const uint64_t lives = prng_.Between(1, 4);
    for (uint64_t life = 0; life < lives && result_.failure.empty(); ++life) Live(/*last=*/false);
    if (result_.failure.empty()) Live(/*last=*/true);
    if (result_.failure.empty() && !oracle_.ok()) result_.failure = oracle_.violation();
    result_.operations = oracle_.acknowledged_count();
    result_.digest = world_.digest();
    result_.crash_points = world_.crash_points();
    return result_;
  }

 private:
  SimDiskOptions DiskOptions() {
    SimDiskOptions options;
    constexpr uint32_t kAlignments[] = {512, 4096, 4096, 0};
    options.direct_alignment = kAlignments[prng_.Below(4)];
    options.has_links = prng_.Chance(3, 4);
    return options;
  }
  CrashKind RandomKind() {
    return prng_.Chance(1, 2) ? CrashKind::kProcessKill : CrashKind::kPowerCut;
  }
  void Fail(std::string what) {
    if (result_.failure.empty()) result_.failure = std::move(what);
  }

  // The store and the server of one life, as cmd/pakvd has them.
  struct Service {
    explicit Service(Cores& cores_in) : cores(cores_in) {}
    Cores& cores;
    std::unique_ptr<Store> store;
    std::unique_ptr<Server> server;

    static Task<absl::Status> Start(Service& service, StoreOptions store_options,
                                    ServerOptions options) {
      service.server = std::make_unique<Server>(service.cores, options, ServerIdentity{});
      absl::Status status = co_await service.server->Listen();
      if (!status.ok()) co_return status;
      OpenReport report;
      auto opened = co_await Store::Open(service.cores, std::move(store_options), report);
      if (!opened.ok()) {
        co_await service.server->Stop();
        co_return opened.status();
      }
      service.store = std::move(*opened);
      co_await service.server->Start(*service.store);
      co_return absl::OkStatus();
    }
    static Task<absl::Status> Stop(Service& service) {
      const bool drained = co_await service.server->Drain(60 * kNsPerSecond);
      co_await service.server->Stop();
      const absl::Status stopped = co_await service.store->Stop();
      if (!drained) co_return absl::DeadlineExceededError("clients were not drained");
      co_return stopped;
    }
  };

  // From now on there is memory for a key or two more.
  static Task<bool> Limit(Service& service, Core& core, uint64_t more) {
    const StoreStats stats = co_await service.store->Stats(core);
    co_await service.store->SetMemoryLimit(core, stats.memory_bytes + more);
    co_return true;
  }

  StoreOptions OptionsOfStore() {
    StoreOptions options;
    options.directory = "/data/store";
    options.segment_bytes = segment_bytes_;
    options.flush_apart = flush_apart_;
    options.cache_bytes = cache_bytes_;
    options.compaction = compaction_;
    options.publish_pause_ns = publish_pause_ns_;
    options.part_keys_max = part_keys_max_;
    options.inline_value_bytes_max = inline_bytes_max_;
    options.large_reply_bytes = large_reply_bytes_;
    options.reply_bytes_max = reply_bytes_max_;
    options.device_read_bytes_max = device_read_bytes_max_;
    options.value_files.chunk_bytes = 4096u << prng_.Below(3);
    options.value_files.uploads_max = static_cast<uint32_t>(prng_.Between(1, 3));
    options.value_files.chunks_max = 2;
    StoreEntropy entropy;
    for (uint8_t& byte : entropy.store_id) byte = static_cast<uint8_t>(prng_.Next());
    entropy.hash_seed = prng_.Next();
    entropy.run = prng_.Next() | 1;
    options.entropy = entropy;
    return options;
  }
  ServerOptions OptionsOfServer(uint32_t core_count, bool last) {
    ServerOptions options;
    options.data_endpoints.push_back(*ParseEndpoint(kAddress));
    options.core_count = core_count;
    options.inline_value_bytes_max = inline_bytes_max_;
    options.key_bytes_max = std::min<uint32_t>(options.key_bytes_max, inline_bytes_max_);
    options.session_limits.output_bytes_max = output_bytes_max_;
    limits_are_small_ = !last;
    places_are_few_ = false;
    if (last) return options;
    if (prng_.Chance(1, 4)) options.idle_timeout_ns = prng_.Between(1, 100) * kNsPerMs;
    if (prng_.Chance(1, 4)) {
      options.request_timeout_ns = prng_.Between(1, 100) * kNsPerMs;
    } else if (prng_.Chance(1, 2)) {
      options.request_timeout_ns = 0;
    }
    if (prng_.Chance(1, 4)) {
      places_are_few_ = true;
      options.connection_count_max = static_cast<uint32_t>(prng_.Between(1, 3));
      if (prng_.Chance(1, 2)) options.overflow = OverflowPolicy::kReject;
      // A garbage client that sends nothing would keep its place for ever.
      if (options.idle_timeout_ns == 0) options.idle_timeout_ns = 100 * kNsPerMs;
    }
    return options;
  }

  void MakeWorldIll(bool last) {
    SimDiskFaults& faults = node_.disk().faults;
    faults = {};
    world_.net().faults = {};
    disk_is_ill_ = false;
    if (last) return;
    if (prng_.Chance(1, 3)) faults.short_transfer = static_cast<uint32_t>(prng_.Below(3000));
    if (prng_.Chance(1, 3)) faults.stall = static_cast<uint32_t>(prng_.Below(100));
    if (prng_.Chance(1, 3)) faults.write_back_error = static_cast<uint32_t>(prng_.Below(5000));
    if (prng_.Chance(1, 5)) faults.flush_error = static_cast<uint32_t>(prng_.Below(100));
    if (prng_.Chance(1, 6)) faults.write_error = static_cast<uint32_t>(prng_.Below(100));
    disk_is_ill_ = faults.flush_error + faults.write_error > 0;
    if (prng_.Chance(1, 3)) world_.net().faults.long_delay = 500;
    if (prng_.Chance(1, 4)) world_.net().faults.reset = 20;
  }

  void Live(bool last) {
    ++life_;
    MakeWorldIll(last);
    clock_steps_.StepNowAndThen();
    const auto core_count = static_cast<uint32_t>(prng_.Between(1, 4));
    SimNodeOptions node_options{.core_count = core_count,
                                .core = {.buffer_count = 4, .buffer_bytes = buffer_bytes_}};
    if (prng_.Chance(1, 4)) node_options.ring.submissions_max = 2;
    if (prng_.Chance(1, 4)) {
      node_options.core.mailbox_chains_max = static_cast<uint32_t>(prng_.Between(1, 2));
    }
    node_.Start(node_options);
    Service& service = node_.Own(std::make_unique<Service>(node_.cores()));
    auto started =
        node_.Run(Service::Start(service, OptionsOfStore(), OptionsOfServer(core_count, last)));
    if (!started || !started->ok()) {
      if (!started && node_.running()) Fail("the server does not start: " + world_.failure());
      // It may have noticed in time what the page cache has lost.
      const bool noticed =
          started && absl::IsUnavailable(*started) && node_.disk().faults.write_back_error > 0;
      if (started && !disk_is_ill_ && !noticed) {
        Fail("the server does not start: " + std::string(started->message()));
      }
      node_.Crash(CrashKind::kProcessKill);
      return Ended();
    }
    RespLoad load{world_, oracle_, kAddress};
    load.key_count = key_count_;
    load.database_count = database_count_;
    load.pipeline_max = pipeline_max_;
    load.value_bytes_max = value_bytes_max_;
    load.flush_per_10000 = flush_per_10000_;
    if (keys_expire_) load.wall_ms = [this] { return node_.clock().WallUs() / 1000; };
    load.disk_is_ill = disk_is_ill_;
    load.limits_are_small = limits_are_small_;
    load.replies_are_bounded = reply_bytes_max_ < ReplyRoom::kBytesMax;
    if (!last && prng_.Chance(1, 4)) {
      load.memory_is_short = true;
      if (!node_.Run(Limit(service, node_.core(0), prng_.Below(400))) && node_.running()) {
        Fail("the limit is not set: " + world_.failure());
      }
      if (!node_.running()) return Ended();
    }
    load.inline_bytes_max = inline_bytes_max_;
    load.some_are_slow = prng_.Chance(1, 3);
    Serve(service, load, last);
    clients_.clear();
    garbage_.clear();
    if (node_.running()) node_.Crash(RandomKind());
    Ended();
  }

  // What clients still had under way has happened or not, and stays so.
  void Ended() {
    oracle_.Crashed();
    multi_state_.ServerEnded();
  }

  void Serve(Service& service, RespLoad& load, bool last) {
    using Work = RespClient::Work;
    if ((last || prng_.Chance(1, 2)) && !RunClients(load, 1, Work::kReadAll)) return;
    if (last) {
      if (!RunClients(load, 2, Work::kWriteAll)) return;
      if (!RunClients(load, 1, Work::kReadAll)) return;
    } else {
      if (prng_.Chance(2, 3)) node_.CrashAfter(prng_.Below(1500), RandomKind());
      if (prng_.Chance(1, 3)) MakeGarbage();
      if (prng_.Chance(1, 4)) CutOffForAWhile();
      if (prng_.Chance(1, 2)) clock_steps_.StepUnderLoad(50 * kNsPerMs, clients_work_);
      LackDescriptorsForAWhile(load);
      clients_work_ = true;
      const bool lives = RunClients(load, prng_.Between(1, 6), Work::kRandom);
      clients_work_ = false;
      garbage_.clear();
      if (!lives) return;
      if (load.lacks_descriptors && !WriteAgain(service, load)) return;
    }
    if (last || !disk_is_ill_) {
      const std::string wrong = CheckValueFiles(world_, node_, *service.store, "/data/store");
      if (!wrong.empty()) return Fail(wrong);
      if (!node_.running()) return;
    }
    if (!last && prng_.Chance(1, 2)) return;
    auto stopped = node_.Run(Service::Stop(service));
    if (!stopped && node_.running()) Fail("the server does not stop: " + world_.failure());
    if (stopped && !stopped->ok() && !disk_is_ill_) {
      Fail("the server does not stop well: " + std::string(stopped->message()));
    }
    if (stopped && result_.failure.empty()) node_.Stop();
  }

  // Others do not wait for it: neither for its turn, if it is in the middle of a value, nor for its
  // memory. Of connections it may have the only place that there is: then it hangs up some time.
  void MakeGarbage() {
    garbage_.push_back(
        std::make_unique<GarbageClient>(world_.net(), kAddress, prng_.Next(), inline_bytes_max_));
    if (!places_are_few_ && prng_.Chance(1, 2)) return;
    world_.agenda().After(prng_.Between(1, 2000) * kNsPerMs, /*owner=*/0,
                          [this] { garbage_.clear(); });
  }

  // The system opens no further file, and accepts no connection, or only some.
  void LackDescriptorsForAWhile(RespLoad& load) {
    if (!prng_.Chance(1, 4)) return;
    load.lacks_descriptors = true;
    constexpr uint32_t kChances[] = {10'000, 10'000, 3'000, 1'000};
    const uint32_t chance = kChances[prng_.Below(4)];
    const auto set_at = [&](uint64_t after_ns, uint32_t chance_then) {
      world_.agenda().After(after_ns, /*owner=*/0, [this, chance_then, life = life_] {
        if (life == life_ && clients_work_) SetDescriptorChance(chance_then);
      });
    };
    set_at(prng_.Below(20 * kNsPerMs), chance);
    set_at(prng_.Between(20, 3000) * kNsPerMs, 0);
  }
  void SetDescriptorChance(uint32_t chance) {
    node_.disk().faults.no_descriptor = chance;
    world_.net().faults.no_descriptor = chance;
  }

  // There are descriptors again: the server tries them each second, goes on by itself, on each
  // core, and takes all that it is sent. False: the life is over.
  bool WriteAgain(Service& service, RespLoad& load) {
    SetDescriptorChance(0);
    load.lacks_descriptors = false;
    if (disk_is_ill_) return true;
    world_.RunFor(2 * SegmentSupply::kRetryNs);
    if (!node_.running()) return false;
    const bool opens = node_.Run(UntilFilesOpen(*service.store, node_.core(0))).has_value();
    if (!opens && node_.running()) Fail("no file is opened again: " + world_.failure());
    if (!opens || !node_.running()) return false;
    return RunClients(load, 1, RespClient::Work::kWriteAll);
  }
  static Task<bool> UntilFilesOpen(Store& store, Core& core) {
    while (true) {
      const StoreStats stats = co_await store.Stats(core);
      if (!stats.no_descriptors) co_return true;
      co_await core.timers().SleepUntil(core.now_ns() + 100 * kNsPerMs);
    }
  }

  // The clients' host and the server's do not reach one another.
  void CutOffForAWhile() {
    world_.agenda().After(prng_.Below(20 * kNsPerMs), /*owner=*/0,
                          [this] { world_.net().Separate("10.0.0.1", kLoadHost); });
    world_.agenda().After(prng_.Between(20, 200) * kNsPerMs, /*owner=*/0,
                          [this] { world_.net().JoinAll(); });
  }

  // False if the life is over: the node crashed, or the scenario has failed.
  bool RunClients(RespLoad& load, uint64_t count, RespClient::Work work) {
    clients_.clear();
    load.clients_done = 0;
    for (uint64_t i = 0; i < count; ++i) {
      const auto commands = static_cast<uint32_t>(prng_.Between(5, 80));
      clients_.push_back(
          std::make_unique<RespClient>(load, next_client_++, prng_.Next(), work, commands));
    }
    const uint64_t groups = work == RespClient::Work::kRandom ? prng_.Below(4) : 0;
    for (uint64_t i = 0; i < groups; ++i) {
      const auto commands = static_cast<uint32_t>(prng_.Between(2, 40));
      clients_.push_back(
          std::make_unique<RespGroupClient>(load, next_client_++, prng_.Next(), commands));
    }
    const uint64_t others = work == RespClient::Work::kRandom ? prng_.Below(4) : 0;
    for (uint64_t i = 0; i < others; ++i) {
      const auto requests = static_cast<uint32_t>(prng_.Between(5, 80));
      clients_.push_back(
          std::make_unique<PakvClient>(load, next_client_++, prng_.Next(), requests));
    }
    // A FLUSH would take all that they know of.
    uint64_t multis = 0;
    if (flush_per_10000_ == 0 && work == RespClient::Work::kReadAll) multis = 1;
    if (flush_per_10000_ == 0 && work == RespClient::Work::kRandom) multis = prng_.Below(4);
    for (uint64_t i = 0; i < multis; ++i) {
      const auto commands = static_cast<uint32_t>(prng_.Between(5, 60));
      clients_.push_back(std::make_unique<RespMultiClient>(
          load, multi_state_, next_client_++, prng_.Next(), commands,
          /*only_looks=*/work == RespClient::Work::kReadAll));
    }
    const bool is_kept = flush_per_10000_ == 0 && work == RespClient::Work::kRandom;
    for (uint64_t left = is_kept ? prng_.Below(4) : 0; left > 0; --left) {
      const auto requests = static_cast<uint32_t>(prng_.Between(5, 40));
      clients_.push_back(std::make_unique<PakvCounterClient>(load, counter_state_, next_client_++,
                                                             prng_.Next(), requests));
    }
    for (uint64_t left = is_kept ? prng_.Below(3) : 0; left > 0; --left) {
      const auto commands = static_cast<uint32_t>(prng_.Between(5, 100));
      clients_.push_back(
          std::make_unique<RespScanClient>(load, next_client_++, prng_.Next(), commands));
    }
    const bool ended = world_.RunUntil(
        [&] {
          return !node_.running() || load.clients_done == clients_.size() || !oracle_.ok() ||
                 !load.wrong.empty();
        },
        120 * kNsPerSecond);
    if (!ended) Fail("no progress: " + world_.failure() + oracle_.DescribePending());
    if (!load.wrong.empty()) Fail(load.wrong);
    if (!oracle_.ok()) Fail(oracle_.violation());
    return node_.running() && result_.failure.empty();
  }

  SimWorld world_;
  Prng& prng_;
  SimNode node_;
  Oracle oracle_;
  ClockSteps clock_steps_{world_, node_, oracle_};
  ScenarioResult result_;
  std::vector<std::unique_ptr<LoadClient>> clients_;
  RespMultiState multi_state_;
  PakvCounterState counter_state_;
  std::vector<std::unique_ptr<GarbageClient>> garbage_;
  uint64_t segment_bytes_ = 0;
  CompactionOptions compaction_;
  uint64_t publish_pause_ns_ = 0;
  size_t part_keys_max_ = kPartKeysMax;
  FlushApart flush_apart_;
  size_t buffer_bytes_ = 0;
  uint64_t cache_bytes_ = 0;
  uint32_t key_count_ = 0;
  uint32_t database_count_ = 1;
  uint32_t pipeline_max_ = 0;
  uint32_t value_bytes_max_ = 0;
  uint32_t inline_bytes_max_ = 1 << 20;
  size_t large_reply_bytes_ = kLargeReplyBytes;
  uint64_t reply_bytes_max_ = ReplyRoom::kBytesMax;
  uint64_t device_read_bytes_max_ = uint64_t{64} << 20;
  size_t output_bytes_max_ = 1 << 20;
  uint32_t flush_per_10000_ = 0;
  bool keys_expire_ = false;
  bool disk_is_ill_ = false;
  bool limits_are_small_ = false;
  bool places_are_few_ = false;
  bool clients_work_ = false;
  uint64_t life_ = 0;
  uint64_t next_client_ = 1;
};

}  // namespace

ScenarioResult RunServerScenario(uint64_t seed) {
  ServerScenario scenario(seed);
  return scenario.Run();
}

}  // namespace pakv
