// Long because: what a request waits for, and what ends it, is seen where it is sent and received.
#include "net/client/connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <utility>

#include "net/options/limits.h"
#include "runtime/base/check.h"

namespace pakv {
namespace {

// Memory that an idle connection keeps for sending, and for frames that come in pieces.
constexpr size_t kKeptBytes = 64 * 1024;
// What a server is believed to take before its hello says.
constexpr size_t kHelloFrameBytesMax = 4096;

bool IsWrite(PakvType type) {
  return type == PakvType::kSet || type == PakvType::kDelete || type == PakvType::kIncr ||
         type == PakvType::kBatch || type == PakvType::kFlush;
}

ClientReply ToReply(const PakvFrame& frame, const PakvFields& fields) {
  ClientReply reply;
  reply.status = frame.status;
  reply.lsn = fields.Number(PakvField::kLsn);
  if (fields.Has(PakvField::kTtlMs)) reply.ttl_ms = fields.Number(PakvField::kTtlMs);
  if (fields.Has(PakvField::kNumber)) {
    reply.number = static_cast<int64_t>(fields.Number(PakvField::kNumber));
  }
  reply.namespace_id = fields.Number(PakvField::kNamespace);
  reply.frame_bytes_max = fields.Number(PakvField::kFrameBytesMax);
  reply.key_bytes_max = fields.Number(PakvField::kKeyBytesMax);
  reply.expires_at_ms = fields.Number(PakvField::kExpiresAtMs);
  reply.total_bytes = fields.Number(PakvField::kTotalBytes);
  if (fields.Has(PakvField::kValue)) reply.value = fields.Bytes(PakvField::kValue);
  if (fields.Has(PakvField::kOldValue)) reply.old_value = fields.Bytes(PakvField::kOldValue);
  reply.cursor = fields.Bytes(PakvField::kCursor);
  reply.text = fields.Bytes(PakvField::kText);
  PakvEntryReader entries(fields.entries());
  PakvFields entry;
  while (entries.Next(entry)) {
    ClientReply::Entry& added = reply.entries.emplace_back();
    added.key = entry.Bytes(entry.Has(PakvField::kName) ? PakvField::kName : PakvField::kKey);
    added.number = static_cast<int64_t>(entry.Number(PakvField::kNumber));
    added.text = entry.Bytes(PakvField::kText);
    added.lsn = entry.Number(PakvField::kLsn);
    added.expires_at_ms = entry.Number(PakvField::kExpiresAtMs);
    added.total_bytes = entry.Number(PakvField::kTotalBytes);
    added.value = entry.Bytes(PakvField::kValue);
    added.status = static_cast<PakvStatus>(entry.Number(PakvField::kStatus));
    if (entry.Has(PakvField::kTtlMs)) added.ttl_ms = entry.Number(PakvField::kTtlMs);
    if (entry.Has(PakvField::kOldValue)) added.old_value = entry.Bytes(PakvField::kOldValue);
  }
  return reply;
}

}  // namespace

// From Start until its reply has come and been taken.
struct ClientConnection::PendingRequest : Timer {
  PendingRequest(ClientConnection& connection_in, uint64_t id_in, PakvType type_in,
                 bool is_write_in)
      : Timer([](Timer& self) {
          auto& request = static_cast<PendingRequest&>(self);
          ClientConnection& owner = request.connection;
          const uint64_t ms = owner.options_.request_timeout_ns / kNsPerMs;
          owner.SettleWithError(request, ClientFault::kTimeout,
                                fmt::format("{}: no reply within {} ms", owner.address_, ms));
        }),
        connection(connection_in),
        id(id_in),
        type(type_in),
        is_write(is_write_in),
        settled(connection_in.core_.ready()),
        part_came(connection_in.core_.ready()) {}

  struct Part {
    ClientReply reply;
    size_t bytes = 0;
  };

