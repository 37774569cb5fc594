// A server that follows a script: a thread that accepts one connection at a time on loopback and
// reads and writes frames of the pakv protocol as it is told, right or wrong, whole or in pieces.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "net/pakv/codec.h"

namespace pakv {

struct ScriptedRequest {
  PakvType type = PakvType::kNone;
  uint64_t id = 0;
  std::string key;
  std::string value;
  uint64_t options = 0;
  uint64_t condition = 0;
  uint64_t version = 0;
  uint64_t limit = 0;
  std::string prefix;
  std::string cursor;
  std::string name;
  int64_t number = 0;
  uint64_t namespace_id = 0;
  std::vector<std::string> operations;  // "17 key=a value=1 ttl=5"
};

// The server's end of one connection.
class ScriptedPeer {
 public:
  explicit ScriptedPeer(int socket) : socket_(socket) {
    const int on = 1;
    setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  ~ScriptedPeer() { close(socket_); }

  // Nothing: the client has closed.
  std::optional<ScriptedRequest> Read() {
    while (true) {
      std::string_view view = input_;
      PakvFrame frame;
      const auto status = reader_.Next(view, frame);
      if (status == PakvFrameReader::Status::kFrame) {
        PakvFields fields;
        EXPECT_EQ(DecodePakvRequest(frame, fields), PakvStatus::kOk);
        ScriptedRequest request;
        request.type = frame.type;
        request.id = frame.id;
        request.key = fields.Bytes(PakvField::kKey);
        request.value = fields.Bytes(PakvField::kValue);
        request.options = fields.Number(PakvField::kOptions);
        request.condition = fields.Number(PakvField::kCondition);
        request.version = fields.Number(PakvField::kIfVersion);
        request.limit = fields.Number(PakvField::kLimit);
        request.prefix = fields.Bytes(PakvField::kPrefix);
        request.cursor = fields.Bytes(PakvField::kCursor);
        request.name = fields.Bytes(PakvField::kName);
        request.namespace_id = fields.Number(PakvField::kNamespace);
        request.number = static_cast<int64_t>(fields.Number(PakvField::kNumber));
        PakvEntryReader entries(fields.entries());
        PakvFields entry;
        while (entries.Next(entry)) request.operations.push_back(OperationText(entry));
        input_.erase(0, input_.size() - view.size());
        return request;
      }
      EXPECT_EQ(status, PakvFrameReader::Status::kPartial) << reader_.error();
      input_.erase(0, input_.size() - view.size());
      char buffer[65536];
      const ssize_t bytes = recv(socket_, buffer, sizeof buffer, 0);
      if (bytes <= 0 || status != PakvFrameReader::Status::kPartial) return std::nullopt;
      input_.append(buffer, static_cast<size_t>(bytes));
    }
  }
  void ReadToEnd() {
    while (Read()) {
    }
  }

  // False: the client has gone.
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  // Reads the client's greeting and answers it.
  void Greet(uint64_t frame_bytes_max = uint64_t{16} << 20) {
    const auto hello = Read();
    ASSERT_TRUE(hello && hello->type == PakvType::kHello);
    Send(Frame(PakvType::kHello, hello->id, PakvStatus::kOk, [&](PakvWriter& writer) {
      writer.Number(PakvField::kVersionMin, 1);
      writer.Number(PakvField::kVersionMax, 1);
      writer.Number(PakvField::kFrameBytesMax, frame_bytes_max);
      writer.Number(PakvField::kKeyBytesMax, 65536);
      writer.Number(PakvField::kValueBytesMax, 1 << 20);
      writer.Number(PakvField::kInFlightMax, 1024);
      writer.Number(PakvField::kSession, 1);
    }));
  }

  template <typename Fill>
  static std::string Frame(PakvType type, uint64_t id, PakvStatus status, const Fill& fill) {
    OutputBuffer output;
    PakvWriter writer(output, type, id, status);
    fill(writer);
    writer.Finish();
    return std::string(output.view());
  }
  static std::string Value(uint64_t id, std::string_view value, uint64_t lsn = 1) {
    return Frame(PakvType::kGet, id, PakvStatus::kOk, [&](PakvWriter& writer) {
      writer.Number(PakvField::kLsn, lsn);
      writer.Bytes(PakvField::kValue, value);
    });
  }
  static std::string Error(PakvType type, uint64_t id, PakvStatus status, std::string_view text) {
    OutputBuffer output;
    WritePakvError(output, type, id, status, text);
    return std::string(output.view());
  }

 private:
  static std::string OperationText(const PakvFields& entry) {
    std::string text = std::to_string(entry.Number(PakvField::kOperation)) +
                       " key=" + std::string(entry.Bytes(PakvField::kKey));
    if (entry.Has(PakvField::kValue)) {
      text += " value=" + std::string(entry.Bytes(PakvField::kValue));
    }
    const struct {
      PakvField field;
      const char* name;
    } kNumbers[] = {{PakvField::kCondition, "condition"},
                    {PakvField::kIfVersion, "if-version"},
                    {PakvField::kTtlMs, "ttl"},
                    {PakvField::kOptions, "options"},
                    {PakvField::kNumber, "number"}};
    for (const auto& [field, name] : kNumbers) {
      if (!entry.Has(field)) continue;
      const auto number = static_cast<int64_t>(entry.Number(field));
      text += " " + std::string(name) + "=" + std::to_string(number);
    }
    return text;
  }

  const int socket_;
  PakvFrameReader reader_{PakvReads::kRequests, size_t{64} << 20};
  std::string input_;
};

// Runs `script` on each of `connections` connections, one after the other.
class ScriptedServer {
 public:
  using Script = std::function<void(ScriptedPeer&)>;
  explicit ScriptedServer(Script script, int connections = 1) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(bind(listener_, generic, length), 0);
    EXPECT_EQ(listen(listener_, 16), 0);
    EXPECT_EQ(getsockname(listener_, generic, &length), 0);
    address_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    thread_ = std::thread([this, connections, script = std::move(script)] {
      for (int i = 0; i < connections; ++i) {
        const int accepted = accept(listener_, nullptr, nullptr);
        if (accepted < 0) return;
        ScriptedPeer peer(accepted);
        script(peer);
      }
    });
  }
  // Waits for the script's end.
  ~ScriptedServer() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }

  const std::string& address() const { return address_; }

 private:
  int listener_ = -1;
  std::string address_;
  std::thread thread_;
};

}  // namespace pakv
