#include "net/session/reply_stream.h"

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "kv/log/files/file_io.h"
#include "net/session/session.h"
#include "runtime/base/check.h"
#include "runtime/core/next_pass.h"

namespace pakv {
namespace {

// Of a chunk, within a pass of the core.
constexpr size_t kPartBytesMax = 32 << 10;
// Of what has written, and cannot tell what it has taken away.
constexpr std::string_view kErrOldValue =
    "ERR the write was done, but the value that was there cannot be read: ";

}  // namespace

ReplyStream::ReplyStream(Session& session)
    : session_(session), sent_(session.core().ready()), nursery_(session.core().ready()) {}

void ReplyStream::Start() {
  if (running_ || session_.queue_.FileDue() == nullptr) return;
  running_ = true;
  nursery_.Spawn(Run());
}

Task<void> ReplyStream::Run() {
  // Never from within the call that has filled the slot.
  co_await session_.core().ready().Yield();
  while (ReplySlot* slot = session_.queue_.FileDue()) {
    if (!session_.broken() && !slot->is_unwanted()) co_await Send(*slot);
    session_.store().ReleaseFile(session_.core(), *slot);
    session_.queue_.EndFile();
    session_.HasOutput();
    session_.Poke();
  }
  running_ = false;
  session_.Poke();
}

Task<void> ReplyStream::Send(ReplySlot& slot) {
  const std::optional<ValueReference> reference = ValueReference::Decode(slot.reply.bytes);
  PAKV_CHECK(reference.has_value(), "the store has checked it");
  ValueFiles& files = session_.store().value_files(session_.core());
  const uint64_t begin = slot.file_range.begin;
  const uint64_t end = begin + slot.file_range.length;
  PAKV_CHECK(begin < end && end <= reference->length());
  const auto first = static_cast<uint32_t>(begin / reference->chunk_bytes());
  const auto last = static_cast<uint32_t>((end - 1) / reference->chunk_bytes());
  for (uint32_t index = first; index <= last; ++index) {
    absl::StatusOr<ValueChunk> chunk = co_await files.ReadChunk(*reference, index);
    if (session_.broken()) co_return;
    OutputBuffer& output = session_.queue_.output();
    if (!chunk.ok()) {
      if (index > first && !session_.protocol_->pieces_are_messages()) co_return session_.Break();
      const std::string_view reference_bytes = slot.reply.bytes;
      std::string why = MessageOf(chunk.status());
      const bool has_written = slot.reply.integer != 0;
      if (has_written) why.insert(0, kErrOldValue);
      slot.outcome = has_written ? Outcome::kDone : OutcomeOfRead(chunk.status());
      slot.reply.kind = has_written ? Reply::Kind::kError : Reply::Kind::kNull;
      slot.reply.bytes = why;
      slot.encode(slot, output);
      slot.reply.kind = Reply::Kind::kFile;
      slot.reply.bytes = reference_bytes;
      co_return;
    }
    if (index == first) slot.encode(slot, output);
    const bool is_last = index == last;
    const uint64_t chunk_begin = uint64_t{index} * reference->chunk_bytes();
    std::string_view piece = chunk->view().substr(0, end - chunk_begin);
    if (begin > chunk_begin) piece.remove_prefix(begin - chunk_begin);
    while (!piece.empty()) {
      const std::string_view part = piece.substr(0, kPartBytesMax);
      piece.remove_prefix(part.size());
      session_.protocol_->EncodePiece(slot, part, is_last && piece.empty(), output);
      session_.HasOutput();
      if (!piece.empty()) co_await NextPass(session_.core());
      if (session_.broken()) co_return;
    }
    *chunk = ValueChunk();  // whoever waits for memory goes on
    // Until it has left this buffer for the one that is being sent, whatever else comes there.
    const uint64_t begun = session_.sends_begun_;
    while (!is_last && !session_.broken() && session_.sends_begun_ == begun) {
      sent_.Reset();
      co_await sent_.Wait();
    }
  }
}

}  // namespace pakv
