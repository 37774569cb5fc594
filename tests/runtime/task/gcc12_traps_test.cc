// What GCC 12 does to coroutines: the forms that our code relies on are checked to construct and
// destroy each object once; of the forbidden ones (docs: style, "Written for GCC 12") the
// miscompilation itself is asserted where counting shows it without touching freed memory. With
// another compiler these have to be right, so the day that GCC 12 goes this file says so.
//
// Not shown, since showing them needs undefined behaviour or does not compile: a view of a
// parameter that is returned dangles; alignas above 16 is ignored for locals and parameters;
// ({ ... co_await ... }) is an internal compiler error; an initializer_list whose elements are
// temporaries beside a co_await holds destroyed elements.
#include <gtest/gtest.h>

#include <coroutine>
#include <string>
#include <utility>
#include <vector>

#include "runtime/task/nursery.h"
#include "runtime/task/ready_queue.h"
#include "runtime/task/task.h"

namespace pakv {
namespace {

#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ == 12
constexpr bool kMiscompiles = true;
#else
constexpr bool kMiscompiles = false;
#endif

// Counts its constructions and destructions and owns nothing, so that one destruction too many
// harms nobody.
struct Counted {
  static inline int constructed = 0;
  static inline int destroyed = 0;
  Counted() { ++constructed; }
  Counted(const Counted&) { ++constructed; }
  Counted(Counted&&) noexcept { ++constructed; }
  Counted& operator=(const Counted&) = default;
  Counted& operator=(Counted&&) = default;
  ~Counted() { ++destroyed; }
};

struct Aggregate {
  Counted key;
  int number = 0;
};

struct Constructed {
  explicit Constructed(Counted key_in, int number_in = 0)
      : key(std::move(key_in)), number(number_in) {}
  Counted key;
  int number;
};

struct TrivialOptions {
  int limit = 0;
  bool sync = false;
};

struct AggregateAwaiter {
  Counted state;
  bool await_ready() const { return true; }
  void await_suspend(std::coroutine_handle<>) {}
  int await_resume() const { return 1; }
};

// As our awaiters are: a constructor, neither copied nor moved.
class OurAwaiter {
 public:
  explicit OurAwaiter(ReadyQueue& ready) : ready_(ready) {}
  OurAwaiter(const OurAwaiter&) = delete;
  OurAwaiter& operator=(const OurAwaiter&) = delete;
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    waiter_.set_handle(handle);
    ready_.MakeReady(waiter_);
  }
  int await_resume() const { return number_; }

 protected:
  int number_ = 1;

 private:
  Counted counted_;
  ReadyQueue& ready_;
  Waiter waiter_;
};

// As IoAwaiter is: calls on it return it by reference. GCC 12 copies into the frame what a call
// returns by reference and is awaited (here it would not compile, elsewhere it would await a copy),
// so what is awaited is a small object that refers to it.
class AwaiterWithCalls : private OurAwaiter {
 public:
  explicit AwaiterWithCalls(ReadyQueue& ready) : OurAwaiter(ready) {}
  AwaiterWithCalls& WithNumber(int number) {
    number_ = number;
    return *this;
  }
  class Reference {
   public:
    explicit Reference(OurAwaiter& awaiter) : awaiter_(awaiter) {}
    bool await_ready() const { return awaiter_.await_ready(); }
    void await_suspend(std::coroutine_handle<> handle) { awaiter_.await_suspend(handle); }
    int await_resume() const { return awaiter_.await_resume(); }

