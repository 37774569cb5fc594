#include "runtime/io/buffer_pool.h"

#include <sys/mman.h>

#include <new>
#include <span>
#include <utility>

#include "runtime/base/check.h"
#include "runtime/base/pages.h"
#include "runtime/io/ring.h"

namespace pakv {
namespace {

size_t RoundUp(size_t bytes) {
  return (bytes + kDirectAlignment - 1) / kDirectAlignment * kDirectAlignment;
}

constexpr std::align_val_t kAlign{kDirectAlignment};

}  // namespace

AlignedBuffer::AlignedBuffer(size_t bytes)
    : data_(static_cast<uint8_t*>(::operator new(RoundUp(bytes), kAlign))), size_(RoundUp(bytes)) {}

AlignedBuffer::AlignedBuffer(AlignedBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      index_(std::exchange(other.index_, int16_t{-1})),
      pool_(std::exchange(other.pool_, nullptr)) {}

AlignedBuffer& AlignedBuffer::operator=(AlignedBuffer&& other) noexcept {
  if (this != &other) {
    Release();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
    index_ = std::exchange(other.index_, int16_t{-1});
    pool_ = std::exchange(other.pool_, nullptr);
  }
  return *this;
}

AlignedBuffer::~AlignedBuffer() { Release(); }

void AlignedBuffer::Release() {
  if (pool_ != nullptr) {
    pool_->free_.push_back(static_cast<int16_t>((data_ - pool_->memory_) / pool_->bytes_));
  } else if (data_ != nullptr) {
    ::operator delete(data_, kAlign);
  }
  data_ = nullptr;
  pool_ = nullptr;
}

BufferPool::BufferPool(Ring& ring, size_t count, size_t bytes)
    : count_(count), bytes_(RoundUp(bytes)) {
  if (count_ == 0) return;
  memory_ = static_cast<uint8_t*>(MapPagesOrEnd(count_ * bytes_));
  std::vector<std::span<std::byte>> spans;
  for (size_t i = 0; i < count_; ++i) {
    spans.emplace_back(reinterpret_cast<std::byte*>(memory_ + i * bytes_), bytes_);
    free_.push_back(static_cast<int16_t>(count_ - 1 - i));
  }
  registered_ = ring.RegisterBuffers(spans).ok();
}

BufferPool::~BufferPool() {
  PAKV_CHECK(free_.size() == count_, "a buffer outlived its pool");
  if (memory_ != nullptr) munmap(memory_, count_ * bytes_);
}

AlignedBuffer BufferPool::Take(size_t bytes) {
  if (bytes > bytes_ || free_.empty()) return AlignedBuffer(bytes);
  AlignedBuffer buffer;
  const int16_t index = free_.back();
  free_.pop_back();
  buffer.data_ = memory_ + static_cast<size_t>(index) * bytes_;
  buffer.size_ = bytes_;
  buffer.index_ = registered_ ? index : int16_t{-1};
  buffer.pool_ = this;
  return buffer;
}

}  // namespace pakv
