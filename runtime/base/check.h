// Assertions. A failed one prints where, and the core, seed and virtual time it failed at, then
// aborts: a bug is never carried on with. CHECKs stay on in release builds; DCHECKs are for
// measured hot paths and are on in the builds of `./dev sim` and `./dev sanitize`.
#pragma once

#include <cstdint>

namespace pakv {

// What a failed check prints beside its text. Diagnostics alone: no code may decide by it.
struct CheckContext {
  int32_t core = -1;    // core whose pass runs on this thread, -1 outside of passes
  uint64_t seed = 0;    // seed of the simulation, 0 outside of it
  uint64_t now_ns = 0;  // the clock at the start of the pass, virtual in a simulation
};
CheckContext& CurrentCheckContext();

[[noreturn]] void CheckFailed(const char* file, int line, const char* condition,
                              const char* message);

}  // namespace pakv

#define PAKV_CHECK_2(condition, message)             \
  (__builtin_expect(static_cast<bool>(condition), 1) \
       ? static_cast<void>(0)                        \
       : ::pakv::CheckFailed(__FILE__, __LINE__, #condition, message))
#define PAKV_CHECK_1(condition) PAKV_CHECK_2(condition, "")
#define PAKV_CHECK_PICK(_1, _2, NAME, ...) NAME

// PAKV_CHECK(condition) or PAKV_CHECK(condition, "why it cannot happen").
#define PAKV_CHECK(...) PAKV_CHECK_PICK(__VA_ARGS__, PAKV_CHECK_2, PAKV_CHECK_1, 0)(__VA_ARGS__)

#ifdef PAKV_SIMULATOR
#define PAKV_DCHECK(...) PAKV_CHECK(__VA_ARGS__)
#else
#define PAKV_DCHECK(...) static_cast<void>(0)
#endif
