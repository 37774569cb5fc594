// INFO: what the server is and has counted, in the words of Redis where there are any.
#include <fmt/format.h>
#include <limits.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bitset>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "net/resp/protocol/alone_reply.h"
#include "net/resp/protocol/resp_protocol.h"
#include "net/resp/table/command_functions.h"
#include "net/text/words.h"
#include "runtime/base/check.h"
#include "runtime/base/clock.h"
#include "runtime/base/histogram.h"
#include "runtime/core/process_usage.h"

namespace pakv {
namespace {

constexpr std::string_view kCommandStats = "Commandstats";

// As Redis shortens: "512B", "1.50K".
std::string HumanBytes(uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{}B", bytes);
  double units = static_cast<double>(bytes) / 1024;
  std::string_view unit = "KMGTPE";
  for (; units >= 1024; units /= 1024) unit.remove_prefix(1);
  return fmt::format("{:.2f}{}", units, unit[0]);
}

class InfoText {
 public:
  // What there is not is no error; the time is that of one look at each name.
  InfoText(RespArgs args) {
    for (const std::string_view arg : args.subspan(1)) {
      for (size_t i = 0; i < kNames.size(); ++i) {
        if (IsWord(arg, kNames[i])) named_[i] = true;
      }
    }
    everything_ = IsNamed("all") || IsNamed("everything");
    default_ = args.size() == 1 || everything_ || IsNamed("default");
  }

  // Whether somebody asked for a section; one that is in the default, for all of these.
  bool Wants(std::string_view title, bool in_default = true) const {
    return (in_default ? default_ : everything_) || IsNamed(title);
  }
  // Begins a section; false if nobody asked for it.
  bool Section(std::string_view title, bool in_default = true) {
    if (!Wants(title, in_default)) return false;
    if (!text_.empty()) text_ += "\r\n";
    text_.append("# ").append(title).append("\r\n");
    return true;
  }
  void Line(std::string_view name, std::string_view value) {
    text_.append(name).append(":").append(value).append("\r\n");
  }
  void Line(std::string_view name, uint64_t value) { Line(name, std::to_string(value)); }
  // And the same for people: "name_human".
  void LineOfBytes(std::string_view name, uint64_t bytes) {
    Line(name, bytes);
    Line(std::string(name) + "_human", HumanBytes(bytes));
  }
  const std::string& text() const { return text_; }

 private:
  static constexpr std::array<std::string_view, 14> kNames = {
      "all",         "everything", "default",     "server",       "clients", "memory",  "stats",
      "persistence", "cpu",        "replication", "commandstats", "modules", "cluster", "keyspace"};

  bool IsNamed(std::string_view section) const {
    for (size_t i = 0; i < kNames.size(); ++i) {
      if (IsWord(section, kNames[i])) return named_[i];
    }
    PAKV_CHECK(false, "each section is one of kNames");
    return false;
  }

