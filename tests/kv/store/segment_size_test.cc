// New segments are as long as the size of the store wants: what a log has open and ready is little
// beside what the store holds, and a large store has not many segments.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kv/store/store.h"
#include "tests/kv/store/store_tasks.h"
#include "tests/sim/world/sim_node.h"

namespace pakv {
namespace {

constexpr uint64_t kShortest = 16 << 10;
constexpr uint64_t kLongest = 256 << 10;

class SegmentSizeTest : public testing::Test {
 protected:
  void SetUp() override {
    node_.disk().MakeDirectories("/data");
    Open();
  }
  void Open() {
    node_.Start({.core_count = 1, .core = {.buffer_bytes = 8 << 10}});
    StoreOptions options;
    options.directory = "/data/store";
    options.segment_bytes = kLongest;
    options.segment_bytes_min = kShortest;
    options.entropy = StoreEntropy{{}, 17, ++run_};
    OpenReport report;
    auto opened = node_.Run(Store::Open(node_.cores(), options, report));
    ASSERT_TRUE(opened) << world_.failure();
    ASSERT_TRUE(opened->ok()) << opened->status();
    store_ = &node_.Own(std::move(**opened));
  }
  void Set(uint64_t begin, uint64_t end) {
    for (uint64_t i = begin; i < end; ++i) {
      const auto set = node_.Run(
          SetOne(*store_, node_.core(0), "key" + std::to_string(i), std::string(3000, 'v')));
      ASSERT_EQ(set, Outcome::kDone) << i;
    }
  }
  void Delete(uint64_t begin, uint64_t end) {
    for (uint64_t i = begin; i < end; ++i) {
      const auto deleted = node_.Run(DeleteOne(*store_, node_.core(0), "key" + std::to_string(i)));
      ASSERT_EQ(deleted, Outcome::kDone) << i;
    }
  }
  // Until compaction has nothing to do any more.
  void Settle() { world_.RunFor(5 * kNsPerSecond); }
  // Of the files, in the order in which they were made.
  std::vector<uint64_t> Lengths() {
    std::vector<std::string> names;
    EXPECT_GE(node_.disk().List("/data/store", names), 0);
    std::sort(names.begin(), names.end());
    std::vector<uint64_t> lengths;
    for (const std::string& name : names) {
      if (!name.ends_with(".seg")) continue;
      FileStat stat;
      EXPECT_EQ(node_.disk().StatPath(("/data/store/" + name).c_str(), stat), 0);
      lengths.push_back(stat.size_bytes);
    }
    return lengths;
  }
  uint64_t Longest() {
    const std::vector<uint64_t> lengths = Lengths();
    return *std::max_element(lengths.begin(), lengths.end());
  }
  uint64_t All() {
    uint64_t all = 0;
    for (const uint64_t length : Lengths()) all += length;
    return all;
  }

  SimWorld world_{1};
  SimNode node_{world_, "10.0.0.1", {.direct_alignment = 512}};
  uint64_t run_ = 0;
  Store* store_ = nullptr;
};

TEST_F(SegmentSizeTest, ASmallStoreHasShortOnes) {
  Set(0, 40);
  Settle();
  EXPECT_EQ(Longest(), kShortest);
  // What is open and ready: of compaction three, of the log four.
  EXPECT_LE(All(), 40 * 3100 + 10 * kShortest);
}

TEST_F(SegmentSizeTest, TheyGrowWithTheStoreAndShrinkWithIt) {
  Set(0, 400);
  Settle();
  EXPECT_GT(Longest(), kShortest);
  EXPECT_LT(Longest(), kLongest);
  Set(400, 3000);
  Settle();
  EXPECT_EQ(Longest(), kLongest);
  Delete(0, 2980);
  Settle();
  // What lives of the long ones is in short ones by now, and so are the reserves.
  Set(5000, 5200);
  Settle();
  Delete(5000, 5200);
  Settle();
  EXPECT_LT(All(), 16 * kLongest / 4);
}

// A store of long segments starts with what fits them.
TEST_F(SegmentSizeTest, AStartGoesByWhatIsThere) {
  Set(0, 3000);
  Settle();
  ASSERT_TRUE(node_.Run(StopStore(*store_)).value_or(false)) << world_.failure();
  node_.Stop();
  Open();
  Settle();
  EXPECT_EQ(Lengths().back(), kLongest);
}

}  // namespace
}  // namespace pakv
