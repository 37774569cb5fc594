// ChunkedVector: a vector whose elements do not move and are made one by one, in chunks: neither an
// allocation per element nor one that grows with their number.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "runtime/base/check.h"

namespace pakv {

template <typename T, size_t kChunk>
class ChunkedVector {
 public:
  static_assert(kChunk > 0 && alignof(T) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);

  ChunkedVector() = default;
  ChunkedVector(const ChunkedVector&) = delete;
  ChunkedVector& operator=(const ChunkedVector&) = delete;
  ~ChunkedVector() { ShrinkTo(0); }

  size_t size() const { return size_; }
  // Of the elements, whether they have been made or not.
  size_t memory_bytes() const { return chunks_.size() * sizeof(Chunk); }
  // As of a pointer: what it refers to is not const with it.
  T& operator[](size_t index) const {
    PAKV_DCHECK(index < size_);
    return *std::launder(reinterpret_cast<T*>(Place(index)));
  }

  template <typename... Args>
  T& EmplaceBack(Args&&... args) {
    if (size_ == chunks_.size() * kChunk)
      chunks_.push_back(std::make_unique_for_overwrite<Chunk>());
    T* const made = new (Place(size_)) T(std::forward<Args>(args)...);
    ++size_;
    return *made;
  }
  // Destroys those behind, the last one first.
  void ShrinkTo(size_t size) {
    while (size_ > size) {
      (*this)[size_ - 1].~T();
      --size_;
    }
    while (chunks_.size() > (size_ + kChunk - 1) / kChunk) chunks_.pop_back();
  }

 private:
  struct Chunk {
    alignas(T) std::array<std::byte, kChunk * sizeof(T)> bytes;
  };
  std::byte* Place(size_t index) const {
    return chunks_[index / kChunk]->bytes.data() + index % kChunk * sizeof(T);
  }

  std::vector<std::unique_ptr<Chunk>> chunks_;
  size_t size_ = 0;
};

}  // namespace pakv
