// Begins to fetch memory that will be needed soon.
#pragma once

namespace pakv {

// The line of 64 bytes that holds `address`, which need not be mapped. Callable from anywhere.
//
// GCC 12 takes a function that does nothing but __builtin_prefetch for one without effects and
// drops calls of it (seen in -O2 code: whole loops over prefetching functions were gone). The
// empty asm is an effect that it has to keep, and costs no instruction.
[[gnu::always_inline]] inline void PrefetchLine(const void* address) {
  __builtin_prefetch(address);
  asm volatile("" : : "r"(address));
}

}  // namespace pakv
