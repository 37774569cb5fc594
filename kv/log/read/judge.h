// Torn or corrupt: decides where a log ends, from the bytes of its segments alone. The rules (a)
// to (d) and the witnesses are those of docs/format.md; each has a named test. Pure: recovery and
// the fuzzer bring the bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "kv/log/format/format.h"

namespace pakv {

// One segment as MANIFEST lists it, with its bytes.
struct JudgedSegment {
  uint32_t segment = 0;
  uint64_t first_sequence = 1;
  uint32_t first_chain = 0;
  std::optional<uint64_t> sealed_end;  // at most bytes.size()
  Bytes bytes;                         // the file; of a sealed one at least up to its end
};

// The segments of one (run, log) that are judged together, in the order in which they were made.
// A later segment of the same log that is left out is a witness that is not heard: so an unsealed
// segment is judged with all that follow it, a sealed one may be judged alone.
struct JudgedLog {
  uint64_t run = 0;
  uint32_t log = 0;
  std::span<const JudgedSegment> segments;
};

// Called for each valid block in order, before it is known how the log ends.
class BlockVisitor {
 public:
  virtual ~BlockVisitor() = default;
  // `block` holds the whole block, its body checked.
  virtual void OnBlock(const JudgedSegment& segment, const BlockHeader& header, Bytes block) = 0;
};

struct Judgement {
  enum class Outcome { kEnd, kTorn, kCorrupt };
  Outcome outcome = Outcome::kEnd;
  // Where the log ends, is torn, or is corrupt.
  uint32_t segment = 0;
  uint64_t offset = 0;
  // One sentence for people, "" for kEnd. A constant.
  std::string_view reason;
  // The sequence that was expected there, and the header checksum of the block before.
  uint64_t sequence = 1;
  uint32_t chain = 0;
  // Per segment of the log: where its blocks end, and the end of the last sector behind them that
  // is not zero (equal to `end` if all are zero, or it is sealed). Not filled in for a corrupt log.
  struct End {
    uint64_t end = 0;
    uint64_t cut_end = 0;
  };
  std::vector<End> ends;
};

// Judges one log in steps, so that a core can do something else in between: what lies behind the
// blocks may be a whole segment of zeros, and is looked at a piece at a time, as blocks are. `log`,
// its segments and their bytes outlive it; `visitor` may be nullptr.
class LogJudge {
 public:
  // Looked at in one step; but a block is judged whole.
  static constexpr uint64_t kLookBytesMax = uint64_t{128} << 10;

  LogJudge(const JudgedLog& log, BlockVisitor* visitor);
  LogJudge(const LogJudge&) = delete;
  LogJudge& operator=(const LogJudge&) = delete;

  // Goes on for about `bytes_max` (one step at least). True when it has come to an end.
  bool Advance(uint64_t bytes_max);
  // Once, after the end.
  Judgement TakeResult();

 private:
  // What the next step looks at.
  enum class Phase : uint8_t {
    kBlock,    // what lies at `offset_`
    kZeros,    // whether all is zero from there on
    kWitness,  // whether something later knows that the block expected there was durable
    kCutEnd,   // where what is to be cut off ends, in this segment and the later ones
  };
  // What is said of the block at `offset_` when nothing later is its witness; and when something
  // is.
  struct Doubt {
    std::string_view if_witnessed;
    Judgement::Outcome otherwise = Judgement::Outcome::kEnd;
    std::string_view reason;
  };

  const JudgedSegment& segment() const { return log_.segments[index_]; }
  const JudgedSegment* next() const;
  uint64_t limit() const;
  bool Step();
  bool StepBlock();
  bool StepZeros();
  bool StepWitness();
  bool StepCutEnd();
  bool BadBody(Bytes block, const BlockHeader& header);
  const char* Mismatch(const BlockHeader& header) const;
  bool AskLater(const Doubt& doubt);
  bool Ask(const Doubt& doubt);
  bool HoldsWitness(const JudgedSegment& in, uint64_t begin, uint64_t end) const;
  bool Unwitnessed();
  bool GoOn();
  bool Torn(std::string_view reason);
  bool Corrupt(std::string_view reason);

  const JudgedLog log_;
  BlockVisitor* const visitor_;
  size_t index_ = 0;
  uint64_t offset_ = 0;
  Phase phase_ = Phase::kBlock;
  Doubt doubt_;            // while witnesses are looked for
  size_t look_index_ = 0;  // the segment that is looked at meanwhile,
  uint64_t look_ = 0;      // and how far: all before it was seen, for kCutEnd all behind it
  uint64_t judged_bytes_ = 0;
  bool ended_ = false;
  Judgement result_;
};

// The whole of it at once.
Judgement JudgeLog(const JudgedLog& log, BlockVisitor* visitor);

// True if `bytes`, the first sector of a file named as `segment`, is a block header of `run`.
bool StartsWithBlockOf(Bytes bytes, uint64_t run, uint32_t segment);

}  // namespace pakv
