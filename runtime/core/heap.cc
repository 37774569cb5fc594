#include "runtime/core/heap.h"

#include <malloc.h>

#include <optional>

#include "runtime/core/blocking_pool.h"

namespace pakv {

Task<void> GiveHolesBack(Core& core) {
  BlockingPool* const pool = core.blocking_pool();
  if (pool == nullptr) co_return;
#ifdef __GLIBC__
  const auto trim = [] { return malloc_trim(0); };
  // Not run is as good as nothing to give back.
  const std::optional<int> given = co_await pool->Run(core, trim);
  (void)given;
#endif
}

}  // namespace pakv
