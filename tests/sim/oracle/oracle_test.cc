// The oracle has to reject what a store must not do, and to accept everything else: each kind of
// fault is a history here.
// Long because: there is one for each.
#include "tests/sim/oracle/oracle.h"

#include <gtest/gtest.h>

#include <string>

#include "runtime/base/prng.h"

namespace pakv {
namespace {

OracleOperation Get() { return {OracleCommand::kGet, {}, 0}; }
OracleOperation Set(std::string value) { return {OracleCommand::kSet, std::move(value), 0}; }
OracleOperation SetIfAbsent(std::string value) {
  return {OracleCommand::kSet, std::move(value), 0, {.if_absent = true}};
}
OracleOperation Delete() { return {OracleCommand::kDelete, {}, 0}; }
OracleOperation Increment(int64_t by) { return {OracleCommand::kIncrement, {}, by}; }
OracleOperation Append(std::string tail) { return {OracleCommand::kAppend, std::move(tail), 0}; }

OracleReply Ok() { return {}; }
OracleReply Nothing() { return {OracleReply::Kind::kNull, 0, {}}; }
OracleReply Number(int64_t number) { return {OracleReply::Kind::kInteger, number, {}}; }
OracleReply Value(std::string bytes) { return {OracleReply::Kind::kBytes, 0, std::move(bytes)}; }
OracleReply Error() { return {OracleReply::Kind::kError, 0, {}}; }

class OracleTest : public testing::Test {
 protected:
  // An operation that begins and ends with nothing in between.
  void Do(OracleOperation operation, OracleReply reply) {
    oracle.Acknowledged(oracle.Begin(1, "k", std::move(operation)), std::move(reply));
  }
  Oracle oracle;
};

TEST_F(OracleTest, OneAfterTheOtherIsFine) {
  Do(Get(), Nothing());
  Do(Set("a"), Ok());
  Do(Get(), Value("a"));
  Do(SetIfAbsent("b"), Number(0));
  Do(Append("b"), Number(2));
  Do(Get(), Value("ab"));
  Do(Increment(1), Error());
  Do(Delete(), Number(1));
  Do(Delete(), Number(0));
  Do(Increment(5), Number(5));
  Do(Increment(-7), Number(-2));
  Do(SetIfAbsent("b"), Number(0));
  Do(Get(), Value("-2"));
  EXPECT_TRUE(oracle.ok()) << oracle.violation();
  EXPECT_TRUE(oracle.MustExist("k"));
  EXPECT_TRUE(oracle.CanExist("k"));
  EXPECT_FALSE(oracle.CanExist("other"));
}

TEST_F(OracleTest, WhatAnswersWithTheOldValueChangesTheKeyToo) {
  const OracleOperation get_set{OracleCommand::kSet, "b", 0, {.answers_old = true}};
  const OracleOperation get_delete{OracleCommand::kDelete, {}, 0, {.answers_old = true}};
  Do(get_set, Nothing());
  Do({OracleCommand::kLength, {}, 0}, Number(1));
  Do(get_delete, Value("b"));
  Do(get_delete, Nothing());
  Do({OracleCommand::kLength, {}, 0}, Number(0));
  EXPECT_TRUE(oracle.ok()) << oracle.violation();
  Do(Set("a"), Ok());
  Do(get_delete, Nothing());
  EXPECT_FALSE(oracle.ok()) << "there was one";
}

TEST_F(OracleTest, ConditionsAreThoseOfRedis) {
  const auto set = [](OracleOptions options) {
    return OracleOperation{OracleCommand::kSet, "b", 0, options};
  };
  const auto expire = [](int64_t ms, OracleOptions options) {
    return OracleOperation{OracleCommand::kExpireAt, {}, ms, options};
  };
  const OracleOperation when{OracleCommand::kExpireTime, {}, 0};
  Do(set({.if_present = true}), Number(0));
  Do(set({.if_present = true, .answers_old = true}), Nothing());
  Do(set({.if_absent = true, .answers_old = true}), Nothing());
  Do(set({.if_absent = true, .answers_old = true}), Value("b"));
  Do(expire(9000, {.if_present = true}), Number(0));
  Do(expire(9000, {.if_later = true}), Number(0));  // than never
  Do(expire(9000, {.if_sooner = true}), Number(1));
  Do(expire(9000, {.if_sooner = true}), Number(0));
  Do(expire(9000, {.if_later = true}), Number(0));
  Do(expire(9700, {.if_later = true}), Number(1));
  Do(expire(1, {.if_absent = true}), Number(0));
  Do(set({.if_present = true, .keeps_expiry = true}), Number(1));
  Do(when, Number(9700));
  Do({OracleCommand::kExpireTime, {}, 0, {.in_seconds = true}}, Number(10));
  Do({OracleCommand::kPersist, {}, 0, {.answers_old = true}}, Value("b"));
  Do(when, Number(-1));
  Do({OracleCommand::kPersist, {}, 0}, Number(0));
  EXPECT_TRUE(oracle.ok()) << oracle.violation();
  Do(expire(9000, {}), Number(1));
  Do(set({.if_present = true}), Number(1));
  Do(when, Number(9000));
  EXPECT_FALSE(oracle.ok()) << "SET without KEEPTTL takes the expiry away";
}

TEST_F(OracleTest, PartsOfAValueAreThoseOfRedis) {
  const auto part = [](int64_t first, int64_t last) {
    return OracleOperation{.command = OracleCommand::kGetRange, .number = first, .last = last};
  };
  Do({OracleCommand::kExists, {}, 0}, Number(0));
  Do(part(0, -1), Value(""));
  Do(Set("hello"), Ok());
  Do({OracleCommand::kExists, {}, 0}, Number(1));
  Do(part(0, -1), Value("hello"));
  Do(part(1, 2), Value("el"));
  Do(part(-2, 100), Value("lo"));
  Do(part(-100, 0), Value("h"));
  Do(part(0, -100), Value("h"));
  Do(part(-1, -2), Value(""));
  Do(part(3, 1), Value(""));
  Do(part(5, 9), Value(""));
  EXPECT_TRUE(oracle.ok()) << oracle.violation();
}

TEST_F(OracleTest, SumsOfQuartersAreExact) {
  const auto add = [](std::string by) {
    return OracleOperation{OracleCommand::kAddFloat, std::move(by)};
  };
  Do(add("-0.25"), Value("-0.25"));
  Do(add("10.75"), Value("10.5"));
  Do(Increment(1), Error());
  Do(add("-0.5"), Value("10"));
  Do(Increment(1), Number(11));
  Do(Set("1.2.3"), Ok());
  Do(add("1"), Error());
  EXPECT_TRUE(oracle.ok()) << oracle.violation();
}

TEST_F(OracleTest, WhatIsDoneWithoutItsAnswerIsDone) {
  const OracleReply untold{OracleReply::Kind::kUntold, 0, {}};
  Do(Set("a"), Ok());
  Do({OracleCommand::kDelete, {}, 0, {.answers_old = true}}, untold);
  Do(Get(), Nothing());
  Do({OracleCommand::kSet, "b", 0, {.answers_old = true}}, untold);
  oracle.Crashed();
  Do(Get(), Value("b"));
  EXPECT_TRUE(oracle.ok()) << oracle.violation();
  Do({OracleCommand::kDelete, {}, 0, {.answers_old = true}}, untold);
  Do(Get(), Value("b"));
  EXPECT_FALSE(oracle.ok()) << "it was said to be gone";
}

TEST_F(OracleTest, RejectsAStaleRead) {
  Do(Set("old"), Ok());
  Do(Set("new"), Ok());
  Do(Get(), Value("old"));
  EXPECT_FALSE(oracle.ok());
  EXPECT_NE(oracle.violation().find("GET answered \"old\""), std::string::npos)
      << oracle.violation();
}

TEST_F(OracleTest, RejectsAValueThatNobodyWrote) {
  Do(Set("a"), Ok());
  Do(Get(), Value("b"));
  EXPECT_FALSE(oracle.ok());
}

TEST_F(OracleTest, RejectsALostAcknowledgedWrite) {
  Do(Set("a"), Ok());
  oracle.Crashed();
  Do(Get(), Nothing());
  EXPECT_FALSE(oracle.ok());
}

TEST_F(OracleTest, RejectsALostDelete) {
  Do(Set("a"), Ok());
  Do(Delete(), Number(1));
  oracle.Crashed();
  Do(Get(), Value("a"));
  EXPECT_FALSE(oracle.ok());
}

TEST_F(OracleTest, AWriteUnderWayAtACrashMayBeThereOrNot) {
  for (const bool there : {false, true}) {
    Oracle each;
    each.Acknowledged(each.Begin(1, "k", Set("a")), Ok());
    each.Begin(2, "k", Set("b"));
    each.Crashed();
    each.Acknowledged(each.Begin(1, "k", Get()), Value(there ? "b" : "a"));
    each.Acknowledged(each.Begin(1, "k", Get()), Value(there ? "b" : "a"));
    EXPECT_TRUE(each.ok()) << each.violation();
  }
}

TEST_F(OracleTest, RejectsAFateThatChangesAfterTheRestart) {
  Do(Set("a"), Ok());
  oracle.Begin(2, "k", Set("b"));
  oracle.Crashed();
  Do(Get(), Value("b"));
  oracle.Crashed();
  Do(Get(), Value("a"));
  EXPECT_FALSE(oracle.ok());
}

TEST_F(OracleTest, RejectsTheLossOfWhatWasShown) {
  Do(Set("a"), Ok());
  oracle.Begin(2, "k", Set("b"));  // never answered
  Do(Get(), Value("b"));           // but shown
  EXPECT_TRUE(oracle.ok());
  oracle.Crashed();
  Do(Get(), Value("a"));
  EXPECT_FALSE(oracle.ok());
}

TEST_F(OracleTest, RejectsTheLossOfWhatARefusalDependedOn) {
  oracle.Begin(2, "k", Set("b"));
  Do(SetIfAbsent("c"), Number(0));  // says that there was a value
  oracle.Crashed();
  Do(Get(), Nothing());
  EXPECT_FALSE(oracle.ok());
}

TEST_F(OracleTest, RejectsARefusedWriteThatIsSeen) {
  const Oracle::OperationId refused = oracle.Begin(2, "k", Set("b"));
  oracle.Refused(refused);
  Do(Get(), Nothing());
  EXPECT_TRUE(oracle.ok());
  Do(Get(), Value("b"));
  EXPECT_FALSE(oracle.ok());
}

TEST_F(OracleTest, RejectsARefusalAfterItsEffectWasSeen) {
  const Oracle::OperationId refused = oracle.Begin(2, "k", Set("b"));
  Do(Get(), Value("b"));
  oracle.Refused(refused);
  EXPECT_FALSE(oracle.ok());
}

// The session's next operation is decided, and seen by others, before either is answered.
TEST_F(OracleTest, ARefusalMayBeHeardOfAfterWhatCameBehindItWasSeen) {
  for (const bool flushes : {false, true}) {
    Do(Set("a"), Ok());
    OracleOperation set = Set("b");
    set.may_be_refused = true;
    const Oracle::OperationId refused = oracle.Begin(2, "k", set);
    const Oracle::OperationId behind =
        flushes ? oracle.BeginFlush(2) : oracle.Begin(2, "k", Append("c"));
    const Oracle::OperationId read = oracle.Begin(2, "k", Get());
    Do(Get(), flushes ? Nothing() : Value("ac"));
    Do(Set("d"), Ok());
    oracle.Acknowledged(read, flushes ? Nothing() : Value("ac"));
    oracle.Refused(refused);
    oracle.Acknowledged(behind, flushes ? Ok() : Number(2));
    Do(Get(), Value("d"));
    EXPECT_TRUE(oracle.ok()) << oracle.violation();
  }
}

TEST_F(OracleTest, WhatMightHaveBeenRefusedAndIsAcknowledgedHasHappenedBeforeWhatIsBehindIt) {
  Do(Set("a"), Ok());
  OracleOperation set = Set("b");
  set.may_be_refused = true;
  const Oracle::OperationId first = oracle.Begin(2, "k", set);
  const Oracle::OperationId behind = oracle.Begin(2, "k", Append("c"));
  Do(Get(), Value("ac"));
  oracle.Acknowledged(behind, Number(2));
  EXPECT_TRUE(oracle.ok()) << oracle.violation();
  oracle.Acknowledged(first, Ok());
  EXPECT_FALSE(oracle.ok());
}

TEST_F(OracleTest, AnUnknownWriteShowsAfterTheRestartOnly) {
  const Oracle::OperationId unknown = oracle.Begin(2, "k", Set("b"));
  oracle.Unknown(unknown);
  Do(Get(), Nothing());
  EXPECT_TRUE(oracle.ok());
  oracle.Crashed();
  Do(Get(), Value("b"));
  EXPECT_TRUE(oracle.ok()) << oracle.violation();
}

TEST_F(OracleTest, RejectsAnUnknownWriteThatShowsBeforeARestart) {
  oracle.Unknown(oracle.Begin(2, "k", Set("b")));
  Do(Get(), Value("b"));
  EXPECT_FALSE(oracle.ok());
}

TEST_F(OracleTest, RejectsAnUnknownOutcomeOfWhatWasSeen) {
  const Oracle::OperationId unknown = oracle.Begin(2, "k", Set("b"));
  Do(Get(), Value("b"));
  oracle.Unknown(unknown);
  EXPECT_FALSE(oracle.ok());
}

TEST_F(OracleTest, ConcurrentWritesTakeAnyOrderButOnlyOne) {
  const Oracle::OperationId first = oracle.Begin(1, "k", Set("a"));
  const Oracle::OperationId second = oracle.Begin(2, "k", Set("b"));
  oracle.Acknowledged(second, Ok());
  oracle.Acknowledged(first, Ok());
  Oracle other = oracle;
  oracle.Acknowledged(oracle.Begin(3, "k", Get()), Value("a"));
  oracle.Acknowledged(oracle.Begin(4, "k", Get()), Value("a"));
  EXPECT_TRUE(oracle.ok()) << oracle.violation();
  other.Acknowledged(other.Begin(3, "k", Get()), Value("b"));
  EXPECT_TRUE(other.ok()) << other.violation();
  other.Acknowledged(other.Begin(4, "k", Get()), Value("a"));
  EXPECT_FALSE(other.ok());
}

TEST_F(OracleTest, RejectsTwoIncrementsWithOneAnswer) {
  const Oracle::OperationId first = oracle.Begin(1, "k", Increment(1));
  const Oracle::OperationId second = oracle.Begin(2, "k", Increment(1));
  oracle.Acknowledged(first, Number(1));
  oracle.Acknowledged(second, Number(1));
  EXPECT_FALSE(oracle.ok());
}

TEST_F(OracleTest, RejectsTwoThatBothWereFirst) {
  const Oracle::OperationId first = oracle.Begin(1, "k", SetIfAbsent("a"));
  const Oracle::OperationId second = oracle.Begin(2, "k", SetIfAbsent("b"));
  oracle.Acknowledged(first, Number(1));
  oracle.Acknowledged(second, Number(1));
  EXPECT_FALSE(oracle.ok());
}

TEST_F(OracleTest, RejectsALostAppend) {
  const Oracle::OperationId first = oracle.Begin(1, "k", Append("a"));
  const Oracle::OperationId second = oracle.Begin(2, "k", Append("b"));
  oracle.Acknowledged(first, Number(1));
  oracle.Acknowledged(second, Number(2));
  Do(Get(), Value("b"));
  EXPECT_FALSE(oracle.ok());
}

TEST_F(OracleTest, RejectsASessionThatMissesItsOwnWrite) {
  Do(Set("old"), Ok());
  oracle.Begin(7, "k", Set("new"));
  const Oracle::OperationId read = oracle.Begin(7, "k", Get());
  oracle.Acknowledged(read, Value("old"));
  EXPECT_FALSE(oracle.ok());
}

TEST_F(OracleTest, AnotherSessionNeedNotSeeAWriteUnderWay) {
  Do(Set("old"), Ok());
  oracle.Begin(7, "k", Set("new"));
  const Oracle::OperationId read = oracle.Begin(8, "k", Get());
  oracle.Acknowledged(read, Value("old"));
  EXPECT_TRUE(oracle.ok()) << oracle.violation();
}

TEST_F(OracleTest, AReadBehindARefusedWriteSeesWhatWasThereBefore) {
  Do(Set("old"), Ok());
  const Oracle::OperationId write = oracle.Begin(7, "k", Set("new"));
  const Oracle::OperationId read = oracle.Begin(7, "k", Get());
  Do(Set("other"), Ok());
  oracle.Refused(write);
  Oracle other = oracle;
  oracle.Acknowledged(read, Value("old"));
  EXPECT_TRUE(oracle.ok()) << oracle.violation();
  other.Acknowledged(read, Value("new"));
  EXPECT_FALSE(other.ok());
}

TEST_F(OracleTest, RejectsAReadThatSeesItsSessionsLaterWrite) {
  Do(Set("old"), Ok());
  const Oracle::OperationId read = oracle.Begin(7, "k", Get());
  const Oracle::OperationId write = oracle.Begin(7, "k", Set("new"));
  oracle.Acknowledged(write, Ok());
  Oracle other = oracle;
  oracle.Acknowledged(read, Value("old"));
  EXPECT_TRUE(oracle.ok()) << oracle.violation();
  other.Acknowledged(read, Value("new"));
  EXPECT_FALSE(other.ok());
}

TEST_F(OracleTest, RejectsALaterWriteOfASessionWithoutTheEarlier) {
  Do(Set(""), Ok());
  oracle.Begin(7, "k", Append("1"));
  oracle.Begin(7, "k", Append("2"));
  oracle.Crashed();
  Do(Get(), Value("2"));
  EXPECT_FALSE(oracle.ok());
}

TEST_F(OracleTest, AFlushRemovesAllKeys) {
  Do(Set("a"), Ok());
  const Oracle::OperationId flush = oracle.BeginFlush(2);
  // A key that is new while the flush is under way may fall to it.
  const Oracle::OperationId late = oracle.Begin(1, "late", Set("b"));
  oracle.Acknowledged(late, Ok());
  oracle.Acknowledged(flush, Ok());
  Oracle other = oracle;
  Do(Get(), Nothing());
  oracle.Acknowledged(oracle.Begin(1, "late", Get()), Nothing());
  EXPECT_TRUE(oracle.ok()) << oracle.violation();
  other.Acknowledged(other.Begin(1, "late", Get()), Value("b"));
  EXPECT_TRUE(other.ok()) << other.violation();
  other.Acknowledged(other.Begin(1, "k", Get()), Value("a"));
  EXPECT_FALSE(other.ok());
}

TEST_F(OracleTest, AFlushOfANamespaceLeavesTheOthersAlone) {
  Do(Set("a"), Ok());
  oracle.Acknowledged(oracle.Begin(1, "3/k", Set("b")), Ok());
  const Oracle::OperationId flush = oracle.BeginFlush(2, "3/");
  oracle.Acknowledged(oracle.Begin(1, "late", Set("c")), Ok());
  oracle.Acknowledged(flush, Ok());
  Do(Get(), Value("a"));
  oracle.Acknowledged(oracle.Begin(1, "late", Get()), Value("c"));
  EXPECT_TRUE(oracle.ok()) << oracle.violation();
  Oracle other = oracle;
  other.Acknowledged(other.Begin(1, "3/k", Get()), Value("b"));
  EXPECT_FALSE(other.ok());
  oracle.Acknowledged(oracle.Begin(1, "3/k", Get()), Nothing());
  EXPECT_TRUE(oracle.ok()) << oracle.violation();
}

// A register with many operations under way, answered in random order by a model: never rejected;
// with one answer changed: always.
TEST_F(OracleTest, AcceptsWhatAModelAnswersAndRejectsOneWrongAnswer) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    Prng prng(seed);
    Oracle each;
    OracleValue model;
    struct UnderWay {
      Oracle::OperationId id;
      OracleReply reply;
    };
    std::vector<UnderWay> under_way;
    bool spoiled = false;
    for (int step = 0; step < 200 && each.ok(); ++step) {
      if (under_way.size() < 4 && prng.Chance(1, 2)) {
        OracleOperation operation{static_cast<OracleCommand>(prng.Below(6)), std::to_string(step),
                                  static_cast<int64_t>(prng.Below(9))};
        const Oracle::OperationId id = each.Begin(prng.Below(1000), "k", operation);
        under_way.push_back({id, Apply(operation, model)});
      } else if (!under_way.empty()) {
        const size_t chosen = prng.Below(under_way.size());
        UnderWay done = under_way[chosen];
        under_way.erase(under_way.begin() + static_cast<int64_t>(chosen));
        if (step > 150 && !spoiled && done.reply.kind == OracleReply::Kind::kBytes) {
          done.reply.bytes += "?";
          spoiled = true;
        }
        each.Acknowledged(done.id, done.reply);
      }
      if (prng.Chance(1, 40)) {
        // All under way have happened in the model: one of the ways that a crash may go.
        each.Crashed();
        under_way.clear();
      }
    }
    EXPECT_EQ(each.ok(), !spoiled) << "seed " << seed << ": " << each.violation();
  }
}

