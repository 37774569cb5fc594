#include "net/session/protocol.h"

#include "runtime/base/check.h"

namespace pakv {

Task<void> Protocol::BeforeLongRequest() { co_return; }

Task<void> Protocol::BeforeWait() { co_return; }

Task<void> Protocol::RunSlow() {
  PAKV_CHECK(false, "a protocol that returns kSlow runs it");
  co_return;
}

void Protocol::PayloadReceived(size_t) {
  PAKV_CHECK(false, "a protocol that has memory for a payload is told what comes there");
}

void Protocol::EncodePiece(const ReplySlot&, std::string_view, bool, OutputBuffer&) {
  PAKV_CHECK(false, "a protocol whose requests take values in files sends them");
}

Task<void> Protocol::EndInput() { co_return; }

Task<void> Protocol::End() { co_return; }

}  // namespace pakv
