#include "kv/log/segment_sizes.h"

#include <algorithm>
#include <bit>

#include "runtime/base/check.h"

namespace pakv {
namespace {

// A core's share of what lives is so many segments, or up to twice as many.
constexpr uint64_t kLivePart = 16;
// The rate is looked at so many times in fill_ns.
constexpr uint64_t kLooks = 2;
// It counts at once when it rises, and is forgotten by this part with each look when it falls: a
// load that comes in bursts does not change sizes to and fro.
constexpr uint64_t kForgottenPart = 32;

}  // namespace

SegmentSizes::SegmentSizes(const Limits& limits)
    : limits_(limits), of_commit_(limits.bytes_min), of_compaction_(limits.bytes_min) {
  PAKV_CHECK(limits.bytes_min > 0);
  PAKV_CHECK(limits.bytes_min <= limits.bytes_max);
  PAKV_CHECK(limits.logs > 0);
}

void SegmentSizes::Decide(uint64_t now_ns, uint64_t live_bytes,
                          std::span<const uint64_t> written_bytes) {
  if (limits_.fill_ns > 0 && !written_bytes.empty()) NoteRate(now_ns, written_bytes);
  const uint64_t by_live = live_bytes / kLivePart;
  const uint64_t of_commit = Fit(std::max(by_live / limits_.logs, filled_bytes_));
  of_commit_.store(of_commit, std::memory_order_relaxed);
  of_compaction_.store(std::max(Fit(by_live), of_commit), std::memory_order_relaxed);
}

void SegmentSizes::NoteRate(uint64_t now_ns, std::span<const uint64_t> written_bytes) {
  const uint64_t elapsed_ns = now_ns - looked_ns_;
  if (written_bytes_.empty()) {
    written_bytes_.assign(written_bytes.begin(), written_bytes.end());
    looked_ns_ = now_ns;
    return;
  }
  if (elapsed_ns == 0 || elapsed_ns < limits_.fill_ns / kLooks) return;
  PAKV_CHECK(written_bytes.size() == written_bytes_.size());
  uint64_t most = 0;
  for (size_t i = 0; i < written_bytes.size(); ++i) {
    PAKV_CHECK(written_bytes[i] >= written_bytes_[i]);
    most = std::max(most, written_bytes[i] - written_bytes_[i]);
  }
  const double fills = static_cast<double>(limits_.fill_ns) / static_cast<double>(elapsed_ns);
  const auto filled = static_cast<uint64_t>(static_cast<double>(most) * fills);
  filled_bytes_ = std::max(filled, filled_bytes_ - filled_bytes_ / kForgottenPart);
  written_bytes_.assign(written_bytes.begin(), written_bytes.end());
  looked_ns_ = now_ns;
}

uint64_t SegmentSizes::Fit(uint64_t bytes) const {
  if (bytes >= limits_.bytes_max) return limits_.bytes_max;
  return std::max(std::bit_floor(bytes), limits_.bytes_min);
}

}  // namespace pakv
