#include "cmd/pakvd/run.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "cmd/common/exit_codes.h"
#include "cmd/pakvd/descriptor_plan.h"
#include "cmd/pakvd/file_system.h"
#include "cmd/pakvd/memory_plan.h"
#include "cmd/pakvd/port_file.h"
#include "cmd/pakvd/process_facts.h"
#include "cmd/pakvd/remedy.h"
#include "cmd/pakvd/service_manager.h"
#include "cmd/pakvd/start_progress.h"
#include "cmd/pakvd/stop_requests.h"
#include "kv/log/files/file_io.h"
#include "kv/store/store.h"
#include "net/server/server.h"
#include "runtime/base/check.h"
#include "runtime/base/clock.h"
#include "runtime/base/counted.h"
#include "runtime/base/log.h"
#include "runtime/core/blocking_pool.h"
#include "runtime/core/cores.h"
#include "runtime/core/process_usage.h"
#include "runtime/io/uring_ring.h"

namespace pakv {
namespace {

// Delivers SIGTERM and SIGINT as events instead of interruptions. Made before any other thread,
// which inherits the mask. SIGHUP is ignored: a server outlives the terminal it was started from;
// SIGXFSZ too: a file that must not grow further is an error of that write
// (kv/log/files/shortage.h).
class Signals {
 public:
  Signals() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    PAKV_CHECK(pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    descriptor_ = signalfd(-1, &set, SFD_CLOEXEC);
    PAKV_CHECK(descriptor_ >= 0, "no descriptor for signals");
  }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  ~Signals() { close(descriptor_); }
  int descriptor() const { return descriptor_; }
  int Take() {
    signalfd_siginfo info{};
    PAKV_CHECK(read(descriptor_, &info, sizeof(info)) == sizeof(info));
    return static_cast<int>(info.ssi_signo);
  }

