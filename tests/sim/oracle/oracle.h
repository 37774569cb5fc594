// The oracle: what a store may answer, and what may be in it after a crash. Pure: it is told of
// each operation when it begins and when its outcome is known, in the order of virtual time, and
// says at once when no order of the operations explains what was seen.
//
// Per key it keeps every explanation that is still possible: which of the operations under way
// have taken effect, and the value then (Wing and Gong's search, done step by step as Lowe's
// just-in-time linearization). It demands
//   - linearizability per key, and per session the order in which it sent;
//   - what was acknowledged, or shown by a read, is there after every crash;
//   - what was refused has never happened, nor has anything waited for it. Its session may hear of
//     that after others have seen what came behind it: what may end so says it at its beginning,
//     and is taken to have been refused in some of the explanations until its outcome is known;
//   - what ended as unknown does not show before a restart, and may show after it;
//   - what was under way at a crash happened or not, in the session's order, and stays so;
//   - a key whose time is over is absent, and stays so. Between the earliest and the latest that a
//     node's expiry clock can show, which a clock that was set back drives apart, it may be either.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace pakv {

enum class OracleCommand : uint8_t {
  // Reads.
  kGet,
  kGetRange,    // the bytes from place `number` to place `last`, from the end if they are negative
  kLength,      // of the value, 0 for no such key
  kExists,      // 1 or 0
  kExpireTime,  // when it expires, -1 for never, -2 for no such key
  // Writes.
  kSet,        // `number` is the time at which the key expires, ms since 1970, or 0
  kDelete,     // 1 or 0
  kIncrement,  // the new number, or an error if the value is no number
  kAddFloat,   // the same of a decimal fraction, which `argument` is, too: of quarters
  kAppend,     // the new length, or an error if that is above `number` (0: any is right)
  kSetRange,   // the same; `number` is where the argument begins
  kExpireAt,   // `number` is the time: 1 or 0
  kPersist,    // takes the expiry away: 1 or 0
};
bool IsRead(OracleCommand command);

// kSet with a condition answers whether it was met, 1 or 0.
struct OracleOptions {
  bool if_absent = false;   // kSet: of the key; kExpireAt: of its expiry
  bool if_present = false;  // the same
  // kExpireAt: than its expiry is; one that has none is later than any other.
  bool if_later = false;
  bool if_sooner = false;
  bool keeps_expiry = false;  // kSet
  bool answers_old = false;   // of writes: their answer is the value that was there, and no other
  bool in_seconds = false;    // kExpireTime: rounded
};

struct OracleOperation {
  OracleCommand command = OracleCommand::kGet;
  std::string argument{};
  int64_t number = 0;
  OracleOptions options{};
  int64_t last = 0;
  bool may_be_refused = false;  // while later ones of its session are not
};

struct OracleReply {
  // kUntold: it has happened, and that is all that was said.
  enum class Kind : uint8_t { kOk, kNull, kInteger, kBytes, kError, kUntold };
  Kind kind = Kind::kOk;
  int64_t integer = 0;
  std::string bytes;  // kBytes
  friend auto operator<=>(const OracleReply&, const OracleReply&) = default;
};

// The value of a key, and when it expires, 0 for never; nullopt: it is not there.
struct OracleValue {
  std::optional<std::string> bytes;
  uint64_t expiry_ms = 0;
};

// What the operation answers, and does to `value`.
OracleReply Apply(const OracleOperation& operation, OracleValue& value);
std::string Describe(const OracleOperation& operation);
std::string Describe(const OracleReply& reply);

class Oracle {
 public:
  using OperationId = uint64_t;

  // What wall clocks show, ms since 1970; to be set before something expires.
  void SetClock(std::function<uint64_t()> wall_ms) { wall_ms_ = std::move(wall_ms); }
  // Looks at the clock: to be called before it is set, as everything below does.
  void LookAtClock();

  // An operation of `session` begins. Operations of one session on one key take effect in the
  // order of their beginning.
  OperationId Begin(uint64_t session, const std::string& key, OracleOperation operation);
  // All keys whose names begin so are removed, those too that begin to exist while this is under
  // way.
  OperationId BeginFlush(uint64_t session, std::string prefix = {});
  // Its outcome. Once for each operation, except those that were under way at a crash.
  void Acknowledged(OperationId id, OracleReply reply);
  void Refused(OperationId id);
  void Unknown(OperationId id);
  // The store died. What is under way or unknown has happened or not.
  void Crashed();

  // Whether an explanation is left; if not, what was wrong first.
  bool ok() const { return violation_.empty(); }
  const std::string& violation() const { return violation_; }
  // Keys that were ever named, in order. Namespaces are parts of the names: keys of several have
  // nothing to do with each other.
  std::vector<std::string> keys() const;
  // Whether a key can, and whether it must be there now, of what is known.
  bool CanExist(const std::string& key) const;
  bool MustExist(const std::string& key) const;
  // Whether the key's value has ever been `bytes`, in any explanation.
  bool HasBeen(const std::string& key, const std::string& bytes) const;

