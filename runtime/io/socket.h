// Sockets of one core. Receiving is the Receiver's as a rule (runtime/io/operation.h): multishot,
// into buffers of the ring.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/io/io_context.h"
#include "runtime/task/task.h"

namespace pakv {

// Addresses are texts: "127.0.0.1:7379", "[::1]:7379", "unix:/path". Close() is awaited before a
// socket is destroyed.
class Socket {
 public:
  Socket() = default;
  Socket(IoContext& io, Handle handle) : io_(&io), handle_(handle) {}
  Socket(Socket&& other) noexcept
      : io_(other.io_), handle_(std::exchange(other.handle_, Handle::kNone)) {}
  Socket& operator=(Socket&& other) noexcept {
    io_ = other.io_;
    handle_ = std::exchange(other.handle_, Handle::kNone);
    return *this;
  }

  // `addresses` receives the texts of all that the host of `address` has, each once, in the order
  // of the system's preference. Looks up names, so it may block: for the start.
  static IoAwaiter Resolve(IoContext& io, const char* address, std::vector<std::string>& addresses);
  // The count of the result is the handle. `bound` receives the address that it listens on, with
  // the port that the system picked for port 0.
  static IoAwaiter Listen(IoContext& io, const char* address, uint32_t backlog, std::string& bound);
  // The count of the result is a plain handle: Socket(io, io.ring.Adopt(Handle{value})).
  static IoAwaiter Connect(IoContext& io, const char* address);
  // Of a listening socket. The count of the result is a plain handle, which any core may adopt;
  // TCP_NODELAY, keepalive and CLOEXEC are set.
  IoAwaiter Accept(std::string& peer);

  bool valid() const { return handle_ != Handle::kNone; }
  Handle handle() const { return handle_; }

  // May send fewer bytes than asked for.
  IoAwaiter Send(const void* buffer, uint32_t length);
  // Sends all of it, however many sends that takes; the bytes stay where they are until it has
  // ended. The count of the result is 0.
  Task<IoResult> SendAll(std::string_view bytes);
  // Waits until ReceiveNow would not fail with EAGAIN; holds no memory meanwhile.
  IoAwaiter Readable();
  // What is there now, up to `length` bytes; a count of 0: the peer has ended its stream.
  IoAwaiter ReceiveNow(void* buffer, uint32_t length);
  // Ends both directions; receives and sends in flight complete.
  IoAwaiter Shutdown();
  // The peer sees the end of the stream behind what was sent; receiving goes on.
  IoAwaiter ShutdownSend();
  IoAwaiter Close();

 private:
  IoContext* io_ = nullptr;
  Handle handle_ = Handle::kNone;
};

}  // namespace pakv