  ClientConnection& connection;
  const uint64_t id;
  const PakvType type;
  bool is_write;
  bool answered = false;  // nothing will come from the wire any more
  bool taken = false;     // awaited to its end, or discarded: nobody wants what comes
  bool awaited = false;   // somebody waits
  size_t held_bytes = 0;  // counted in held_bytes_
  Event settled;          // `reply` or `error` is there
  ClientReply reply;
  ClientError error;
  bool takes_parts = false;
  std::deque<Part> parts;  // that were not taken yet
  Event part_came;         // or it is settled
};

struct ClientConnection::SocketReceiver : Receiver {
  explicit SocketReceiver(Event& news_in)
      : Receiver([](Completion& self) { static_cast<SocketReceiver&>(self).news.Set(); }),
        news(news_in) {}
  Event& news;
};

// co_await PassEnd(core): goes on when all that is ready in this pass has run.
class ClientConnection::PassEnd {
 public:
  explicit PassEnd(Core& core) : core_(core) {}
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    waiter_.set_handle(handle);
    core_.AtPassEnd(waiter_);
  }
  void await_resume() const {}

 private:
  Core& core_;
  Waiter waiter_;
};

ClientConnection::ClientConnection(Core& core, const ConnectionOptions& options)
    : core_(core),
      options_(options),
      frame_bytes_max_(kHelloFrameBytesMax),
      reader_(PakvReads::kReplies, options.reply_bytes_max),
      news_(core.ready()),
      receiver_(std::make_unique<SocketReceiver>(news_)),
      output_ready_(core.ready()),
      room_(core.ready()),
      nursery_(core.ready()) {
  error_.fault = ClientFault::kConnectionLost;
  error_.text = "not connected";
}

ClientConnection::~ClientConnection() { PAKV_CHECK(!socket_.valid(), "Close() was not awaited"); }

Task<ClientError> ClientConnection::Open(std::string address, uint64_t deadline_ns) {
  PAKV_CHECK(address_.empty(), "a connection is opened once");
  address_ = std::move(address);
  IoAwaiter connect = Socket::Connect(core_.io(), address_.c_str());
  connect.WithDeadline(deadline_ns);
  const IoResult connected = co_await connect;
  error_ = ClientError();
  if (!connected.ok()) {
    const bool late = connected.error() == ETIME;
    Fail(ClientFault::kConnect, late ? "no answer in time" : connected.text());
    co_return error_;
  }
  socket_ = Socket(core_.io(), core_.ring().Adopt(Handle{connected.value()}));
  receiver_->handle = socket_.handle();
  core_.ring().SubmitReceive(*receiver_);
  nursery_.Spawn(ReadLoop());
  nursery_.Spawn(WriteLoop());

  const uint64_t id = Start(PakvType::kHello, [&](PakvWriter& writer) {
    writer.Number(PakvField::kVersionMin, kPakvVersion);
    writer.Number(PakvField::kVersionMax, kPakvVersion);
    if (!options_.software.empty()) writer.Bytes(PakvField::kSoftware, options_.software);
  });
  if (const auto found = requests_.find(id); found != requests_.end()) {
    found->second->Arm(core_.timers(), deadline_ns);
  }
  ClientResult<ClientReply> hello = co_await Await(id);
  if (!hello.ok()) {
    if (hello.error().fault == ClientFault::kTimeout) {
      Fail(ClientFault::kConnect, "no answer to the greeting in time; is it a pakvd?");
    }
    co_return error_.ok() ? hello.error() : error_;
  }
  if (hello->status != PakvStatus::kOk) {
    Fail(ClientFault::kRefused,
         hello->text.empty() ? std::string(PakvName(hello->status)) : hello->text, hello->status);
    co_return error_;
  }
  frame_bytes_max_ = static_cast<size_t>(hello->frame_bytes_max);
  const size_t beside = static_cast<size_t>(hello->key_bytes_max) + kPakvFrameOverheadBytes;
  whole_value_bytes_max_ = frame_bytes_max_ > beside ? frame_bytes_max_ - beside : 0;
  co_return ClientError();
}

