#include "cmd/pakvd/memory_plan.h"

#include <fmt/format.h>

#include "cmd/common/values.h"
#include "kv/store/memory/memory_budget.h"
#include "runtime/core/core.h"
#include "runtime/io/uring_ring.h"

namespace pakv {
namespace {

constexpr uint64_t kMebibyte = uint64_t{1} << 20;
// What is resident differs by some pages from start to start: what one start asks for is enough for
// the next.
constexpr uint64_t kResidentSlackBytes = kMebibyte / 2;

uint64_t LeastBytes(uint64_t resident_bytes, uint32_t core_count) {
  return MemoryBaseBytes(resident_bytes, core_count) +
         core_count * MemoryBudget::kLeastBytesPerCore;
}

// In whole MiB, up: what can be given to --memory.
std::string Mebibytes(uint64_t bytes) {
  return fmt::format("{}MiB", (bytes + kResidentSlackBytes) / kMebibyte + 1);
}

}  // namespace

uint64_t MemoryBaseBytes(uint64_t resident_bytes, uint32_t core_count) {
  const CoreOptions core;
  const UringOptions ring;
  return resident_bytes +
         core_count * (core.buffer_count * core.buffer_bytes +
                       uint64_t{ring.receive_buffer_count} * ring.receive_buffer_bytes);
}

absl::StatusOr<uint32_t> CoresWithinMemory(const ServerConfig& config, uint64_t resident_bytes) {
  const uint64_t limit = config.server.memory_bytes_max;
  const uint32_t wanted = config.server.core_count;
  uint32_t count = wanted;
  while (count > 0 && LeastBytes(resident_bytes, count) > limit) --count;
  if (count == wanted || (count > 0 && !IsAskedFor(config, "cores"))) return count;
  const uint32_t told = count == 0 && !IsAskedFor(config, "cores") ? 1 : wanted;
  return absl::ResourceExhaustedError(fmt::format(
      "{} {} at least {} of memory before the first key, and may use {} (--memory); nothing was "
      "touched. Start with more --memory{}",
      told, told == 1 ? "core needs" : "cores need", Mebibytes(LeastBytes(resident_bytes, told)),
      FormatSize(limit),
      count == 0 ? "" : fmt::format(", or with fewer cores: --cores {}", count)));
}

std::string TooMuchMemory(const ServerConfig& config, uint64_t available_bytes) {
  const uint64_t limit = config.server.memory_bytes_max;
  if (available_bytes == 0 || limit <= available_bytes) return "";
  return fmt::format(
      "--memory is {}, and this process may have {}MiB (the machine's memory, or the limit of a "
      "container or a unit): where that is used up the system ends it, whatever --memory says",
      FormatSize(limit), available_bytes / kMebibyte);
}

}  // namespace pakv
