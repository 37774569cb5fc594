#include "net/client/resp_connection.h"

#include <fmt/format.h>

#include <cerrno>
#include <utility>

#include "runtime/base/check.h"
#include "runtime/io/timer.h"

namespace pakv {
namespace {

// Memory that it keeps for sending and for what has come.
constexpr size_t kKeptBytes = 64 * 1024;

void AppendCount(OutputBuffer& output, char kind, size_t count) {
  output.Append(fmt::format("{}{}\r\n", kind, count));
}

}  // namespace

RespConnection::RespConnection(Core& core, const RespConnectionOptions& options)
    : core_(core), options_(options), parser_(options.limits), nursery_(core.ready()) {}

RespConnection::~RespConnection() { PAKV_CHECK(!socket_.valid(), "Close() was not awaited"); }

ClientError RespConnection::Fail(ClientFault fault, std::string_view text) {
  if (error_.ok()) {
    error_.fault = fault;
    error_.text = fmt::format("{}: {}", address_, text);
  }
  return error_;
}

Task<ClientError> RespConnection::Open(std::string address, uint64_t deadline_ns) {
  PAKV_CHECK(address_.empty(), "a connection is opened once");
  address_ = std::move(address);
  IoAwaiter connect = Socket::Connect(core_.io(), address_.c_str());
  connect.WithDeadline(deadline_ns);
  const IoResult connected = co_await connect;
  if (!connected.ok()) {
    co_return Fail(ClientFault::kConnect,
                   connected.error() == ETIME ? "no answer in time" : connected.text());
  }
  socket_ = Socket(core_.io(), core_.ring().Adopt(Handle{connected.value()}));
  stream_ = std::make_unique<ReceiveStream>(core_.io(), socket_.handle());
  co_return ClientError();
}

void RespConnection::Start(std::initializer_list<std::string_view> words) {
  if (!error_.ok()) return;
  AppendCount(output_, '*', words.size());
  for (const std::string_view word : words) {
    AppendCount(output_, '$', word.size());
    output_.Append(word);
    output_.Append("\r\n");
  }
}

// Beside receiving: a server that does not read while its replies are not taken cannot block it.
Task<void> RespConnection::SendAll() {
  while (!output_.empty() && error_.ok()) {
    sending_.Swap(output_);
    const IoResult sent = co_await socket_.SendAll(sending_.view());
    sending_.Clear(kKeptBytes);
    // Whoever waits for a reply learns it by the end of the stream, and what the server said
    // before.
    if (!sent.ok()) break;
  }
  is_sending_ = false;
}

Task<ClientResult<RespValue>> RespConnection::Next() {
  if (!error_.ok()) co_return error_;
  if (!is_sending_ && !output_.empty()) {
    is_sending_ = true;
    nursery_.Spawn(SendAll());
  }
  // An end that comes too late shuts the socket, and so ends the stream.
  struct Deadline : Timer {
    explicit Deadline(RespConnection& connection_in)
        : Timer([](Timer& self) {
            RespConnection& owner = static_cast<Deadline&>(self).connection;
            owner.timed_out_ = true;
            owner.nursery_.Spawn(ShutDown(owner.socket_));
          }),
          connection(connection_in) {}
    static Task<void> ShutDown(Socket& socket) {
      const IoResult shut = co_await socket.Shutdown();
      static_cast<void>(shut);
    }
    RespConnection& connection;
  };
  Deadline deadline(*this);
  if (options_.reply_timeout_ns > 0) {
    deadline.Arm(core_.timers(), core_.now_ns() + options_.reply_timeout_ns);
  }
  while (true) {
    std::string_view rest = std::string_view(input_).substr(parsed_bytes_);
    RespValue reply;
    const RespReplyParser::Status status = parser_.Next(rest, reply);
    parsed_bytes_ = input_.size() - rest.size();
    if (status == RespReplyParser::Status::kReply) {
      deadline.Disarm();
      co_return reply;
    }
    if (status == RespReplyParser::Status::kError) {
      co_return Fail(ClientFault::kProtocol, fmt::format("not RESP: {}", parser_.error()));
    }
    input_.erase(0, parsed_bytes_);
    parsed_bytes_ = 0;
    const std::string received = co_await stream_->Next();
    if (received.empty()) break;
    input_.append(received);
  }
  deadline.Disarm();
  if (timed_out_) {
    co_return Fail(ClientFault::kTimeout,
                   fmt::format("no reply within {} ms", options_.reply_timeout_ns / kNsPerMs));
  }
  co_return Fail(ClientFault::kConnectionLost,
                 stream_->end().ok() ? "the server closed the connection" : stream_->end().text());
}

Task<void> RespConnection::Close() {
  if (!socket_.valid()) co_return;
  static_cast<void>(Fail(ClientFault::kConnectionLost, "the connection was closed"));
  const IoResult shut = co_await socket_.Shutdown();
  static_cast<void>(shut);
  co_await stream_->Stop();
  co_await nursery_.Join();
  const IoResult closed = co_await socket_.Close();
  static_cast<void>(closed);
}

}  // namespace pakv
