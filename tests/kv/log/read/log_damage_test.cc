// The files of a store, cut, zeroed and bit-flipped everywhere at their end, and at random bits of
// all of them: whatever opens then has lost nothing that was acknowledged and serves no wrong
// value, and whatever does not says where and what to do. Many thousand starts, in a simulated
// world.
//
// What may be lost is what format.md says cannot be told: the newest blocks of a log, if all of
// them are zeroed, so that no witness is left. Then it is a prefix of what was written all the
// same.
//
// PAKV_DAMAGE_STRIDE: only each so manieth place; 1 in the long suite.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kv/log/format/format.h"
#include "kv/store/store.h"
#include "runtime/base/log.h"
#include "runtime/base/prng.h"
#include "tests/kv/store/store_call.h"
#include "tests/sim/world/sim_node.h"
#include "tests/sim/world/sim_world.h"

namespace pakv {
namespace {

constexpr const char* kDirectory = "/data";
constexpr int kKeys = 40;
constexpr size_t kTailBytes = 8192;
constexpr uint64_t kRandomBits = 10'000;
constexpr size_t kSector = 512;

using Files = std::map<std::string, std::string>;

// What keys hold; nothing: deleted.
using State = std::map<std::string, std::optional<std::string>>;

// An acknowledged write.
struct Write {
  std::string key;
  std::optional<std::string> value;
};
// What a store shows of each key: nothing at all for one that it says is damaged.
using Shown = std::map<std::string, std::optional<std::optional<std::string>>>;

StoreOptions Options(uint64_t run) {
  StoreOptions options;
  options.directory = kDirectory;
  options.segment_bytes = 32 << 10;
  options.footer_segment_bytes_min = 1;
  options.footers_of_any_size = true;
  options.compaction.segments_min = 1000;
  options.entropy.emplace();
  options.entropy->hash_seed = 7;
  options.entropy->run = run;
  return options;
}

std::string KeyOf(int number) { return "key" + std::to_string(number); }

// Where the last byte that is not zero ends.
size_t EndOf(const std::string& file) {
  const size_t last = file.find_last_not_of('\0');
  return last == std::string::npos ? 0 : last + 1;
}

// A directory that two lives have filled: one that ended well, one that was killed.
struct Image {
  Files files;
  State before;               // what the first life has left
  std::vector<Write> writes;  // of the second
  std::map<std::string, uint32_t> owners;
  uint32_t core_count = 1;
  bool has_marks = false;           // the logs were idle, and said so, before the end
  std::vector<std::string> newest;  // the segment that each log was writing; if short, the last two
};

Task<void> Fill(Store& store, Core& here, Prng& prng, std::vector<Write>& writes, int count) {
  for (int i = 0; i < count; ++i) {
    Write write;
    write.key = KeyOf(static_cast<int>(prng.Below(kKeys)));
    StoreCall call(store, here);
    if (prng.Chance(1, 6)) {
      co_await call.Update(DeleteFunction, OldState::kExistence, write.key);
    } else {
      std::string value = write.key + "=" + std::to_string(writes.size()) + ":";
      value.resize(value.size() + prng.Below(600), static_cast<char>('a' + prng.Below(26)));
      write.value = value;
      co_await call.Update(SetFunction, OldState::kNothing, write.key, std::move(value));
    }
    PAKV_CHECK(call.outcome == Outcome::kDone);
    writes.push_back(std::move(write));
  }
}

Task<void> LiveWell(Cores& cores, Prng& prng, std::vector<Write>& writes) {
  OpenReport report;
  auto opened = co_await Store::Open(cores, Options(1), report);
  PAKV_CHECK(opened.ok());
  std::unique_ptr<Store> store = std::move(*opened);
  co_await Fill(*store, cores.core(0), prng, writes, 150);
  const absl::Status stopped = co_await store->Stop();
  PAKV_CHECK(stopped.ok());
}

Image MakeImage(uint32_t core_count, bool has_marks) {
  Image image;
  image.core_count = core_count;
  image.has_marks = has_marks;
  Prng prng(core_count);
  SimWorld world(1);
  SimNode node(world, "10.0.0.1", {.direct_alignment = kSector});
  node.Start({.core_count = 3 - core_count});
  PAKV_CHECK(node.Run(LiveWell(node.cores(), prng, image.writes)));
  node.Stop();
  for (int number = 0; number < kKeys; ++number) image.before[KeyOf(number)] = std::nullopt;
  for (Write& write : image.writes) image.before[write.key] = std::move(write.value);
  image.writes.clear();
  node.Start({.core_count = core_count});
  OpenReport report;
  auto opened = node.Run(Store::Open(node.cores(), Options(2), report));
  PAKV_CHECK(opened && opened->ok());
  Store& store = node.Own(std::move(**opened));
  for (const auto& [key, value] : image.before) {
    image.owners[key] = store.OwnerOf(store.Hash(kDefaultNamespace, key));
  }
  PAKV_CHECK(node.Run(Fill(store, node.core(0), prng, image.writes, 150)));
  if (has_marks) world.RunFor(100 * kNsPerMs);
  node.Crash(CrashKind::kProcessKill);
  std::vector<std::string> names;
  PAKV_CHECK(node.disk().List(kDirectory, names) >= 0);
  for (const std::string& name : names) {
    const std::string path = std::string(kDirectory) + "/" + name;
    const auto contents = node.disk().Contents(path.c_str());
    if (!contents) continue;
    image.files[path] = *contents;
  }
  // The logs' segments, by the sequence of their first blocks.
  std::map<std::pair<uint32_t, uint64_t>, std::string> segments;
  for (const auto& [path, file] : image.files) {
    const auto header =
        DecodeBlockHeader(Bytes(reinterpret_cast<const uint8_t*>(file.data()), file.size()));
    if (!path.ends_with(".seg") || !header || header->header.run != 2) continue;
    segments[{header->header.log, header->header.sequence}] = path;
  }
  for (uint32_t log = 0; log < core_count; ++log) {
    size_t bytes = 0;
    for (auto each = segments.lower_bound({log + 1, 0});
         bytes < kTailBytes / 2 && each != segments.begin() && (--each)->first.first == log;) {
      image.newest.push_back(each->second);
      bytes += EndOf(image.files.at(each->second));
    }
    PAKV_CHECK(bytes >= kTailBytes / 2, "there is something to damage");
  }
  return image;
}

struct Start {
  std::string refusal;  // empty: it has opened
  Shown shown;
};

Task<void> Look(Cores& cores, Start& start) {
  OpenReport report;
  auto opened = co_await Store::Open(cores, Options(3), report);
  if (!opened.ok()) {
    start.refusal = std::string(opened.status().message());
    if (start.refusal.empty()) start.refusal = "(without a word)";
    co_return;
  }
  std::unique_ptr<Store> store = std::move(*opened);
  for (int number = 0; number < kKeys; ++number) {
    StoreCall call(*store, cores.core(0));
    co_await call.Read(GetFunction, OldState::kValue, KeyOf(number));
    auto& shown = start.shown[KeyOf(number)];
    if (call.outcome != Outcome::kDone) continue;
    shown.emplace();
    if (call.reply.kind != Reply::Kind::kNull) *shown = std::string(call.reply.bytes);
  }
  const absl::Status stopped = co_await store->Stop();
  PAKV_CHECK(stopped.ok(), "a store that opened does not close");
}

Start Open(const Files& files, uint32_t core_count) {
  SimWorld world(3);
  SimNode node(world, "10.0.0.1", {.direct_alignment = kSector});
  for (const auto& [path, contents] : files) node.disk().Put(path.c_str(), contents);
  node.Start({.core_count = core_count});
  Start start;
  PAKV_CHECK(node.Run(Look(node.cores(), start)), "a start does not end");
  node.Stop();
  return start;
}

// What `shown` shows of one owner's keys is what some prefix of its writes, or all, have made.
bool IsPrefix(const Image& image, const Shown& shown, uint32_t owner, bool all) {
  State state = image.before;
  const auto fits = [&] {
    for (const auto& [key, value] : shown) {
      if (image.owners.at(key) == owner && value && *value != state.at(key)) return false;
    }
    return true;
  };
  for (const Write& write : image.writes) {
    if (image.owners.at(write.key) != owner) continue;
    if (!all && fits()) return true;
    state[write.key] = write.value;
  }
  return fits();
}

class LogDamageTest : public testing::TestWithParam<std::tuple<uint32_t, bool>> {
 protected:
  void SetUp() override {
    LogOptions quiet;
    quiet.level = LogLevel::kNotice;
    InitLogging(quiet);
    image_ = MakeImage(std::get<0>(GetParam()), std::get<1>(GetParam()));
    const char* const stride = std::getenv("PAKV_DAMAGE_STRIDE");
    stride_ = stride == nullptr ? 31 : std::strtoull(stride, nullptr, 10);
    const Start whole = Open(image_.files, image_.core_count);
    ASSERT_EQ(whole.refusal, "");
    for (uint32_t owner = 0; owner < image_.core_count; ++owner) {
      ASSERT_TRUE(IsPrefix(image_, whole.shown, owner, /*all=*/true)) << "before any damage";
    }
  }
  void TearDown() override { InitLogging({}); }