 private:
  int descriptor_ = -1;
};

std::string RandomHex(size_t digits) {
  std::string text;
  std::vector<uint8_t> bytes((digits + 1) / 2);
  PAKV_CHECK(getrandom(bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  for (const uint8_t byte : bytes) text += fmt::format("{:02x}", byte);
  text.resize(digits);
  return text;
}

// As it was given if the working directory cannot be told.
std::string AbsolutePath(const std::string& path) {
  std::error_code failed;
  const std::filesystem::path absolute = std::filesystem::absolute(path, failed);
  return failed ? path : absolute.lexically_normal().string();
}

// The server as one object that core 0 runs: start, and stop on request.
class Service {
 public:
  // `base_bytes` as in MemoryOptions. `progress` outlives it; nullptr: for the log to tell.
  Service(Cores& cores, ServerConfig config, const DescriptorPlan& descriptors, uint64_t base_bytes,
          RecoveryProgress* progress)
      : cores_(cores),
        config_(std::move(config)),
        manager_(cores.core(0), getenv("NOTIFY_SOCKET")),
        descriptors_(descriptors),
        base_bytes_(base_bytes),
        progress_(progress),
        start_(*this),
        stop_(*this),
        stop_requested_(cores.core(0).ready()) {
    ended_ = eventfd(0, EFD_CLOEXEC);
    PAKV_CHECK(ended_ >= 0, "no descriptor for the end");
  }
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;
  ~Service() { close(ended_); }

  // Main thread. Each once.
  void Start() { cores_.core(0).Post(start_); }
  void RequestStop() {
    cancel_open_.store(true, std::memory_order_relaxed);
    cores_.core(0).Post(stop_);
  }
  // The data is being read, or will be.
  bool is_opening() const { return is_opening_.load(std::memory_order_relaxed); }
  // Readable when all cores have been asked to leave.
  int ended() const { return ended_; }
  // After that.
  int exit_code() const { return exit_code_; }

 private:
  struct StartMessage : Message {
    explicit StartMessage(Service& service_in)
        : Message([](Message& self, Core& here) {
            here.nursery().Spawn(static_cast<StartMessage&>(self).service.Live());
          }),
          service(service_in) {}
    Service& service;
  };
  struct StopMessage : Message {
    explicit StopMessage(Service& service_in)
        : Message([](Message& self, Core&) {
            static_cast<StopMessage&>(self).service.stop_requested_.Set();
          }),
          service(service_in) {}
    Service& service;
  };

  Task<void> Live() {
    exit_code_ = co_await Serve();
    cores_.RequestLeave();
    const uint64_t one = 1;
    PAKV_CHECK(write(ended_, &one, sizeof(one)) == sizeof(one));
  }

  // From listening to the last byte made durable; the exit code.
  Task<int> Serve() {
    const ServerOptions& options = config_.server;
    ServerIdentity identity;
    identity.version = PAKV_VERSION;
    identity.run_id = RandomHex(40);
    if (!config_.config_path.empty()) identity.config_path = AbsolutePath(config_.config_path);
    identity.directory = AbsolutePath(options.directory);
    server_ = std::make_unique<Server>(cores_, options, std::move(identity));
    // First of all, so that a taken port leaves the directory untouched.
    absl::Status status = co_await server_->Listen();
    if (!status.ok()) co_return Fail(status, kServerExitUsage);

    OpenReport report;
    absl::StatusOr<std::unique_ptr<Store>> opened =
        co_await Store::Open(cores_, OptionsOfStore(), report);
    is_opening_.store(false, std::memory_order_relaxed);
    if (!opened.ok()) {
      co_await server_->Stop();
      if (absl::IsCancelled(opened.status())) {
        LogInfo("stopped before the data was read; nothing was changed");
        co_return kServerExitOk;
      }
      co_return Fail(WithRemedy(opened.status(), config_.server.directory), kServerExitDirectory);
    }
    store_ = std::move(*opened);
    for (const std::string& note : report.notes) LogWarning("{}", note);
    if (!report.direct_io && options.keeps_on_disk) {
      LogWarning(
          "{}: this file system refuses direct I/O; writes are buffered and synced, which "
          "is slower",
          options.directory);
    }
    co_await server_->Start(*store_);
    status = WritePortFile();
    if (status.ok()) {
      TellReady(report);
      co_await stop_requested_.Wait();
      TellStopping();
    }
    const bool drained = co_await server_->Drain(status.ok() ? options.drain_timeout_ns : 0);
    co_await server_->Stop();
    const absl::Status stopped = co_await store_->Stop();
    if (!status.ok()) co_return Fail(status, kServerExitUsage);
    if (!stopped.ok()) co_return Fail(stopped, kServerExitFailed);
    if (!drained) {
      LogWarning("stopped; some clients had not been answered within --drain-timeout");
      co_return kServerExitFailed;
    }
    LogInfo("stopped");
    co_return kServerExitOk;
  }

  static int Fail(const absl::Status& status, int exit_code) {
    LogError("{}", MessageOf(status));
    return exit_code;
  }

  StoreOptions OptionsOfStore() {
    StoreOptions options;
    options.directory = config_.server.directory;
    options.engine = config_.server.keeps_on_disk ? EngineKind::kLog : EngineKind::kMemory;
    options.cache_bytes = config_.server.cache_bytes_max;
    options.memory.limit_bytes = config_.server.memory_bytes_max;
    options.memory.base_bytes = base_bytes_;
    options.segment_bytes = config_.server.segment_bytes;
    options.key_bytes_max = config_.server.key_bytes_max;
    options.value_bytes_max = config_.server.value_bytes_max;
    options.inline_value_bytes_max = config_.server.inline_value_bytes_max;
    options.open_segments_max = descriptors_.read_segments;
    options.value_files = descriptors_.value_files;
    options.accept_clock = config_.server.accept_clock;
    options.salvage = config_.server.salvage;
    // Not earlier: a start that is refused leaves the running server's file where it is.
    options.on_locked = [this] {
      LookAtFileSystem();
      if (!config_.server.port_file_path.empty()) RemovePortFile(config_.server.port_file_path);
      manager_.Tell("", "reading the data in " + config_.server.directory);
    };
    options.cancel_open = &cancel_open_;
    options.progress = progress_;
    return options;
  }

  void LookAtFileSystem() {
    const std::string& directory = config_.server.directory;
    AvoidCopyOnWrite(directory);
    if (!config_.server.keeps_on_disk) return;  // which was asked for
    memory_file_system_ = MemoryFileSystem(directory);
    if (memory_file_system_.empty()) return;
    LogWarning(
        "{}: in memory ({}): nothing here survives a power loss or reboot, whatever is "
        "acknowledged. Give --dir a directory on a disk, unless that is what you want",
        directory, memory_file_system_);
  }

  // What an acknowledged write has been promised here.
  std::string Durability() const {
    if (!config_.server.keeps_on_disk) return "none: in memory alone";
    if (memory_file_system_.empty()) return "always";
    return fmt::format("always (but {} is memory)", memory_file_system_);
  }

  absl::Status WritePortFile() {
    const std::string& path = config_.server.port_file_path;
    if (path.empty()) return absl::OkStatus();
    std::vector<NamedAddress> addresses;
    for (const std::string& address : server_->data_addresses()) {
      addresses.push_back({"data", address});
    }
    if (!server_->admin_address().empty()) {
      addresses.push_back({"admin", server_->admin_address()});
    }
    return pakv::WritePortFile(path, addresses);
  }

  void TellReady(const OpenReport& report) {
    std::string given;
    for (const Endpoint& endpoint : config_.server.data_endpoints) {
      if (!given.empty()) given += ", ";
      given += endpoint.text;
    }
    LogNotice("pakvd {} ready: engine {}, directory {} ({}, {}), {}, durability {}, address {}",
              PAKV_VERSION, config_.server.keeps_on_disk ? "log" : "memory",
              config_.server.directory, report.created ? "created" : "opened",
              Counted(report.keys, "key"), Counted(cores_.count(), "core"), Durability(), given);
    manager_.Tell("READY=1", "serving " + given);
  }

  // No longer ready: a script that waits for the next start's port file must not find this one's.
  void TellStopping() {
    constexpr std::string_view kStopping = "no further connections, answering what was received";
    LogInfo("stopping: {}", kStopping);
    manager_.Tell("STOPPING=1", kStopping);
    if (!config_.server.port_file_path.empty()) RemovePortFile(config_.server.port_file_path);
  }

  Cores& cores_;
  const ServerConfig config_;
  ServiceManager manager_;
  const DescriptorPlan descriptors_;
  const uint64_t base_bytes_;
  RecoveryProgress* const progress_;
  StartMessage start_;
  StopMessage stop_;
  Event stop_requested_;
  std::atomic<bool> cancel_open_{false};
  std::atomic<bool> is_opening_{true};
  std::string_view memory_file_system_;  // that the directory lies in, if it does
  int ended_ = -1;
  int exit_code_ = kServerExitFailed;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Server> server_;
};

// Who may open what; fewer connections, and fewer cores if nobody has asked for their number, where
// the limit is low, with a warning. Nothing, with an error: it is too low.
std::optional<DescriptorPlan> FitDescriptors(ServerConfig& config) {
  ServerOptions& options = config.server;
  DescriptorDemand demand;
  demand.file_limit = RaiseFileLimit();
  demand.open_count = OpenDescriptorCount();
  demand.listener_count =
      static_cast<uint32_t>(options.data_endpoints.size() + (options.admin_endpoint ? 1 : 0));
  demand.connection_count_max = options.connection_count_max;
  const uint32_t cores = CoresWithin(demand, options.core_count);
  const bool was_asked_for = IsAskedFor(config, "cores");
  if (cores == 0 || (cores < options.core_count && was_asked_for)) {
    LogError(
        "this process may open {} files (ulimit -n; LimitNOFILE= of a systemd unit), and {} are "
        "open already: {} at least {}. Raise the limit{}",
        demand.file_limit, demand.open_count,
        options.core_count == 1 ? "1 core needs" : fmt::format("{} cores need", options.core_count),
        DescriptorsNeeded(demand, options.core_count),
        cores == 0 ? "" : fmt::format(", or start with --cores {}", cores));
    return std::nullopt;
  }
  if (cores < options.core_count) {
    LogWarning("only {} instead of {}: this process may open {} files (ulimit -n)",
               Counted(cores, "core"), options.core_count, demand.file_limit);
    options.core_count = cores;
  }
  const DescriptorPlan plan = PlanDescriptors(demand, cores);
  if (plan.connection_count_max < options.connection_count_max) {
    LogWarning(
        "only {} at once, where --max-connections asks for {}: this process may open {} files "
        "(ulimit -n)",
        Counted(plan.connection_count_max, "connection"), options.connection_count_max,
        demand.file_limit);
    options.connection_count_max = plan.connection_count_max;
  }
  return plan;
}

// As many cores as --memory is enough for; nothing, with an error: not for those asked for. Returns
// what the process holds whatever the store does.
std::optional<uint64_t> FitMemory(ServerConfig& config) {
  ServerOptions& options = config.server;
  const uint64_t resident_bytes = ResidentBytes();
  const std::string too_much = TooMuchMemory(config, AskProcessFacts().memory_bytes);
  if (!too_much.empty()) LogWarning("{}", too_much);
  const absl::StatusOr<uint32_t> cores = CoresWithinMemory(config, resident_bytes);
  if (!cores.ok()) {
    LogError("{}", MessageOf(cores.status()));
    return std::nullopt;
  }
  if (*cores < options.core_count) {
    LogWarning("only {} instead of {}: each core needs its part of --memory",
               Counted(*cores, "core"), options.core_count);
    options.core_count = *cores;
  }
  return MemoryBaseBytes(resident_bytes, *cores);
}

}  // namespace

int RunServer(const ServerConfig& given) {
  ServerConfig config = given;
  ServerOptions& options = config.server;
  Signals signals;

  const std::optional<DescriptorPlan> descriptors = FitDescriptors(config);
  if (!descriptors) return kServerExitUsage;
  const std::optional<uint64_t> base_bytes = FitMemory(config);
  if (!base_bytes) return kServerExitDirectory;

  std::vector<std::unique_ptr<Ring>> rings;
  UringOptions ring_options;
  CoreOptions core_options;
  ring_options.registered_files =
      std::min<uint32_t>(ring_options.registered_files, options.connection_count_max + 16);
  for (uint32_t id = 0; id < options.core_count; ++id) {
    std::string error;
    std::unique_ptr<Ring> ring = UringRing::Create(ring_options, error);
    if (ring == nullptr) {
      LogError("{}", error);
      return kServerExitUnsupported;
    }
    rings.push_back(std::move(ring));
  }
  std::unique_ptr<BlockingPool> blocking_pool = BlockingPool::Create({});
  std::unique_ptr<BlockingPool> monitor_pool =
      BlockingPool::Create({.thread_count = 1, .thread_name = "pakv-monitor"});
  if (blocking_pool == nullptr || monitor_pool == nullptr) {
    LogError(
        "the system gives no more threads: raise the limit of processes (ulimit -u; with systemd: "
        "TasksMax=), or of memory");
    return kServerExitFailed;
  }
  core_options.blocking_pool = blocking_pool.get();
  core_options.monitor_pool = monitor_pool.get();
  Cores cores(SystemClock(), std::move(rings), core_options);
  StartProgress progress(isatty(STDERR_FILENO) == 1 && config.log.format == LogFormat::kText &&
                         IsLogged(LogLevel::kInfo));
  Service service(cores, config, *descriptors, *base_bytes, progress.told());
  if (!cores.Start()) {
    LogError(
        "the system gives fewer than {} threads: start with fewer --cores, or raise the limit of "
        "processes (ulimit -u; with systemd: TasksMax=), or of memory",
        options.core_count);
    return kServerExitFailed;
  }
  service.Start();

  StopRequests stop_requests;
  while (true) {
    pollfd waiting[] = {{signals.descriptor(), POLLIN, 0}, {service.ended(), POLLIN, 0}};
    const int wait_ms = progress.Tick(SystemClock().MonotonicNs(), service.is_opening());
    if (poll(waiting, 2, wait_ms) < 0) continue;  // interrupted
    if (waiting[1].revents != 0) break;
    if (waiting[0].revents == 0) continue;
    const int number = signals.Take();
    switch (stop_requests.Take(number, SystemClock().MonotonicNs())) {
      case StopRequests::Act::kStop:
        service.RequestStop();
        break;
      case StopRequests::Act::kNothing:
        break;
      case StopRequests::Act::kEnd:
        LogWarning("a second {}: ending at once", strsignal(number));
        // The log is what keeps the promises; nothing that was acknowledged depends on a clean end.
        _exit(kServerExitFailed);
    }
  }
  cores.Join();
  blocking_pool.reset();
  monitor_pool.reset();
  return service.exit_code();
}

}  // namespace pakv
