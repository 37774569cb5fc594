// Memory for large values, in runs of whole pages: what the value cache has in place of malloc,
// whose heaps keep holes once values of many sizes come and go.
//
//   region, 4 MiB: | header, 1 page | run | run | run | … |   all runs are of the region's class
//
// Classes of runs: 1 to 16 pages, from there eight per doubling up to 1 MiB; what is larger has a
// region of its own. Nothing is ever split or merged, so a hole is address space and no memory: a
// run that is free is cold, its pages are the system's, or warm, kept for the next value, which
// saves faults: one of its class, or a smaller one of at least four fifths of the run. Warm ones
// take up to warm_bytes_max(); beyond it Free gives some back, of the class that has most. A region
// that holds no memory but its header is unmapped, so address space stays below the most that each
// class has ever held, and no map grows: a run's address leads to its region.
//
// held_bytes() is exact: used runs, warm runs and headers, in whole pages of 4 KiB, never huge ones
// (a page of a used run beyond its value may not be resident yet). Where the system's pages are
// larger, the ends of a run that is given back may stay until its region goes.
// Each call's work is bounded. One core owns it; nothing suspends.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "runtime/base/intrusive_list.h"

namespace pakv {

class PageRuns {
 public:
  static constexpr size_t kPageBytes = 4096;
  static constexpr size_t kRegionBytes = size_t{4} << 20;
  static constexpr size_t kClassedBytesMax = size_t{1} << 20;
  static constexpr uint32_t kGiveBacksPerFree = 4;

  PageRuns() = default;
  // All runs were freed.
  ~PageRuns();
  PageRuns(const PageRuns&) = delete;
  PageRuns& operator=(const PageRuns&) = delete;

  // What a value of so many bytes takes: the size of its run, if none is warm.
  static constexpr size_t RunBytes(size_t bytes) {
    const size_t pages = PagesOf(bytes);
    if (bytes > kClassedBytesMax) return pages * kPageBytes;
    const uint32_t shift = ShiftOf(pages);
    return (StepsOf(pages, shift) << shift) * kPageBytes;
  }

  // The most that it takes in a warm one.
  static constexpr size_t RunBytesMax(size_t bytes) {
    const size_t run_bytes = RunBytes(bytes);
    return run_bytes > kClassedBytesMax ? run_bytes : run_bytes + run_bytes / 4;
  }
  // The size of a run that is in use.
  static size_t BytesOf(const char* run) { return RegionOf(run).run_bytes; }

  // Whether a run that is in use would do for `bytes` too.
  static bool Suits(const char* run, size_t bytes) {
    return BytesOf(run) >= RunBytes(bytes) && BytesOf(run) <= RunBytesMax(bytes);
  }

  // A run for `bytes`: contiguous, begins at a page, contents unspecified. nullptr: the system
  // gives no memory.
  [[nodiscard]] char* Allocate(size_t bytes);
  // What held_bytes() grows by with it: nothing if a warm run is there.
  size_t GrowthFor(size_t bytes) const;
  void Free(char* run);
  // One warm run becomes cold. False if there is none.
  bool GiveBack();

  // A lower one takes effect with each Free.
  void set_warm_bytes_max(size_t bytes) { warm_bytes_max_ = bytes; }
  size_t warm_bytes_max() const { return warm_bytes_max_; }
  size_t warm_bytes() const { return warm_bytes_; }
  size_t held_bytes() const { return held_bytes_; }
  uint32_t regions() const { return regions_; }
  // For tests: aborts unless the whole structure is sound.
  void CheckInvariants() const;

 private:
  static constexpr uint32_t kClasses = 48;
  static constexpr uint32_t kNoClass = kClasses;  // of regions with one run, of any size
  static constexpr size_t kRunsMax = kRegionBytes / kPageBytes - 1;

  // A set of a region's runs.
  class RunSet {
   public:
    bool Has(uint32_t run) const { return (words_[run / 64] >> run % 64 & 1) != 0; }
    void Flip(uint32_t run) { words_[run / 64] ^= uint64_t{1} << run % 64; }
    // Not of an empty one.
    uint32_t First() const {
      uint32_t word = 0;
      while (words_[word] == 0) ++word;
      return word * 64 + static_cast<uint32_t>(std::countr_zero(words_[word]));
    }

   private:
    std::array<uint64_t, (kRunsMax + 63) / 64> words_{};
  };

  enum class State : uint8_t { kWarm, kCold, kFull };  // the best that it can give
  static constexpr size_t kStates = 3;

  struct Region : ListHook {
    size_t run_bytes;
    uint32_t class_index;
    uint32_t runs;
    uint32_t warm_count = 0;
    uint32_t cold_count;
    State state;
    RunSet warm;
    RunSet cold;  // used: in neither
  };
  static_assert(sizeof(Region) <= kPageBytes);

  struct Class {
    std::array<IntrusiveList<Region>, kStates> regions;
    IntrusiveList<Region>& of(State state) { return regions[static_cast<size_t>(state)]; }
    bool Has(State state) const { return !regions[static_cast<size_t>(state)].empty(); }
  };

  static constexpr size_t PagesOf(size_t bytes) {
    return bytes == 0 ? 1 : (bytes + kPageBytes - 1) / kPageBytes;
  }
  // A class's runs are of 1 to 16 steps, each 2^shift pages.
  static constexpr uint32_t ShiftOf(size_t pages) {
    return pages <= 16 ? 0 : static_cast<uint32_t>(std::bit_width(pages - 1)) - 4;
  }
  static constexpr size_t StepsOf(size_t pages, uint32_t shift) {
    return (pages + (size_t{1} << shift) - 1) >> shift;
  }
  static constexpr uint32_t ClassOf(size_t bytes) {
    if (bytes > kClassedBytesMax) return kNoClass;
    const size_t pages = PagesOf(bytes);
    const uint32_t shift = ShiftOf(pages);
    return shift * 8 + static_cast<uint32_t>(StepsOf(pages, shift)) - 1;
  }

  static constexpr size_t BytesOfClass(uint32_t class_index) {
    const uint32_t shift = class_index < 16 ? 0 : class_index / 8 - 1;
    return (size_t{class_index - shift * 8 + 1} << shift) * kPageBytes;
  }
  // The class that has a warm run for `bytes`; kNoClass if none has.
  uint32_t WarmClassFor(size_t bytes) const;

  static char* RunAt(Region& region, uint32_t run) {
    return reinterpret_cast<char*>(&region) + kPageBytes + run * region.run_bytes;
  }
  static Region& RegionOf(const char* run);
  static size_t MappedBytes(uint32_t runs, size_t run_bytes);
  Region* Map(uint32_t class_index, size_t run_bytes);
  void Unmap(Region& region);
  void Settle(Region& region);

  size_t held_bytes_ = 0;
  size_t warm_bytes_ = 0;
  size_t warm_bytes_max_ = 0;
  uint32_t regions_ = 0;
  std::array<size_t, kClasses> warm_bytes_of_{};
  std::array<Class, kClasses + 1> classes_;
};

}  // namespace pakv