  // Opens the directory with `file` as it is, and judges. `may_lose`: the newest writes of a log.
  void Try(const std::string& path, std::string file, bool may_lose, const std::string& what) {
    Files files = image_.files;
    files[path] = std::move(file);
    const Start start = Open(files, image_.core_count);
    ++tried_;
    if (!start.refusal.empty()) {
      ++refused_;
      EXPECT_NE(start.refusal.find(path), std::string::npos) << what << ": " << start.refusal;
      return;
    }
    ++opened_;
    for (const auto& [key, value] : start.shown) damaged_ += value ? 0 : 1;
    for (uint32_t owner = 0; owner < image_.core_count; ++owner) {
      if (IsPrefix(image_, start.shown, owner, /*all=*/true)) continue;
      ++lost_;
      ASSERT_TRUE(may_lose) << what << ": an acknowledged write is lost, or a wrong value shown";
      ASSERT_TRUE(IsPrefix(image_, start.shown, owner, /*all=*/false)) << what << ": no prefix";
    }
  }
  // Calls `damage(path, file, place)` for the places of the last 8 KiB of each log: of the segment
  // that it was writing.
  template <typename Damage>
  void AtTheEndOfEachLog(const Damage& damage) {
    for (const std::string& path : image_.newest) {
      const std::string& file = image_.files.at(path);
      const size_t end = EndOf(file);
      for (size_t place = end - std::min(end, kTailBytes); place < end; place += stride_) {
        damage(path, file, place);
        if (HasFatalFailure()) return;
      }
    }
  }
  void Tell(const char* what) const {
    std::printf("     %s: %llu tried, %llu refused, %llu opened, %llu keys damaged, %llu lost\n",
                what, static_cast<unsigned long long>(tried_),
                static_cast<unsigned long long>(refused_), static_cast<unsigned long long>(opened_),
                static_cast<unsigned long long>(damaged_), static_cast<unsigned long long>(lost_));
  }

