// Long because: each type of request is a few lines over one connection's state.
#include "net/pakv/service.h"

#include <fmt/format.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "net/pakv/batch.h"
#include "net/pakv/codec.h"
#include "net/pakv/key_functions.h"
#include "net/pakv/operator_requests.h"
#include "net/pakv/scan.h"
#include "net/pakv/upload.h"
#include "net/session/protocol.h"
#include "net/session/server_stats.h"
#include "net/session/session.h"
#include "runtime/base/check.h"
#include "runtime/base/coverage.h"
#include "runtime/base/log.h"
#include "runtime/base/seeded_bug.h"

namespace pakv {
namespace {

// What of a client's name the log shows.
constexpr size_t kSoftwareShownBytes = 64;

size_t FrameBytesMax(const PakvServer& server) {
  return size_t{server.key_bytes_max} + server.inline_value_bytes_max + kPakvFrameOverheadBytes;
}

class PakvProtocol final : public Protocol {
 public:
  PakvProtocol(Session& session, PakvServer& server)
      : session_(session), server_(server), reader_(PakvReads::kRequests, FrameBytesMax(server)) {
    session_.set_reply_order(ReplyOrder::kAny);
  }

  Progress Consume(std::string_view& input) override;
  Task<void> RunSlow() override;
  size_t frame_bytes_min() const override { return reader_.frame_bytes_min(); }
  bool in_frame() const override { return reader_.in_frame() || upload_ != nullptr; }
  Task<void> BeforeWait() override;
  void EncodePiece(const ReplySlot& slot, std::string_view piece, bool is_last,
                   OutputBuffer& output) override {
    WritePakvPiece(slot, piece, is_last, output);
  }
  bool pieces_are_messages() const override { return true; }
  Task<void> EndInput() override;
  void SayGoodbye(ProtocolEnd end) override;

 private:
  // Whether the next frame may be taken, or what has to come before it.
  enum class Next : uint8_t { kFrame, kSlow, kClose };

  Next Run(const PakvFrame& frame);
  Next RunHello(const PakvFrame& frame);
  Next Defer(const PakvFrame& frame);
  void EndSlow();
  bool Refuses(const PakvFrame& frame);
  bool RefusesValue(const PakvFrame& frame);
  ReplySlot& FillSlot(const PakvFrame& frame);
  void StartKey(const PakvFrame& frame) { session_.StartKey(FillSlot(frame)); }
  bool IsPiece(const PakvFrame& frame) const;
  Next TakePiece(const PakvFrame& frame, PakvStatus refusal);
  void BeginUpload(uint64_t id);
  Task<void> RunPiece();
  Task<void> RefuseUpload();
  Task<void> StoreUploaded(bool& kept);
  Task<void> RunScan(uint64_t id);
  Task<void> RunStats(uint64_t id);
  Task<void> RunFlush(uint64_t id);
  Task<void> RunNamespace(uint64_t id);
  void ReplyError(PakvType type, uint64_t id, PakvStatus status, std::string_view text);

