// --salvage: a start goes on without what is damaged, lists it, keeps it, and leaves a directory
// that opens as usual.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kv/log/format/format_damage.h"
#include "kv/store/store.h"
#include "tests/kv/store/store_tasks.h"
#include "tests/sim/world/sim_node.h"

namespace pakv {
namespace {

class SalvageTest : public testing::Test {
 protected:
  void SetUp() override {
    world_ = std::make_unique<SimWorld>(3);
    node_ = std::make_unique<SimNode>(*world_, "10.0.0.1");
    node_->disk().MakeDirectories("/data");
  }
  absl::Status Open(bool salvage = false) {
    node_->Start({.core_count = 2, .core = {.buffer_bytes = 16 << 10}});
    StoreOptions options;
    options.directory = "/data/store";
    options.segment_bytes = 64 << 10;
    options.footer_segment_bytes_min = footers_ ? 1 : UINT64_MAX;
    options.footers_of_any_size = true;
    options.compaction.segments_min = 1000;
    options.salvage = salvage;
    options.entropy = StoreEntropy{{}, 17, ++run_};
    report_ = OpenReport();
    auto opened = node_->Run(Store::Open(node_->cores(), options, report_));
    EXPECT_TRUE(opened) << world_->failure();
    if (!opened->ok()) {
      const absl::Status status = opened->status();
      opened.reset();
      node_->Crash(CrashKind::kProcessKill);
      return status;
    }
    store_ = &node_->Own(std::move(**opened));
    return absl::OkStatus();
  }
  void Stop() {
    ASSERT_TRUE(node_->Run(StopStore(*store_)).value_or(false)) << world_->failure();
    node_->Stop();
  }
  std::string Get(const std::string& key) {
    return node_->Run(GetOne(*store_, node_->core(0), key)).value_or("nothing");
  }
  static std::string Key(int number) { return "key" + std::to_string(number); }
  static std::string Value(int number) {
    return std::string(1000, static_cast<char>('a' + number % 26));
  }

  // 200 keys in several segments, closed.
  void Fill() {
    ASSERT_TRUE(Open().ok());
    for (int i = 0; i < 200; ++i) {
      ASSERT_EQ(node_->Run(SetOne(*store_, node_->core(0), Key(i), Value(i))), Outcome::kDone);
    }
    Stop();
  }
  std::vector<std::string> Segments() {
    std::vector<std::string> names;
    EXPECT_GE(node_->disk().List("/data/store", names), 0);
    std::erase_if(names, [&](const std::string& name) {
      if (!name.ends_with(".seg")) return true;
      const auto bytes = node_->disk().Contents(("/data/store/" + name).c_str());
      return bytes->find_first_not_of('\0') == std::string::npos;
    });
    std::sort(names.begin(), names.end());
    return names;
  }
  std::string Contents(const std::string& path) {
    return node_->disk().Contents(path.c_str()).value_or("");
  }
  void Flip(const std::string& name, uint64_t offset) {
    node_->disk().FlipBit(("/data/store/" + name).c_str(), offset, 3);
  }
  // What is there has its own value; how many are missing.
  int CountMissing() {
    int missing = 0;
    for (int i = 0; i < 200; ++i) {
      const std::string value = Get(Key(i));
      if (value == "missing") {
        ++missing;
      } else {
        EXPECT_EQ(value, Value(i)) << i;
      }
    }
    return missing;
  }
  // Refused without, opened with; then it opens by itself with the same keys.
  void ExpectSalvaged(const std::string& file, int missing_max) {
    const absl::Status refused = Open();
    ASSERT_TRUE(absl::IsDataLoss(refused)) << refused;
    const std::string text(refused.message());
    EXPECT_NE(text.find("/data/store/" + file + ": damaged at "), std::string::npos) << text;
    EXPECT_NE(text.find("--salvage goes on without it"), std::string::npos) << text;
    const std::string damaged = Contents("/data/store/" + file);
    const absl::Status opened = Open(/*salvage=*/true);
    ASSERT_TRUE(opened.ok()) << opened;
    ASSERT_FALSE(report_.notes.empty());
    EXPECT_NE(report_.notes.back().find("went on without what is damaged"), std::string::npos);
    EXPECT_TRUE(Contents("/data/store/salvage/" + file) == damaged);
    const int missing = CountMissing();
    EXPECT_LE(missing, missing_max);
    ASSERT_EQ(node_->Run(SetOne(*store_, node_->core(0), "after", "it")), Outcome::kDone);
    node_->Crash(CrashKind::kPowerCut);
    ASSERT_TRUE(Open().ok());
    EXPECT_EQ(CountMissing(), missing);
    EXPECT_EQ(Get("after"), "it");
    const auto report = node_->Run(store_->Check(node_->core(0)));
    ASSERT_TRUE(report);
    EXPECT_TRUE(report->findings.empty());
    Stop();
  }