uint64_t ClientConnection::Prepare(PakvType type, std::optional<bool> is_write) {
  const uint64_t id = next_id_++;
  auto request =
      std::make_unique<PendingRequest>(*this, id, type, is_write.value_or(IsWrite(type)));
  PendingRequest& prepared = *request;
  requests_.emplace(id, std::move(request));
  if (!error_.ok()) {
    prepared.error = error_;
    Settle(prepared);
  } else if (options_.request_timeout_ns > 0) {
    prepared.Arm(core_.timers(), core_.now_ns() + options_.request_timeout_ns);
  }
  return id;
}

void ClientConnection::Started(uint64_t id, size_t begin) {
  PendingRequest& request = *requests_.find(id)->second;
  const size_t frame_bytes = output_.size() - begin;
  const bool is_batch = request.type == PakvType::kBatch;
  const size_t bytes_max = is_batch ? kPakvBatchFrameBytesMax : frame_bytes_max_;
  const bool is_too_large = frame_bytes > bytes_max;
  if (is_too_large || output_.size() + sending_.size() > options_.unsent_bytes_max) {
    output_.Truncate(begin);
    request.answered = true;
    if (is_too_large) {
      request.error.fault = ClientFault::kRefused;
      request.error.status = is_batch ? PakvStatus::kBatchTooLarge : PakvStatus::kFrameTooLarge;
      request.error.text =
          fmt::format("the request has {} bytes, the server takes {}", frame_bytes, bytes_max);
    } else {
      request.error.fault = ClientFault::kHeldTooMuch;
      request.error.text = "too many requests wait to be sent";
    }
    Settle(request);
    return;
  }
  output_ready_.Set();
}

Task<ClientResult<ClientReply>> ClientConnection::Await(uint64_t id) {
  const auto found = requests_.find(id);
  PAKV_CHECK(found != requests_.end() && !found->second->taken && !found->second->awaited,
             "a request is awaited once, or discarded");
  PendingRequest& request = *found->second;
  request.awaited = true;
  if (!request.settled.is_set() && IsPaused()) FailAwaited();
  co_await request.settled.Wait();
  request.taken = true;
  ClientError error = std::move(request.error);
  ClientReply reply = std::move(request.reply);
  if (request.answered) Erase(request);
  if (!error.ok()) co_return error;
  co_return reply;
}

// ---- Replies in parts ----

void ClientConnection::TakeParts(uint64_t id) { requests_.find(id)->second->takes_parts = true; }

void ClientConnection::AddPart(PendingRequest& request, ClientReply reply, size_t bytes) {
  request.Disarm();  // the time of whoever awaits counts
  request.parts.push_back({std::move(reply), bytes});
  part_bytes_ += bytes;
  request.part_came.Set();
}

Task<ClientResult<ClientReply>> ClientConnection::AwaitPart(uint64_t id) {
  const auto found = requests_.find(id);
  PAKV_CHECK(found != requests_.end() && !found->second->taken && !found->second->awaited,
             "a part is awaited by one at a time, until the end");
  PendingRequest& request = *found->second;
  if (request.parts.empty() && !request.settled.is_set()) {
    request.awaited = true;
    if (IsPaused()) FailAwaited();
    if (options_.request_timeout_ns > 0) {
      request.Arm(core_.timers(), core_.now_ns() + options_.request_timeout_ns);
    }
    while (request.parts.empty() && !request.settled.is_set()) {
      request.part_came.Reset();
      co_await request.part_came.Wait();
    }
    request.awaited = false;
  }
  if (!request.parts.empty()) {
    PendingRequest::Part part = std::move(request.parts.front());
    request.parts.pop_front();
    part_bytes_ -= part.bytes;
    if (!IsFull()) news_.Set();
    co_return std::move(part.reply);
  }
  request.taken = true;
  ClientError error = std::move(request.error);
  ClientReply reply = std::move(request.reply);
  if (request.answered) Erase(request);
  if (!error.ok()) co_return error;
  co_return reply;
}

