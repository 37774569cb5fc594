#include "kv/index/page_runs.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <new>

#include "runtime/base/check.h"
#include "runtime/base/pages.h"

namespace pakv {
namespace {

// The pages of a run become the system's again. The system's own may be larger: whole ones only.
void MakeCold(char* run, size_t bytes) {
  static const uint64_t page_bytes = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const uint64_t address = reinterpret_cast<uint64_t>(run);
  const uint64_t begin = (address + page_bytes - 1) & ~(page_bytes - 1);
  const uint64_t end = (address + bytes) & ~(page_bytes - 1);
  if (begin >= end) return;
  PAKV_CHECK(madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED) == 0);
}

}  // namespace

PageRuns::~PageRuns() {
  while (GiveBack()) {
  }
  PAKV_CHECK(held_bytes_ == 0, "a run is still in use");
}

PageRuns::Region& PageRuns::RegionOf(const char* run) {
  const uint64_t address = reinterpret_cast<uint64_t>(run);
  return *reinterpret_cast<Region*>(address & ~uint64_t{kRegionBytes - 1});
}

size_t PageRuns::MappedBytes(uint32_t runs, size_t run_bytes) {
  return std::max(kRegionBytes, kPageBytes + runs * run_bytes);
}

PageRuns::Region* PageRuns::Map(uint32_t class_index, size_t run_bytes) {
  const size_t fitting = (kRegionBytes - kPageBytes) / run_bytes;
  const uint32_t runs = class_index == kNoClass ? 1 : static_cast<uint32_t>(fitting);
  const size_t bytes = MappedBytes(runs, run_bytes);
  // A region's worth more, for the alignment; what is not needed goes again.
  void* const mapped = MapPages(bytes + kRegionBytes, MAP_NORESERVE);
  if (mapped == nullptr) return nullptr;
  char* const first = static_cast<char*>(mapped);
  const size_t before = -reinterpret_cast<uint64_t>(first) & (kRegionBytes - 1);
  char* const begin = first + before;
  if (before > 0) PAKV_CHECK(munmap(first, before) == 0);
  PAKV_CHECK(munmap(begin + bytes, kRegionBytes - before) == 0);
  // Kernels without huge pages refuse the advice, and do not need it.
  (void)madvise(begin, bytes, MADV_NOHUGEPAGE);

  Region& region = *new (begin) Region();
  region.run_bytes = run_bytes;
  region.class_index = class_index;
  region.runs = runs;
  region.cold_count = runs;
  for (uint32_t run = 0; run < runs; ++run) region.cold.Flip(run);
  region.state = State::kCold;
  classes_[class_index].of(State::kCold).PushFront(region);
  held_bytes_ += kPageBytes;
  ++regions_;
  return &region;
}

void PageRuns::Unmap(Region& region) {
  const size_t bytes = MappedBytes(region.runs, region.run_bytes);
  region.~Region();  // leaves its list
  PAKV_CHECK(munmap(&region, bytes) == 0);
  held_bytes_ -= kPageBytes;
  --regions_;
}

// To the list where it is looked for.
void PageRuns::Settle(Region& region) {
  const State state = region.warm_count > 0   ? State::kWarm
                      : region.cold_count > 0 ? State::kCold
                                              : State::kFull;
  if (state == region.state) return;
  region.state = state;
  region.Unlink();
  classes_[region.class_index].of(state).PushFront(region);
}

uint32_t PageRuns::WarmClassFor(size_t bytes) const {
  const size_t run_bytes_max = RunBytesMax(bytes);
  for (uint32_t i = ClassOf(bytes); i < kClasses && BytesOfClass(i) <= run_bytes_max; ++i) {
    if (warm_bytes_of_[i] > 0) return i;
  }
  return kNoClass;
}

size_t PageRuns::GrowthFor(size_t bytes) const {
  if (WarmClassFor(bytes) != kNoClass) return 0;
  return RunBytes(bytes) + (classes_[ClassOf(bytes)].Has(State::kCold) ? 0 : kPageBytes);
}

