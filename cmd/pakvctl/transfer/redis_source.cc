#include "cmd/pakvctl/transfer/redis_source.h"

#include <fmt/format.h>
#include <termios.h>
#include <unistd.h>

#include <charconv>
#include <iostream>
#include <utility>

#include "cmd/common/exit_codes.h"
#include "cmd/common/values.h"
#include "runtime/base/utf8.h"
#include "runtime/io/address.h"

namespace pakv {
namespace {

constexpr std::string_view kPageKeys = "1000";  // COUNT of SCAN
// Requests that are on their way for values: keys, and bytes of keys.
constexpr size_t kAskedMax = 256;
constexpr size_t kAskedBytesMax = 256 << 10;
constexpr uint64_t kConnectNs = 5 * kNsPerSecond;

// A line from the terminal, which does not show it; nothing without a terminal.
std::optional<std::string> AskForPassword(std::ostream& err, const std::string& whose) {
  if (isatty(STDIN_FILENO) != 1) return std::nullopt;
  termios shown{};
  if (tcgetattr(STDIN_FILENO, &shown) != 0) return std::nullopt;
  termios hidden = shown;
  hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  err << "password for " << whose << ": " << std::flush;
  tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
  std::string password;
  const bool came = static_cast<bool>(std::getline(std::cin, password));
  tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
  err << '\n';
  if (!came) return std::nullopt;
  return password;
}

bool IsInteger(const RespValue& reply) { return reply.type == RespValue::Type::kInteger; }

// What TYPE says, as people say it of several.
std::string DescribeType(const std::string& type, uint64_t count) {
  std::string word = type == "zset" ? "sorted set" : type;
  const bool is_known =
      word == "list" || word == "set" || word == "sorted set" || word == "hash" || word == "stream";
  if (!is_known) return fmt::format("{} of type {}", count, EscapeControls(type));
  if (count != 1) word += word == "hash" ? "es" : "s";
  return fmt::format("{} {}", count, word);
}

}  // namespace

RedisSource::RedisSource(Core& core, const RedisAddress& address, std::ostream& err)
    : core_(core), address_(address), err_(err) {}

RedisFault RedisSource::FaultOf(const ClientError& error) const {
  const bool is_protocol = error.fault == ClientFault::kProtocol;
  return {.text = "the source, " + error.text,
          .exit_code = is_protocol ? kClientExitData : kClientExitConnect};
}

RedisFault RedisSource::FaultOf(std::string_view what, const RespValue& reply) const {
  RedisFault fault;
  fault.text = fmt::format("the source, {}, answers {}: {}", address_.endpoint.text, what,
                           EscapeControls(reply.text));
  fault.exit_code = kClientExitData;
  for (const std::string_view refusal : {"NOAUTH", "WRONGPASS", "NOPERM", "LOADING", "BUSY"}) {
    if (reply.text.starts_with(refusal)) fault.exit_code = kClientExitRefused;
  }
  if (reply.text.starts_with("NOAUTH")) fault.text += " (set PAKV_SOURCE_PASSWORD)";
  return fault;
}

RedisFault RedisSource::Strange(std::string_view what) const {
  return {.text = fmt::format("the source, {}, answers {} as no Redis does", address_.endpoint.text,
                              what),
          .exit_code = kClientExitData};
}

Task<std::optional<RedisFault>> RedisSource::Connect() {
  std::vector<std::string> addresses;
  if (address_.endpoint.is_unix()) {
    addresses.push_back(address_.endpoint.text);
  } else {
    for (const SocketAddress& address : ResolveAddresses(address_.endpoint.text)) {
      addresses.push_back(AddressText(address));
    }
  }
  RedisFault fault{.text = "the source, " + address_.endpoint.text + ": the host is not known",
                   .exit_code = kClientExitConnect};
  for (std::string& address : addresses) {
    connections_.push_back(std::make_unique<RespConnection>(core_, RespConnectionOptions()));
    const ClientError error =
        co_await connections_.back()->Open(std::move(address), core_.now_ns() + kConnectNs);
    if (error.ok()) {
      connection_ = connections_.back().get();
      break;
    }
    fault = FaultOf(error);
  }
  if (connection_ == nullptr) co_return fault;
  std::optional<RedisFault> refused = co_await Authenticate();
  if (refused) co_return refused;
  RespValue reply;
  if (address_.database != "0") {
    connection_->Start({"SELECT", address_.database});
    refused = co_await Take("SELECT", reply);
    if (refused) co_return refused;
  }
  connection_->Start({"DBSIZE"});
  refused = co_await Take("DBSIZE", reply);
  if (refused) co_return refused;
  if (IsInteger(reply) && reply.integer > 0) key_count_ = static_cast<uint64_t>(reply.integer);
  connection_->Start({"PEXPIRETIME", "pakvctl"});
  ClientResult<RespValue> known = co_await connection_->Next();
  if (!known.ok()) co_return FaultOf(known.error());
  has_expire_time_ = IsInteger(*known);
  connection_->Start({"SCAN", cursor_, "COUNT", kPageKeys});
  co_return std::nullopt;
}

Task<std::optional<RedisFault>> RedisSource::Authenticate() {
  std::optional<std::string> password = address_.password;
  if (!password && !address_.user.empty()) {
    // Without one the source would take us for its default user, with that one's rights.
    const std::string whose = address_.user + " at " + address_.endpoint.text;
    password = AskForPassword(err_, EscapeControls(whose));
    RedisFault fault{.text = "the source's user " + Quoted(address_.user) +
                             " needs a password: set PAKV_SOURCE_PASSWORD",
                     .exit_code = kClientExitUsage};
    if (!password) co_return fault;
  } else if (!password) {
    connection_->Start({"PING"});
    ClientResult<RespValue> reply = co_await connection_->Next();
    if (!reply.ok()) co_return FaultOf(reply.error());
    if (!reply->IsError() || !reply->text.starts_with("NOAUTH")) co_return std::nullopt;
    password = AskForPassword(err_, address_.endpoint.text);
    if (!password) co_return FaultOf("PING", *reply);
  }
  if (address_.user.empty()) {
    connection_->Start({"AUTH", *password});
  } else {
    connection_->Start({"AUTH", address_.user, *password});
  }
  RespValue reply;
  co_return co_await Take("AUTH", reply);
}

Task<std::optional<RedisFault>> RedisSource::Take(std::string_view what, RespValue& reply) {
  ClientResult<RespValue> taken = co_await connection_->Next();
  if (!taken.ok()) co_return FaultOf(taken.error());
  if (taken->IsError()) co_return FaultOf(what, *taken);
  reply = std::move(*taken);
  co_return std::nullopt;
}

Task<void> RedisSource::Close() {
  for (const std::unique_ptr<RespConnection>& connection : connections_) {
    co_await connection->Close();
  }
}

// SCAN was started before: with the values of the page before, or in Connect.
Task<std::optional<RedisFault>> RedisSource::NextPage(Page& page) {
  RespValue reply;
  std::optional<RedisFault> fault = co_await Take("SCAN", reply);
  if (fault) co_return fault;
  if (reply.type != RespValue::Type::kArray || reply.elements.size() != 2) {
    co_return Strange("SCAN");
  }
  cursor_ = reply.elements[0].text;
  page = Page();
  page.is_last = cursor_ == "0";
  for (RespValue& key : reply.elements[1].elements) page.keys.push_back(std::move(key.text));
  Ask(page);
  co_return std::nullopt;
}

// Starts what is asked of the page's next keys, and behind the last of them the next page.
void RedisSource::Ask(Page& page) {
  const std::string_view expiry = has_expire_time_ ? "PEXPIRETIME" : "PTTL";
  size_t bytes = 0;
  const size_t begin = page.asked;
  while (page.asked < page.keys.size() && page.asked - begin < kAskedMax &&
         (bytes < kAskedBytesMax || page.asked == begin)) {
    const std::string& key = page.keys[page.asked++];
    bytes += key.size();
    connection_->Start({"TYPE", key});
    connection_->Start({"GET", key});
    connection_->Start({expiry, key});
  }
  if (page.asked == page.keys.size() && !page.is_last) {
    connection_->Start({"SCAN", cursor_, "COUNT", kPageKeys});
  }
}

Task<std::optional<RedisFault>> RedisSource::NextKey(Page& page, std::optional<ClientSet>& set) {
  std::string& key = page.keys[page.next];
  RespValue type;
  std::optional<RedisFault> fault = co_await Take("TYPE", type);
  if (fault) co_return fault;
  ClientResult<RespValue> value = co_await connection_->Next();
  if (!value.ok()) co_return FaultOf(value.error());
  RespValue expiry;
  fault = co_await Take("the time of a key", expiry);
  if (fault) co_return fault;
  if (!IsInteger(expiry)) co_return Strange("the time of a key");
  ++page.next;
  ++seen_;
  const bool is_other = value->IsError() && value->text.starts_with("WRONGTYPE");
  if (value->IsError() && !is_other) co_return FaultOf("GET", *value);
  if (is_other) ++left_[type.text];
  // -2, or no value: it has gone between.
  if (value->type == RespValue::Type::kBulk && expiry.integer != -2) {
    set.emplace();
    set->key = std::move(key);
    set->value = std::move(value->text);
    if (expiry.integer >= 0) {
      const uint64_t now_ms = has_expire_time_ ? 0 : core_.wall_us() / 1000;
      set->expires_at_ms = std::max<uint64_t>(1, now_ms + static_cast<uint64_t>(expiry.integer));
    }
  }
  if (page.next == page.asked && page.asked < page.keys.size()) Ask(page);
  co_return std::nullopt;
}

std::string RedisSource::DescribeLeft() const {
  std::string text;
  for (const auto& [type, count] : left_) {
    if (!text.empty()) text += ", ";
    text += DescribeType(type, count);
  }
  return text;
}

}  // namespace pakv
