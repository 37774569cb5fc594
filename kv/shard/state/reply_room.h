// ReplyRoom: how many bytes of large replies one owner has copied for sessions, on whatever core,
// that have not passed them on to their clients yet.
//
// Only the owner takes; whoever passes a reply on gives its bytes back. The last taker may overdraw
// it by his reply, so that nothing is too large to ever pass. Nobody waits here: a read that finds
// no room is put off (Reply::Kind::kLater), and its session asks again at its client's pace. So
// there is nobody to be woken, and who does not read holds up nobody else.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace pakv {

class ReplyRoom {
 public:
  static constexpr uint64_t kBytesMax = uint64_t{256} << 20;

  explicit ReplyRoom(uint64_t bytes_max) : bytes_max_(bytes_max) {}
  ReplyRoom(const ReplyRoom&) = delete;
  ReplyRoom& operator=(const ReplyRoom&) = delete;

  // The owner alone.
  bool has_room() const { return used_bytes() < bytes_max_; }
  void Take(size_t bytes) { used_bytes_.fetch_add(bytes, std::memory_order_relaxed); }
  // Any core.
  void Give(size_t bytes) { used_bytes_.fetch_sub(bytes, std::memory_order_relaxed); }
  uint64_t used_bytes() const { return used_bytes_.load(std::memory_order_relaxed); }

 private:
  const uint64_t bytes_max_;
  std::atomic<uint64_t> used_bytes_{0};
};

}  // namespace pakv
