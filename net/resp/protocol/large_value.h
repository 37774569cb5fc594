// LargeValue: a RESP request whose value is longer than the log takes, while it is received: what
// comes before the value, the value itself on its way into a file, and what comes behind it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kv/shard/values/value_upload.h"
#include "net/resp/table/command_table.h"

namespace pakv {

class LargeValue {
 public:
  // What is to be done before more of the request is taken.
  enum class Step : uint8_t {
    kBegin,   // its turn is to come, and the file to be made
    kRoom,    // what takes more of it is full
    kFinish,  // all of the value is there
    kRun,     // the request is complete
    kGiveUp,  // it was answered with an error
  };

  // `row` is the command's, `before` the arguments before the value; copied.
  LargeValue(ValueFiles& files, const CommandRow& row, RespArgs before, size_t bytes)
      : row_(row), upload_(files), bytes_(bytes), left_bytes_(bytes) {
    Keep(before);
    args_.emplace_back();  // the value's place
  }

  const CommandRow& row() const { return row_; }
  size_t left_bytes() const { return left_bytes_; }
  // How many of them Add takes.
  size_t room() const { return is_taken() ? upload_.room() : left_bytes_; }
  // More of the value. Of one that was refused nothing is kept.
  void Add(std::string_view piece) {
    left_bytes_ -= piece.size();
    if (is_taken()) upload_.Add(piece);
  }
  // The same in place of Add: where more of it belongs, empty if it was refused; and that so many
  // bytes are there.
  std::span<char> memory() const {
    if (!is_taken()) return {};
    const std::span<char> memory = upload_.memory();
    return memory.first(std::min(memory.size(), left_bytes_));
  }
  void Added(size_t bytes) {
    left_bytes_ -= bytes;
    upload_.Added(bytes);
  }
  // Before more is added.
  bool wants_room() const { return is_taken() && left_bytes_ > 0 && upload_.room() == 0; }
  bool wants_finish() const { return is_taken() && left_bytes_ == 0 && !finished_; }
  // What comes next is behind the value.
  bool is_through() const { return left_bytes_ == 0 && !wants_finish(); }
  // The arguments behind the value; copied.
  void KeepRest(RespArgs rest) { Keep(rest); }
  size_t memory_bytes() const {
    size_t bytes = args_.capacity() * sizeof(std::string);
    for (const std::string& arg : args_) bytes += arg.capacity();
    return bytes;
  }
  // It was not refused so far.
  bool is_taken() const { return outcome_ == Outcome::kDone; }
  // All of them, with an empty one in the value's place.
  std::vector<std::string_view> args() const { return {args_.begin(), args_.end()}; }

  Step step = Step::kBegin;
  Outcome outcome() const { return outcome_; }
  const std::string& error() const { return upload_.error(); }
  std::string_view reference() const { return upload_.reference(); }

  // The upload's steps (kv/shard/values/value_upload.h). Once one has failed nothing is held any
  // more, and none does anything.
  Task<void> Begin() {
    outcome_ = co_await upload_.Begin(bytes_);
    co_await CloseRefused();
  }
  Task<void> MakeRoom() {
    outcome_ = co_await upload_.MakeRoom();
    if (is_taken()) outcome_ = co_await upload_.LetOthers();
    co_await CloseRefused();
  }
  Task<void> Rest() {
    if (!is_taken()) co_return;
    outcome_ = co_await upload_.Rest();
    co_await CloseRefused();
  }
  Task<void> Finish() {
    outcome_ = co_await upload_.Finish();
    finished_ = true;
    co_await CloseRefused();
  }
  Task<void> Close(bool kept) { return upload_.Close(kept); }

 private:
  Task<void> CloseRefused() {
    if (!is_taken()) co_await upload_.Close(/*kept=*/false);
  }
  void Keep(RespArgs args) {
    for (const std::string_view arg : args) args_.emplace_back(arg);
  }

  const CommandRow& row_;
  ValueUpload upload_;
  const size_t bytes_;
  size_t left_bytes_;
  Outcome outcome_ = Outcome::kDone;
  bool finished_ = false;
  std::vector<std::string> args_;
};

}  // namespace pakv
