// Copies of simulated disks, and what a crash would leave of a node that lives on.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include "runtime/base/check.h"
#include "runtime/io/file.h"
#include "tests/sim/world/sim_node.h"
#include "tests/sim/world/sim_world.h"

namespace pakv {
namespace {

constexpr uint32_t kBytes = 4096;

std::string Contents(SimDisk& disk, const char* path) {
  return disk.Contents(path).value_or("none");
}

// A direct write to `path`, durable or only on its way.
void Write(SimDisk& disk, const char* path, char what, bool sync) {
  SimDisk::InodeRef inode;
  ASSERT_EQ(disk.Open(path, O_RDWR | O_CREAT | O_DIRECT, inode), 0);
  alignas(kBytes) char bytes[kBytes];
  std::fill(std::begin(bytes), std::end(bytes), what);
  ASSERT_EQ(disk.Write(*inode, /*direct=*/true, bytes, kBytes, 0), int32_t{kBytes});
  if (sync) {
    ASSERT_EQ(disk.SyncData(*inode), 0);
  }
}

TEST(SimDiskCopyTest, HoldsWhatIsDurableAndWhatIsNotAndGoesItsOwnWay) {
  SimDisk disk({}, 1);
  disk.MakeDirectories("/data");
  Write(disk, "/data/durable", 'd', /*sync=*/true);
  ASSERT_EQ(disk.SyncDirectory("/data"), 0);
  Write(disk, "/data/nameless", 'n', /*sync=*/true);  // its name may be lost
  Write(disk, "/data/durable", 'e', /*sync=*/false);  // so may each sector of this
  int nameless = 0;
  int mixed = 0;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SimDisk copy({}, seed);
    copy.CopyFrom(disk);
    EXPECT_EQ(copy.used_bytes(), disk.used_bytes());
    EXPECT_EQ(Contents(copy, "/data/durable"), std::string(kBytes, 'e'));
    copy.Crash(CrashKind::kPowerCut);
    nameless += Contents(copy, "/data/nameless") == "none" ? 1 : 0;
    const std::string left = Contents(copy, "/data/durable");
    ASSERT_EQ(left.size(), kBytes);
    const bool has_old = left.find('d') != left.npos;
    const bool has_new = left.find('e') != left.npos;
    mixed += has_old && has_new ? 1 : 0;
  }
  EXPECT_GT(nameless, 20);
  EXPECT_LT(nameless, 180);
  EXPECT_GT(mixed, 100);
  // Nothing of that has come back to the first.
  EXPECT_EQ(Contents(disk, "/data/durable"), std::string(kBytes, 'e'));
  EXPECT_EQ(Contents(disk, "/data/nameless"), std::string(kBytes, 'n'));
  SimDisk another({}, 1);
  another.CopyFrom(disk);
  Write(another, "/data/durable", 'f', /*sync=*/true);
  EXPECT_EQ(Contents(disk, "/data/durable"), std::string(kBytes, 'e'));
}

struct Progress {
  bool submitted = false;
  bool done = false;
};

Task<void> WriteAndSync(Core& core, const char* path, Progress& progress) {
  const IoResult opened = co_await File::Open(core.io(), path, O_RDWR | O_CREAT);
  PAKV_CHECK(opened.ok());
  File file(core.io(), Handle{opened.value()});
  const std::string bytes(kBytes, 'w');
  progress.submitted = true;
  const IoResult written = co_await file.Write(bytes.data(), kBytes, 0, /*sync=*/true);
  PAKV_CHECK(written.ok());
  progress.done = true;
  const IoResult closed = co_await file.Close();
  PAKV_CHECK(closed.ok());
}

TEST(SimNodeCopyTest, CrashOfACopyFindsTheWriteInEachStateAndTheNodeLivesOn) {
  SimWorld world(1);
  SimNode node(world, "10.0.0.1");
  node.disk().Put("/data/file", std::string(kBytes, '0'));
  node.Start({.core_count = 1});
  Progress progress;
  node.Spawn(0, WriteAndSync(node.core(0), "/data/file", progress));
  bool before = false;
  bool torn = false;
  uint64_t seed = 1;
  ASSERT_TRUE(world.RunUntil([&] {
    if (!progress.submitted || progress.done) return progress.done;
    SimWorld other(++seed);
    SimNode copy(other, "10.0.0.1");
    node.CrashInto(copy.disk(), CrashKind::kPowerCut);
    const std::string left = Contents(copy.disk(), "/data/file");
    before = before || left == std::string(kBytes, '0');
    torn = torn || (left.find('0') != left.npos && left.find('w') != left.npos);
    return false;
  }));
  EXPECT_TRUE(before);
  EXPECT_TRUE(torn);
  SimWorld other(1);
  SimNode copy(other, "10.0.0.1");
  node.CrashInto(copy.disk(), CrashKind::kPowerCut);
  EXPECT_EQ(Contents(copy.disk(), "/data/file"), std::string(kBytes, 'w'));
  EXPECT_TRUE(node.running());
  node.Crash(CrashKind::kProcessKill);
}

Task<void> MakeOne(Core& core, std::string path, uint64_t& count) {
  const IoResult made = co_await MakeDirectory(core.io(), path.c_str());
  PAKV_CHECK(made.ok());
  ++count;
}

TEST(SimRingTest, AShortQueueTakesTheRestInLaterPasses) {
  SimWorld world(1);
  SimNode node(world, "10.0.0.1");
  node.disk().MakeDirectories("/data");
  node.Start({.core_count = 1, .ring = {.submissions_max = 2}});
  uint64_t made = 0;
  for (int i = 0; i < 7; ++i) {
    node.Spawn(0, MakeOne(node.core(0), "/data/" + std::to_string(i), made));
  }
  uint64_t submitted = 0;
  uint64_t most_at_once = 0;
  ASSERT_TRUE(world.RunUntil([&] {
    most_at_once = std::max(most_at_once, node.process().submissions() - submitted);
    submitted = node.process().submissions();
    return made == 7;
  }));
  EXPECT_EQ(most_at_once, 2u);
  node.Stop();
}

}  // namespace
}  // namespace pakv
