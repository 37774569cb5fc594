// Compactor's work on request: what is asked for, and how far it has come.
#include <algorithm>
#include <utility>

#include "kv/log/files/file_io.h"
#include "kv/log/files/store_directory.h"
#include "kv/store/compaction/compactor.h"
#include "runtime/base/check.h"
#include "runtime/base/coverage.h"

namespace pakv {

CompactionProgress Compactor::Request(uint32_t gain_percent) {
  PAKV_CHECK(gain_percent >= 1 && gain_percent <= 100);
  if (asked()) return request_;
  const uint64_t number = request_.number + 1;
  request_before_ = std::exchange(request_, CompactionProgress());
  request_.number = number;
  request_gain_percent_ = gain_percent;
  // What is written from here on, its own copies too, is not its business: so it ends.
  const auto& listed = manifest_.segments();
  request_segment_last_ = listed.empty() ? 0 : listed.rbegin()->first;
  request_copied_begin_ = counters_.copied_bytes;
  if (ended()) {
    EndRequest(Outcome::kReadOnly, "a write has failed: see the server's log");
  }
  news_.Set();
  return request_;
}

std::optional<CompactionProgress> Compactor::ProgressOf(uint64_t number) const {
  if (number == 0 || number > request_.number) return std::nullopt;
  if (number == request_.number) return request_;
  if (number == request_before_.number) return request_before_;
  CompactionProgress forgotten;
  forgotten.number = number;
  forgotten.done = true;
  return forgotten;
}

// The oldest segment that it still wants; 0 if there is no request, or none any more.
uint32_t Compactor::VictimOfRequest() {
  if (!asked()) return 0;
  const SegmentBooks::Worth worth =
      books_.WorthCompacting(live_, request_gain_percent_, request_segment_last_, RoomForCopies());
  request_.segments_left = worth.segments;
  request_.gain_bytes = worth.gain_bytes;
  request_.set_aside = worth.set_aside;
  if (worth.segments == 0) EndRequest(Outcome::kDone, {});
  if (worth.oldest == 0 && worth.put_off == 0 && worth.unfit != 0) {
    EndRequest(Outcome::kDiskFull, "there is no room to copy what lives in " +
                                       SegmentName(worth.unfit) + "; free some space on the disk");
  }
  return worth.oldest;
}

void Compactor::NoteForRequest(const SegmentInfo& victim, Passed passed) {
  if (!asked()) return;
  request_.copied_bytes = counters_.copied_bytes - request_copied_begin_;
  if (passed == Passed::kDone) {
    ++request_.segments;
    request_.removed_bytes += books_.FileBytes(victim);
    request_.segments_left -= std::min<uint64_t>(request_.segments_left, 1);
    PAKV_COVERED(kCompactedOnRequest);
    return;
  }
  // Run says why; the next look decides.
  if (passed != Passed::kNotNow) return;
  if (books_.IsSetAside(victim.segment)) return;  // it goes on with the next
  // It is tried again when what it lacks is there, but nobody is made to wait for that.
  const Shortage shortage = why_.ok() ? log_.shortage() : ShortageOf(why_);
  const bool no_files = shortage == Shortage::kDescriptors || shortage == Shortage::kMemory;
  std::string why = MessageOf(why_);
  if (why_.ok()) {
    why = no_files ? "no file can be opened for" : "there is no room to copy";
    why += " what lives in " + SegmentName(victim.segment);
    why += no_files ? "; the server's log says why" : "; free some space on the disk";
  }
  Outcome outcome = no_files ? Outcome::kNoDescriptors : Outcome::kDiskFull;
  if (!why_.ok() && shortage == Shortage::kNone) outcome = Outcome::kFileError;
  EndRequest(outcome, std::move(why));
}

void Compactor::EndRequest(Outcome outcome, std::string why) {
  request_.done = true;
  request_.outcome = outcome;
  request_.why = std::move(why);
  if (outcome == Outcome::kDone) {
    request_.segments_left = 0;
    request_.gain_bytes = 0;
  }
}

}  // namespace pakv
