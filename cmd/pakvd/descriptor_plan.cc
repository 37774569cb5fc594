#include "cmd/pakvd/descriptor_plan.h"

#include <algorithm>

#include "runtime/base/check.h"

namespace pakv {
namespace {

// A log holds the segment that it writes, the one before until that is closed, the next one, and
// its reserve; its footers one at a time; and the directory while a name is made durable.
constexpr uint64_t kOfALog = 4 + 1 + 1;
// LOCK, MANIFEST and the file that takes its place; compaction's log, the segment that it reads and
// the footer that it looks at.
constexpr uint64_t kOfTheStore = 3 + kOfALog + 2;
// The end of the service, and what comes and goes: a port file, a list of names, a client whose
// turn to be served has not come.
constexpr uint64_t kOfTheProcess = 1 + 2 + 1;
// A ring, and what wakes it.
constexpr uint64_t kOfARing = 2;
// An upload that has its turn, or an edit, and the directory when its name is made durable; a chunk
// that is read.
constexpr uint64_t kOfAnUpload = 2;
constexpr uint64_t kOfAChunk = 1;

// The least that a core needs: each of these things one at a time.
constexpr uint64_t kOfACore = kOfARing + kOfALog + 1 + 2 * kOfAnUpload + kOfAChunk;
// Segments that all cores together keep open for reading, where the limit allows it.
constexpr uint64_t kReadSegmentsMax = 256;
// No process opens as many; so sums do not overflow.
constexpr uint64_t kFileLimitMax = uint64_t{1} << 32;

uint64_t Scaled(uint64_t wanted_more, uint64_t granted, uint64_t asked) {
  return granted >= asked ? wanted_more : wanted_more * granted / asked;
}

}  // namespace

uint64_t DescriptorsNeeded(const DescriptorDemand& demand, uint32_t core_count) {
  return demand.open_count + kOfTheProcess + kOfTheStore + demand.listener_count +
         core_count * kOfACore + 1;
}

uint32_t CoresWithin(const DescriptorDemand& demand, uint32_t core_count) {
  while (core_count > 0 && DescriptorsNeeded(demand, core_count) > demand.file_limit) --core_count;
  return core_count;
}

DescriptorPlan PlanDescriptors(const DescriptorDemand& demand, uint32_t core_count) {
  PAKV_CHECK(core_count > 0 && CoresWithin(demand, core_count) == core_count);
  DescriptorPlan plan;
  uint64_t left =
      std::min(demand.file_limit, kFileLimitMax) - DescriptorsNeeded(demand, core_count);
  // A quarter each, so that most stays for clients.
  const uint64_t quarter_of_core = left / 4 / core_count;
  plan.read_segments =
      1 + std::min(quarter_of_core, std::max<uint64_t>(kReadSegmentsMax / core_count, 1) - 1);
  left -= (plan.read_segments - 1) * core_count;

  ValueFilesOptions& values = plan.value_files;
  const uint64_t uploads_more = values.uploads_max - 1;
  const uint64_t edits_more = values.edits_max - 1;
  const uint64_t chunks_more = values.chunks_max - 1;
  const uint64_t asked = kOfAnUpload * (uploads_more + edits_more) + kOfAChunk * chunks_more;
  const uint64_t granted = std::min(quarter_of_core, asked);
  values.uploads_max = static_cast<uint32_t>(1 + Scaled(uploads_more, granted, asked));
  values.edits_max = static_cast<uint32_t>(1 + Scaled(edits_more, granted, asked));
  values.chunks_max = static_cast<uint32_t>(1 + Scaled(chunks_more, granted, asked));
  left -= granted * core_count;

  plan.connection_count_max =
      static_cast<uint32_t>(std::min<uint64_t>(demand.connection_count_max, left + 1));
  return plan;
}

}  // namespace pakv