char* PageRuns::Allocate(size_t bytes) {
  if (const uint32_t warm = WarmClassFor(bytes); warm != kNoClass) {
    Region* const region = &classes_[warm].of(State::kWarm).front();
    const uint32_t run = region->warm.First();
    region->warm.Flip(run);
    --region->warm_count;
    warm_bytes_ -= region->run_bytes;
    warm_bytes_of_[warm] -= region->run_bytes;
    Settle(*region);
    return RunAt(*region, run);
  }
  const uint32_t class_index = ClassOf(bytes);
  Region* region = classes_[class_index].of(State::kCold).First();
  if (region == nullptr) region = Map(class_index, RunBytes(bytes));
  if (region == nullptr) return nullptr;
  const uint32_t run = region->cold.First();
  region->cold.Flip(run);
  --region->cold_count;
  held_bytes_ += region->run_bytes;
  Settle(*region);
  char* const address = RunAt(*region, run);
  // All pages in one call, where else each would be a fault. Where it is refused they are.
  (void)madvise(address, PagesOf(bytes) * kPageBytes, MADV_POPULATE_WRITE);
  return address;
}

void PageRuns::Free(char* address) {
  Region& region = RegionOf(address);
  const auto run = static_cast<uint32_t>((address - RunAt(region, 0)) / region.run_bytes);
  PAKV_CHECK(run < region.runs && RunAt(region, run) == address, "not a run's address");
  PAKV_CHECK(!region.warm.Has(run) && !region.cold.Has(run), "freed twice");
  if (region.class_index == kNoClass) {
    held_bytes_ -= region.run_bytes;
    Unmap(region);
    return;
  }
  region.warm.Flip(run);
  ++region.warm_count;
  warm_bytes_ += region.run_bytes;
  warm_bytes_of_[region.class_index] += region.run_bytes;
  Settle(region);
  for (uint32_t i = 0; i < kGiveBacksPerFree && warm_bytes_ > warm_bytes_max_; ++i) GiveBack();
}

bool PageRuns::GiveBack() {
  if (warm_bytes_ == 0) return false;
  const auto fullest = std::max_element(warm_bytes_of_.begin(), warm_bytes_of_.end());
  const auto class_index = static_cast<size_t>(fullest - warm_bytes_of_.begin());
  Region& region = classes_[class_index].of(State::kWarm).front();
  const uint32_t run = region.warm.First();
  region.warm.Flip(run);
  --region.warm_count;
  region.cold.Flip(run);
  ++region.cold_count;
  warm_bytes_ -= region.run_bytes;
  *fullest -= region.run_bytes;
  held_bytes_ -= region.run_bytes;
  if (region.cold_count == region.runs) {
    Unmap(region);
  } else {
    MakeCold(RunAt(region, run), region.run_bytes);
    Settle(region);
  }
  return true;
}

void PageRuns::CheckInvariants() const {
  size_t held = 0;
  size_t warm = 0;
  uint32_t regions = 0;
  for (uint32_t i = 0; i < classes_.size(); ++i) {
    size_t warm_of_class = 0;
    for (size_t state = 0; state < kStates; ++state) {
      const IntrusiveList<Region>& list = classes_[i].regions[state];
      for (const Region* region = list.First(); region != nullptr; region = list.Next(*region)) {
        PAKV_CHECK(region->class_index == i && static_cast<size_t>(region->state) == state);
        uint32_t warm_count = 0;
        uint32_t cold_count = 0;
        for (uint32_t run = 0; run < region->runs; ++run) {
          PAKV_CHECK(!region->warm.Has(run) || !region->cold.Has(run));
          warm_count += region->warm.Has(run) ? 1 : 0;
          cold_count += region->cold.Has(run) ? 1 : 0;
        }
        PAKV_CHECK(warm_count == region->warm_count && cold_count == region->cold_count);
        PAKV_CHECK(cold_count < region->runs, "a region without memory is unmapped");
        PAKV_CHECK((state == static_cast<size_t>(State::kWarm)) == (warm_count > 0));
        PAKV_CHECK((state == static_cast<size_t>(State::kFull)) == (warm_count + cold_count == 0));
        warm_of_class += warm_count * region->run_bytes;
        held += kPageBytes + (region->runs - cold_count) * region->run_bytes;
        ++regions;
      }
    }
    PAKV_CHECK(i == kNoClass ? warm_of_class == 0 : warm_of_class == warm_bytes_of_[i]);
    warm += warm_of_class;
  }
  PAKV_CHECK(held == held_bytes_ && warm == warm_bytes_ && regions == regions_);
}

}  // namespace pakv
