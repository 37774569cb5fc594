// Why a client's request has no reply, or one that is no success: typed, so that a program can
// decide by it, with a text for people.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "net/pakv/protocol.h"
#include "runtime/base/check.h"

namespace pakv {

enum class ClientFault : uint8_t {
  kNone,
  kConnect,         // no address could be connected to; nothing was sent
  kTimeout,         // no reply in time
  kConnectionLost,  // the connection ended before the reply
  kHeldTooMuch,     // a bound of the client: replies that nobody awaits, or unsent requests
  kRefused,         // the server answered with `status`
  kProtocol,        // the other end does not speak the pakv protocol, or breaks it
};

struct [[nodiscard]] ClientError {
  ClientFault fault = ClientFault::kNone;
  PakvStatus status = PakvStatus::kOk;  // of kRefused
  // The request may have taken effect: it was sent, or could have been, and nothing was learnt.
  bool outcome_unknown = false;
  std::string text;
  std::optional<size_t> operation = std::nullopt;  // of a batch: the place of the one it is about

  bool ok() const { return fault == ClientFault::kNone; }
};

// A value, or the error that stands in its place.
template <typename T>
class [[nodiscard]] ClientResult {
 public:
  ClientResult(T value) : value_(std::move(value)) {}           // NOLINT: as StatusOr
  ClientResult(ClientError error) : error_(std::move(error)) {  // NOLINT
    PAKV_CHECK(!error_.ok());
  }

  bool ok() const { return error_.ok(); }
  const ClientError& error() const { return error_; }
  T& value() {
    PAKV_CHECK(ok());
    return *value_;
  }
  const T& value() const {
    PAKV_CHECK(ok());
    return *value_;
  }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  T& operator*() { return value(); }
  const T& operator*() const { return value(); }

 private:
  ClientError error_;
  std::optional<T> value_;
};

}  // namespace pakv
