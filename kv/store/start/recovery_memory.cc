#include "kv/store/start/recovery_memory.h"

#include <algorithm>

#include "kv/store/memory/memory_budget.h"

namespace pakv {
namespace {

// In whole MiB, up: what can be given to --memory.
std::string Mebibytes(uint64_t bytes) { return std::to_string((bytes >> 20) + 1) + "MiB"; }

}  // namespace

uint64_t RecoveryMemory::scan_bytes_max() const {
  if (options_.limit_bytes == 0) return LogScan::kMemoryBytesMax;
  return std::min(LogScan::kMemoryBytesMax, options_.limit_bytes / 4);
}

void RecoveryMemory::Note(uint32_t owner, uint64_t index_bytes, uint64_t keys) {
  owners_[owner].index_bytes.store(index_bytes, std::memory_order_relaxed);
  // The sum, whoever else notes at the same time: each adds what its own have become more. (Fewer,
  // where deletes are met: the difference wraps, and so does the sum.)
  const uint64_t keys_before = owners_[owner].keys.exchange(keys, std::memory_order_relaxed);
  progress_.keys.fetch_add(keys - keys_before, std::memory_order_relaxed);
}

uint64_t RecoveryMemory::IndexBytes() const {
  uint64_t sum = 0;
  for (const Owner& owner : owners_) sum += owner.index_bytes.load(std::memory_order_relaxed);
  return sum;
}

absl::Status RecoveryMemory::Check() const {
  if (options_.limit_bytes == 0) return absl::OkStatus();
  const uint64_t index_bytes = IndexBytes();
  const uint64_t needed = options_.base_bytes + index_bytes;
  if (needed <= MemoryBudget::RecoveryLimit(options_)) return absl::OkStatus();
  std::string text = directory_ + ": needs at least " + Mebibytes(needed) +
                     " of memory for the index, and may use " + Mebibytes(options_.limit_bytes - 1);
  const uint64_t total = progress_.scan.total_bytes.load(std::memory_order_relaxed);
  const uint64_t done = progress_.scan.done_bytes.load(std::memory_order_relaxed);
  if (total != 0 && done != 0 && done < total) {
    const double part = static_cast<double>(done) / static_cast<double>(total);
    const auto guess = static_cast<uint64_t>(static_cast<double>(index_bytes) / part);
    text += "; " + std::to_string(done * 100 / total) +
            " % of the data were read by then, so it may come to " +
            Mebibytes(options_.base_bytes + guess);
  }
  return absl::ResourceExhaustedError(text + "; nothing was changed: start it with more --memory");
}

}  // namespace pakv
