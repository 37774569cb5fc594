#include "runtime/core/space.h"

#include <optional>

#include "runtime/core/blocking_pool.h"
#include "runtime/io/file.h"
#include "runtime/io/system_calls.h"

namespace pakv {

Task<IoResult> AskSpace(Core& core, std::string path, SpaceStat& space) {
  if (BlockingPool* const pool = core.blocking_pool()) {
    const IoRequest request{.opcode = Opcode::kSpace, .path = path.c_str(), .space = &space};
    const auto ask = [request] { return RunSystemCall(request); };
    const std::optional<int32_t> result = co_await pool->Run(core, ask);
    if (result) co_return IoResult(*result);
    // Its queue is full, so many ask: then this core has to wait for the answer.
  }
  const IoResult asked = co_await StatSpace(core.io(), path.c_str(), space);
  co_return asked;
}

}  // namespace pakv
