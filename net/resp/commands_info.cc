// INFO: what the server is and has counted, in the words of Redis where there are any.
#include <limits.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "net/resp/alone_reply.h"
#include "net/resp/commands.h"
#include "net/resp/resp_protocol.h"

namespace pakv {
namespace {

class InfoText {
 public:
  InfoText(RespArgs args) {
    for (const std::string_view arg : args.subspan(1)) wanted_.push_back(Lower(arg));
    all_ = wanted_.empty();
    for (const std::string& section : wanted_) {
      all_ |= section == "all" || section == "default" || section == "everything";
    }
  }

  // Begins a section; false if nobody asked for it.
  bool Section(std::string_view title) {
    if (!all_ && std::find(wanted_.begin(), wanted_.end(), Lower(title)) == wanted_.end()) {
      return false;
    }
    if (!text_.empty()) text_ += "\r\n";
    text_.append("# ").append(title).append("\r\n");
    return true;
  }
  void Line(std::string_view name, std::string_view value) {
    text_.append(name).append(":").append(value).append("\r\n");
  }
  void Line(std::string_view name, uint64_t value) { Line(name, std::to_string(value)); }
  const std::string& text() const { return text_; }

 private:
  bool all_;
  std::vector<std::string> wanted_;
  std::string text_;
};

std::string CpuSeconds(const timeval& time) {
  const std::string micros = std::to_string(time.tv_usec);
  return std::to_string(time.tv_sec) + "." + std::string(6 - micros.size(), '0') + micros;
}

std::string Megabytes(uint64_t bytes) {
  const uint64_t hundredths = bytes * 100 / (1 << 20);
  const std::string fraction = std::to_string(hundredths % 100);
  return std::to_string(hundredths / 100) + (fraction.size() < 2 ? ".0" : ".") + fraction + "M";
}

// part / whole with three digits behind the point; 0 of nothing.
std::string Ratio(uint64_t part, uint64_t whole) {
  const uint64_t thousandths = whole == 0 ? 0 : part * 1000 / whole;
  const std::string fraction = std::to_string(thousandths % 1000);
  return std::to_string(thousandths / 1000) + "." + std::string(3 - fraction.size(), '0') +
         fraction;
}

// What of the process lies in memory now; 0 if the system does not tell.
uint64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  uint64_t pages = 0;
  uint64_t resident_pages = 0;
  if (!(file >> pages >> resident_pages)) return 0;
  return resident_pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
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
  info.Line("config_file", "");
  info.Line("io_threads_active", server.core_count > 1 ? 1 : 0);
  info.Line("cores", server.core_count);
}

void StateSections(InfoText& info, const RespServer& server, const ServerStats& stats) {
  if (info.Section("Clients")) {
    info.Line("connected_clients", stats.connections);
    info.Line("maxclients", server.connection_count_max);
    info.Line("blocked_clients", 0);
  }
  if (info.Section("Memory")) {
    const uint64_t used = stats.store.memory_bytes;
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const uint64_t peak = static_cast<uint64_t>(usage.ru_maxrss) * 1024;
    info.Line("used_memory", used);
    info.Line("used_memory_human", Megabytes(used));
    info.Line("used_memory_rss", ResidentBytes());
    info.Line("used_memory_peak", peak);
    info.Line("used_memory_peak_human", Megabytes(peak));
    info.Line("used_memory_dataset", stats.store.cached_bytes);
    info.Line("maxmemory", stats.store.memory_limit_bytes);
    info.Line("maxmemory_human", stats.store.memory_limit_bytes == 0
                                     ? "0B"
                                     : Megabytes(stats.store.memory_limit_bytes));
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
    info.Line("rdb_last_bgsave_status", "ok");
    info.Line("aof_enabled", server.keeps_on_disk ? 1 : 0);
    info.Line("aof_rewrite_in_progress", 0);
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
    info.Line("pakv_writes_slowed_ratio", Ratio(stats.store.slowed_permille, 1000));
  }
}

void CounterSections(InfoText& info, const ServerStats& stats,
                     const std::vector<NamespaceCount>& namespaces) {
  if (info.Section("Stats")) {
    info.Line("total_connections_received", stats.sessions.opened);
    info.Line("total_commands_processed", stats.sessions.requests);
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
    info.Line("master_repl_offset", 0);
  }
  if (info.Section("CPU")) {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    info.Line("used_cpu_sys", CpuSeconds(usage.ru_stime));
    info.Line("used_cpu_user", CpuSeconds(usage.ru_utime));
  }
  info.Section("Modules");  // there are none
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
  const ServerStats stats = co_await protocol.server().stats(protocol.core());
  const std::vector<NamespaceCount> namespaces =
      co_await protocol.store().CountNumbered(protocol.core());
  InfoText info(args);
  ServerSection(info, protocol);
  StateSections(info, protocol.server(), stats);
  CounterSections(info, stats, namespaces);
  RespWriter(protocol.session().OpenReply(), protocol.version()).Verbatim("txt", info.text());
  protocol.session().CloseReply();
}

}  // namespace pakv
