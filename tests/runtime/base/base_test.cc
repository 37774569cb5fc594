// runtime/base: what everything else stands on.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "runtime/base/chunked_vector.h"
#include "runtime/base/counted.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/intrusive_list.h"
#include "runtime/base/io_result.h"
#include "runtime/base/prng.h"

namespace pakv {
namespace {

TEST(Crc32cTest, MatchesRfc3720Vectors) {
  const std::string zeros(32, '\0');
  const std::string ones(32, '\xff');
  EXPECT_EQ(Crc32c(0, zeros.data(), zeros.size()), 0x8a9136aau);
  EXPECT_EQ(Crc32c(0, ones.data(), ones.size()), 0x62a8ab43u);
  EXPECT_EQ(Crc32c(0, "123456789", 9), 0xe3069283u);
}

TEST(Crc32cTest, ContinuesOverPieces) {
  EXPECT_EQ(Crc32c(Crc32c(0, "1234", 4), "56789", 5), 0xe3069283u);
}

TEST(Crc32cTest, EveryLengthAndAlignmentIsThatOfTheDefinition) {
  Prng prng(1);
  std::string bytes(700, '\0');
  for (char& byte : bytes) byte = static_cast<char>(prng.Next());
  for (size_t offset = 0; offset < 9; ++offset) {
    uint32_t state = ~0u;
    for (size_t length = 0; offset + length < bytes.size(); ++length) {
      ASSERT_EQ(Crc32c(0, bytes.data() + offset, length), ~state) << offset << " " << length;
      state ^= static_cast<uint8_t>(bytes[offset + length]);
      for (int bit = 0; bit < 8; ++bit) state = (state >> 1) ^ ((state & 1) != 0 ? 0x82f63b78u : 0);
    }
  }
}

struct Element : ListHook {
  explicit Element(int v) : value(v) {}
  int value;
};

TEST(IntrusiveListTest, DestroyedElementLeavesItsList) {
  IntrusiveList<Element> list;
  Element first(1);
  {
    Element second(2);
    list.PushBack(second);
    list.PushFront(first);
    EXPECT_EQ(list.Next(first), &second);
  }
  EXPECT_EQ(list.Next(first), nullptr);
  EXPECT_EQ(list.PopFront().value, 1);
  EXPECT_TRUE(list.empty());
}

TEST(IntrusiveListTest, SpliceKeepsOrder) {
  IntrusiveList<Element> list;
  IntrusiveList<Element> other;
  Element first(1);
  Element second(2);
  Element third(3);
  list.PushBack(first);
  other.PushBack(second);
  other.PushBack(third);
  list.Splice(other);
  EXPECT_TRUE(other.empty());
  EXPECT_EQ(list.PopFront().value, 1);
  EXPECT_EQ(list.PopFront().value, 2);
  EXPECT_EQ(list.PopFront().value, 3);
}

TEST(IoResultTest, TellsCountsFromErrors) {
  EXPECT_TRUE(IoResult(0).ok());
  EXPECT_EQ(IoResult(17).count(), 17u);
  EXPECT_EQ(IoResult(-ENOSPC).error(), ENOSPC);
  EXPECT_EQ(IoResult(-ENOSPC).text(), "No space left on device");
}

TEST(PrngTest, SeedReplays) {
  Prng first(7);
  Prng second(7);
  Prng other(8);
  bool differs = false;
  for (int i = 0; i < 100; ++i) {
    const uint64_t value = first.Next();
    EXPECT_EQ(value, second.Next());
    differs |= value != other.Next();
    EXPECT_LT(first.Below(10), 10u);
    second.Below(10);
    other.Below(10);
  }
  EXPECT_TRUE(differs);
}

TEST(CountedTest, ItKnowsOneFromMany) {
  EXPECT_EQ(Counted(0, "segment"), "0 segments");
  EXPECT_EQ(Counted(1, "segment"), "1 segment");
  EXPECT_EQ(Counted(2, "live byte"), "2 live bytes");
}

TEST(ChunkedVectorTest, ElementsStayWhereTheyAreAndEndOnce) {
  struct Member {
    Member(int number_in, int& alive_in) : number(number_in), alive(alive_in) { ++alive; }
    Member(const Member&) = delete;
    Member& operator=(const Member&) = delete;
    ~Member() { --alive; }
    int number;
    int& alive;
  };
  int alive = 0;
  {
    ChunkedVector<Member, 4> elements;
    EXPECT_EQ(elements.memory_bytes(), 0u);
    std::vector<Member*> places;
    for (int i = 0; i < 10; ++i) places.push_back(&elements.EmplaceBack(i, alive));
    EXPECT_EQ(alive, 10);
    for (int i = 0; i < 10; ++i) {
      EXPECT_EQ(&elements[i], places[i]);
      EXPECT_EQ(elements[i].number, i);
    }
    EXPECT_EQ(elements.memory_bytes(), 12 * sizeof(Member));
    elements.ShrinkTo(4);
    EXPECT_EQ(alive, 4);
    EXPECT_EQ(elements.memory_bytes(), 4 * sizeof(Member));
    EXPECT_EQ(elements.EmplaceBack(7, alive).number, 7);
    EXPECT_EQ(elements.size(), 5u);
    EXPECT_EQ(elements[3].number, 3);
  }
  EXPECT_EQ(alive, 0);
}

}  // namespace
}  // namespace pakv
