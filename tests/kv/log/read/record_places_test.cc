#include "kv/log/read/record_places.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <utility>

#include "kv/log/format/format.h"

namespace pakv {
namespace {

constexpr uint32_t kLength = kRecordHeaderSize;  // of the shortest record

uint32_t PlaceOf(uint32_t number) { return 24 + number * kLength; }

TEST(RecordPlacesTest, NoNeighbourOfWhatIsInItIsInIt) {
  RecordPlaces places;
  for (uint32_t number = 1; number < 4000; number += 2) places.Add(PlaceOf(number));
  for (uint32_t number = 0; number < 5000; ++number) {
    EXPECT_EQ(places.Has(PlaceOf(number)), number % 2 == 1 && number < 4000) << number;
  }
}

TEST(RecordPlacesTest, HoldsTheEndsOfTheLargestSegment) {
  RecordPlaces places;
  const uint32_t last = UINT32_MAX - kLength;
  EXPECT_FALSE(places.HasPageFor(last));
  places.Add(last);
  EXPECT_TRUE(places.HasPageFor(last));
  EXPECT_TRUE(places.Has(last));
  EXPECT_FALSE(places.Has(0));
  EXPECT_FALSE(places.HasPageFor(0));
  places.Add(0);
  EXPECT_TRUE(places.Has(0));
  EXPECT_EQ(places.page_count(), 2u);
}

// Both have a page, only the one has, only the other has, and none has.
TEST(RecordPlacesTest, MergesPageByPage) {
  constexpr uint32_t kPage = 1 << 20;
  RecordPlaces into;
  RecordPlaces from;
  into.Add(40);
  from.Add(200);
  into.Add(kPage);
  from.Add(2 * kPage);
  from.Add(4 * kPage + 96);
  into.Merge(std::move(from));
  for (const uint32_t place : {40u, 200u, kPage, 2 * kPage, 4 * kPage + 96}) {
    EXPECT_TRUE(into.Has(place)) << place;
    EXPECT_FALSE(into.Has(place + kLength)) << place;
  }
  EXPECT_FALSE(into.HasPageFor(3 * kPage));
  EXPECT_EQ(into.page_count(), 4u);
  RecordPlaces empty;
  empty.Merge(std::move(into));
  EXPECT_TRUE(empty.Has(200));
  EXPECT_EQ(empty.page_count(), 4u);
  empty.Merge({});
  EXPECT_EQ(empty.page_count(), 4u);
}

}  // namespace
}  // namespace pakv
