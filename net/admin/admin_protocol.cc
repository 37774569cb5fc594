#include "net/admin/admin_protocol.h"

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <string_view>

#include "net/admin/http.h"
#include "net/admin/metrics.h"
#include "net/session/protocol.h"
#include "net/session/session.h"
#include "runtime/core/process_usage.h"

namespace pakv {
namespace {

constexpr std::string_view kMethods = "GET, HEAD";

enum class Page : uint8_t { kNone, kHealth, kReady, kMetrics };

Page PageOf(std::string_view path) {
  if (path == "/healthz") return Page::kHealth;
  if (path == "/readyz") return Page::kReady;
  if (path == "/metrics") return Page::kMetrics;
  return Page::kNone;
}

class AdminProtocol final : public Protocol {
 public:
  AdminProtocol(Session& session, AdminServer& server) : session_(session), server_(server) {}

  Progress Consume(std::string_view& input) override;
  Task<void> RunSlow() override;
  size_t frame_bytes_min() const override { return reader_.bytes_min(); }
  bool in_frame() const override { return reader_.in_request(); }
  bool finished() const override { return close_; }
  void SayGoodbye(ProtocolEnd end) override;

 private:
  // True: it was answered; false: it has to ask the cores first (slow_).
  bool Run(const HttpRequest& request);
  void Reply(HttpResponse response);
  void ReplyText(HttpStatus status, std::string_view text);

  Session& session_;
  AdminServer& server_;
  HttpRequestReader reader_;
  // Of the request that is being answered.
  Page slow_ = Page::kNone;
  bool without_body_ = false;
  bool close_ = false;
};

void AdminProtocol::Reply(HttpResponse response) {
  response.without_body = without_body_;
  response.close = close_;
  WriteHttpResponse(session_.OpenReply(), response);
  session_.CloseReply();
}

void AdminProtocol::ReplyText(HttpStatus status, std::string_view text) {
  const std::string line = fmt::format("{}\n", text);
  HttpResponse response;
  response.status = status;
  response.body = line;
  Reply(response);
}

void AdminProtocol::SayGoodbye(ProtocolEnd end) {
  switch (end) {
    case ProtocolEnd::kRequestTimeout:
      close_ = true;
      without_body_ = false;
      ReplyText(HttpStatus::kRequestTimeout, "the request was not complete in time");
      break;
    case ProtocolEnd::kProtocol:
    case ProtocolEnd::kTooSlow:  // none is so long
    case ProtocolEnd::kIdleTimeout:
    case ProtocolEnd::kStopping:
      break;  // HTTP has no response without a request
  }
}

Protocol::Progress AdminProtocol::Consume(std::string_view& input) {
  while (session_.MayStart()) {
    HttpRequest request;
    switch (reader_.Next(input, request)) {
      case HttpRequestReader::Status::kRequest:
        session_.CountRequest();
        if (!Run(request)) return Progress::kSlow;
        if (close_) return Progress::kClose;
        break;
      case HttpRequestReader::Status::kPartial:
        return Progress::kInput;
      case HttpRequestReader::Status::kError:
        session_.NoteProtocolError(reader_.error());
        close_ = true;
        without_body_ = false;
        ReplyText(reader_.status(), reader_.error());
        return Progress::kClose;
    }
  }
  return Progress::kRoom;
}

bool AdminProtocol::Run(const HttpRequest& request) {
  close_ = !request.keep_alive;
  without_body_ = request.method == "HEAD";
  const Page page = PageOf(request.path);
  if (page == Page::kNone) {
    ReplyText(HttpStatus::kNotFound, "there are /healthz, /readyz and /metrics");
    return true;
  }
  if (request.method != "GET" && request.method != "HEAD") {
    HttpResponse response;
    response.status = HttpStatus::kMethodNotAllowed;
    response.allow = kMethods;
    response.body = "the methods are GET and HEAD\n";
    Reply(response);
    return true;
  }
  if (page == Page::kHealth) {
    ReplyText(HttpStatus::kOk, "ok");
    return true;
  }
  slow_ = page;
  return false;
}

Task<void> AdminProtocol::RunSlow() {
  const ServerStats stats = co_await server_.stats(session_.core());
  if (slow_ == Page::kMetrics) {
    const std::optional<ProcessUsage> process = co_await AskProcessUsage(session_.core());
    const std::string page = PrometheusPage(stats, process, server_.version);
    HttpResponse response;
    response.content_type = kMetricsContentType;
    response.body = page;
    Reply(response);
    co_return;
  }
  const std::string_view reason = ReasonNotReady(stats, server_.phase());
  if (reason.empty()) {
    ReplyText(HttpStatus::kOk, "ready");
  } else {
    ReplyText(HttpStatus::kServiceUnavailable, reason);
  }
}

}  // namespace

std::unique_ptr<Protocol> MakeAdminProtocol(Session& session, AdminServer& server) {
  return std::make_unique<AdminProtocol>(session, server);
}

}  // namespace pakv