// ---- Requests in pieces ----

uint64_t ClientConnection::OpenPieces() {
  // Without its last piece it changes nothing.
  const uint64_t id = Prepare(PakvType::kSet, /*is_write=*/false);
  // Its time begins when all of it is there.
  requests_.find(id)->second->Disarm();
  return id;
}

void ClientConnection::SendPiece(uint64_t id, std::string_view piece, uint64_t total_bytes) {
  if (!error_.ok()) return;
  PakvWriter writer(output_, PakvType::kSet, id);
  writer.SetMore();
  if (total_bytes != 0) writer.Number(PakvField::kTotalBytes, total_bytes);
  writer.Bytes(PakvField::kValue, piece);
  writer.Finish();
  output_ready_.Set();
}

void ClientConnection::SentLast(uint64_t id) {
  output_ready_.Set();
  PendingRequest& request = *requests_.find(id)->second;
  request.is_write = true;
  if (request.settled.is_set() || options_.request_timeout_ns == 0) return;
  request.Arm(core_.timers(), core_.now_ns() + options_.request_timeout_ns);
}

bool ClientConnection::IsSettled(uint64_t id) const {
  return requests_.find(id)->second->settled.is_set();
}

Task<void> ClientConnection::UnsentBelow(uint64_t id, size_t bytes) {
  PendingRequest& request = *requests_.find(id)->second;
  if (request.settled.is_set() || unsent_bytes() <= bytes) co_return;
  if (options_.request_timeout_ns > 0) {
    request.Arm(core_.timers(), core_.now_ns() + options_.request_timeout_ns);
  }
  while (!request.settled.is_set() && unsent_bytes() > bytes) {
    room_.Reset();
    co_await room_.Wait();
  }
  request.Disarm();
}

// ---- Their end ----

void ClientConnection::Discard(uint64_t id) {
  const auto found = requests_.find(id);
  PAKV_CHECK(found != requests_.end() && !found->second->taken && !found->second->awaited,
             "a request is awaited once, or discarded");
  PendingRequest& request = *found->second;
  request.taken = true;
  request.Disarm();
  for (const PendingRequest::Part& part : request.parts) part_bytes_ -= part.bytes;
  request.parts.clear();
  news_.Set();
  if (request.answered) Erase(request);
}

void ClientConnection::Erase(PendingRequest& request) {
  const bool was_paused = IsPaused();
  held_bytes_ -= request.held_bytes;
  if (was_paused && !IsPaused()) news_.Set();
  requests_.erase(request.id);
}

void ClientConnection::Settle(PendingRequest& request) {
  request.Disarm();
  request.settled.Set();
  request.part_came.Set();
  room_.Set();
}

void ClientConnection::SettleWithError(PendingRequest& request, ClientFault fault,
                                       std::string text) {
  if (request.settled.is_set()) return;
  request.error.fault = fault;
  request.error.text = std::move(text);
  request.error.outcome_unknown = request.is_write;
  Settle(request);
}

void ClientConnection::FailAwaited() {
  for (const auto& [id, request] : requests_) {
    if (!request->awaited) continue;
    SettleWithError(*request, ClientFault::kHeldTooMuch,
                    "replies that nobody has taken fill the memory that they may have");
  }
}

void ClientConnection::Fail(ClientFault fault, std::string text, PakvStatus status) {
  if (!error_.ok()) return;
  error_.fault = fault;
  error_.status = status;
  error_.text = address_ + ": " + std::move(text);
  output_.Clear(0);
  for (auto each = requests_.begin(); each != requests_.end();) {
    PendingRequest& request = *each->second;
    request.answered = true;
    if (request.taken) {
      each = requests_.erase(each);
      continue;
    }
    if (!request.settled.is_set()) {
      request.error = error_;
      request.error.outcome_unknown = request.is_write;
      Settle(request);
    }
    ++each;
  }
  room_.Set();
  lost_.RequestStop();
}

