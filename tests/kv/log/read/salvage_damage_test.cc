// All that a directory holds, damaged: value files cut, zeroed and bit-flipped everywhere at their
// end; what stands in salvage/ and cut/ anywhere; and the logs once more, of which a start with
// --salvage makes what can be made. Whatever opens shows of each key what was once written to it,
// or says that it is damaged; and opens as usual from then on. In a simulated world.
//
// PAKV_DAMAGE_STRIDE: only each so manieth place; 1 in the long suite.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kv/log/format/format_value_file.h"
#include "kv/store/store.h"
#include "runtime/base/log.h"
#include "runtime/base/prng.h"
#include "tests/kv/shard/values/value_file_fixture.h"

namespace pakv {
namespace {

constexpr const char* kDirectory = "/store";
constexpr size_t kTailBytes = 8192;
constexpr size_t kSector = 512;
constexpr int kSmallKeys = 12;

using Image = std::map<std::string, std::string>;  // by path
// What a store shows of each key that is not missing; "(damaged)": it says so.
using Shown = std::map<std::string, std::string>;
constexpr const char* kDamaged = "(damaged)";

class SalvageDamageTest : public ValueFileFixture {
 protected:
  void SetUp() override {
    LogOptions quiet;
    quiet.level = LogLevel::kNotice;
    InitLogging(quiet);
    const char* const stride = std::getenv("PAKV_DAMAGE_STRIDE");
    stride_ = stride == nullptr ? 211 : std::strtoull(stride, nullptr, 10);
    Open();
    for (int round = 0; round < 3; ++round) {
      for (int i = 0; i < kSmallKeys; ++i) {
        Write("small" + std::to_string(i), ValueOf(static_cast<char>('a' + round), 100 + i * 15));
      }
      Write("one chunk", ValueOf('k', 3000 + round));
      Write("several", ValueOf('l', 9500 + round));
      Write("whole chunks", ValueOf('m', 8192));
      if (round == 1) Restart();
    }
    Settle();
    node_->Crash(CrashKind::kProcessKill);
    whole_ = TakeFiles();
  }
  void TearDown() override { InitLogging({}); }
  void Adjust(StoreOptions& options) override {
    options.compaction.segments_min = 1000;
    options.segment_bytes = 16 << 10;
  }

  void Write(const std::string& key, const std::string& value) {
    if (value.size() <= kInlineBytesMax) {
      Call(false, SetFunction, OldState::kNothing, key, value);
    } else {
      ASSERT_EQ(Put(key, value), Outcome::kDone);
    }
    written_[key].insert(value);
    newest_[key] = value;
  }

  Image TakeFiles() {
    Image files;
    for (const char* directory : {kDirectory, "/store/salvage", "/store/cut"}) {
      std::vector<std::string> names;
      if (node_->disk().List(directory, names) < 0) continue;
      for (const std::string& name : names) {
        const std::string path = std::string(directory) + "/" + name;
        if (const auto contents = node_->disk().Contents(path.c_str())) files[path] = *contents;
      }
    }
    return files;
  }
  std::vector<std::string> PathsOf(const Image& files, std::string_view ending) {
    std::vector<std::string> paths;
    for (const auto& [path, file] : files) {
      if (path.ends_with(ending) && !file.empty()) paths.push_back(path);
    }
    return paths;
  }

