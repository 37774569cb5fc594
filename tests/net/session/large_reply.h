// What tests of large replies share: the memory that they take, and the refusal of one.
#pragma once

#include <malloc.h>

#include <cstddef>
#include <string>

namespace pakv {

// Bytes that the whole process has allocated.
inline size_t HeapBytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

inline const std::string kReplyRefused =
    "-ERR no memory for so large a reply now: it is held by others that are under way or not read "
    "by their clients; ask for less at once, or try again\r\n";

}  // namespace pakv
