// Buckets by themselves: slots that find no room in their tag's line are found all the same, and
// come home when there is room. Method: random adding and removing beside a list of what is there.
#include "kv/index/bucket.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "runtime/base/prng.h"

namespace pakv {
namespace {

// A bucket of `line_count` lines with nothing in it.
class Lines {
 public:
  explicit Lines(uint32_t line_count) : lines_(line_count) {
    for (BucketLine& line : lines_) line.used = line.strayed = 0;
    lines_[0].count = 0;
  }
  DirectoryRef ref() { return DirectoryRef::Bucket(lines_.data(), lines_.size()); }
  uint32_t slots_max() const { return static_cast<uint32_t>(lines_.size()) * BucketLine::kSlots; }
  const BucketLine& line(uint32_t index) const { return lines_[index]; }

 private:
  std::vector<BucketLine> lines_;
};

uint32_t* PlaceOf(DirectoryRef bucket, BucketSlot slot) {
  return FindSlot(bucket, slot.tag, [&](uint32_t handle) { return handle == slot.handle; });
}

void AddAndRemove(Lines& lines, Prng& prng, uint32_t tags) {
  const DirectoryRef bucket = lines.ref();
  std::vector<BucketSlot> there;
  for (uint32_t step = 0; step < 2000; ++step) {
    // Filling and emptying take turns.
    const bool fill = step / 50 % 2 == 0 ? prng.Chance(3, 4) : prng.Chance(1, 4);
    if (fill && there.size() < lines.slots_max()) {
      const BucketSlot slot{static_cast<uint16_t>(prng.Below(tags) * (65536 / tags)), step + 1};
      AddSlot(bucket, slot);
      there.push_back(slot);
    } else if (!there.empty()) {
      const size_t index = prng.Below(there.size());
      RemoveSlot(bucket, PlaceOf(bucket, there[index]));
      ASSERT_EQ(PlaceOf(bucket, there[index]), nullptr);
      there[index] = there.back();
      there.pop_back();
    }
    CheckBucket(bucket);
    ASSERT_EQ(CountOf(bucket), there.size());
    for (const BucketSlot& slot : there) {
      const uint32_t* const place = PlaceOf(bucket, slot);
      ASSERT_NE(place, nullptr);
      ASSERT_EQ(*place, slot.handle);
    }
  }
}

TEST(BucketTest, FindsWhatIsThereAndNothingElseWhateverHasStrayed) {
  Prng prng(1);
  for (uint32_t line_count = 1; line_count <= kBucketLinesMax; ++line_count) {
    for (const uint32_t tags : {1u, 2u, 7u, 65536u}) {
      SCOPED_TRACE(std::to_string(line_count) + " lines, " + std::to_string(tags) + " tags");
      Lines lines(line_count);
      AddAndRemove(lines, prng, tags);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(BucketTest, ASlotThatHasStrayedComesHomeWhenItsLineHasRoom) {
  Lines lines(2);
  const DirectoryRef bucket = lines.ref();
  for (uint32_t i = 0; i < BucketLine::kSlots + 1; ++i) AddSlot(bucket, {0, i + 1});
  EXPECT_EQ(lines.line(0).strayed, 1);
  EXPECT_EQ(lines.line(1).used, 1);
  RemoveSlot(bucket, PlaceOf(bucket, {0, 1}));
  EXPECT_EQ(lines.line(0).strayed, 0);
  EXPECT_EQ(lines.line(0).used, BucketLine::kSlots);
  EXPECT_EQ(lines.line(1).used, 0);
  EXPECT_NE(PlaceOf(bucket, {0, BucketLine::kSlots + 1}), nullptr);
}

TEST(BucketTest, ANewBucketHasEachSlotAtHomeWhoseLineHasRoom) {
  BucketStore store;
  Prng prng(2);
  for (uint32_t count = 1; count <= kBucketSlotsMax; ++count) {
    std::vector<BucketSlot> slots;
    for (uint32_t i = 0; i < count; ++i) {
      slots.push_back({static_cast<uint16_t>(prng.Below(65536)), i + 1});
    }
    const DirectoryRef bucket = store.New(slots.data(), count);
    CheckBucket(bucket);
    for (const BucketSlot& slot : slots) {
      const uint32_t* const place = PlaceOf(bucket, slot);
      ASSERT_NE(place, nullptr);
      const BucketLine& home = bucket.lines()[HomeOf(slot.tag, bucket.line_count())];
      const bool is_home = place >= home.handles && place < home.handles + BucketLine::kSlots;
      EXPECT_TRUE(is_home || home.used == BucketLine::kSlots);
    }
  }
}

}  // namespace
}  // namespace pakv
