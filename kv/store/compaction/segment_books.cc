#include "kv/store/compaction/segment_books.h"

#include <algorithm>
#include <utility>

#include "kv/log/files/space_claims.h"
#include "runtime/base/check.h"
#include "runtime/base/seeded_bug.h"

namespace pakv {
namespace {

// A victim gives back at least one part in so many of its file, by need,
constexpr uint64_t kGainParts[] = {10, 32, 2 * SpaceClaims::kDeletesPart};
// and more than MANIFEST takes for the segment that its copies go into (three blocks) and than what
// is lost at a segment's end.
constexpr uint64_t kGainBlocksMin = 4;
// A filter of a segment that is being written is made for records of this size: smaller ones make
// it less sure.
constexpr uint64_t kRecordBytesExpected = 100;

}  // namespace

const SegmentBooks::State* SegmentBooks::Find(uint32_t segment) const {
  const auto found = states_.find(segment);
  return found == states_.end() ? nullptr : &found->second;
}

bool SegmentBooks::IsSetAside(uint32_t segment) const {
  const State* state = Find(segment);
  return state != nullptr && state->set_aside;
}

bool SegmentBooks::IsDamaged(uint32_t segment) const {
  const State* state = Find(segment);
  return state != nullptr && state->damaged;
}

uint64_t SegmentBooks::DamagedCount() const {
  return static_cast<uint64_t>(std::count_if(states_.begin(), states_.end(),
                                             [](const auto& of) { return of.second.damaged; }));
}

void SegmentBooks::NoteCopy(uint32_t segment, const Copied& copied) {
  bool is_new = false;
  if (written_ == nullptr || written_segment_ != segment) {
    const auto found = states_.try_emplace(segment);
    written_ = &found.first->second;
    written_segment_ = segment;
    is_new = found.second;
  }
  State& state = *written_;
  if (is_new) {
    // All of its records pass here.
    state.summary.lsn_min = kLsnMax;
    if (graves_met_) {
      state.summary.filter =
          std::make_unique<KeyFilter>(ground_.listed->at(segment).size / kRecordBytesExpected);
    }
  }
  state.copied_bytes += copied.bytes;
  state.record_bytes_max = std::max(state.record_bytes_max, copied.bytes);
  if (copied.is_value) {
    state.summary.lsn_min = std::min(state.summary.lsn_min, copied.lsn);
    if (state.summary.filter != nullptr) state.summary.filter->Add(copied.hash);
  }
  if (!copied.is_grave) return;
  state.grave_bytes += copied.bytes;
  state.blocked_bytes += copied.bytes;
  state.grave_lsn_max = std::max(state.grave_lsn_max, copied.lsn);
  // The newest of each residue: spread over the segment well enough.
  state.sample[state.graves++ % kSampleMax] = {copied.hash, copied.lsn};
}

void SegmentBooks::TryAllAgain() {
  for (auto& [segment, state] : states_) state.put_off = false;
}

void SegmentBooks::Forget(uint32_t segment) {
  states_.erase(segment);
  written_ = nullptr;
  for (auto& [other, state] : states_) state.need_bytes = 0;
}

void SegmentBooks::NoteNeed(const SegmentInfo& info, uint64_t live_bytes, uint64_t need_bytes) {
  State& state = states_[info.segment];
  state.need_bytes = need_bytes;
  state.need_live_bytes = live_bytes;
}

void SegmentBooks::NoteSummary(uint32_t segment, SegmentSummary summary) {
  states_[segment].summary = std::move(summary);
}

void SegmentBooks::NoteOldest(uint32_t segment, Lsn lsn) {
  Lsn& known = states_[segment].summary.lsn_min;
  known = std::max(known, lsn);
}

Lsn SegmentBooks::Oldest(const SegmentInfo& info, const State* state) const {
  return std::max(info.lsn_floor, state == nullptr ? kNoLsn : state->summary.lsn_min);
}

std::vector<SegmentBooks::Blocker> SegmentBooks::Blockers(uint32_t except) const {
  std::vector<Blocker> blockers;
  for (const auto& [segment, info] : *ground_.listed) {
    if (segment == except) continue;
    const State* state = Find(segment);
    blockers.push_back({.oldest = Oldest(info, state),
                        .filter = state == nullptr ? nullptr : state->summary.filter.get()});
  }
  std::sort(blockers.begin(), blockers.end(),
            [](const Blocker& left, const Blocker& right) { return left.oldest < right.oldest; });
  return blockers;
}

bool SegmentBooks::MayHoldOlder(const std::vector<Blocker>& blockers, uint64_t hash, Lsn lsn) {
  if (PAKV_BUG(kTombstoneDroppedEarly)) return false;
  for (const Blocker& blocker : blockers) {
    if (blocker.oldest >= lsn) return false;
    if (blocker.filter == nullptr || blocker.filter->MayContain(hash)) return true;
  }
  return false;
}

uint64_t SegmentBooks::grave_bytes() const {
  uint64_t bytes = 0;
  for (const auto& [segment, state] : states_) bytes += state.grave_bytes;
  return bytes;
}

uint32_t SegmentBooks::LackingSummary() const {
  Lsn newest = kNoLsn;
  for (const auto& [segment, state] : states_) newest = std::max(newest, state.grave_lsn_max);
  for (const auto& [segment, info] : *ground_.listed) {
    if (!info.sealed_end) continue;
    const State* state = Find(segment);
    const bool may_not = state != nullptr && (state->set_aside || state->put_off || state->damaged);
    if (may_not || (state != nullptr && state->summary.filter != nullptr)) continue;
    if (Oldest(info, state) < newest) return segment;
  }
  return 0;
}

std::vector<uint32_t> SegmentBooks::WithUnreadFooter(Lsn lsn, size_t count_max,
                                                     uint32_t except) const {
  std::vector<uint32_t> found;
  for (const auto& [segment, info] : *ground_.listed) {
    if (found.size() == count_max) break;
    if (!info.sealed_end || info.footer_bytes == 0 || segment == except) continue;
    const State* state = Find(segment);
    const bool may_not = state != nullptr && (state->footer_useless || state->put_off);
    if (may_not || (state != nullptr && state->summary.filter != nullptr)) continue;
    if (Oldest(info, state) < lsn) found.push_back(segment);
  }
  return found;
}

Lsn SegmentBooks::OldestFullGraveyard() const {
  Lsn oldest = kNoLsn;
  for (const auto& [segment, state] : states_) {
    if (state.grave_bytes == 0) continue;
    const auto listed = ground_.listed->find(segment);
    if (listed == ground_.listed->end() || !listed->second.sealed_end) continue;
    if (oldest == kNoLsn || state.grave_lsn_max < oldest) oldest = state.grave_lsn_max;
  }
  return oldest;
}

void SegmentBooks::RefreshGraves() {
  auto place = states_.upper_bound(refreshed_);
  for (size_t i = 0; i < states_.size(); ++i, ++place) {
    if (place == states_.end()) place = states_.begin();
    auto& [segment, state] = *place;
    if (state.graves == 0) continue;
    refreshed_ = segment;
    const std::vector<Blocker> blockers = Blockers(segment);
    const uint64_t count = std::min<uint64_t>(state.graves, kSampleMax);
    uint64_t blocked = 0;
    for (uint64_t k = 0; k < count; ++k) {
      blocked += MayHoldOlder(blockers, state.sample[k].hash, state.sample[k].lsn) ? 1 : 0;
    }
    state.blocked_bytes = state.grave_bytes * blocked / count;
    return;
  }
}

uint64_t SegmentBooks::memory_bytes() const {
  uint64_t bytes = states_.size() * sizeof(decltype(states_)::value_type);
  for (const auto& [segment, state] : states_) {
    if (state.summary.filter != nullptr) bytes += state.summary.filter->bytes().capacity();
  }
  return bytes;
}

uint64_t SegmentBooks::FileBytes(const SegmentInfo& info) const {
  // Recovery has cut what earlier runs have sealed.
  if (info.run != ground_.run && info.sealed_end) return *info.sealed_end;
  return info.size;
}

uint64_t SegmentBooks::ListedBytes() const {
  uint64_t bytes = 0;
  for (const auto& [segment, info] : *ground_.listed) bytes += FileBytes(info);
  return bytes;
}

uint64_t SegmentBooks::LongestBytes() const {
  uint64_t bytes = 0;
  for (const auto& [segment, info] : *ground_.listed) bytes = std::max(bytes, FileBytes(info));
  return bytes;
}

uint64_t SegmentBooks::BytesAfter(const SegmentInfo& info, uint64_t live_bytes) const {
  const State* state = Find(info.segment);
  if (state != nullptr && state->need_bytes != 0) {
    const uint64_t died = state->need_live_bytes - std::min(state->need_live_bytes, live_bytes);
    return state->need_bytes - std::min(state->need_bytes, died);
  }
  const uint64_t need = live_bytes + (state == nullptr ? 0 : state->blocked_bytes);
  if (need == 0) return 0;
  const uint64_t file_bytes = FileBytes(info);
  const uint64_t packed = need + kBlockHeaderSize + ground_.alignment;
  if (state == nullptr || state->copied_bytes == 0) return packed;
  // Its copies are packed as they can be, apart from the ends of batches. What can be said for
  // certain, or else it would be compacted for ever: in each block no more is wasted than the
  // longest record; or, in proportion, what has died since.
  uint64_t by_size = file_bytes;
  if (state->record_bytes_max < ground_.block_bytes_max / 2) {
    by_size = packed * ground_.block_bytes_max / (ground_.block_bytes_max / 2);
    const uint64_t usable = ground_.block_bytes_max - state->record_bytes_max -
                            std::min<uint64_t>(ground_.block_bytes_max / 4, ground_.alignment);
    by_size = std::min(by_size, packed * ground_.block_bytes_max / usable);
  }
  const auto by_deaths = static_cast<uint64_t>(
      static_cast<double>(file_bytes) *
      std::min(1.0, static_cast<double>(need) / static_cast<double>(state->copied_bytes)));
  return std::min(by_size, by_deaths);
}

uint64_t SegmentBooks::BytesAfterMax(uint64_t file_bytes, Need need) const {
  const uint64_t gain_min = std::max(file_bytes / kGainParts[static_cast<size_t>(need)],
                                     kGainBlocksMin * ground_.alignment);
  return file_bytes - std::min(file_bytes, gain_min);
}

uint32_t SegmentBooks::PickVictim(const LiveBySegment& live, Need need, uint64_t room_bytes) const {
  uint32_t best = 0;
  double best_score = 0;
  const uint32_t newest = ground_.listed->empty() ? 0 : ground_.listed->rbegin()->first;
  for (const auto& [segment, info] : *ground_.listed) {
    const State* state = Find(segment);
    const bool may_not = state != nullptr && (state->set_aside || state->put_off);
    if (!info.sealed_end || may_not) continue;
    const uint64_t file_bytes = FileBytes(info);
    const auto lives = live.find(segment);
    const uint64_t after = BytesAfter(info, lives == live.end() ? 0 : lives->second);
    if (after > BytesAfterMax(file_bytes, need) || after > room_bytes) continue;
    // Gain times age over cost, as in a log-structured file system: what has been left alone for
    // long is likely to stay as it is.
    const double use = static_cast<double>(after) / static_cast<double>(file_bytes);
    const double age = need == Need::kNone ? newest - segment + 1 : 1;
    const double score = (1 - use) * age / (1 + use);
    if (best != 0 && score <= best_score) continue;
    best = segment;
    best_score = score;
  }
  return best;
}

SegmentBooks::Worth SegmentBooks::WorthCompacting(const LiveBySegment& live, uint32_t gain_percent,
                                                  uint32_t segment_last,
                                                  uint64_t room_bytes) const {
  Worth worth;
  for (const auto& [segment, info] : *ground_.listed) {
    if (segment > segment_last) break;
    if (!info.sealed_end) continue;
    if (IsSetAside(segment)) {
      ++worth.set_aside;
      continue;
    }
    const uint64_t file_bytes = FileBytes(info);
    const auto lives = live.find(segment);
    const uint64_t after = BytesAfter(info, lives == live.end() ? 0 : lives->second);
    if (after > file_bytes - file_bytes * gain_percent / 100) continue;
    ++worth.segments;
    worth.gain_bytes += file_bytes - after;
    if (const State* state = Find(segment); state != nullptr && state->put_off) {
      ++worth.put_off;
      continue;
    }
    uint32_t& first = after > room_bytes ? worth.unfit : worth.oldest;
    if (first == 0) first = segment;
  }
  return worth;
}

}  // namespace pakv
