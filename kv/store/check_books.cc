#include "kv/store/check_books.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "kv/log/files/file_io.h"
#include "runtime/base/counted.h"
#include "runtime/io/file.h"

namespace pakv {
namespace {

// One owner's index against its sums and MANIFEST.
Task<void> CheckShard(Core& here, Shard& shard, const Manifest& manifest, CheckReport& report) {
  const uint32_t id = shard.core().id();
  const Shard::LiveCheck check =
      co_await here.CallTaskOn(id, [&shard](Core&) { return shard.CheckLiveBytes(); });
  // MANIFEST is as it was when the owner counted, or newer by what does not matter: a segment is
  // dropped after all owners have said that nothing lives in it, and their messages keep order.
  for (const Shard::LiveCheck::Wrong& wrong : check.wrong) {
    report.Add(SegmentName(wrong.segment),
               fmt::format("core {} keeps books of {} in it; {} {} counted", id,
                           Counted(wrong.known_bytes, "live byte"), wrong.counted_bytes,
                           wrong.counted_bytes == 1 ? "was" : "were"));
  }
  for (const LiveBytes::OfSegment& of : check.live) {
    report.live_bytes += of.bytes;
    if (of.segment == 0) continue;  // engine `memory`: nowhere else
    const auto found = manifest.segments().find(of.segment);
    if (found == manifest.segments().end()) {
      report.Add(SegmentName(of.segment),
                 fmt::format("core {} has {} of records in it, but MANIFEST does not list it", id,
                             Counted(of.bytes, "byte")));
    } else if (of.bytes > found->second.size) {
      report.Add(SegmentName(of.segment), fmt::format("{} live bytes are more than its size, {}",
                                                      of.bytes, found->second.size));
    }
  }
}

// A file that is gone, or too short, is looked at twice: compaction may have removed it meanwhile.
Task<void> CheckFiles(Core& here, const StoreDirectory& directory, const Manifest& manifest,
                      CheckReport& report) {
  std::vector<SegmentInfo> listed;
  for (const auto& [segment, info] : manifest.segments()) listed.push_back(info);
  report.segments = listed.size();
  for (const SegmentInfo& info : listed) {
    const std::string path = directory.PathOf(SegmentName(info.segment));
    FileStat stat;
    const IoResult asked = co_await StatPath(here.io(), path.c_str(), stat);
    const auto found = manifest.segments().find(info.segment);
    if (found == manifest.segments().end()) continue;
    const uint64_t needed_bytes = info.sealed_end ? *info.sealed_end + info.footer_bytes : 0;
    if (!asked.ok()) {
      report.Add(SegmentName(info.segment), "MANIFEST lists it, but its file: " + asked.text());
    } else if (stat.size_bytes < needed_bytes) {
      report.Add(SegmentName(info.segment),
                 fmt::format("its file has {}; it ends at {}", Counted(stat.size_bytes, "byte"),
                             needed_bytes));
    }
  }
}

}  // namespace

void CheckReport::Add(std::string file, std::string what) {
  ++finding_count;
  if (findings.size() < kFindingsMax) findings.push_back({std::move(file), std::move(what)});
}

Task<CheckReport> CheckBooks(Core& here, const std::vector<std::unique_ptr<Shard>>& shards,
                             const StoreDirectory& directory, const Manifest& manifest) {
  CheckReport report;
  for (const std::unique_ptr<Shard>& shard : shards) {
    co_await CheckShard(here, *shard, manifest, report);
  }
  co_await CheckFiles(here, directory, manifest, report);
  co_return report;
}

}  // namespace pakv