  std::unique_ptr<SimWorld> world_;
  std::unique_ptr<SimNode> node_;
  Store* store_ = nullptr;
  OpenReport report_;
  uint64_t run_ = 0;
  bool footers_ = false;
};

TEST_F(SalvageTest, ABlocksHeaderIsDamaged) {
  Fill();
  const std::string name = Segments()[0];
  Flip(name, 20);
  // Its records are found behind the header all the same.
  ExpectSalvaged(name, 0);
}

TEST_F(SalvageTest, ABlocksBodyIsDamaged) {
  Fill();
  const std::string name = Segments()[0];
  Flip(name, kBlockHeaderSize + 500);
  ExpectSalvaged(name, 1);
}

TEST_F(SalvageTest, ASegmentIsMissing) {
  Fill();
  const std::string name = Segments()[0];
  ASSERT_EQ(node_->disk().Unlink(("/data/store/" + name).c_str()), 0);
  ExpectSalvaged(name, 100);
}

TEST_F(SalvageTest, ASegmentIsShort) {
  Fill();
  const std::string name = Segments()[0];
  const std::string path = "/data/store/" + name;
  node_->disk().Put(path.c_str(), Contents(path).substr(0, 8192));
  ExpectSalvaged(name, 60);
}

TEST_F(SalvageTest, ManifestIsDamaged) {
  Fill();
  Flip("MANIFEST", 40);
  ExpectSalvaged("MANIFEST", 0);
}

TEST_F(SalvageTest, AFooterIsNoDamageOfTheData) {
  footers_ = true;
  Fill();
  const std::string name = Segments()[0];
  const std::string bytes = Contents("/data/store/" + name);
  Flip(name, bytes.size() - 100);
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(CountMissing(), 0);
  Stop();
}

TEST_F(SalvageTest, IdentityCannotBeSalvaged) {
  Fill();
  Flip("IDENTITY", 33);
  const absl::Status status = Open(/*salvage=*/true);
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_NE(std::string(status.message()).find("IDENTITY"), std::string::npos);
}

TEST_F(SalvageTest, WithoutDamageItIsAnOrdinaryStart) {
  Fill();
  const size_t segments = Segments().size();
  ASSERT_TRUE(Open(/*salvage=*/true).ok());
  EXPECT_TRUE(report_.notes.empty());
  EXPECT_EQ(CountMissing(), 0);
  EXPECT_GE(Segments().size(), segments);
  Stop();
}

// ---- The search itself ----

// Two blocks of three records each.
std::vector<uint8_t> TwoBlocks() {
  std::vector<uint8_t> bytes;
  uint32_t chain = 0;
  for (uint32_t block = 0; block < 2; ++block) {
    std::vector<uint8_t> buffer(1024);
    uint32_t body = 0;
    size_t used = kBlockHeaderSize;
    for (uint64_t i = 0; i < 3; ++i) {
      const std::string key = "k" + std::to_string(block * 3 + i);
      RecordFields fields;
      fields.lsn = 256 * (block * 3 + i + 1);
      fields.key = key;
      fields.value = "some value";
      body = BodyChecksum(body, EncodeRecord(buffer.data() + used, fields));
      used += EncodedRecordSize(fields.key, fields.value);
    }
    BlockHeader header{.run = 9,
                       .log = 0,
                       .segment = 4,
                       .offset = static_cast<uint32_t>(bytes.size()),
                       .length = 1024,
                       .sequence = block + 1,
                       .known_durable = block,
                       .expiry_clock_ms = 5,
                       .chain = chain,
                       .body_checksum = body,
                       .record_count = 3,
                       .zero_sectors = 1};
    chain = EncodeBlockHeader(buffer.data(), header);
    bytes.insert(bytes.end(), buffer.begin(), buffer.end());
  }
  return bytes;
}

TEST(FormatDamageTest, WhatIsRightIsFoundWhole) {
  const std::vector<uint8_t> bytes = TwoBlocks();
  const SalvagedSegment found = SalvageSegment(bytes, 4, 9, 2048);
  EXPECT_EQ(found.records.size(), 6u);
  EXPECT_TRUE(found.places.empty());
  EXPECT_EQ(found.expiry_clock_ms, 5u);
}

TEST(FormatDamageTest, EachFlippedBitCostsOneRecordAtMostOrTheRestOfABlock) {
  const std::vector<uint8_t> good = TwoBlocks();
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::vector<uint8_t> bytes = good;
    bytes[bit / 8] = static_cast<uint8_t>(bytes[bit / 8] ^ 1 << bit % 8);
    const SalvagedSegment found = SalvageSegment(bytes, 4, 9, 2048);
    ASSERT_FALSE(found.places.empty()) << bit;
    ASSERT_GE(found.records.size(), 3u) << bit;
    // Never one that was not written, and each once.
    std::map<std::string, int> seen;
    for (const Record& record : found.records) {
      ASSERT_EQ(record.fields.value, "some value") << bit;
      ASSERT_EQ(++seen[std::string(record.fields.key)], 1) << bit;
    }
  }
}

TEST(FormatDamageTest, BlocksOfAnotherRunAreNotTaken) {
  const std::vector<uint8_t> bytes = TwoBlocks();
  const SalvagedSegment found = SalvageSegment(bytes, 4, 8, std::nullopt);
  ASSERT_FALSE(found.places.empty());
  const SalvagedSegment other = SalvageSegment(bytes, 5, std::nullopt, std::nullopt);
  EXPECT_FALSE(other.places.empty());
}

TEST(FormatDamageTest, GarbageHasNothing) {
  std::vector<uint8_t> bytes(4096);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 31 + 7);
  const SalvagedSegment found = SalvageSegment(bytes, 4, 9, 4096);
  EXPECT_TRUE(found.records.empty());
  EXPECT_FALSE(found.places.empty());
  EXPECT_TRUE(SalvageSegment({}, 4, 9, std::nullopt).places.empty());
}

}  // namespace
}  // namespace pakv
