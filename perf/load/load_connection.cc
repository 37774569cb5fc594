#include "perf/load/load_connection.h"

#include <cstring>
#include <utility>

#include "runtime/base/check.h"

namespace pakv {
namespace {

constexpr std::string_view kSetHead = "*3\r\n$3\r\nSET\r\n$16\r\nkey:";
constexpr std::string_view kGetHead = "*2\r\n$3\r\nGET\r\n$16\r\nkey:";
constexpr std::string_view kGetTail = "\r\n";
constexpr int kKeyDigits = 12;

}  // namespace

LoadConnection::Receive::Receive(LoadConnection& connection_in)
    : Receiver([](Completion& self) { static_cast<Receive&>(self).connection.TakeReceived(); }),
      connection(connection_in) {}

LoadConnection::LoadConnection(Core& core, const LoadPlan& plan, uint64_t seed, LoadResult& result,
                               Listener& listener)
    : core_(core),
      plan_(plan),
      result_(result),
      listener_(listener),
      prng_(seed),
      draw_(plan.draw, plan.keys),
      set_tail_("\r\n$" + std::to_string(plan.value_bytes) + "\r\n" +
                std::string(plan.value_bytes, 'x') + "\r\n"),
      receive_(*this),
      received_all_(core.ready()),
      parser_({.bulk_bytes_max = size_t{1} << 30, .elements_max = 1, .depth_max = 1}),
      composed_some_(core.ready()),
      nursery_(core.ready()) {}

LoadConnection::~LoadConnection() { PAKV_CHECK(!connected_, "a connection was not stopped"); }

Task<IoResult> LoadConnection::Connect(std::string address) {
  const IoResult opened = co_await Socket::Connect(core_.io(), address.c_str());
  if (!opened.ok()) co_return opened;
  socket_ = Socket(core_.io(), core_.ring().Adopt(Handle{opened.value()}));
  connected_ = true;
  receive_.handle = socket_.handle();
  core_.ring().SubmitReceive(receive_);
  nursery_.Spawn(SendLoop());
  co_return IoResult(0);
}

Task<void> LoadConnection::Stop() {
  if (!connected_) co_return;
  if (unanswered_ > 0) Break("requests were not answered in time");
  stopping_ = true;
  composed_some_.Set();
  // Ends a send and a receive that are still in flight.
  static_cast<void>(co_await socket_.Shutdown());
  co_await nursery_.Join();
  if (receive_.in_flight) co_await received_all_.Wait();
  static_cast<void>(co_await socket_.Close());
  connected_ = false;
}

void LoadConnection::Compose(uint64_t planned_ns, uint32_t count) {
  if (broken_) {
    result_.AddErrors(count, "the connection is broken");
    return;
  }
  const uint64_t now_ns = core_.now_ns();
  result_.lateness_ns.Record(now_ns > planned_ns ? now_ns - planned_ns : 0, count);
  for (uint32_t i = 0; i < count; ++i) {
    const bool is_get = prng_.Chance(plan_.gets, uint64_t{plan_.sets} + plan_.gets);
    AppendRequest(is_get);
    if (sent_.empty() || sent_.back().is_get != is_get || sent_.back().planned_ns != planned_ns) {
      sent_.push_back({planned_ns, 0, is_get});
    }
    ++sent_.back().count;
  }
  unanswered_ += count;
  composed_some_.Set();
}

void LoadConnection::AppendRequest(bool is_get) {
  const std::string_view head = is_get ? kGetHead : kSetHead;
  const std::string_view tail = is_get ? kGetTail : std::string_view(set_tail_);
  char* at = composed_.Reserve(head.size() + kKeyDigits + tail.size());
  std::memcpy(at, head.data(), head.size());
  at += head.size();
  uint64_t key = draw_.Next(prng_);
  for (int digit = kKeyDigits - 1; digit >= 0; --digit) {
    at[digit] = static_cast<char>('0' + key % 10);
    key /= 10;
  }
  at += kKeyDigits;
  std::memcpy(at, tail.data(), tail.size());
  composed_.Commit(at + tail.size());
}

Task<void> LoadConnection::SendLoop() {
  while (!stopping_) {
    co_await composed_some_.Wait();
    composed_some_.Reset();
    sending_.Swap(composed_);
    size_t begin = 0;
    while (begin < sending_.size()) {
      const IoResult sent = co_await socket_.Send(sending_.data() + begin,
                                                  static_cast<uint32_t>(sending_.size() - begin));
      if (!sent.ok()) {
        Break("send: " + sent.text());
        co_return;
      }
      begin += sent.count();
    }
    sending_.Clear();
    if (!composed_.empty() || stopping_) composed_some_.Set();
  }
}

void LoadConnection::TakeReceived() {
  while (!receive_.received.empty()) {
    ReceivedBuffer& buffer = receive_.received.PopFront();
    if (!broken_) TakeBytes(buffer.view());
    core_.ring().ReturnBuffer(buffer);
  }
  if (!receive_.in_flight) {
    if (receive_.end.error() == ENOBUFS && !stopping_) {
      core_.ring().SubmitReceive(receive_);
    } else {
      if (!stopping_) {
        Break(receive_.end.ok() ? "the server closed the connection"
                                : "receive: " + receive_.end.text());
      }
      received_all_.Set();
    }
  }
  listener_.OnReplies(*this);
}

void LoadConnection::TakeBytes(std::string_view bytes) {
  if (held_.empty()) {
    if (TakeReplies(bytes)) held_ = bytes;
    return;
  }
  held_ += bytes;
  std::string_view all = held_;
  if (TakeReplies(all)) held_.erase(0, held_.size() - all.size());
}

bool LoadConnection::TakeReplies(std::string_view& bytes) {
  while (true) {
    switch (parser_.Next(bytes, reply_)) {
      case RespReplyParser::Status::kPartial:
        return true;
      case RespReplyParser::Status::kError:
        Break(parser_.error());
        return false;
      case RespReplyParser::Status::kReply:
        if (sent_.empty()) {
          result_.AddErrors(1, "a reply that nothing asked for");
          Break("a reply that nothing asked for");
          return false;
        }
        TakeReply();
        break;
    }
  }
}

void LoadConnection::TakeReply() {
  Sent& sent = sent_.front();
  const uint64_t now_ns = core_.now_ns();
  if (reply_.IsError()) {
    result_.AddErrors(1, reply_.text);
  } else if (!sent.is_get) {
    if (reply_.type == RespValue::Type::kSimple && reply_.text == "OK") {
      ++result_.sets;
    } else {
      result_.AddErrors(1, "SET was answered by something else than OK");
    }
  } else if (reply_.type == RespValue::Type::kNull) {
    ++result_.misses;
  } else if (reply_.type == RespValue::Type::kBulk && reply_.text.size() == plan_.value_bytes) {
    ++result_.hits;
  } else {
    result_.AddErrors(1, "GET was answered by a value of another length");
  }
  // The pass began after the reply had come, and requests planned for this pass cannot be answered
  // before it.
  const uint64_t latency_ns = now_ns > sent.planned_ns ? now_ns - sent.planned_ns : 0;
  result_.latency_ns.Record(latency_ns);
  (sent.is_get ? result_.get_latency_ns : result_.set_latency_ns).Record(latency_ns);
  result_.last_reply_ns = now_ns;
  --unanswered_;
  if (--sent.count == 0) sent_.pop_front();
}

void LoadConnection::Break(std::string_view why) {
  if (broken_) return;
  broken_ = true;
  result_.AddErrors(unanswered_, why);
  unanswered_ = 0;
  sent_.clear();
}

}  // namespace pakv
