#include "cmd/pakvd/stop_requests.h"

#include <gtest/gtest.h>
#include <signal.h>

namespace pakv {
namespace {

using Act = StopRequests::Act;

TEST(StopRequestsTest, TheFirstStopsAndTheSecondEnds) {
  StopRequests requests;
  EXPECT_EQ(requests.Take(SIGTERM, 5 * kNsPerSecond), Act::kStop);
  EXPECT_EQ(requests.Take(SIGTERM, 5 * kNsPerSecond + StopRequests::kOneWishNs), Act::kEnd);
}

TEST(StopRequestsTest, WhatComesTwiceAtOnceIsOneWish) {
  StopRequests requests;
  EXPECT_EQ(requests.Take(SIGTERM, 0), Act::kStop);
  EXPECT_EQ(requests.Take(SIGTERM, 1), Act::kNothing);
  EXPECT_EQ(requests.Take(SIGTERM, StopRequests::kOneWishNs - 1), Act::kNothing);
  // They do not add up: what counts is the first.
  EXPECT_EQ(requests.Take(SIGTERM, StopRequests::kOneWishNs), Act::kEnd);
}

TEST(StopRequestsTest, AnotherSignalIsAnotherWish) {
  StopRequests requests;
  EXPECT_EQ(requests.Take(SIGTERM, 0), Act::kStop);
  EXPECT_EQ(requests.Take(SIGINT, 1), Act::kEnd);
}

}  // namespace
}  // namespace pakv
