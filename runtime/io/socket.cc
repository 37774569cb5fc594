#include "runtime/io/socket.h"

namespace pakv {

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

}  // namespace pakv
