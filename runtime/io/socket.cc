#include "runtime/io/socket.h"

#include <algorithm>
#include <limits>

namespace pakv {

IoAwaiter Socket::Resolve(IoContext& io, const char* address, std::vector<std::string>& addresses) {
  return IoAwaiter(io, {.opcode = Opcode::kResolve, .path = address, .names = &addresses});
}

IoAwaiter Socket::Listen(IoContext& io, const char* address, uint32_t backlog, std::string& bound) {
  return IoAwaiter(io,
                   {.opcode = Opcode::kListen, .length = backlog, .path = address, .text = &bound});
}

IoAwaiter Socket::Connect(IoContext& io, const char* address) {
  return IoAwaiter(io, {.opcode = Opcode::kConnect, .path = address});
}

IoAwaiter Socket::Accept(std::string& peer) {
  return IoAwaiter(*io_, {.opcode = Opcode::kAccept, .handle = handle_, .text = &peer});
}

IoAwaiter Socket::Send(const void* buffer, uint32_t length) {
  return IoAwaiter(
      *io_, {.opcode = Opcode::kSend, .handle = handle_, .length = length, .const_buffer = buffer});
}

IoAwaiter Socket::Readable() {
  return IoAwaiter(*io_, {.opcode = Opcode::kReadable, .handle = handle_});
}

IoAwaiter Socket::ReceiveNow(void* buffer, uint32_t length) {
  return IoAwaiter(
      *io_, {.opcode = Opcode::kReceive, .handle = handle_, .length = length, .buffer = buffer});
}

IoAwaiter Socket::Shutdown() {
  return IoAwaiter(*io_, {.opcode = Opcode::kShutdown, .handle = handle_});
}

IoAwaiter Socket::ShutdownSend() {
  return IoAwaiter(*io_, {.opcode = Opcode::kShutdown, .handle = handle_, .length = 1});
}

IoAwaiter Socket::Close() {
  return IoAwaiter(*io_,
                   {.opcode = Opcode::kClose, .handle = std::exchange(handle_, Handle::kNone)});
}

Task<IoResult> Socket::SendAll(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto length =
        static_cast<uint32_t>(std::min<size_t>(bytes.size(), std::numeric_limits<int32_t>::max()));
    IoResult sent = co_await Send(bytes.data(), length);
    if (!sent.ok()) co_return sent;
    bytes.remove_prefix(sent.count());
  }
  co_return IoResult(0);
}

}  // namespace pakv
