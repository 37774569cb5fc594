#include "kv/log/read/judge.h"

#include <algorithm>
#include <utility>

#include "runtime/base/check.h"
#include "runtime/base/seeded_bug.h"

namespace pakv {
namespace {

// The end of the last sector of [begin, end) that is not zero; `begin` if all are. `begin` is a
// multiple of kSectorSize, `end` too unless it is the bytes' own.
uint64_t NonZeroEnd(Bytes bytes, uint64_t begin, uint64_t end) {
  while (end > begin) {
    const uint64_t sector = RoundUp(end, kSectorSize) - kSectorSize;
    if (!AllZero(bytes.subspan(sector, end - sector))) return end;
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
  PAKV_CHECK(result_.outcome == Judgement::Outcome::kCorrupt ||
             result_.ends.size() == log_.segments.size());
  return std::move(result_);
}

// False when the log's end, or damage, is found, and nothing is left to look at.
bool LogJudge::Step() {
  switch (phase_) {
    case Phase::kBlock:
      return StepBlock();
    case Phase::kZeros:
      return StepZeros();
    case Phase::kWitness:
      return StepWitness();
    case Phase::kCutEnd:
      break;
  }
  return StepCutEnd();
}

bool LogJudge::StepBlock() {
  const uint64_t end = limit();
  if (offset_ == end) return GoOn();
  PAKV_CHECK(offset_ < end);
  const Bytes rest = segment().bytes.first(end).subspan(offset_);
  if (rest.size() < kSectorSize) return Corrupt("the segment ends within a sector");
  if (AllZero(rest.first(kSectorSize))) {
    if (segment().sealed_end) return Corrupt("zero before the segment's end");
    phase_ = Phase::kZeros;
    look_ = offset_ + kSectorSize;
    return true;
  }

  const std::optional<DecodedBlockHeader> decoded = DecodeBlockHeader(rest);
  if (!decoded) return Corrupt("not a block header, and not zero");
  const char* mismatch = Mismatch(decoded->header);
  if (mismatch != nullptr) return Corrupt(mismatch);
  const BlockHeader& header = decoded->header;
  const Bytes block = rest.first(header.length);
  judged_bytes_ += header.length;
  if (!BlockBodyRight(block, header)) return BadBody(block, header);

  if (visitor_ != nullptr) visitor_->OnBlock(segment(), header, block);
  offset_ += header.length;
  result_.sequence = header.sequence + 1;
  result_.chain = decoded->checksum;
  return true;
}

// Rules (a) and (b): the header sector is zero.
bool LogJudge::StepZeros() {
  constexpr std::string_view kLost = "a block that was durable is zero";
  const Bytes piece = segment().bytes.subspan(look_).first(
      std::min<uint64_t>(kLookBytesMax, segment().bytes.size() - look_));
  judged_bytes_ += piece.size();
  look_ += piece.size();
  if (!AllZero(piece)) {
    return Ask({.if_witnessed = kLost,
                .otherwise = Judgement::Outcome::kTorn,
                .reason = "a block without its header's sector"});
  }
  if (look_ < segment().bytes.size()) return true;
  const bool rolled = next() != nullptr && next()->first_sequence == result_.sequence;
  if (rolled) return GoOn();
  return AskLater({.if_witnessed = kLost, .reason = ""});
}

// Rule (d): the header is valid, the body is not.
bool LogJudge::BadBody(Bytes block, const BlockHeader& header) {
  if (segment().sealed_end) return Corrupt("a block's body is damaged");
  Doubt doubt{.if_witnessed = "the body of a block that was durable is damaged",
              .otherwise = Judgement::Outcome::kTorn,
              .reason = "a block without some of its sectors"};
  if (CountZeroSectors(block) <= header.zero_sectors) {
    doubt.otherwise = Judgement::Outcome::kCorrupt;
    doubt.reason = "a block's body is damaged, and no write of it is missing";
  }
  return Ask(doubt);
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

// Looks for a witness behind the header that was expected at `offset_`, and in later segments.
bool LogJudge::Ask(const Doubt& doubt) {
  phase_ = Phase::kWitness;
  doubt_ = doubt;
  look_index_ = index_;
  look_ = offset_ + kSectorSize;
  return true;
}

// In later segments alone.
bool LogJudge::AskLater(const Doubt& doubt) {
  phase_ = Phase::kWitness;
  doubt_ = doubt;
  look_index_ = index_ + 1;
  look_ = 0;
  return true;
}

bool LogJudge::StepWitness() {
  if (look_index_ == log_.segments.size()) return Unwitnessed();
  const JudgedSegment& in = log_.segments[look_index_];
  if (look_index_ > index_ && in.first_sequence > result_.sequence) {
    return Corrupt(doubt_.if_witnessed);
  }
  const uint64_t end = std::min<uint64_t>(look_ + kLookBytesMax, in.bytes.size());
  judged_bytes_ += end - look_;
  if (HoldsWitness(in, look_, end)) return Corrupt(doubt_.if_witnessed);
  look_ = end;
  if (look_ == in.bytes.size()) {
    ++look_index_;
    look_ = 0;
  }
  return true;
}

// Searches the whole sectors of [begin, end).
bool LogJudge::HoldsWitness(const JudgedSegment& in, uint64_t begin, uint64_t end) const {
  for (uint64_t at = begin; at + kSectorSize <= end; at += kSectorSize) {
    const std::optional<DecodedBlockHeader> decoded =
        DecodeBlockHeader(in.bytes.subspan(at, kSectorSize));
    if (!decoded) continue;
    const BlockHeader& header = decoded->header;
    if (header.run != log_.run || header.log != log_.log) continue;
    if (header.segment != in.segment || header.offset != at) continue;
    if (header.sequence > result_.sequence && header.known_durable >= result_.sequence) {
      return true;
    }
  }
  return false;
}

bool LogJudge::Unwitnessed() {
  switch (doubt_.otherwise) {
    case Judgement::Outcome::kEnd:
      return GoOn();
    case Judgement::Outcome::kTorn:
      return Torn(doubt_.reason);
    case Judgement::Outcome::kCorrupt:
      break;
  }
  return Corrupt(doubt_.reason);
}

// The segment is used up to `offset_`, and behind that zero or sealed: on to the log's next one,
// false if there is none.
bool LogJudge::GoOn() {
  result_.segment = segment().segment;
  result_.offset = offset_;
  result_.ends.push_back({offset_, offset_});
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
  phase_ = Phase::kBlock;
  return true;
}

// All that lies behind `offset_` goes, in the later segments too.
bool LogJudge::Torn(std::string_view reason) {
  result_.outcome = Judgement::Outcome::kTorn;
  result_.segment = segment().segment;
  result_.offset = offset_;
  result_.reason = reason;
  phase_ = Phase::kCutEnd;
  look_index_ = index_;
  look_ = segment().bytes.size();
  return true;
}

bool LogJudge::StepCutEnd() {
  const uint64_t begin = look_index_ == index_ ? offset_ : 0;
  const Bytes bytes = log_.segments[look_index_].bytes;
  const uint64_t from =
      std::max(begin, RoundUp(look_ - std::min(look_, kLookBytesMax), kSectorSize));
  judged_bytes_ += look_ - from;
  const uint64_t found = NonZeroEnd(bytes, from, look_);
  look_ = from;
  if (found == from && from > begin) return true;
  result_.ends.push_back({begin, found});
  if (++look_index_ == log_.segments.size()) return false;
  look_ = log_.segments[look_index_].bytes.size();
  return true;
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