// Expiry: what a node's clock may have been decides.
class OracleExpiryTest : public OracleTest {
 protected:
  OracleExpiryTest() {
    oracle.SetClock([this] { return wall_ms_; });
  }
  static OracleOperation SetUntil(std::string value, int64_t expiry_ms) {
    return {OracleCommand::kSet, std::move(value), expiry_ms};
  }
  static OracleOperation Plain(OracleCommand command, int64_t number = 0) {
    return {command, {}, number};
  }
  uint64_t wall_ms_ = 1000;
};

TEST_F(OracleExpiryTest, KeyIsThereUntilItsTimeAndThenNot) {
  Do(SetUntil("a", 2000), Ok());
  Do(Plain(OracleCommand::kExpireTime), Number(2000));
  wall_ms_ = 1999;
  Do(Get(), Value("a"));
  EXPECT_TRUE(oracle.MustExist("k"));
  wall_ms_ = 2000;
  Do(Get(), Nothing());
  Do(Delete(), Number(0));
  Do(Plain(OracleCommand::kExpireTime), Number(-2));
  EXPECT_TRUE(oracle.ok()) << oracle.violation();
  EXPECT_FALSE(oracle.CanExist("k"));
}

// Too long by itself: the refusal tells nobody whether there was a value, so a clock that is set
// back may show it again.
TEST_F(OracleExpiryTest, ARefusalThatLooksAtNothingProvesNoEnd) {
  Do(SetUntil("a", 2000), Ok());
  wall_ms_ = 2500;
  Do({OracleCommand::kAppend, "longer", 5}, Error());
  wall_ms_ = 1500;
  Do(Get(), Value("a"));
  EXPECT_TRUE(oracle.ok()) << oracle.violation();
}

