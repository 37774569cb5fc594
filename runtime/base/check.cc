#include "runtime/base/check.h"

#include <cinttypes>
#include <cstdio>
#include <cstdlib>

namespace pakv {

CheckContext& CurrentCheckContext() {
  thread_local CheckContext context;
  return context;
}

void CheckFailed(const char* file, int line, const char* condition, const char* message) {
  const CheckContext& context = CurrentCheckContext();
  std::fprintf(stderr,
               "%s:%d: CHECK failed: %s %s (core %d, seed %" PRIu64 ", at %" PRIu64 " ns)\n", file,
               line, condition, message, context.core, context.seed, context.now_ns);
  std::fflush(stderr);
  std::abort();
}

}  // namespace pakv