  Image image_;
  uint64_t stride_ = 1;
  uint64_t tried_ = 0;
  uint64_t refused_ = 0;
  uint64_t opened_ = 0;
  uint64_t damaged_ = 0;
  uint64_t lost_ = 0;
};
INSTANTIATE_TEST_SUITE_P(CoresAndMarks, LogDamageTest,
                         testing::Combine(testing::Values(1u, 2u), testing::Bool()));

// A listed segment is as long as it was made: a shorter one is damage, wherever it was cut. Of one
// that is sealed the footer may go.
TEST_P(LogDamageTest, CutAtEachByteOfItsEnd) {
  AtTheEndOfEachLog([this](const std::string& path, const std::string& file, size_t place) {
    Try(path, file.substr(0, place), /*may_lose=*/false, path + " cut at " + std::to_string(place));
  });
  Tell("cut");
  EXPECT_GT(refused_, 0u);
}

// All witnesses go with it.
TEST_P(LogDamageTest, ZeroedFromEachByteOfItsEndOn) {
  AtTheEndOfEachLog([this](const std::string& path, const std::string& file, size_t place) {
    std::string zeroed = file;
    std::fill(zeroed.begin() + static_cast<ptrdiff_t>(place), zeroed.end(), '\0');
    Try(path, std::move(zeroed), /*may_lose=*/true,
        path + " zeroed from " + std::to_string(place) + " on");
  });
  Tell("zeroed to the end");
  EXPECT_GT(opened_, 0u);
  EXPECT_GT(lost_, 0u) << "else this test would not notice what is lost";
}

// One sector, as a drive loses them. Without a mark the newest block has no witness.
TEST_P(LogDamageTest, TheSectorOfEachByteOfItsEndZeroed) {
  AtTheEndOfEachLog([this](const std::string& path, const std::string& file, size_t place) {
    const size_t sector = place / kSector * kSector;
    std::string zeroed = file;
    const size_t length = std::min(kSector, file.size() - sector);
    std::fill_n(zeroed.begin() + static_cast<ptrdiff_t>(sector), length, '\0');
    Try(path, std::move(zeroed), /*may_lose=*/!image_.has_marks,
        path + ", the sector of " + std::to_string(place) + " zeroed");
  });
  Tell("a sector zeroed");
  EXPECT_GT(refused_, 0u);
}

TEST_P(LogDamageTest, ABitOfEachByteOfItsEndFlipped) {
  Prng prng(5);
  AtTheEndOfEachLog([&](const std::string& path, const std::string& file, size_t place) {
    std::string flipped = file;
    flipped[place] = static_cast<char>(flipped[place] ^ (1 << prng.Below(8)));
    Try(path, std::move(flipped), /*may_lose=*/false,
        path + ", a bit flipped at " + std::to_string(place));
  });
  Tell("a bit flipped");
  EXPECT_GT(refused_, 0u);
}

// Anywhere in any file: IDENTITY, MANIFEST, segments that are sealed, footers, zeros ahead.
TEST_P(LogDamageTest, RandomBitsOfAllFilesFlipped) {
  Prng prng(6);
  std::vector<std::string> paths;
  uint64_t bytes = 0;
  for (const auto& [path, file] : image_.files) bytes += file.size();
  ASSERT_GT(bytes, 0u);
  for (uint64_t i = 0; i < kRandomBits; i += stride_) {
    uint64_t place = prng.Below(bytes);
    auto file = image_.files.begin();
    while (place >= file->second.size()) place -= (file++)->second.size();
    std::string flipped = file->second;
    const auto bit = static_cast<int>(prng.Below(8));
    flipped[place] = static_cast<char>(flipped[place] ^ (1 << bit));
    Try(file->first, std::move(flipped), /*may_lose=*/false,
        file->first + ", bit " + std::to_string(bit) + " flipped at " + std::to_string(place));
    if (HasFatalFailure()) return;
  }
  Tell("random bits");
  EXPECT_GT(opened_, 0u);
}

}  // namespace
}  // namespace pakv
