#include "kv/log/judge.h"

#include <algorithm>
#include <utility>

#include "runtime/base/check.h"
#include "runtime/base/seeded_bug.h"

namespace pakv {
namespace {

// The end of the last sector from `begin` on that is not zero; `begin` if all are.
uint64_t NonZeroEnd(Bytes bytes, uint64_t begin) {
  uint64_t end = RoundUp(bytes.size(), kSectorSize);
  while (end > begin) {
    const uint64_t sector = end - kSectorSize;
    const size_t length = std::min<size_t>(kSectorSize, bytes.size() - sector);
    if (!AllZero(bytes.subspan(sector, length))) return std::min<uint64_t>(end, bytes.size());
    end = sector;
  }
  return begin;
}

}  // namespace

LogJudge::LogJudge(const JudgedLog& log, BlockVisitor* visitor) : log_(log), visitor_(visitor) {
  PAKV_CHECK(!log_.segments.empty());
  result_.sequence = segment().first_sequence;
  result_.chain = segment().first_chain;
}

const JudgedSegment* LogJudge::next() const {
  return index_ + 1 < log_.segments.size() ? &log_.segments[index_ + 1] : nullptr;
}

uint64_t LogJudge::limit() const {
  const uint64_t end = segment().sealed_end.value_or(segment().bytes.size());
  PAKV_CHECK(end <= segment().bytes.size());
  return end;
}

bool LogJudge::Advance(uint64_t bytes_max) {
  const uint64_t stop_bytes = judged_bytes_ + bytes_max;
  while (!ended_) {
    ended_ = !Step();
    if (judged_bytes_ >= stop_bytes) break;
  }
  return ended_;
}

Judgement LogJudge::TakeResult() {
  PAKV_CHECK(ended_);
  if (result_.outcome != Judgement::Outcome::kCorrupt) {
    // What follows the end has no block: nothing of it is kept.
    while (result_.ends.size() < log_.segments.size()) {
      const Bytes bytes = log_.segments[result_.ends.size()].bytes;
      result_.ends.push_back({0, NonZeroEnd(bytes, 0)});
    }
  }
  return std::move(result_);
}

// Judges what lies at `offset_`; false when the log's end, or damage, is found.
bool LogJudge::Step() {
  const uint64_t end = limit();
  if (offset_ == end) return GoOn(NonZeroEnd(segment().bytes, offset_));
  PAKV_CHECK(offset_ < end);
  const Bytes rest = segment().bytes.first(end).subspan(offset_);
  if (rest.size() < kSectorSize) return Corrupt("the segment ends within a sector");
  if (AllZero(rest.first(kSectorSize))) return StepZero(rest);

  const std::optional<DecodedBlockHeader> decoded = DecodeBlockHeader(rest);
  if (!decoded) return Corrupt("not a block header, and not zero");
  const char* mismatch = Mismatch(decoded->header);
  if (mismatch != nullptr) return Corrupt(mismatch);
  const BlockHeader& header = decoded->header;
  const Bytes block = rest.first(header.length);
  judged_bytes_ += header.length;
  if (!BlockBodyRight(block, header)) return StepBadBody(block, header);

  if (visitor_ != nullptr) visitor_->OnBlock(segment(), header, block);
  offset_ += header.length;
  result_.sequence = header.sequence + 1;
  result_.chain = decoded->checksum;
  return true;
}

// Rules (a) and (b): the header sector is zero.
bool LogJudge::StepZero(Bytes rest) {
  if (segment().sealed_end) return Corrupt("zero before the segment's end");
  if (AllZero(rest)) {
    const bool rolled = next() != nullptr && next()->first_sequence == result_.sequence;
    if (!rolled && WitnessedLater()) return Corrupt("a block that was durable is zero");
    return GoOn(/*cut_end=*/offset_);
  }
  if (Witnessed(rest)) return Corrupt("a block that was durable is zero");
  return Torn("a block without its header's sector");
}

// Rule (d): the header is valid, the body is not.
bool LogJudge::StepBadBody(Bytes block, const BlockHeader& header) {
  if (segment().sealed_end) return Corrupt("a block's body is damaged");
  if (Witnessed(segment().bytes.subspan(offset_))) {
    return Corrupt("the body of a block that was durable is damaged");
  }
  if (CountZeroSectors(block) <= header.zero_sectors) {
    return Corrupt("a block's body is damaged, and no write of it is missing");
  }
  return Torn("a block without some of its sectors");
}

// Rule (c), as far as the header alone does not tell: nullptr if it belongs here.
const char* LogJudge::Mismatch(const BlockHeader& header) const {
  if (header.segment != segment().segment) return "a block of another segment";
  if (header.offset != offset_) return "a block of another offset";
  if (header.length > limit() - offset_) return "a block that leads beyond its segment";
  if (PAKV_BUG(kReopenTornSegment)) return nullptr;
  if (header.run != log_.run) return "a block of another run";
  if (header.log != log_.log) return "a block of another log";
  if (header.sequence != result_.sequence) return "a block out of sequence";
  if (header.chain != result_.chain) return "a block that does not continue the chain";
  return nullptr;
}

// True if something later says that the block expected here was durable. `rest` goes from here to
// the segment's end.
bool LogJudge::Witnessed(Bytes rest) const {
  return HoldsWitness(segment(), rest, offset_, kSectorSize) || WitnessedLater();
}

bool LogJudge::WitnessedLater() const {
  for (size_t i = index_ + 1; i < log_.segments.size(); ++i) {
    const JudgedSegment& later = log_.segments[i];
    if (later.first_sequence > result_.sequence) return true;
    if (HoldsWitness(later, later.bytes, 0, 0)) return true;
  }
  return false;
}

// Searches `bytes`, which lie at `base` in `in`, from `begin` on.
bool LogJudge::HoldsWitness(const JudgedSegment& in, Bytes bytes, uint64_t base,
                            size_t begin) const {
  for (size_t at = begin; at + kSectorSize <= bytes.size(); at += kSectorSize) {
    const std::optional<DecodedBlockHeader> decoded =
        DecodeBlockHeader(bytes.subspan(at, kSectorSize));
    if (!decoded) continue;
    const BlockHeader& header = decoded->header;
    if (header.run != log_.run || header.log != log_.log) continue;
    if (header.segment != in.segment || header.offset != base + at) continue;
    if (header.sequence > result_.sequence && header.known_durable >= result_.sequence) {
      return true;
    }
  }
  return false;
}

// The segment is used up to `offset_`: on to the log's next one, false if there is none.
bool LogJudge::GoOn(uint64_t cut_end) {
  result_.segment = segment().segment;
  result_.offset = offset_;
  result_.ends.push_back({offset_, cut_end});
  if (next() == nullptr) return false;
  const JudgedSegment& to = *next();
  if (to.first_sequence < result_.sequence) {
    return Corrupt("the log's next segment begins before this one ends");
  }
  // A gap is what dropped segments leave; only a sealed end can be followed by one.
  const bool gap = to.first_sequence > result_.sequence;
  if (gap && !segment().sealed_end) {
    return Corrupt("blocks are missing before the log's next segment");
  }
  if (!gap && to.first_chain != result_.chain) {
    return Corrupt("the log's next segment does not continue the chain");
  }
  result_.sequence = to.first_sequence;
  result_.chain = to.first_chain;
  ++index_;
  offset_ = 0;
  return true;
}

bool LogJudge::Torn(std::string_view reason) {
  result_.outcome = Judgement::Outcome::kTorn;
  result_.segment = segment().segment;
  result_.offset = offset_;
  result_.reason = reason;
  result_.ends.push_back({offset_, NonZeroEnd(segment().bytes, offset_)});
  return false;
}

bool LogJudge::Corrupt(std::string_view reason) {
  result_.outcome = Judgement::Outcome::kCorrupt;
  result_.segment = segment().segment;
  result_.offset = offset_;
  result_.reason = reason;
  return false;
}

Judgement JudgeLog(const JudgedLog& log, BlockVisitor* visitor) {
  LogJudge judge(log, visitor);
  while (!judge.Advance(UINT64_MAX / 2)) {
  }
  return judge.TakeResult();
}

bool StartsWithBlockOf(Bytes bytes, uint64_t run, uint32_t segment) {
  const std::optional<DecodedBlockHeader> decoded = DecodeBlockHeader(bytes);
  return decoded && decoded->header.run == run && decoded->header.segment == segment &&
         decoded->header.offset == 0;
}

}  // namespace pakv
