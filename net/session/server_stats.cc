#include "net/session/server_stats.h"

#include "runtime/base/clock.h"

namespace pakv {
namespace {

using enum MetricKind;

constexpr ServerMetric kMetrics[] = {
    {"uptime_seconds", kGauge, "Time since the server began to serve.",
     [](const ServerStats& stats) { return stats.uptime_s; }},
    {"cores", kGauge, "Cores that serve, each a thread with its own io_uring.",
     [](const ServerStats& stats) { return stats.core_count; }},

    {"connections", kGauge, "Connections to data ports that are being served.",
     [](const ServerStats& stats) { return stats.connections; }},
    {"connections_opened", kCounter, "Connections to data ports that were served.",
     [](const ServerStats& stats) { return stats.sessions.opened; }},
    {"connections_rejected", kCounter, "Connections beyond the limit that were told so and closed.",
     [](const ServerStats& stats) { return stats.connections_rejected; }},
    {"connections_broken", kCounter, "Connections that ended by an error of the network.",
     [](const ServerStats& stats) { return stats.sessions.ended_by_error; }},
    {"connections_cut", kCounter, "Connections that the client ended in the middle of a request.",
     [](const ServerStats& stats) { return stats.sessions.ended_within_frame; }},
    {"requests", kCounter, "Requests taken off connections, refused ones included.",
     [](const ServerStats& stats) { return stats.sessions.requests; }},
    {"received_bytes", kCounter, "Bytes received from clients.",
     [](const ServerStats& stats) { return stats.sessions.bytes_received; }},
    {"sent_bytes", kCounter, "Bytes sent to clients.",
     [](const ServerStats& stats) { return stats.sessions.bytes_sent; }},
    {"protocol_errors", kCounter, "Streams that were not understood, so that they were closed.",
     [](const ServerStats& stats) { return stats.sessions.protocol_errors; }},
    {"requests_waiting_for_memory", kGauge, "Long requests that wait for memory to be received.",
     [](const ServerStats& stats) { return stats.requests_waiting_for_memory; }},
    {"request_timeouts", kCounter, "Requests that were not complete in time.",
     [](const ServerStats& stats) { return stats.sessions.request_timeouts; }},
    {"idle_timeouts", kCounter, "Connections that were closed because they were idle.",
     [](const ServerStats& stats) { return stats.sessions.idle_timeouts; }},
    {"receives_without_buffer", kCounter, "Receives that had to wait for a buffer of the core's.",
     [](const ServerStats& stats) { return stats.sessions.receives_without_buffer; }},

    {"keys", kGauge, "Keys that are there.",
     [](const ServerStats& stats) { return stats.store.keys; }},
    {"keys_expiring", kGauge, "Keys that have a time to live.",
     [](const ServerStats& stats) { return stats.store.keys_expiring; }},
    {"index_bytes", kGauge, "Memory of the index.",
     [](const ServerStats& stats) { return stats.store.index_bytes; }},
    {"cached_bytes", kGauge, "Memory of the values that are held in the cache.",
     [](const ServerStats& stats) { return stats.store.cached_bytes; }},
    {"cache_cap_bytes", kGauge, "Memory that cached values may take now.",
     [](const ServerStats& stats) { return stats.store.cache_cap_bytes; }},
    {"memory_bytes", kGauge, "Memory of all that is counted: index, cache, buffers, sessions.",
     [](const ServerStats& stats) { return stats.store.memory_bytes; }},
    {"memory_limit_bytes", kGauge, "What that may come to; 0 without a limit.",
     [](const ServerStats& stats) { return stats.store.memory_limit_bytes; }},
    {"new_keys_refused", kCounter, "Writes of new keys that were refused for lack of memory.",
     [](const ServerStats& stats) { return stats.store.new_keys_refused; }},
    {"reads", kCounter, "Reads of a key.",
     [](const ServerStats& stats) { return stats.store.reads; }},
    {"read_hits", kCounter, "Reads that found the key and were answered from memory.",
     [](const ServerStats& stats) { return stats.store.read_hits; }},
    {"read_device", kCounter, "Reads that found the key and were answered from the device.",
     [](const ServerStats& stats) { return stats.store.read_device; }},
    {"read_misses", kCounter, "Reads that found no key.",
     [](const ServerStats& stats) { return stats.store.read_misses; }},
    {"expired", kCounter, "Keys taken out of the index because their time was over.",
     [](const ServerStats& stats) { return stats.store.expired; }},
    {"writes", kCounter, "Writes that are durable.",
     [](const ServerStats& stats) { return stats.store.writes; }},
    {"writes_unknown", kCounter, "Writes whose outcome is unknown since the log failed.",
     [](const ServerStats& stats) { return stats.store.writes_unknown; }},
    {"blocks", kCounter, "Blocks written to the log; each is one flush, marks included.",
     [](const ServerStats& stats) { return stats.store.blocks; }},
    {"block_bytes", kCounter, "Bytes of these blocks, with headers and padding.",
     [](const ServerStats& stats) { return stats.store.block_bytes; }},
    {"record_bytes", kCounter, "Bytes of the records in these blocks.",
     [](const ServerStats& stats) { return stats.store.record_bytes; }},
    {"commit_us_p50", kPercentile, "Half of these blocks were durable within so long.",
     [](const ServerStats& stats) { return stats.store.commit_ns.Percentile(50) / kNsPerUs; }},
    {"commit_us_p99", kPercentile, "99 of 100 blocks were durable within so long.",
     [](const ServerStats& stats) { return stats.store.commit_ns.Percentile(99) / kNsPerUs; }},
    {"commit_us_max", kPercentile, "All of these blocks were durable within so long.",
     [](const ServerStats& stats) { return stats.store.commit_ns.max() / kNsPerUs; }},
    {"segments", kGauge, "Files of the log.",
     [](const ServerStats& stats) { return stats.store.segments; }},
    {"disk_bytes", kGauge, "Bytes of these files.",
     [](const ServerStats& stats) { return stats.store.disk_bytes; }},
    {"live_bytes", kGauge, "Bytes of the records that keys refer to.",
     [](const ServerStats& stats) { return stats.store.live_bytes; }},
    {"value_files", kGauge, "Keys whose values lie in files of their own, beside the log.",
     [](const ServerStats& stats) { return stats.store.value_files; }},
    {"value_file_bytes", kGauge, "Bytes of these values.",
     [](const ServerStats& stats) { return stats.store.value_file_bytes; }},
    {"value_chunks_damaged", kCounter, "Pieces of these values that were found damaged.",
     [](const ServerStats& stats) { return stats.store.value_chunks_damaged; }},
    {"compacted_segments", kCounter, "Files that compaction has removed.",
     [](const ServerStats& stats) { return stats.store.compacted_segments; }},
    {"compaction_copied_bytes", kCounter, "Bytes of records that compaction has copied.",
     [](const ServerStats& stats) { return stats.store.compaction_copied_bytes; }},
    {"compaction_block_bytes", kCounter, "Bytes of the blocks that it has written for that.",
     [](const ServerStats& stats) { return stats.store.compaction_block_bytes; }},
    {"write_amplification_percent", kPercent,
     "Bytes written to the log and by compaction, by those of records, since the start.",
     [](const ServerStats& stats) { return stats.store.write_amplification_percent; }},
    {"writes_slowed_permille", kPermille, "How much of the time writes wait for compaction.",
     [](const ServerStats& stats) { return stats.store.slowed_permille; }},
    {"damaged_segments", kGauge, "Files that compaction cannot compact.",
     [](const ServerStats& stats) { return stats.store.damaged_segments; }},
    {"read_only", kGauge, "1 if the log has failed: writes are refused until a restart.",
     [](const ServerStats& stats) { return uint64_t{stats.store.read_only}; }},
    {"disk_full", kGauge, "1 if writes are refused until there is room on the disk.",
     [](const ServerStats& stats) { return uint64_t{stats.store.disk_full}; }},
    {"no_descriptors", kGauge, "1 if writes are refused until the system opens files again.",
     [](const ServerStats& stats) { return uint64_t{stats.store.no_descriptors}; }},

    {"memory_full", kGauge, "1 if new keys are refused until there is memory.",
     [](const ServerStats& stats) { return uint64_t{stats.store.memory_full}; }},

    {"passes", kCounter, "Passes of the cores' loops.",
     [](const ServerStats& stats) { return stats.passes; }},
    {"stalls", kCounter, "Passes that took 5 ms or longer.",
     [](const ServerStats& stats) { return stats.stalls; }},
};

}  // namespace

std::span<const ServerMetric> ServerMetrics() { return kMetrics; }

ServerStats CountersSince(const ServerStats& now, const ServerStats& begin) {
  ServerStats since = now;
  StoreStats& store = since.store;
  store.reads -= begin.store.reads;
  store.read_hits -= begin.store.read_hits;
  store.read_device -= begin.store.read_device;
  store.read_misses -= begin.store.read_misses;
  store.writes -= begin.store.writes;
  store.expired -= begin.store.expired;
  store.new_keys_refused -= begin.store.new_keys_refused;
  store.writes_unknown -= begin.store.writes_unknown;
  store.blocks -= begin.store.blocks;
  store.block_bytes -= begin.store.block_bytes;
  store.record_bytes -= begin.store.record_bytes;
  store.value_chunks_damaged -= begin.store.value_chunks_damaged;
  store.compacted_segments -= begin.store.compacted_segments;
  store.compaction_copied_bytes -= begin.store.compaction_copied_bytes;
  store.compaction_block_bytes -= begin.store.compaction_block_bytes;
  SessionCounters& sessions = since.sessions;
  sessions.opened -= begin.sessions.opened;
  sessions.requests -= begin.sessions.requests;
  sessions.bytes_received -= begin.sessions.bytes_received;
  sessions.bytes_sent -= begin.sessions.bytes_sent;
  sessions.ended_between_frames -= begin.sessions.ended_between_frames;
  sessions.ended_within_frame -= begin.sessions.ended_within_frame;
  sessions.ended_by_error -= begin.sessions.ended_by_error;
  sessions.protocol_errors -= begin.sessions.protocol_errors;
  sessions.request_timeouts -= begin.sessions.request_timeouts;
  sessions.idle_timeouts -= begin.sessions.idle_timeouts;
  sessions.receives_without_buffer -= begin.sessions.receives_without_buffer;
  since.connections_rejected -= begin.connections_rejected;
  since.passes -= begin.passes;
  since.stalls -= begin.stalls;
  return since;
}

}  // namespace pakv