TEST_F(OracleExpiryTest, RejectsAValueAfterItsTime) {
  Do(SetUntil("a", 2000), Ok());
  wall_ms_ = 2000;
  Do(Get(), Value("a"));
  EXPECT_FALSE(oracle.ok());
}

TEST_F(OracleExpiryTest, RejectsAnEarlyEnd) {
  Do(SetUntil("a", 2000), Ok());
  wall_ms_ = 1999;
  Do(Get(), Nothing());
  EXPECT_FALSE(oracle.ok());
}

TEST_F(OracleExpiryTest, RejectsAReadModifyWriteOfWhatIsOver) {
  Do(SetUntil("1", 2000), Ok());
  wall_ms_ = 2000;
  Do(Increment(1), Number(2));
  EXPECT_FALSE(oracle.ok());
}

TEST_F(OracleExpiryTest, ReadUnderWayAtTheBoundaryMaySeeEither) {
  for (const bool sees : {false, true}) {
    wall_ms_ = 1000;
    Do(SetUntil("a", 2000), Ok());
    wall_ms_ = 1999;
    const Oracle::OperationId read = oracle.Begin(2, "k", Get());
    wall_ms_ = 2001;
    oracle.Acknowledged(read, sees ? Value("a") : Nothing());
    EXPECT_TRUE(oracle.ok()) << oracle.violation();
  }
}