  // Operations on the key that are under way: what a load keeps small, as the orders to be
  // considered grow with its factorial.
  size_t pending_count(const std::string& key) const;
  // What is under way, for the message about a hang.
  std::string DescribePending() const;

  uint64_t acknowledged_count() const { return acknowledged_count_; }
  uint64_t refused_count() const { return refused_count_; }
  uint64_t unknown_count() const { return unknown_count_; }

 private:
  // Explanations of one key beyond this are too many to follow: a failure, never a pass.
  static constexpr size_t kExplanationsMax = 50'000;
  static constexpr size_t kHistoryLines = 40;

  // A value that was ever thought of, 0 for none: explanations are many, and values may be large.
  using ValueId = uint32_t;
  static constexpr ValueId kAbsent = 0;
  struct Answer {
    OracleReply::Kind kind = OracleReply::Kind::kOk;
    int64_t integer = 0;
    ValueId value = kAbsent;
    friend auto operator<=>(const Answer&, const Answer&) = default;
  };
  struct Effect {
    ValueId value;
    Answer answer;
  };

  struct Pending {
    uint64_t session;
    OracleOperation operation;
    bool hidden = false;    // unknown: takes no effect before a crash
    uint64_t begin_ms = 0;  // what had expired by then is absent to it
  };
  // What a read under way may answer: what was there at some moment of it, from the effect of its
  // session's earlier operations to that of its later ones.
  struct Seen {
    std::set<ValueId> values;
    std::set<ValueId> before;  // the same while an earlier write of its session has not happened
    bool closed = false;
    friend auto operator<=>(const Seen&, const Seen&) = default;
  };
  // One way in which it may have been: the value, and of the operations under way those that took
  // effect with what they will answer, and those that will be refused.
  struct Explanation {
    ValueId value = kAbsent;
    std::map<OperationId, Answer> done;
    std::set<OperationId> refused;
    std::map<OperationId, Seen> reads;
    friend auto operator<=>(const Explanation&, const Explanation&) = default;
  };
  struct Key {
    std::map<OperationId, Pending> pending;
    std::set<Explanation> explanations{Explanation{}};
    std::set<ValueId> ever;            // the values that it may have had
    std::vector<std::string> history;  // the last lines, for the message
  };
  struct Flush {
    uint64_t session;
    std::string prefix;
    std::map<std::string, OperationId> parts;  // by key
    bool hidden = false;
  };

  Key& KeyOf(const std::string& name);
  void BeginPart(OperationId id, uint64_t session, const std::string& name, OracleOperation what);
  void EndPart(const std::string& name, OperationId id, const OracleReply& reply);
  void EndRead(const std::string& name, OperationId id, const OracleReply& reply);
  void Impossible(const std::string& name, const Key& key, OperationId id, const OracleReply& reply,
                  const std::set<std::string>& possible);
  static void ForgetRead(Key& key, OperationId id);
  void NeverHappens(Key& key, OperationId id);
  void RefusePart(const std::string& name, OperationId id);
  static bool Eligible(const Key& key, const Explanation& explanation, OperationId id);
  static bool HasLaterOne(const Key& key, OperationId id);
  void ClockWasSetBack(uint64_t clock_ms);
  void HasNotHappened(const Key& key, Explanation& explanation, OperationId id) const;
  void LookAround(const Key& key, Explanation& explanation) const;
  // Walks from the present explanations through all that follow when operations under way take
  // effect. `stop` says of each whether it is to be kept rather than followed further.
  using Stop = std::function<bool(const Explanation&)>;
  void Walk(const std::string& name, Key& key, bool with_hidden, const Stop& stop);
  // Whether a value with an expiry is gone by then.
  bool HasExpired(ValueId value, uint64_t clock_ms) const;
  ValueId Intern(const OracleValue& value);
  OracleValue ValueOf(ValueId id) const;
  Answer AnswerOf(const OracleReply& reply);
  std::string Describe(const Answer& answer) const;
  // What an operation under way does to a value; worked out once.
  const Effect& EffectOn(OperationId id, const OracleOperation& operation, ValueId value);
  void ForgetEffects(OperationId id);
  void Note(Key& key, std::string line);
  void Violate(const std::string& name, const Key& key, const std::string& what);

  OperationId next_id_ = 1;
  std::map<std::string, Key> keys_;
  std::map<OperationId, std::string> key_of_;  // operations under way
  std::map<OperationId, Flush> flushes_;
  using ValueName = std::pair<std::string, uint64_t>;  // its bytes and its expiry
  std::vector<const ValueName*> values_;               // by ValueId - 1; keys of value_ids_
  std::map<ValueName, ValueId> value_ids_;
  std::map<std::pair<OperationId, ValueId>, Effect> effects_;
  std::function<uint64_t()> wall_ms_;
  // The expiry clock that nodes have is not before this one, nor beyond the other.
  uint64_t clock_min_ms_ = 0;
  uint64_t clock_max_ms_ = 0;
  bool silent_ = false;  // explanations do not keep what would have been answered
  std::string violation_;
  uint64_t acknowledged_count_ = 0;
  uint64_t refused_count_ = 0;
  uint64_t unknown_count_ = 0;
};

}  // namespace pakv
