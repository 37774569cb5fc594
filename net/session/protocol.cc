#include "net/session/protocol.h"

#include "runtime/base/check.h"

namespace pakv {

Task<void> Protocol::RunSlow() {
  PAKV_CHECK(false, "a protocol that returns kSlow runs it");
  co_return;
}

Task<void> Protocol::End() { co_return; }

}  // namespace pakv
