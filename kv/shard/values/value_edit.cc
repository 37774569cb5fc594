#include "kv/shard/values/value_edit.h"

#include <algorithm>
#include <array>

#include "kv/log/files/file_io.h"
#include "runtime/base/check.h"

namespace pakv {

std::string EditedValue(std::string_view old, uint64_t begin, std::string_view bytes) {
  std::string value;
  value.reserve(std::max<size_t>(old.size(), begin + bytes.size()));
  value.assign(old);
  if (value.size() < begin + bytes.size()) value.resize(begin + bytes.size(), '\0');
  value.replace(begin, bytes.size(), bytes);
  return value;
}

ValueEdit::ValueEdit(ValueFiles& files, const Request& request, const OldValue& old, uint64_t begin,
                     std::string_view bytes)
    : files_(files),
      request_(request),
      lsn_(old.lsn),
      old_(old.value),
      in_file_(old.in_file),
      old_length_(old.exists ? old.value_length : 0),
      begin_(begin),
      bytes_(bytes),
      upload_(files, ValueUpload::Turns::kOfEdits) {
  if (in_file_ && !PAKV_BUG(kEditReadsUnpinned)) files_.Pin(ValueReference::Decode(old_)->file());
}

Task<Outcome> ValueEdit::Make() {
  const uint64_t end = begin_ + bytes_.size();
  Outcome outcome = co_await upload_.Begin(std::max(old_length_, end));
  if (outcome == Outcome::kDone) outcome = co_await AddOld(0, std::min(begin_, old_length_));
  if (outcome == Outcome::kDone && begin_ > old_length_) {
    outcome = co_await AddZeros(begin_ - old_length_);
  }
  if (outcome == Outcome::kDone) outcome = co_await Add(bytes_);
  if (outcome == Outcome::kDone && end < old_length_) outcome = co_await AddOld(end, old_length_);
  if (outcome == Outcome::kDone) outcome = co_await upload_.Finish();
  co_return outcome;
}

Task<Outcome> ValueEdit::Add(std::string_view piece) {
  while (!piece.empty()) {
    const size_t taken = std::min(piece.size(), upload_.room());
    upload_.Add(piece.substr(0, taken));
    piece.remove_prefix(taken);
    if (upload_.room() > 0) continue;
    const Outcome written = co_await upload_.MakeRoom();
    if (written != Outcome::kDone) co_return written;
  }
  co_return Outcome::kDone;
}

Task<Outcome> ValueEdit::AddZeros(uint64_t count) {
  static constexpr std::array<char, 4096> kZeros{};
  while (count > 0) {
    const uint64_t piece = std::min<uint64_t>(count, kZeros.size());
    const Outcome added = co_await Add(std::string_view(kZeros.data(), piece));
    if (added != Outcome::kDone) co_return added;
    count -= piece;
  }
  co_return Outcome::kDone;
}

Task<Outcome> ValueEdit::AddOld(uint64_t begin, uint64_t end) {
  if (!in_file_) co_return co_await Add(std::string_view(old_).substr(begin, end - begin));
  const ValueReference reference = *ValueReference::Decode(old_);
  while (begin < end) {
    const auto index = static_cast<uint32_t>(begin / reference.chunk_bytes());
    const absl::StatusOr<ValueChunk> chunk = co_await files_.ReadChunk(reference, index);
    if (!chunk.ok()) {
      error_ = MessageOf(chunk.status());
      co_return OutcomeOfRead(chunk.status());
    }
    const uint64_t chunk_begin = uint64_t{index} * reference.chunk_bytes();
    const std::string_view piece =
        chunk->view().substr(0, end - chunk_begin).substr(begin - chunk_begin);
    const Outcome added = co_await Add(piece);
    if (added != Outcome::kDone) co_return added;
    begin += piece.size();
  }
  co_return Outcome::kDone;
}

Task<void> ValueEdit::Close() {
  co_await upload_.Close(admitted_);
  if (in_file_ && !PAKV_BUG(kEditReadsUnpinned)) {
    files_.Unpin(ValueReference::Decode(old_)->file());
  }
}

}  // namespace pakv