Task<void> ClientConnection::WriteLoop() {
  while (true) {
    co_await output_ready_.Wait();
    output_ready_.Reset();
    if (closing_) co_return;
    // Requests that are started in this pass leave together.
    co_await PassEnd(core_);
    sending_.Swap(output_);
    sent_bytes_ = 0;
    while (error_.ok() && sent_bytes_ < sending_.size()) {
      const size_t bytes = std::min<size_t>(sending_.size() - sent_bytes_, INT32_MAX);
      ++sends_;
      const IoResult sent =
          co_await socket_.Send(sending_.data() + sent_bytes_, static_cast<uint32_t>(bytes));
      if (!sent.ok()) {
        Fail(ClientFault::kConnectionLost, sent.text());
        break;
      }
      sent_bytes_ += sent.count();
      room_.Set();
    }
    sending_.Clear(kKeptBytes);
    sent_bytes_ = 0;
    room_.Set();
    if (!output_.empty()) output_ready_.Set();
  }
}

Task<void> ClientConnection::ReadLoop() {
  Ring& ring = core_.ring();
  while (true) {
    // Also when it rests: other connections of the core need the ring's buffers.
    while (!receiver_->received.empty()) {
      ReceivedBuffer& buffer = receiver_->received.PopFront();
      if (closing_ || !error_.ok()) {
        aside_.clear();
      } else if (!aside_.empty() || IsPaused() || IsFull()) {
        aside_.append(buffer.view());
      } else {
        Receive(buffer.view());
      }
      ring.ReturnBuffer(buffer);
    }
    while (!aside_.empty() && !closing_ && error_.ok() && !IsPaused() && !IsFull()) {
      const std::string piece = aside_.substr(0, kKeptBytes);
      aside_.erase(0, piece.size());
      Receive(piece);
    }
    if ((IsPaused() || IsFull()) && !closing_) {
      if (IsPaused()) FailAwaited();
      if (receiver_->in_flight) ring.RequestCancel(*receiver_);
    } else if (!receiver_->in_flight) {
      if (closing_) co_return;
      const int32_t why = receiver_->end.error();
      if (why == ENOBUFS || why == ECANCELED) {
        ring.SubmitReceive(*receiver_);
      } else if (error_.ok()) {
        Fail(ClientFault::kConnectionLost,
             why == 0 ? "the server closed the connection" : receiver_->end.text());
      }
    }
    co_await news_.Wait();
    news_.Reset();
  }
}

void ClientConnection::Receive(std::string_view bytes) {
  if (partial_.empty()) {
    TakeFrames(bytes);
    partial_.reserve(bytes.empty() ? 0 : reader_.frame_bytes_min());
    partial_.append(bytes);
    receive_buffer_bytes_peak_ = std::max(receive_buffer_bytes_peak_, partial_.capacity());
    return;
  }
  partial_.append(bytes);
  receive_buffer_bytes_peak_ = std::max(receive_buffer_bytes_peak_, partial_.capacity());
  std::string_view input = partial_;
  TakeFrames(input);
  if (input.empty() && partial_.capacity() > kKeptBytes) {
    partial_ = std::string();
  } else {
    partial_.erase(0, partial_.size() - input.size());
  }
}

