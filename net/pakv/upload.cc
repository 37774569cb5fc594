#include "net/pakv/upload.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "net/pakv/key_functions.h"

namespace pakv {

void PakvUpload::Refuse(PakvStatus status, std::string text) {
  if (status_ != PakvStatus::kOk) return;
  status_ = status;
  text_ = std::move(text);
}

void PakvUpload::Take(Outcome outcome) {
  if (outcome == Outcome::kDone) return;
  Refuse(PakvStatusOf(outcome), std::string(PakvTextOf(outcome, upload_.error())));
}

void PakvUpload::Expect(uint64_t total_bytes) {
  if (total_bytes == 0) return;
  expected_bytes_ = total_bytes;
  if (total_bytes <= bytes_max_) return;
  Refuse(
      PakvStatus::kValueTooLong,
      fmt::format("{} bytes are more than the {} that max-value allows", total_bytes, bytes_max_));
}

bool PakvUpload::PutAtOnce(std::string_view piece) {
  if (!begun_ || status_ != PakvStatus::kOk) return false;
  if (piece.size() > upload_.room() || received_bytes_ + piece.size() > bytes_max_) return false;
  received_bytes_ += piece.size();
  upload_.Add(piece);
  return true;
}

Task<void> PakvUpload::Put(std::string_view piece) {
  received_bytes_ += piece.size();
  if (received_bytes_ > bytes_max_) {
    Refuse(PakvStatus::kValueTooLong,
           fmt::format("more bytes than the {} that max-value allows", bytes_max_));
  }
  if (status_ == PakvStatus::kOk && !begun_) {
    begun_ = true;
    const Outcome outcome = co_await upload_.Begin(std::max(expected_bytes_, received_bytes_));
    Take(outcome);
  }
  while (status_ == PakvStatus::kOk && !piece.empty()) {
    if (upload_.room() == 0) {
      Outcome outcome = co_await upload_.MakeRoom();
      if (outcome == Outcome::kDone) outcome = co_await upload_.LetOthers();
      Take(outcome);
      continue;
    }
    const std::string_view part = piece.substr(0, upload_.room());
    upload_.Add(part);
    piece.remove_prefix(part.size());
  }
}

Task<void> PakvUpload::Rest() {
  if (!begun_ || status_ != PakvStatus::kOk) co_return;
  const Outcome outcome = co_await upload_.Rest();
  Take(outcome);
}

Task<void> PakvUpload::Finish() {
  if (expected_bytes_ != 0 && expected_bytes_ != received_bytes_) {
    Refuse(PakvStatus::kBadValue, fmt::format("total-bytes says {}, the pieces hold {}",
                                              expected_bytes_, received_bytes_));
  }
  if (received_bytes_ <= bytes_min_) {
    Refuse(PakvStatus::kBadValue,
           fmt::format("a value of at most {} bytes goes in one frame", bytes_min_));
  }
  if (status_ != PakvStatus::kOk) co_return;
  const Outcome outcome = co_await upload_.Finish();
  Take(outcome);
}

}  // namespace pakv
