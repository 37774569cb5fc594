// A connection to a server that speaks RESP, as a client: requests are started, which never waits,
// and their replies taken in order. For moving data from Redis, or from another pakvd.
//
// It holds what was started and not sent, and one reply; a server that sends faster than its
// replies are taken waits. One core's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

#include "net/client/client_error.h"
#include "net/resp/wire/reply_parser.h"
#include "net/session/buffers/output_buffer.h"
#include "runtime/core/core.h"
#include "runtime/io/receive_stream.h"
#include "runtime/io/socket.h"
#include "runtime/task/nursery.h"
#include "runtime/task/task.h"

namespace pakv {

struct RespConnectionOptions {
  // For each reply, from when it is waited for. 0: no limit.
  uint64_t reply_timeout_ns = 60 * kNsPerSecond;
  RespReplyLimits limits;
};

class RespConnection {
 public:
  RespConnection(Core& core, const RespConnectionOptions& options);
  RespConnection(const RespConnection&) = delete;
  RespConnection& operator=(const RespConnection&) = delete;
  // Close was awaited, or Open never called.
  ~RespConnection();

  // Connects to one address ("127.0.0.1:6379", "unix:/path"). Once. Whatever comes of it, Close is
  // due.
  Task<ClientError> Open(std::string address, uint64_t deadline_ns);

  // Starts a request. It leaves when a reply is waited for, with all that were started before.
  void Start(std::initializer_list<std::string_view> words);

  // The reply to the oldest request whose reply was not taken. An error reply is a reply. An error:
  // there is none, and there will be no other.
  Task<ClientResult<RespValue>> Next();

  Task<void> Close();

 private:
  Task<void> SendAll();
  ClientError Fail(ClientFault fault, std::string_view text);

  Core& core_;
  const RespConnectionOptions options_;
  std::string address_;
  Socket socket_;
  std::unique_ptr<ReceiveStream> stream_;
  RespReplyParser parser_;
  std::string input_;        // received, not parsed
  size_t parsed_bytes_ = 0;  // of input_
  OutputBuffer output_;
  OutputBuffer sending_;
  bool is_sending_ = false;
  bool timed_out_ = false;
  ClientError error_;
  Nursery nursery_;
};

}  // namespace pakv
