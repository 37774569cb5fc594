#include "runtime/core/space.h"

#include <optional>

#include "runtime/base/check.h"
#include "runtime/base/clock.h"
#include "runtime/core/blocking_pool.h"
#include "runtime/io/file.h"
#include "runtime/io/system_calls.h"

namespace pakv {
namespace {

// Who found the pool's queue full asks again after this long.
constexpr uint64_t kAskAgainNs = 5 * kNsPerMs;

}  // namespace

Task<IoResult> AskSpace(Core& core, std::string path, SpaceStat& space) {
  while (BlockingPool* const pool = core.blocking_pool()) {
    const IoRequest request{.opcode = Opcode::kSpace, .path = path.c_str(), .space = &space};
    const auto ask = [request] { return RunSystemCall(request); };
    const std::optional<int32_t> result = co_await pool->Run(core, ask);
    if (result) co_return IoResult(*result);
    // Its queue is full: the file system has stalled, or many ask. The core goes on meanwhile.
    const bool slept = co_await core.timers().SleepUntil(core.now_ns() + kAskAgainNs);
    PAKV_CHECK(slept, "nobody stops it");
  }
  const IoResult asked = co_await StatSpace(core.io(), path.c_str(), space);
  co_return asked;
}

}  // namespace pakv