  // Why it does not open; empty: it has.
  std::string OpenOn(const Image& files, bool salvage) {
    NewNode();
    for (const auto& [path, contents] : files) node_->disk().Put(path.c_str(), contents);
    return OpenAgain(salvage);
  }
  std::string OpenAgain(bool salvage) {
    salvage_ = salvage;
    const std::optional<absl::Status> opened = TryOpen();
    if (!opened) return "it does not end: " + world_.failure();
    if (opened->ok()) return {};
    node_->Crash(CrashKind::kProcessKill);
    return "(" + std::string(opened->message()) + ")";
  }
  Shown Look() {
    Shown shown;
    for (const auto& [key, value] : newest_) {
      StoreCall& call = Call(true, GetAny, OldState::kValueOrFile, key);
      if (call.outcome != Outcome::kDone) {
        shown[key] = kDamaged;
      } else if (call.reply.kind == Reply::Kind::kBytes) {
        shown[key] = std::string(call.reply.bytes);
      } else if (call.reply.kind == Reply::Kind::kFile) {
        shown[key] = Read(call).value_or(kDamaged);
      }
    }
    return shown;
  }
  // Each key shows something that it once had.
  void ExpectNothingForeign(const Shown& shown, const std::string& what) {
    for (const auto& [key, value] : shown) {
      ASSERT_TRUE(value == kDamaged || written_.at(key).contains(value))
          << what << ": " << key << " has a value that was never written";
    }
  }

  // ---- Damage ----

  // Calls `damage(file, place)` with a copy for each place of the last 8 KiB in which there is
  // something, and behind.
  template <typename Judge>
  void AtTheEndOf(const std::string& path, const Judge& judge) {
    const std::string& file = whole_.at(path);
    const size_t last = file.find_last_not_of('\0');
    const size_t end = path.ends_with(".val") ? file.size() : last + 1;
    Prng prng(end);
    for (size_t place = end - std::min(end, kTailBytes); place < end; place += stride_) {
      const std::string at = path + " at " + std::to_string(place);
      judge("cut: " + at, file.substr(0, place), place);
      std::string zeroed = file;
      const size_t sector = place / kSector * kSector;
      std::fill_n(zeroed.begin() + static_cast<ptrdiff_t>(sector),
                  std::min(kSector, file.size() - sector), '\0');
      judge("sector zeroed: " + at, std::move(zeroed), place);
      std::string flipped = file;
      flipped[place] = static_cast<char>(flipped[place] ^ (1 << prng.Below(8)));
      judge("bit flipped: " + at, std::move(flipped), place);
      if (HasFatalFailure()) return;
    }
  }
  void Tell(const char* what) const {
    std::printf("     %s: %llu tried, %llu refused, %llu opened, %llu keys damaged\n", what,
                static_cast<unsigned long long>(tried_), static_cast<unsigned long long>(refused_),
                static_cast<unsigned long long>(tried_ - refused_),
                static_cast<unsigned long long>(damaged_));
  }

