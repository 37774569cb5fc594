#include "cmd/pakvctl/client/connection_requests.h"

#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>

#include "net/client/resp_connection.h"
#include "runtime/base/clock.h"
#include "runtime/io/address.h"

namespace pakv {
namespace {

constexpr uint64_t kConnectNs = 5 * kNsPerSecond;

bool IsNumber(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// The first of the endpoints' addresses that can be connected to.
class RespCall {
 public:
  explicit RespCall(Core& core) : core_(core) {}

  Task<ClientError> Connect(const std::vector<Endpoint>& endpoints) {
    ClientError error;
    for (const Endpoint& endpoint : endpoints) {
      std::vector<std::string> addresses;
      if (endpoint.is_unix()) addresses.push_back(endpoint.text);
      if (!endpoint.is_unix()) {
        for (const SocketAddress& address : ResolveAddresses(endpoint.text)) {
          addresses.push_back(AddressText(address));
        }
      }
      for (std::string& address : addresses) {
        const RespConnectionOptions options;
        tried_.push_back(std::make_unique<RespConnection>(core_, options));
        error = co_await tried_.back()->Open(std::move(address), core_.now_ns() + kConnectNs);
        if (error.ok()) co_return error;
      }
    }
    if (error.ok()) {
      error.fault = ClientFault::kConnect;
      error.text = "the host is not known";
    }
    co_return error;
  }
  RespConnection& connection() { return *tried_.back(); }
  // Names itself, so that it is known in the list; that reply is taken with the other.
  void Greet() { connection().Start({"CLIENT", "SETNAME", "pakvctl"}); }
  Task<ClientResult<RespValue>> Reply() {
    ClientResult<RespValue> greeted = co_await connection().Next();
    if (!greeted.ok()) co_return greeted;
    if (greeted->IsError()) co_return Refused(*greeted, PakvStatus::kTooManyConnections);
    ClientResult<RespValue> reply = co_await connection().Next();
    if (reply.ok() && reply->IsError()) co_return Refused(*reply, PakvStatus::kOutOfMemory);
    co_return reply;
  }
  Task<void> Close() {
    for (const std::unique_ptr<RespConnection>& connection : tried_) co_await connection->Close();
  }

 private:
  // RESP tells it by the text alone; `status` is what such a request may lack.
  static ClientError Refused(const RespValue& reply, PakvStatus status) {
    ClientError refused;
    refused.fault = ClientFault::kRefused;
    refused.status = status;
    refused.text = "the server answered: " + reply.text;
    return refused;
  }

  Core& core_;
  std::vector<std::unique_ptr<RespConnection>> tried_;
};

}  // namespace

Task<ClientResult<std::string>> AskConnections(Core& core, std::vector<Endpoint> endpoints) {
  RespCall call(core);
  ClientError error = co_await call.Connect(endpoints);
  std::string lines;
  if (error.ok()) {
    call.Greet();
    call.connection().Start({"CLIENT", "LIST"});
    ClientResult<RespValue> reply = co_await call.Reply();
    if (reply.ok()) {
      lines = std::move(reply->text);
    } else {
      error = reply.error();
    }
  }
  co_await call.Close();
  if (!error.ok()) co_return error;
  co_return lines;
}

Task<ClientResult<uint64_t>> AskToKill(Core& core, std::vector<Endpoint> endpoints,
                                       std::string which) {
  RespCall call(core);
  ClientError error = co_await call.Connect(endpoints);
  uint64_t killed = 0;
  if (error.ok()) {
    call.Greet();
    call.connection().Start({"CLIENT", "KILL", IsNumber(which) ? "ID" : "ADDR", which});
    ClientResult<RespValue> reply = co_await call.Reply();
    if (reply.ok()) {
      killed = static_cast<uint64_t>(reply->integer);
    } else {
      error = reply.error();
    }
  }
  co_await call.Close();
  if (!error.ok()) co_return error;
  co_return killed;
}

}  // namespace pakv
