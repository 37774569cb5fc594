// PakvUpload: the value of a set that comes in pieces, on its way into a file (ValueUpload), and
// what has become of it. Once refused it is answered; its further pieces are skipped, up to the
// last, so that this one is never taken for a set of its own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "kv/shard/values/value_upload.h"
#include "net/pakv/protocol.h"
#include "runtime/task/task.h"

namespace pakv {

class PakvUpload {
 public:
  // `id`: the request's. A value has more than `bytes_min` and at most `bytes_max` bytes: a shorter
  // one goes in one frame.
  PakvUpload(ValueFiles& files, uint64_t id, uint64_t bytes_min, uint64_t bytes_max)
      : id_(id), bytes_min_(bytes_min), bytes_max_(bytes_max), upload_(files) {}

  uint64_t id() const { return id_; }
  // kOk, or why it is refused.
  PakvStatus status() const { return status_; }
  const std::string& text() const { return text_; }
  void Refuse(PakvStatus status, std::string text);

  // What the client says that there will be, with any piece; 0: it does not say.
  void Expect(uint64_t total_bytes);
  // Takes the piece if that needs no wait. False: Put is to be awaited.
  bool PutAtOnce(std::string_view piece);
  // The piece stays as it is meanwhile. Waits for the upload's turn, and for the disk. Suspends.
  Task<void> Put(std::string_view piece);
  // The rest is to come, at some time: as ValueUpload::Rest. Suspends.
  Task<void> Rest();
  // All pieces are there: makes the value last. With status() kOk, reference() is what may be
  // written then. Suspends.
  Task<void> Finish();
  std::string_view reference() const { return upload_.reference(); }
  // Ends it, once; as ValueUpload::Close.
  Task<void> Close(bool kept) { return upload_.Close(kept); }

 private:
  void Take(Outcome outcome);

  const uint64_t id_;
  const uint64_t bytes_min_;
  const uint64_t bytes_max_;
  ValueUpload upload_;
  bool begun_ = false;
  uint64_t expected_bytes_ = 0;
  uint64_t received_bytes_ = 0;
  PakvStatus status_ = PakvStatus::kOk;
  std::string text_;
};

}  // namespace pakv
