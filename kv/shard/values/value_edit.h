// ValueEdit: a value with a part of it written anew, on its way into a file: what APPEND and
// SETRANGE do to values that lie in files, or are too long for the log by then. The whole value is
// copied, in memory of two chunks; the key's owner runs it while the key's later writes wait.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "kv/shard/messages/request.h"
#include "kv/shard/values/value_files.h"
#include "kv/shard/values/value_upload.h"
#include "runtime/base/seeded_bug.h"
#include "runtime/task/task.h"

namespace pakv {

// The value with `bytes` from `begin` on, zeros in between if it ends before.
std::string EditedValue(std::string_view old, uint64_t begin, std::string_view bytes);

class ValueEdit {
 public:
  // Of the value that `request` has found; copies it, or the reference to its file, which is pinned
  // until Close. `request` with its arguments, and `bytes`, stay as they are.
  ValueEdit(ValueFiles& files, const Request& request, const OldValue& old, uint64_t begin,
            std::string_view bytes);
  ValueEdit(const ValueEdit&) = delete;
  ValueEdit& operator=(const ValueEdit&) = delete;

  // Makes the file. As ValueUpload's steps; kDamaged, too. Suspends.
  Task<Outcome> Make();
  // Whether it is what `asking` wants to make of the value of that LSN.
  bool Is(const Request& asking, Lsn lsn) const {
    return &asking == &request_ && (lsn == lsn_ || PAKV_BUG(kEditOfGoneValue));
  }

  Lsn lsn() const { return lsn_; }
  std::string_view old() const { return old_; }
  std::string_view reference() const { return upload_.reference(); }
  // Why it could not be made.
  std::string_view error() const { return error_.empty() ? upload_.error() : error_; }
  bool* admitted() { return &admitted_; }

  // Ends it, always. Suspends.
  Task<void> Close();

 private:
  Task<Outcome> Add(std::string_view piece);
  Task<Outcome> AddOld(uint64_t begin, uint64_t end);
  Task<Outcome> AddZeros(uint64_t count);

  ValueFiles& files_;
  const Request& request_;
  const Lsn lsn_;
  const std::string old_;  // the value, or the reference to its file
  const bool in_file_;
  const uint64_t old_length_;
  const uint64_t begin_;
  const std::string_view bytes_;
  ValueUpload upload_;
  std::string error_;
  bool admitted_ = false;
};

}  // namespace pakv