  Session& session_;
  PakvServer& server_;
  PakvFrameReader reader_;
  bool greeted_ = false;
  PakvStatus stream_fault_ = PakvStatus::kOk;  // why the stream is not read any further
  std::string_view stream_fault_text_;
  PakvFields fields_;                          // of the request that is being run
  PakvFrame slow_;                             // a request that waits
  std::string slow_body_;                      // its own copy: the bytes that it came in may move
  PakvStatus slow_refusal_ = PakvStatus::kOk;  // it is a piece whose frame cannot be taken
  std::unique_ptr<PakvUpload> upload_;         // of the set that comes in pieces
};

void PakvProtocol::ReplyError(PakvType type, uint64_t id, PakvStatus status,
                              std::string_view text) {
  WritePakvError(session_.OpenReply(), type, id, status, text);
  session_.CloseReply();
}

// The last frame of a connection: what has no reply before it was not taken.
void PakvProtocol::SayGoodbye(ProtocolEnd end) {
  const auto say = [this](PakvStatus status, std::string_view text) {
    ReplyError(PakvType::kNone, 0, status, text);
  };
  switch (end) {
    case ProtocolEnd::kProtocol:
      if (stream_fault_ != PakvStatus::kOk) say(stream_fault_, stream_fault_text_);
      return;
    case ProtocolEnd::kRequestTimeout:
      return say(PakvStatus::kTimeout, "the request was not complete in time");
    case ProtocolEnd::kTooSlow:
      return say(PakvStatus::kTimeout,
                 "the request's rest did not come, and others waited for the memory it had");
    case ProtocolEnd::kIdleTimeout:
      return say(PakvStatus::kTimeout, "the connection was idle for too long");
    case ProtocolEnd::kStopping:
      return say(PakvStatus::kStopping, "the server is stopping");
  }
}

Protocol::Progress PakvProtocol::Consume(std::string_view& input) {
  while (session_.MayStart()) {
    PakvFrame frame;
    switch (reader_.Next(input, frame)) {
      case PakvFrameReader::Status::kFrame:
        switch (IsPiece(frame) ? TakePiece(frame, PakvStatus::kOk) : Run(frame)) {
          case Next::kFrame:
            break;
          case Next::kSlow:
            return Progress::kSlow;
          case Next::kClose:
            return Progress::kClose;
        }
        break;
      case PakvFrameReader::Status::kPartial:
        return Progress::kInput;
      case PakvFrameReader::Status::kRefused:
        // Of another version nothing but the header's layout is known.
        if (reader_.refusal() != PakvStatus::kVersionUnsupported && IsPiece(frame)) {
          const Next next = TakePiece(frame, reader_.refusal());
          if (next == Next::kFrame) break;
          return next == Next::kSlow ? Progress::kSlow : Progress::kClose;
        }
        session_.CountRequest();
        ReplyError(frame.type, frame.id, reader_.refusal(), PakvFaultText(reader_.refusal(), 0));
        break;
      case PakvFrameReader::Status::kError:
        session_.NoteProtocolError(reader_.error());
        stream_fault_ = reader_.refusal();
        stream_fault_text_ = reader_.error();
        return Progress::kClose;
    }
  }
  return Progress::kRoom;
}

PakvProtocol::Next PakvProtocol::Run(const PakvFrame& frame) {
  session_.CountRequest();
  if (!greeted_ && frame.type != PakvType::kHello) [[unlikely]] {
    constexpr std::string_view kReason = "the first request of a connection is hello";
    session_.NoteProtocolError(kReason);
    ReplyError(frame.type, frame.id, PakvStatus::kHelloExpected, kReason);
    return Next::kClose;
  }
  const PakvStatus status = DecodePakvRequest(frame, fields_);
  if (status != PakvStatus::kOk) [[unlikely]] {
    ReplyError(frame.type, frame.id, status,
               PakvFaultText(status, fields_.fault_tag(), fields_.fault_entry()));
    return Next::kFrame;
  }
  if (Refuses(frame) || RefusesValue(frame)) return Next::kFrame;
  switch (frame.type) {
    case PakvType::kHello:
      return RunHello(frame);
    case PakvType::kPing: {
      PakvWriter writer(session_.OpenReply(), frame.type, frame.id, PakvStatus::kOk);
      if (fields_.Has(PakvField::kValue)) {
        writer.Bytes(PakvField::kValue, fields_.Bytes(PakvField::kValue));
      }
      writer.Finish();
      session_.CloseReply();
      return Next::kFrame;
    }
    case PakvType::kGet:
    case PakvType::kSet:
    case PakvType::kDelete:
    case PakvType::kIncr:
      if (!session_.MayStartKey(IsPakvWrite(frame.type))) [[unlikely]]
        return Defer(frame);
      StartKey(frame);
      return Next::kFrame;
    case PakvType::kScan:
    case PakvType::kBatch:
    case PakvType::kStats:
    case PakvType::kFlush:
    case PakvType::kNamespace:
    case PakvType::kNamespaces:
    case PakvType::kCheck:
    case PakvType::kCompact:
      return Defer(frame);
    case PakvType::kNone:
      break;
  }
  PAKV_CHECK(false, "a type that the codec knows has a case of its own");
  return Next::kClose;
}

// Whether this server does not take a well-formed request; it is answered then.
bool PakvProtocol::Refuses(const PakvFrame& frame) {
  const auto has = [this](PakvField field) { return fields_.Has(field); };
  const auto refuse = [&](PakvStatus status, std::string_view text) {
    ReplyError(frame.type, frame.id, status, text);
    return true;
  };
  const size_t key_bytes = fields_.Bytes(PakvField::kKey).size();
  constexpr uint64_t kDurable = static_cast<uint64_t>(PakvDurability::kDurable);

  const uint64_t namespace_id = fields_.Number(PakvField::kNamespace, kDefaultNamespace);
  if (namespace_id != kDefaultNamespace &&
      (namespace_id >= kNamespacesMax ||
       !session_.store().IsNamespace(static_cast<uint32_t>(namespace_id)))) {
    return refuse(PakvStatus::kUnknownNamespace,
                  fmt::format("no namespace has the id {}", namespace_id));
  }
  if (has(PakvField::kName) && !IsNamespaceName(fields_.Bytes(PakvField::kName))) {
    return refuse(PakvStatus::kBadValue, fmt::format("a namespace's name is 1 to {} bytes of UTF-8",
                                                     kNamespaceNameBytesMax));
  }
  if (fields_.Number(PakvField::kDurability, kDurable) != kDurable) {
    return refuse(PakvStatus::kUnsupported, "relaxed durability is not supported yet");
  }
  if (key_bytes > server_.key_bytes_max) {
    return refuse(PakvStatus::kKeyTooLong,
                  fmt::format("{} bytes are more than the {} that max-key allows", key_bytes,
                              server_.key_bytes_max));
  }
  if (frame.type == PakvType::kScan && has(PakvField::kCursor) && !PakvScanCursor(fields_)) {
    return refuse(PakvStatus::kBadValue, "this is no cursor that a server has given");
  }
  return false;
}

// The same of the value of a set in one frame.
bool PakvProtocol::RefusesValue(const PakvFrame& frame) {
  const size_t bytes = fields_.Bytes(PakvField::kValue).size();
  if (bytes <= server_.inline_value_bytes_max || frame.type != PakvType::kSet) return false;
  ReplyError(frame.type, frame.id, PakvStatus::kValueTooLong,
             bytes > server_.value_bytes_max
                 ? fmt::format("{} bytes are more than the {} that max-value allows", bytes,
                               server_.value_bytes_max)
                 : fmt::format("{} bytes in one frame; of more than {} the value goes in pieces",
                               bytes, server_.inline_value_bytes_max));
  return true;
}

PakvProtocol::Next PakvProtocol::RunHello(const PakvFrame& frame) {
  const bool spoken = fields_.Number(PakvField::kVersionMin) <= kPakvVersion &&
                      fields_.Number(PakvField::kVersionMax) >= kPakvVersion;
  PakvWriter writer(session_.OpenReply(), frame.type, frame.id,
                    spoken ? PakvStatus::kOk : PakvStatus::kVersionUnsupported);
  writer.Number(PakvField::kVersionMin, kPakvVersion);
  writer.Number(PakvField::kVersionMax, kPakvVersion);
  if (spoken) {
    writer.Number(PakvField::kFrameBytesMax, FrameBytesMax(server_));
    writer.Number(PakvField::kKeyBytesMax, server_.key_bytes_max);
    writer.Number(PakvField::kValueBytesMax, server_.value_bytes_max);
    writer.Number(PakvField::kInFlightMax, session_.group().limits().in_flight_max);
    writer.Number(PakvField::kSession, session_.info().id);
    if (!server_.software.empty()) writer.Bytes(PakvField::kSoftware, server_.software);
  } else {
    writer.Bytes(PakvField::kText, "this server speaks version 1");
  }
  writer.Finish();
  session_.CloseReply();
  if (!spoken) {
    session_.NoteProtocolError("the client does not speak version 1");
    return Next::kClose;
  }
  greeted_ = true;
  if (fields_.Has(PakvField::kSoftware)) {
    const std::string_view software = fields_.Bytes(PakvField::kSoftware);
    LogDebug("connection {} of {}: {}", session_.info().id, session_.info().peer,
             software.substr(0, kSoftwareShownBytes));
  }
  return Next::kFrame;
}

// ---- Requests on one key ----

ReplySlot& PakvProtocol::FillSlot(const PakvFrame& frame) {
  ReplySlot& slot = session_.NextSlot();
  slot.id = frame.id;
  slot.namespace_id =
      static_cast<uint32_t>(fields_.Number(PakvField::kNamespace, kDefaultNamespace));
  FillPakvKeyRequest(frame.type, fields_, server_.inline_value_bytes_max, slot);
  return slot;
}

// ---- Values in pieces ----

bool PakvProtocol::IsPiece(const PakvFrame& frame) const {
  if ((frame.flags & kPakvMore) != 0) return greeted_ && frame.type == PakvType::kSet;
  return upload_ != nullptr && upload_->id() == frame.id && frame.type == PakvType::kSet;
}

// `refusal`: kOk, or why its frame cannot be taken.
PakvProtocol::Next PakvProtocol::TakePiece(const PakvFrame& frame, PakvStatus refusal) {
  const bool is_last = (frame.flags & kPakvMore) == 0;
  if (upload_ != nullptr && upload_->id() != frame.id) {
    // To go on would be to take its last piece for a set.
    stream_fault_ = PakvStatus::kMalformed;
    stream_fault_text_ = "two values come in pieces at the same time";
    session_.NoteProtocolError(stream_fault_text_);
    return Next::kClose;
  }
  if (is_last) {
    session_.CountLastPiece();
  } else {
    session_.CountPiece();
  }
  if (upload_ != nullptr && upload_->status() != PakvStatus::kOk) {
    PAKV_COVERED(kPieceSkipped);
    if (is_last) upload_.reset();
    if (is_last && PAKV_BUG(kRefusedPieceWritten)) return Run(frame);
    return Next::kFrame;
  }
  if (upload_ != nullptr && !is_last && refusal == PakvStatus::kOk &&
      DecodePakvRequest(frame, fields_) == PakvStatus::kOk &&
      upload_->PutAtOnce(fields_.Bytes(PakvField::kValue))) {
    return Next::kFrame;
  }
  slow_refusal_ = refusal;
  return Defer(frame);
}

void PakvProtocol::BeginUpload(uint64_t id) {
  upload_ = std::make_unique<PakvUpload>(session_.store().value_files(session_.core()), id,
                                         server_.inline_value_bytes_max, server_.value_bytes_max);
}

// What others need of an upload goes back, before its client is waited for and before others of
// its requests are run.
Task<void> PakvProtocol::BeforeWait() {
  if (upload_ == nullptr || upload_->status() != PakvStatus::kOk) co_return;
  co_await upload_->Rest();
  if (upload_->status() != PakvStatus::kOk) co_await RefuseUpload();
}

// It is answered, once; what comes of it is skipped.
Task<void> PakvProtocol::RefuseUpload() {
  ReplyError(PakvType::kSet, upload_->id(), upload_->status(), upload_->text());
  session_.set_receives_by_turns(false);
  co_await upload_->Close(/*kept=*/false);
}

Task<void> PakvProtocol::RunPiece() {
  const bool is_last = (slow_.flags & kPakvMore) == 0;
  if (upload_ == nullptr) BeginUpload(slow_.id);
  PakvUpload& upload = *upload_;
  const PakvStatus status =
      slow_refusal_ != PakvStatus::kOk ? slow_refusal_ : DecodePakvRequest(slow_, fields_);
  bool kept = false;
  if (status != PakvStatus::kOk) {
    const uint8_t tag = slow_refusal_ != PakvStatus::kOk ? 0 : fields_.fault_tag();
    upload.Refuse(status, PakvFaultText(status, tag));
  } else {
    upload.Expect(fields_.Number(PakvField::kTotalBytes));
    co_await upload.Put(fields_.Bytes(PakvField::kValue));
    if (is_last) co_await StoreUploaded(kept);
  }
  if (upload.status() != PakvStatus::kOk) {
    co_await RefuseUpload();
  } else {
    session_.set_receives_by_turns(!is_last);
    if (is_last) co_await upload.Close(kept);
  }
  if (is_last) upload_.reset();
}

// slow_ is the last piece, and so the set. Its reply is under way unless the upload is refused.
Task<void> PakvProtocol::StoreUploaded(bool& kept) {
  if (upload_->status() != PakvStatus::kOk || Refuses(slow_)) co_return;
  co_await upload_->Finish();
  if (upload_->status() != PakvStatus::kOk) co_return;
  if (!session_.MayStartKey(/*is_write=*/true)) co_await session_.KeyRoom(/*is_write=*/true);
  if (session_.broken()) co_return;
  ReplySlot& slot = FillSlot(slow_);
  slot.value = upload_->reference();
  slot.file_admitted = &kept;
  session_.StartKey(slot);
  // Whether or not the client still is there.
  co_await session_.Until(Session::Wait::kReturned);
}

Task<void> PakvProtocol::EndInput() {
  if (upload_ == nullptr) co_return;
  if (upload_->status() == PakvStatus::kOk) co_await upload_->Close(/*kept=*/false);
  upload_.reset();
}

// ---- Requests that wait ----

PakvProtocol::Next PakvProtocol::Defer(const PakvFrame& frame) {
  slow_ = frame;
  slow_body_.assign(frame.body);
  slow_.body = slow_body_;
  session_.set_request_bytes(slow_body_.capacity());
  return Next::kSlow;
}

void PakvProtocol::EndSlow() {
  std::string().swap(slow_body_);
  session_.set_request_bytes(0);
}

Task<void> PakvProtocol::RunSlow() {
  if (IsPiece(slow_)) {
    co_await RunPiece();
    slow_refusal_ = PakvStatus::kOk;
    co_return EndSlow();
  }
  if (upload_ != nullptr) co_await BeforeWait();
  const PakvStatus status = DecodePakvRequest(slow_, fields_);
  PAKV_CHECK(status == PakvStatus::kOk, "it was decoded before");
  switch (slow_.type) {
    case PakvType::kScan:
      co_await RunScan(slow_.id);
      break;
    case PakvType::kBatch:
      co_await RunPakvBatch(session_, server_, fields_, slow_.id);
      break;
    case PakvType::kStats:
      co_await RunStats(slow_.id);
      break;
    case PakvType::kFlush:
      co_await RunFlush(slow_.id);
      break;
    case PakvType::kNamespace:
      co_await RunNamespace(slow_.id);
      break;
    case PakvType::kNamespaces:
      co_await RunPakvNamespaces(session_, fields_, slow_.id);
      break;
    case PakvType::kCheck:
      co_await RunPakvCheck(session_, slow_.id);
      break;
    case PakvType::kCompact:
      co_await RunPakvCompact(session_, fields_, slow_.id);
      break;
    default:
      co_await session_.KeyRoom(IsPakvWrite(slow_.type));
      if (!session_.broken()) StartKey(slow_);
      break;
  }
  EndSlow();
}

Task<void> PakvProtocol::RunScan(uint64_t id) {
  co_await session_.Until(Session::Wait::kReturned);
  if (session_.broken()) co_return;
  PakvScan scan(session_, fields_, server_.key_bytes_max, server_.inline_value_bytes_max);
  co_await scan.Run();
  if (session_.broken()) co_return;
  scan.WriteReply(session_.OpenReply(), id);
  session_.CloseReply();
}

// Waits for nothing of the session's: it is to tell what goes on while a disk hangs.
Task<void> PakvProtocol::RunStats(uint64_t id) {
  const ServerStats stats = co_await server_.stats(session_.core());
  PakvWriter writer(session_.OpenReply(), PakvType::kStats, id, PakvStatus::kOk);
  for (const ServerMetric& metric : ServerMetrics()) {
    writer.BeginEntry();
    writer.Number(PakvField::kNumber, metric.value(stats));
    writer.Bytes(PakvField::kKey, metric.name);
    writer.EndEntry();
  }
  writer.Finish();
  session_.CloseReply();
}

Task<void> PakvProtocol::RunFlush(uint64_t id) {
  co_await session_.Until(Session::Wait::kReturned);
  if (session_.broken()) co_return;
  uint32_t namespace_id =
      static_cast<uint32_t>(fields_.Number(PakvField::kNamespace, kDefaultNamespace));
  if (fields_.HasOption(PakvOption::kAllNamespaces)) namespace_id = kEveryNamespace;
  Lsn lsn = kNoLsn;
  const Outcome outcome = co_await session_.store().Flush(session_.core(), namespace_id, &lsn);
  if (outcome != Outcome::kDone) {
    ReplyError(PakvType::kFlush, id, PakvStatusOf(outcome), PakvTextOf(outcome, {}));
    co_return;
  }
  PakvWriter writer(session_.OpenReply(), PakvType::kFlush, id, PakvStatus::kOk);
  writer.Number(PakvField::kLsn, lsn);
  writer.Finish();
  session_.CloseReply();
}

Task<void> PakvProtocol::RunNamespace(uint64_t id) {
  std::string name(fields_.Bytes(PakvField::kName));
  const Catalogue::Found found = co_await session_.store().OpenNamespace(
      session_.core(), std::move(name), fields_.HasOption(PakvOption::kCreate));
  if (session_.broken()) co_return;
  if (found.outcome != Outcome::kDone) {
    ReplyError(PakvType::kNamespace, id, PakvStatusOf(found.outcome),
               PakvTextOf(found.outcome, {}));
  } else if (found.too_many) {
    ReplyError(PakvType::kNamespace, id, PakvStatus::kTooManyNamespaces,
               fmt::format("there are {} namespaces, which is the most", kNamespacesMax));
  } else {
    PakvWriter writer(session_.OpenReply(), PakvType::kNamespace, id,
                      found.id ? PakvStatus::kOk : PakvStatus::kNotFound);
    if (found.id) writer.Number(PakvField::kNamespace, *found.id);
    writer.Finish();
    session_.CloseReply();
  }
}

}  // namespace

std::unique_ptr<Protocol> MakePakvProtocol(Session& session, PakvServer& server) {
  return std::make_unique<PakvProtocol>(session, server);
}

}  // namespace pakv