   private:
    OurAwaiter& awaiter_;
  };
  Reference operator co_await() { return Reference(*this); }
};

Task<int> TakeAggregate(Aggregate aggregate) { co_return aggregate.number; }
Task<int> ReadAggregate(const Aggregate& aggregate) { co_return aggregate.number; }
Task<int> TakeConstructed(Constructed value) { co_return value.number; }
Task<int> TakeOptions(TrivialOptions options) { co_return options.sync ? options.limit : 0; }
Task<Counted> MakeCounted() { co_return Counted(); }

template <typename Function>
Task<int> CallFunction(Function function) {
  co_return function();
}

using Body = Task<void> (*)(ReadyQueue& ready, int& result);

// Runs `body`, and returns how many more destructions than constructions it had.
int Surplus(Body body, int expected) {
  Counted::constructed = 0;
  Counted::destroyed = 0;
  ReadyQueue ready;
  int result = 0;
  {
    Nursery nursery(ready);
    nursery.Spawn(body(ready, result));
    while (!ready.empty()) ready.RunReady();
    EXPECT_EQ(nursery.size(), 0u);
  }
  EXPECT_EQ(result, expected);
  EXPECT_GT(Counted::constructed, 0) << "the case has nothing to count";
  return Counted::destroyed - Counted::constructed;
}

// ---- What we rely on. --------------------------------------------------------------------------

TEST(Gcc12TrapsTest, ANamedAggregateMovedInIsDestroyedOnce) {
  EXPECT_EQ(Surplus(
                [](ReadyQueue&, int& result) -> Task<void> {
                  Aggregate aggregate{Counted(), 3};
                  result = co_await TakeAggregate(std::move(aggregate));
                },
                3),
            0);
}

TEST(Gcc12TrapsTest, ATemporaryWithAConstructorIsDestroyedOnce) {
  EXPECT_EQ(Surplus(
                [](ReadyQueue&, int& result) -> Task<void> {
                  result = co_await TakeConstructed(Constructed(Counted(), 3));
                },
                3),
            0);
}

TEST(Gcc12TrapsTest, TrivialOptionStructsMayStandInBraces) {
  EXPECT_EQ(Surplus(
                [](ReadyQueue&, int& result) -> Task<void> {
                  const Counted beside;
                  result = co_await TakeOptions({.limit = 3, .sync = true});
                },
                3),
            0);
}

TEST(Gcc12TrapsTest, AnAwaiterWithAConstructorIsDestroyedOnce) {
  EXPECT_EQ(Surplus([](ReadyQueue& ready,
                       int& result) -> Task<void> { result = co_await OurAwaiter(ready); },
                    1),
            0);
}

TEST(Gcc12TrapsTest, AnAwaiterBehindCallsOnItIsAwaitedInItsPlace) {
  EXPECT_EQ(Surplus(
                [](ReadyQueue& ready, int& result) -> Task<void> {
                  result = co_await AwaiterWithCalls(ready).WithNumber(2).WithNumber(3);
                  AwaiterWithCalls named(ready);
                  named.WithNumber(4);
                  result += co_await named;
                },
                7),
            0);
}

TEST(Gcc12TrapsTest, ANamedLambdaMovedInIsDestroyedOnce) {
  EXPECT_EQ(Surplus(
                [](ReadyQueue&, int& result) -> Task<void> {
                  Counted counted;
                  auto function = [owned = std::move(counted)] {
                    static_cast<void>(owned);
                    return 3;
                  };
                  result = co_await CallFunction(std::move(function));
                },
                3),
            0);
}

TEST(Gcc12TrapsTest, ALambdaOfTrivialCapturesMayStandInTheExpression) {
  EXPECT_EQ(Surplus(
                [](ReadyQueue&, int& result) -> Task<void> {
                  const Counted beside;
                  int number = result + 3;
                  result = co_await CallFunction([number] { return number; });
                },
                3),
            0);
}

TEST(Gcc12TrapsTest, AwaitFirstBuildLater) {
  EXPECT_EQ(Surplus(
                [](ReadyQueue&, int& result) -> Task<void> {
                  Counted key = co_await MakeCounted();
                  const int number = co_await TakeConstructed(Constructed(Counted(), 3));
                  const Aggregate aggregate{std::move(key), number};
                  result = aggregate.number;
                },
                3),
            0);
}

TEST(Gcc12TrapsTest, ConditionsMayAwait) {
  EXPECT_EQ(Surplus(
                [](ReadyQueue&, int& result) -> Task<void> {
                  if (co_await TakeConstructed(Constructed(Counted(), 1)) == 1) ++result;
                  if (const int number = co_await TakeConstructed(Constructed(Counted(), 2));
                      number == 2) {
                    ++result;
                  }
                  for (int i = 0; i < 3 && co_await TakeConstructed(Constructed(Counted(), i)) == i;
                       ++i) {
                    ++result;
                  }
                },
                5),
            0);
}

TEST(Gcc12TrapsTest, AnAwaitAsAnArgumentOfAPlainCallIsDestroyedOnce) {
  EXPECT_EQ(Surplus(
                [](ReadyQueue&, int& result) -> Task<void> {
                  std::vector<Counted> all;
                  all.reserve(2);
                  all.push_back(co_await MakeCounted());
                  all.emplace_back(co_await MakeCounted());
                  result = static_cast<int>(all.size());
                },
                2),
            0);
}

TEST(Gcc12TrapsTest, AParameterLivesUntilItsTaskIsDestroyed) {
  // So it times no lock: it goes with the frame, not at the end of the body.
  static bool alive = false;
  struct Alive {
    Alive() { alive = true; }
    Alive(Alive&& other) noexcept : owner(std::exchange(other.owner, false)) {}
    Alive& operator=(Alive&&) = delete;
    ~Alive() {
      if (owner) alive = false;
    }
    bool owner = true;
  };
  ReadyQueue ready;
  Nursery nursery(ready);
  bool checked = false;
  nursery.Spawn([](bool& done) -> Task<void> {
    {
      Task<void> task = [](Alive parameter) -> Task<void> {
        static_cast<void>(parameter);
        co_return;
      }(Alive());
      co_await std::move(task);
      EXPECT_TRUE(alive) << "its body has ended, its frame has not";
    }
    EXPECT_FALSE(alive);
    done = true;
  }(checked));
  EXPECT_TRUE(checked);
}

// ---- What is forbidden, and why. ---------------------------------------------------------------

constexpr int kOnceTooOften = kMiscompiles ? 1 : 0;

TEST(Gcc12TrapsTest, ForbiddenAnUnnamedAggregateArgument) {
  EXPECT_EQ(Surplus(
                [](ReadyQueue&, int& result) -> Task<void> {
                  result = co_await TakeAggregate({.key = Counted(), .number = 3});
                },
                3),
            kOnceTooOften);
  EXPECT_EQ(Surplus([](ReadyQueue&, int& result)
                        -> Task<void> { result = co_await TakeAggregate(Aggregate{Counted(), 3}); },
                    3),
            kOnceTooOften);
  EXPECT_EQ(Surplus(
                [](ReadyQueue&, int& result) -> Task<void> {
                  result = co_await ReadAggregate({.key = Counted(), .number = 3});
                },
                3),
            kOnceTooOften);
}

TEST(Gcc12TrapsTest, ForbiddenAnAggregateAwaiter) {
  EXPECT_EQ(
      Surplus([](ReadyQueue&,
                 int& result) -> Task<void> { result = co_await AggregateAwaiter{Counted()}; },
              1),
      kOnceTooOften);
}

TEST(Gcc12TrapsTest, ForbiddenALambdaThatCapturesByValueInTheExpression) {
  EXPECT_EQ(Surplus(
                [](ReadyQueue&, int& result) -> Task<void> {
                  result = co_await CallFunction([owned = Counted()] {
                    static_cast<void>(owned);
                    return 3;
                  });
                },
                3),
            kOnceTooOften);
}

TEST(Gcc12TrapsTest, ForbiddenAnAggregateBuiltAroundAwaits) {
  EXPECT_EQ(Surplus(
                [](ReadyQueue&, int& result) -> Task<void> {
                  const Aggregate aggregate{co_await MakeCounted(), 3};
                  result = aggregate.number;
                },
                3),
            kOnceTooOften);
}

TEST(Gcc12TrapsTest, ForbiddenATernaryOfTwoAwaits) {
  EXPECT_EQ(Surplus(
                [](ReadyQueue& ready, int& result) -> Task<void> {
                  const Counted counted =
                      ready.empty() ? co_await MakeCounted() : co_await MakeCounted();
                  static_cast<void>(counted);
                  result = 3;
                },
                3),
            kOnceTooOften);
  EXPECT_EQ(Surplus(
                [](ReadyQueue& ready, int& result) -> Task<void> {
                  Counted counted;
                  counted = ready.empty() ? co_await MakeCounted() : co_await MakeCounted();
                  result = 3;
                },
                3),
            kOnceTooOften);
}

TEST(Gcc12TrapsTest, ForbiddenATernaryOfAnAwaitAndATemporary) {
  EXPECT_EQ(Surplus(
                [](ReadyQueue& ready, int& result) -> Task<void> {
                  const Counted counted = ready.empty() ? co_await MakeCounted() : Counted();
                  static_cast<void>(counted);
                  result = 3;
                },
                3),
            kOnceTooOften);
}

}  // namespace
}  // namespace pakv
