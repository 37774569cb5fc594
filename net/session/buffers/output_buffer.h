// Bytes on their way out: one contiguous, growing piece of memory that encoders append to.
//
// Unlike std::string it does not clear what it reserves, and it lets an encoder write in place.
// Nothing here bounds it: the session stops starting commands when size() reaches its bound.
// While a send is in flight the bytes must stay: a session fills a second buffer and swaps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include "runtime/base/check.h"
#include "runtime/base/pages.h"

namespace pakv {

class OutputBuffer {
 public:
  OutputBuffer() = default;
  OutputBuffer(OutputBuffer&& source) noexcept { Swap(source); }
  OutputBuffer& operator=(OutputBuffer&& source) noexcept {
    Swap(source);
    return *this;
  }
  ~OutputBuffer() { std::free(data_); }

  const char* data() const { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  size_t capacity() const { return capacity_; }
  std::string_view view() const { return {data_, size_}; }

  // Room for `bytes` more behind what is there, uninitialised. Write, then Commit where it ends.
  // Pointers into the buffer are valid until the next Reserve or Append.
  char* Reserve(size_t bytes) {
    if (bytes > capacity_ - size_) [[unlikely]]
      Grow(bytes);
    return data_ + size_;
  }
  void Commit(const char* end) {
    PAKV_DCHECK(end >= data_ + size_ && end <= data_ + capacity_);
    size_ = static_cast<size_t>(end - data_);
  }
  void Append(std::string_view bytes) {
    if (bytes.empty()) return;
    char* at = Reserve(bytes.size());
    std::memcpy(at, bytes.data(), bytes.size());
    size_ += bytes.size();
  }

  // Makes its memory `bytes` long: not 0, no fewer than size().
  void SetCapacity(size_t bytes) {
    PAKV_CHECK(bytes > 0 && bytes >= size_);
    char* const data = static_cast<char*>(std::realloc(data_, bytes));
    if (data == nullptr) EndForLackOfMemory();
    data_ = data;
    capacity_ = bytes;
  }

  // Overwrites bytes that are there already, such as a length that is known only at the end.
  void Overwrite(size_t offset, std::string_view bytes) {
    PAKV_CHECK(offset <= size_ && bytes.size() <= size_ - offset);
    if (!bytes.empty()) std::memcpy(data_ + offset, bytes.data(), bytes.size());
  }
  // Forgets what was appended behind `size`.
  void Truncate(size_t size) {
    PAKV_CHECK(size <= size_);
    size_ = size;
  }

  // Empties it; memory beyond `kept_bytes` is given back.
  void Clear(size_t kept_bytes = SIZE_MAX) {
    size_ = 0;
    if (capacity_ > kept_bytes) {
      std::free(data_);
      data_ = nullptr;
      capacity_ = 0;
    }
  }
  void Swap(OutputBuffer& other) {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
  }

 private:
  static constexpr size_t kInitialBytes = 512;

  [[gnu::noinline]] void Grow(size_t bytes) {
    PAKV_CHECK(bytes <= SIZE_MAX / 4 && size_ <= SIZE_MAX / 4);
    size_t capacity = capacity_ < kInitialBytes ? kInitialBytes : capacity_ * 2;
    SetCapacity(capacity < size_ + bytes ? size_ + bytes : capacity);
  }

  char* data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

}  // namespace pakv
