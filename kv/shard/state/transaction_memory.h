// TransactionMemory: what transactions and snapshots hold of one owner's memory until they are
// destroyed, on whatever core: the old values that they have read there, and the replies of
// commands that were run there. Their replies may be long on the way to clients who do not read.
//
// The bound is for all of them together. Who holds little is never refused by it, so that those who
// hold much cannot shut out the others: it is bytes_max + kSmallBytes for each that is under way.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace pakv {

class TransactionMemory {
 public:
  static constexpr uint64_t kBytesMax = uint64_t{256} << 20;
  static constexpr size_t kSmallBytes = size_t{1} << 20;

  explicit TransactionMemory(uint64_t bytes_max) : bytes_max_(bytes_max) {}
  TransactionMemory(const TransactionMemory&) = delete;
  TransactionMemory& operator=(const TransactionMemory&) = delete;

  // Any core; so are the two below. `held_bytes`: what its taker holds of it already. False: there
  // is no room, and nothing was taken.
  [[nodiscard]] bool Take(size_t bytes, size_t held_bytes) {
    const uint64_t before = used_bytes_.fetch_add(bytes, std::memory_order_relaxed);
    if (before + bytes <= bytes_max_ || held_bytes + bytes <= kSmallBytes) return true;
    Give(bytes);
    return false;
  }
  void Give(size_t bytes) { used_bytes_.fetch_sub(bytes, std::memory_order_relaxed); }
  uint64_t used_bytes() const { return used_bytes_.load(std::memory_order_relaxed); }

 private:
  const uint64_t bytes_max_;
  std::atomic<uint64_t> used_bytes_{0};
};

}  // namespace pakv