  std::bitset<kNames.size()> named_;
  bool everything_ = false;
  bool default_ = false;
  std::string text_;
};

std::string CpuSeconds(uint64_t us) {
  return fmt::format("{}.{:06}", us / 1'000'000, us % 1'000'000);
}

// part / whole; 0 of nothing.
std::string Ratio(uint64_t part, uint64_t whole, int digits) {
  const double ratio = whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
  return fmt::format("{:.{}f}", ratio, digits);
}

std::string Executable() {
  char path[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof(path));
  return length > 0 ? std::string(path, static_cast<size_t>(length)) : std::string();
}

void ServerSection(InfoText& info, RespProtocol& protocol) {
  if (!info.Section("Server")) return;
  const RespServer& server = protocol.server();
  utsname system{};
  uname(&system);
  const uint64_t uptime_s = (protocol.core().now_ns() - server.started_ns) / kNsPerSecond;
  info.Line("redis_version", kRedisVersion);
  info.Line("redis_git_sha1", "00000000");
  info.Line("redis_git_dirty", "0");
  info.Line("redis_build_id", "0");
  info.Line("redis_mode", "standalone");
  info.Line("pakv_version", server.version);
  info.Line("os", std::string(system.sysname) + " " + system.release + " " + system.machine);
  info.Line("arch_bits", 64);
  info.Line("multiplexing_api", "io_uring");
  info.Line("process_id", static_cast<uint64_t>(getpid()));
  info.Line("run_id", server.run_id);
  info.Line("tcp_port", server.tcp_port);
  info.Line("server_time_usec", protocol.core().wall_us());
  info.Line("uptime_in_seconds", uptime_s);
  info.Line("uptime_in_days", uptime_s / 86400);
  info.Line("executable", Executable());
  info.Line("config_file", server.config_path);
  info.Line("io_threads_active", server.core_count > 1 ? 1 : 0);
  info.Line("cores", server.core_count);
}

// `process` is nothing where it is not known.
void StateSections(InfoText& info, const RespServer& server, const ServerStats& stats,
                   const std::optional<ProcessUsage>& process) {
  if (info.Section("Clients")) {
    info.Line("connected_clients", stats.connections);
    info.Line("maxclients", server.connection_count_max);
    info.Line("blocked_clients", 0);
  }
  if (info.Section("Memory")) {
    const uint64_t used = stats.store.memory_bytes;
    info.LineOfBytes("used_memory", used);
    if (process) info.LineOfBytes("used_memory_rss", process->resident_bytes);
    info.LineOfBytes("used_memory_peak", std::max(used, process ? process->resident_bytes_max : 0));
    info.Line("used_memory_dataset", stats.store.cached_bytes);
    if (process) {
      info.LineOfBytes("total_system_memory", process->machine_bytes);
      info.Line("mem_fragmentation_ratio", Ratio(process->resident_bytes, used, 2));
    }
    info.LineOfBytes("maxmemory", stats.store.memory_limit_bytes);
    info.Line("maxmemory_policy", "noeviction");
    info.Line("pakv_index_bytes", stats.store.index_bytes);
    info.Line("pakv_cache_cap_bytes", stats.store.cache_cap_bytes);
    info.Line("pakv_memory_full", stats.store.memory_full ? 1 : 0);
    info.Line("pakv_new_keys_refused", stats.store.new_keys_refused);
  }
  if (info.Section("Persistence")) {
    info.Line("loading", 0);
    info.Line("async_loading", 0);
    info.Line("rdb_changes_since_last_save", 0);
    info.Line("rdb_bgsave_in_progress", 0);
    info.Line("rdb_last_save_time", server.started_s);  // as Redis before its first
    info.Line("rdb_last_bgsave_status", "ok");
    info.Line("aof_enabled", server.keeps_on_disk ? 1 : 0);
    info.Line("aof_rewrite_in_progress", 0);
    info.Line("aof_last_bgrewrite_status", stats.store.damaged_segments > 0 ? "err" : "ok");
    const bool refuses =
        stats.store.read_only || stats.store.disk_full || stats.store.no_descriptors;
    info.Line("aof_last_write_status", refuses ? "err" : "ok");
    info.Line("pakv_read_only", stats.store.read_only ? 1 : 0);
    info.Line("pakv_disk_full", stats.store.disk_full ? 1 : 0);
    info.Line("pakv_no_descriptors", stats.store.no_descriptors ? 1 : 0);
    info.Line("pakv_segments", stats.store.segments);
    info.Line("pakv_disk_bytes", stats.store.disk_bytes);
    info.Line("pakv_live_bytes", stats.store.live_bytes);
    info.Line("pakv_value_files", stats.store.value_files);
    info.Line("pakv_value_file_bytes", stats.store.value_file_bytes);
    info.Line("pakv_writes_slowed_ratio", Ratio(stats.store.slowed_permille, 1000, 3));
  }
}

void CounterSections(InfoText& info, const RespServer& server, const ServerStats& stats,
                     const std::optional<ProcessUsage>& process, const CommandCalls& calls,
                     const std::vector<NamespaceCount>& namespaces) {
  if (info.Section("Stats")) {
    info.Line("total_connections_received", stats.sessions.opened);
    info.Line("total_commands_processed", stats.sessions.requests);
    info.Line("instantaneous_ops_per_sec", stats.requests_per_second);
    info.Line("total_net_input_bytes", stats.sessions.bytes_received);
    info.Line("total_net_output_bytes", stats.sessions.bytes_sent);
    info.Line("rejected_connections", stats.connections_rejected);
    info.Line("expired_keys", stats.store.expired);
    info.Line("evicted_keys", 0);
    info.Line("keyspace_hits", stats.store.read_hits + stats.store.read_device);
    info.Line("keyspace_misses", stats.store.read_misses);
    info.Line("pakv_protocol_errors", stats.sessions.protocol_errors);
    info.Line("pakv_writes", stats.store.writes);
    info.Line("pakv_read_hits", stats.store.read_hits);
    info.Line("pakv_read_device", stats.store.read_device);
    info.Line("pakv_flushes", stats.store.blocks);
    info.Line("pakv_log_bytes", stats.store.block_bytes);
    const Histogram& commit_ns = stats.store.commit_ns;
    info.Line("pakv_commit_us_p50", commit_ns.Percentile(50) / kNsPerUs);
    info.Line("pakv_commit_us_p99", commit_ns.Percentile(99) / kNsPerUs);
    info.Line("pakv_commit_us_max", commit_ns.max() / kNsPerUs);
    info.Line("pakv_device_reads", stats.store.read_device);
    info.Line("pakv_compacted_segments", stats.store.compacted_segments);
    info.Line("pakv_compaction_bytes", stats.store.compaction_block_bytes);
  }
  if (info.Section("Replication")) {
    info.Line("role", "master");
    info.Line("connected_slaves", 0);
    info.Line("master_replid", server.run_id);
    info.Line("master_repl_offset", 0);
  }
  if (process && info.Section("CPU")) {
    info.Line("used_cpu_sys", CpuSeconds(process->system_cpu_us));
    info.Line("used_cpu_user", CpuSeconds(process->user_cpu_us));
  }
  info.Section("Modules");  // there are none
  if (info.Section(kCommandStats, /*in_default=*/false)) {
    const std::span<const CommandRow> commands = AllCommands();
    for (size_t index = 0; index < commands.size(); ++index) {
      if (calls.of(index) == 0) continue;
      info.Line("cmdstat_" + std::string(commands[index].name),
                "calls=" + std::to_string(calls.of(index)));
    }
  }
  if (info.Section("Cluster")) info.Line("cluster_enabled", 0);
  if (!info.Section("Keyspace")) return;
  for (const NamespaceCount& count : namespaces) {
    info.Line("db" + std::to_string(count.namespace_id),
              "keys=" + std::to_string(count.keys) + ",expires=" + std::to_string(count.expiring) +
                  ",avg_ttl=0");
  }
}

}  // namespace

// What INFO counts; the metrics of the admin port only grow.
Task<void> RunConfigResetStat(RespProtocol& protocol, RespArgs) {
  co_await protocol.server().reset_stats(protocol.core());
  RespWriter(protocol.session().OpenReply(), protocol.version()).Ok();
  protocol.session().CloseReply();
}

Task<void> RunInfo(RespProtocol& protocol, RespArgs args) {
  RespServer& server = protocol.server();
  const ServerStats stats = co_await server.stats(protocol.core());
  const std::optional<ProcessUsage> process = co_await AskProcessUsage(protocol.core());
  const std::vector<NamespaceCount> namespaces =
      co_await protocol.store().CountNumbered(protocol.core());
  InfoText info(args);
  CommandCalls calls;
  if (info.Wants(kCommandStats, /*in_default=*/false)) {
    calls = co_await server.all_calls(protocol.core());
  }
  ServerSection(info, protocol);
  StateSections(info, server, stats, process);
  CounterSections(info, server, stats, process, calls, namespaces);
  RespWriter(protocol.session().OpenReply(), protocol.version()).Verbatim("txt", info.text());
  protocol.session().CloseReply();
}

}  // namespace pakv