void ClientConnection::TakeFrames(std::string_view& input) {
  while (error_.ok()) {
    PakvFrame frame;
    switch (reader_.Next(input, frame)) {
      case PakvFrameReader::Status::kFrame:
        TakeFrame(frame);
        break;
      case PakvFrameReader::Status::kPartial: {
        // A reply that nobody wants is not gathered.
        const PakvFrame* const header = reader_.partial();
        if (header == nullptr) return;
        const auto found = requests_.find(header->id);
        if (found == requests_.end() || !found->second->taken) return;
        if (header->status != PakvStatus::kPart) Erase(*found->second);
        reader_.SkipPartial(input);
        return;
      }
      case PakvFrameReader::Status::kRefused: {
        PendingRequest* const request = FindRequest(frame.id);
        if (request == nullptr) return;
        request->answered = frame.status != PakvStatus::kPart;
        SettleWithError(*request, ClientFault::kProtocol,
                        fmt::format("{}: the reply cannot be taken: {}", address_,
                                    PakvName(reader_.refusal())));
        if (request->taken && request->answered) Erase(*request);
        break;
      }
      case PakvFrameReader::Status::kError:
        return FailUnreadable(input);
    }
  }
}

void ClientConnection::FailUnreadable(std::string_view input) {
  if (frame_bytes_max_ != kHelloFrameBytesMax) {
    return Fail(ClientFault::kProtocol, std::string(reader_.error()));
  }
  // No greeting yet. A server turns connections away before it knows which protocol they speak.
  if (input.starts_with(kTooManyConnectionsLine)) {
    return Fail(ClientFault::kRefused, "the server has all the connections that it takes",
                PakvStatus::kTooManyConnections);
  }
  Fail(ClientFault::kProtocol, std::string(reader_.error()) + "; is it the data port of a pakvd?");
}

ClientConnection::PendingRequest* ClientConnection::FindRequest(uint64_t id) {
  const auto found = requests_.find(id);
  if (found != requests_.end() && !found->second->answered) return found->second.get();
  Fail(ClientFault::kProtocol, "a reply to nothing that was asked");
  return nullptr;
}

void ClientConnection::TakeConnectionError(const PakvFrame& frame) {
  PakvFields fields;
  const bool readable = DecodePakvReply(frame, fields) == PakvStatus::kOk;
  std::string text(readable ? fields.Bytes(PakvField::kText) : std::string_view());
  if (text.empty()) text = PakvName(frame.status);
  Fail(ClientFault::kRefused, std::move(text), frame.status);
}

void ClientConnection::TakeFrame(const PakvFrame& frame) {
  if (frame.id == 0 && frame.type == PakvType::kNone) return TakeConnectionError(frame);
  PendingRequest* const found = FindRequest(frame.id);
  if (found == nullptr) return;
  PendingRequest& request = *found;
  const bool is_part = frame.status == PakvStatus::kPart;
  request.answered = !is_part;
  if (request.taken) {
    if (!is_part) Erase(request);
    return;
  }
  if (request.settled.is_set()) return;  // it timed out, and nobody has looked yet
  PakvFields fields;
  if (frame.type != request.type || DecodePakvReply(frame, fields) != PakvStatus::kOk ||
      (is_part && !request.takes_parts)) {
    SettleWithError(request, ClientFault::kProtocol,
                    address_ + ": the reply is not one to what was asked");
    return;
  }
  if (is_part) {
    return AddPart(request, ToReply(frame, fields), kPakvHeaderBytes + frame.body.size());
  }
  request.reply = ToReply(frame, fields);
  if (!request.awaited) {
    request.held_bytes = kPakvHeaderBytes + frame.body.size();
    held_bytes_ += request.held_bytes;
  }
  Settle(request);
}

Task<void> ClientConnection::Close() {
  closing_ = true;
  Fail(ClientFault::kConnectionLost, "the connection was closed");
  if (!socket_.valid()) co_return;
  if (receiver_->in_flight) core_.ring().RequestCancel(*receiver_);
  // A send that waits for the server ends with it. Its result tells nothing that matters now.
  const IoResult shut = co_await socket_.Shutdown();
  static_cast<void>(shut);
  news_.Set();
  output_ready_.Set();
  co_await nursery_.Join();
  const IoResult closed = co_await socket_.Close();
  static_cast<void>(closed);
}

}  // namespace pakv
