// Aligned memory for direct I/O: a fixed set of registered buffers, taken and given back, and
// plain aligned memory beside it for what does not fit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace pakv {

class Ring;

// Every address and length of direct I/O is a multiple of this; no device in use asks for more.
inline constexpr size_t kDirectAlignment = 4096;

// Memory at a multiple of kDirectAlignment. Movable; gives itself back when destroyed.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  // Plain memory of at least `bytes`, rounded up to kDirectAlignment.
  explicit AlignedBuffer(size_t bytes);
  AlignedBuffer(AlignedBuffer&& other) noexcept;
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept;
  ~AlignedBuffer();

  bool valid() const { return data_ != nullptr; }
  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  // The index to name in an Operation, -1 if the kernel does not know this memory.
  int16_t index() const { return index_; }
  // It is a BufferPool's.
  bool pooled() const { return pool_ != nullptr; }

 private:
  friend class BufferPool;
  void Release();
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
  int16_t index_ = -1;
  class BufferPool* pool_ = nullptr;
};

// One core's registered buffers: `count` of `bytes` each, all alike.
class BufferPool {
 public:
  // Registers with `ring`; where the memlock limit forbids it, the buffers are plain memory and
  // registered() is false.
  BufferPool(Ring& ring, size_t count, size_t bytes);
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;
  // All buffers are back.
  ~BufferPool();

  bool registered() const { return registered_; }
  size_t buffer_bytes() const { return bytes_; }
  // A pool buffer if `bytes` fit one and one is free, else plain memory.
  AlignedBuffer Take(size_t bytes);

 private:
  friend class AlignedBuffer;
  uint8_t* memory_ = nullptr;
  size_t count_;
  size_t bytes_;
  bool registered_ = false;
  std::vector<int16_t> free_;
};

}  // namespace pakv