// A clock that was set back leaves it open, until somebody was told.
TEST_F(OracleExpiryTest, AfterAClockStepEitherIsPossibleButNotBoth) {
  Do(SetUntil("a", 2000), Ok());
  wall_ms_ = 3000;
  oracle.Crashed();
  wall_ms_ = 1500;
  oracle.LookAtClock();
  EXPECT_TRUE(oracle.CanExist("k"));
  EXPECT_FALSE(oracle.MustExist("k"));
  Do(Get(), Value("a"));
  Do(Get(), Nothing());
  EXPECT_TRUE(oracle.ok()) << oracle.violation();
  Do(Get(), Value("a"));
  EXPECT_FALSE(oracle.ok()) << "it has come back";
}

// The node need not have looked at its clock in between.
TEST_F(OracleExpiryTest, WhatIsUnderWayAsTheClockIsSetBackMayComeBeforeItsTime) {
  Do(SetUntil("a", 2000), Ok());
  wall_ms_ = 2000;
  const Oracle::OperationId read = oracle.Begin(2, "k", Plain(OracleCommand::kExpireTime));
  oracle.LookAtClock();
  wall_ms_ = 1500;
  oracle.Acknowledged(read, Number(2000));
  EXPECT_TRUE(oracle.ok()) << oracle.violation();
}

TEST_F(OracleExpiryTest, WhatWasShownAsOverDoesNotComeBackAfterAClockStep) {
  Do(SetUntil("a", 2000), Ok());
  wall_ms_ = 2500;
  Do(Get(), Nothing());
  oracle.Crashed();
  wall_ms_ = 1500;
  Do(Get(), Value("a"));
  EXPECT_FALSE(oracle.ok());
}

TEST_F(OracleExpiryTest, MoreTimeGivenBeforeTheEndKeepsTheKey) {
  Do(SetUntil("a", 2000), Ok());
  const Oracle::OperationId more = oracle.Begin(2, "k", Plain(OracleCommand::kExpireAt, 5000));
  wall_ms_ = 2500;
  Do(Get(), Nothing());
  oracle.Acknowledged(more, Number(1));
  EXPECT_FALSE(oracle.ok()) << "the read was not before that, and the key was there all the while";
}

}  // namespace
}  // namespace pakv