  uint64_t stride_ = 1;
  Image whole_;
  std::map<std::string, std::set<std::string>> written_;
  std::map<std::string, std::string> newest_;
  uint64_t tried_ = 0;
  uint64_t refused_ = 0;
  uint64_t damaged_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Cores, SalvageDamageTest, testing::Values(1, 3));

// A file that is too short for its value is damage, and named; what else is wrong within one is the
// business of who reads it. Other keys are as they were.
TEST_P(SalvageDamageTest, ValueFiles) {
  for (const std::string& path : PathsOf(whole_, ".val")) {
    AtTheEndOf(path, [&](const std::string& what, std::string file, size_t) {
      ++tried_;
      const bool is_same = file == whole_.at(path);
      const bool is_short = file.size() < whole_.at(path).size();
      Image files = whole_;
      files[path] = std::move(file);
      const std::string refusal = OpenOn(files, /*salvage=*/false);
      if (!refusal.empty()) {
        ++refused_;
        ASSERT_TRUE(is_short) << what << ": " << refusal;
        ASSERT_NE(refusal.find(path), std::string::npos) << what << ": " << refusal;
        ASSERT_TRUE(TakeFiles() == files) << what << ": refused, and something was changed";
        return;
      }
      const Shown shown = Look();
      size_t damaged = 0;
      for (const auto& [key, value] : newest_) {
        ASSERT_TRUE(shown.contains(key)) << what << ": " << key << " is missing";
        damaged += shown.at(key) == kDamaged ? 1 : 0;
        ASSERT_TRUE(shown.at(key) == value || shown.at(key) == kDamaged) << what << ": " << key;
      }
      ASSERT_LE(damaged, is_same ? 0u : 1u) << what;
      damaged_ += damaged;
      node_->Crash(CrashKind::kProcessKill);
    });
    if (HasFatalFailure()) return;
  }
  Tell("value files");
  EXPECT_GT(refused_, 0u);
  EXPECT_GT(damaged_, 0u) << "else no checksum was looked at";
}

// Whatever was refused opens with --salvage, shows nothing that was never written, and from then on
// opens as usual and shows the same.
TEST_P(SalvageDamageTest, WhatIsRefusedCanBeSalvaged) {
  uint64_t salvaged = 0;
  const auto judge_of = [&](const std::string& path) {
    return [&, path](const std::string& what, std::string file, size_t) {
      ++tried_;
      Image files = whole_;
      files[path] = std::move(file);
      const std::string refusal = OpenOn(files, /*salvage=*/false);
      if (refusal.empty()) {
        node_->Crash(CrashKind::kProcessKill);
        return;
      }
      ++refused_;
      ASSERT_EQ(OpenAgain(/*salvage=*/true), "") << what << ", after " << refusal;
      const Shown shown = Look();
      ExpectNothingForeign(shown, what);
      node_->Crash(salvaged % 2 == 0 ? CrashKind::kProcessKill : CrashKind::kPowerCut);
      ASSERT_EQ(OpenAgain(/*salvage=*/false), "") << what << ": salvaged, and does not open";
      ASSERT_TRUE(Look() == shown) << what << ": salvaged, and shows something else afterwards";
      node_->Crash(CrashKind::kProcessKill);
      ++salvaged;
    };
  };
  for (const char* ending : {".seg", ".val", "MANIFEST"}) {
    for (const std::string& path : PathsOf(whole_, ending)) {
      if (whole_.at(path).find_first_not_of('\0') == std::string::npos) continue;
      AtTheEndOf(path, judge_of(path));
      if (HasFatalFailure()) return;
    }
  }
  Tell("salvaged");
  EXPECT_GT(salvaged, 0u);
}

// What was put aside for people is no part of the store: whatever becomes of it, all opens.
TEST_P(SalvageDamageTest, WhatWasPutAsideConcernsNobody) {
  // A damaged segment, salvaged.
  std::string path;
  for (const std::string& each : PathsOf(whole_, ".seg")) {
    if (whole_.at(each).find_first_not_of('\0') != std::string::npos) path = each;
    if (!path.empty()) break;
  }
  Image files = whole_;
  files.at(path)[100] = static_cast<char>(files.at(path)[100] ^ 16);
  files[std::string(kDirectory) + "/cut/00000001.seg.512"] = std::string(2000, 'c');
  ASSERT_EQ(OpenOn(files, /*salvage=*/true), "");
  Settle();
  const Shown shown = Look();
  node_->Crash(CrashKind::kProcessKill);
  whole_ = TakeFiles();
  for (const auto& [aside, contents] : Image(whole_)) {
    if (aside.find("/salvage/") == std::string::npos && aside.find("/cut/") == std::string::npos) {
      continue;
    }
    AtTheEndOf(aside, [&, name = aside](const std::string& what, std::string file, size_t) {
      ++tried_;
      Image damaged = whole_;
      damaged[name] = std::move(file);
      ASSERT_EQ(OpenOn(damaged, /*salvage=*/false), "") << what;
      ASSERT_TRUE(Look() == shown) << what;
      ASSERT_EQ(TakeFiles().at(name), damaged.at(name)) << what << ": it was touched";
      node_->Crash(CrashKind::kProcessKill);
    });
    if (HasFatalFailure()) return;
  }
  Tell("put aside");
  EXPECT_GT(tried_, 0u);
}

}  // namespace
}  // namespace pakv
