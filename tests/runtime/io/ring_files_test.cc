// The Ring contract, files.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "runtime/io/buffer_pool.h"
#include "runtime/io/file.h"
#include "tests/runtime/io/ring_contract_test.h"

namespace pakv {
namespace {

class RingFilesTest : public RingContractTest {};
INSTANTIATE_TEST_SUITE_P(Rings, RingFilesTest, RingParams(), RingParamName);

Task<File> OpenFile(IoContext& io, std::string path, int flags) {
  IoResult opened = co_await File::Open(io, path.c_str(), flags);
  EXPECT_TRUE(opened.ok()) << path << ": " << opened.text();
  co_return File(io, Handle{opened.value()});
}

Task<int32_t> OpenError(IoContext& io, std::string path, int flags) {
  IoResult opened = co_await File::Open(io, path.c_str(), flags);
  EXPECT_FALSE(opened.ok());
  co_return opened.error();
}

// All of it, as transfers may be short.
Task<void> WriteAll(File& file, const char* data, size_t length, uint64_t offset, bool sync) {
  while (length > 0) {
    IoResult written = co_await file.Write(data, static_cast<uint32_t>(length), offset, sync);
    EXPECT_GT(written.value(), 0) << written.text();
    if (written.value() <= 0) co_return;
    data += written.count();
    offset += written.count();
    length -= written.count();
  }
}

// Up to `length` bytes, fewer only at the end of the file.
Task<std::string> ReadAll(File& file, size_t length, uint64_t offset) {
  std::string bytes(length, '?');
  size_t have = 0;
  while (have < length) {
    IoResult got = co_await file.Read(bytes.data() + have, static_cast<uint32_t>(length - have),
                                      offset + have);
    EXPECT_TRUE(got.ok()) << got.text();
    if (got.value() <= 0) break;
    have += got.count();
  }
  bytes.resize(have);
  co_return bytes;
}

Task<void> CloseFile(File& file) {
  IoResult closed = co_await file.Close();
  EXPECT_TRUE(closed.ok());
}

Task<void> Create(IoContext& io, std::string path, std::string contents) {
  File file = co_await OpenFile(io, path, O_RDWR | O_CREAT);
  co_await WriteAll(file, contents.data(), contents.size(), 0, /*sync=*/true);
  co_await CloseFile(file);
}

TEST_P(RingFilesTest, OpenSaysWhatIsWrong) {
  RingHarness& rings = Make();
  const auto test = [](RingHarness& harness) -> Task<void> {
    IoContext& io = harness.core(0).io();
    const std::string& directory = harness.directory();
    EXPECT_EQ(co_await OpenError(io, directory + "/none", O_RDWR), ENOENT);
    EXPECT_EQ(co_await OpenError(io, directory + "/none/none", O_RDWR | O_CREAT), ENOENT);
    EXPECT_EQ(co_await OpenError(io, directory, O_RDWR), EISDIR);
    co_await Create(io, directory + "/file", "x");
    EXPECT_EQ(co_await OpenError(io, directory + "/file", O_RDWR | O_CREAT | O_EXCL), EEXIST);
    EXPECT_EQ(co_await OpenError(io, directory + "/file/below", O_RDWR | O_CREAT), ENOTDIR);
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

TEST_P(RingFilesTest, WhatIsWrittenIsReadBack) {
  RingHarness& rings = Make();
  const auto test = [](RingHarness& harness) -> Task<void> {
    IoContext& io = harness.core(0).io();
    File file = co_await OpenFile(io, harness.directory() + "/file", O_RDWR | O_CREAT);
    std::string text(10'000, 'a');
    co_await WriteAll(file, text.data(), text.size(), 0, /*sync=*/false);
    co_await WriteAll(file, "middle", 6, 5000, /*sync=*/true);
    std::string read = co_await ReadAll(file, 20'000, 0);
    EXPECT_EQ(read, text.replace(5000, 6, "middle"));
    std::string tail = co_await ReadAll(file, 20'000, 9'990);
    EXPECT_EQ(tail, "aaaaaaaaaa");
    std::string behind = co_await ReadAll(file, 10, 10'000);
    EXPECT_EQ(behind, "");
    IoResult synced = co_await file.SyncData();
    EXPECT_TRUE(synced.ok());
    co_await CloseFile(file);
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

TEST_P(RingFilesTest, AHoleReadsAsZeros) {
  RingHarness& rings = Make();
  const auto test = [](RingHarness& harness) -> Task<void> {
    IoContext& io = harness.core(0).io();
    File file = co_await OpenFile(io, harness.directory() + "/file", O_RDWR | O_CREAT);
    co_await WriteAll(file, "end", 3, 3000, /*sync=*/false);
    std::string read = co_await ReadAll(file, 4000, 0);
    EXPECT_EQ(read, std::string(3000, '\0') + "end");
    co_await CloseFile(file);
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

TEST_P(RingFilesTest, TruncateCutsAndExtendsWithZeros) {
  RingHarness& rings = Make();
  const auto test = [](RingHarness& harness) -> Task<void> {
    IoContext& io = harness.core(0).io();
    File file = co_await OpenFile(io, harness.directory() + "/file", O_RDWR | O_CREAT);
    std::string text(3000, 'x');
    co_await WriteAll(file, text.data(), text.size(), 0, /*sync=*/true);
    IoResult cut = co_await file.Truncate(1000);
    EXPECT_EQ(cut.value(), 0);
    IoResult extended = co_await file.Truncate(2000);
    EXPECT_EQ(extended.value(), 0);
    FileStat stat;
    IoResult known = co_await file.Stat(stat);
    EXPECT_TRUE(known.ok());
    EXPECT_EQ(stat.size_bytes, 2000u);
    EXPECT_FALSE(stat.is_directory);
    std::string read = co_await ReadAll(file, 4000, 0);
    EXPECT_EQ(read, std::string(1000, 'x') + std::string(1000, '\0'));
    co_await CloseFile(file);
    File again = co_await OpenFile(io, harness.directory() + "/file", O_RDWR | O_TRUNC);
    known = co_await again.Stat(stat);
    EXPECT_EQ(stat.size_bytes, 0u);
    co_await CloseFile(again);
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

TEST_P(RingFilesTest, RenameReplacesItsTarget) {
  RingHarness& rings = Make();
  const auto test = [](RingHarness& harness) -> Task<void> {
    IoContext& io = harness.core(0).io();
    const std::string from = harness.directory() + "/from";
    const std::string to = harness.directory() + "/to";
    co_await Create(io, from, "new");
    co_await Create(io, to, "old");
    File old = co_await OpenFile(io, to, O_RDONLY);
    IoResult renamed = co_await RenameFile(io, from.c_str(), to.c_str());
    EXPECT_TRUE(renamed.ok());
    EXPECT_EQ(co_await OpenError(io, from, O_RDONLY), ENOENT);
    File file = co_await OpenFile(io, to, O_RDONLY);
    std::string read = co_await ReadAll(file, 10, 0);
    EXPECT_EQ(read, "new");
    read = co_await ReadAll(old, 10, 0);
    EXPECT_EQ(read, "old") << "an open file stays, whatever becomes of its name";
    co_await CloseFile(file);
    co_await CloseFile(old);
    IoResult again = co_await RenameFile(io, from.c_str(), to.c_str());
    EXPECT_EQ(again.error(), ENOENT);
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

TEST_P(RingFilesTest, UnlinkRemovesTheNameOnly) {
  RingHarness& rings = Make();
  const auto test = [](RingHarness& harness) -> Task<void> {
    IoContext& io = harness.core(0).io();
    const std::string path = harness.directory() + "/file";
    co_await Create(io, path, "still here");
    File file = co_await OpenFile(io, path, O_RDONLY);
    IoResult unlinked = co_await UnlinkFile(io, path.c_str());
    EXPECT_TRUE(unlinked.ok());
    EXPECT_EQ(co_await OpenError(io, path, O_RDONLY), ENOENT);
    std::string read = co_await ReadAll(file, 20, 0);
    EXPECT_EQ(read, "still here");
    co_await CloseFile(file);
    unlinked = co_await UnlinkFile(io, path.c_str());
    EXPECT_EQ(unlinked.error(), ENOENT);
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

TEST_P(RingFilesTest, ALinkIsAnotherNameForTheFile) {
  RingHarness& rings = Make();
  const auto test = [](RingHarness& harness) -> Task<void> {
    IoContext& io = harness.core(0).io();
    const std::string path = harness.directory() + "/file";
    const std::string other = harness.directory() + "/other";
    co_await Create(io, path, "bytes");
    IoResult linked = co_await LinkFile(io, path.c_str(), other.c_str());
    EXPECT_TRUE(linked.ok());
    linked = co_await LinkFile(io, path.c_str(), other.c_str());
    EXPECT_EQ(linked.error(), EEXIST);
    IoResult unlinked = co_await UnlinkFile(io, path.c_str());
    EXPECT_TRUE(unlinked.ok());
    linked = co_await LinkFile(io, path.c_str(), other.c_str());
    EXPECT_EQ(linked.error(), ENOENT);
    File file = co_await OpenFile(io, other, O_RDONLY);
    std::string read = co_await ReadAll(file, 10, 0);
    EXPECT_EQ(read, "bytes") << "a file goes with its last name";
    co_await CloseFile(file);
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

TEST_P(RingFilesTest, NamesAreListedInOrder) {
  RingHarness& rings = Make();
  const auto test = [](RingHarness& harness) -> Task<void> {
    IoContext& io = harness.core(0).io();
    const std::string directory = harness.directory() + "/below";
    IoResult made = co_await MakeDirectory(io, directory.c_str());
    EXPECT_TRUE(made.ok());
    made = co_await MakeDirectory(io, directory.c_str());
    EXPECT_EQ(made.error(), EEXIST);
    for (const char* name : {"/c", "/a", "/b.seg"}) co_await Create(io, directory + name, "");
    IoResult synced = co_await SyncDirectory(io, directory.c_str());
    EXPECT_TRUE(synced.ok()) << synced.text();
    std::vector<std::string> names{"left over"};
    IoResult listed = co_await ListDirectory(io, directory.c_str(), names);
    EXPECT_TRUE(listed.ok());
    EXPECT_EQ(names, (std::vector<std::string>{"a", "b.seg", "c"}));
    FileStat stat;
    IoResult known = co_await StatPath(io, directory.c_str(), stat);
    EXPECT_TRUE(known.ok());
    EXPECT_TRUE(stat.is_directory);
    const std::string none = directory + "/none";
    listed = co_await ListDirectory(io, none.c_str(), names);
    EXPECT_EQ(listed.error(), ENOENT);
    synced = co_await SyncDirectory(io, none.c_str());
    EXPECT_EQ(synced.error(), ENOENT);
    known = co_await StatPath(io, none.c_str(), stat);
    EXPECT_EQ(known.error(), ENOENT);
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

// What a file is may have to come from the disk: a core that serves does not wait for it.
TEST_P(RingFilesTest, AStatIsNotDoneInPlace) {
  RingHarness& rings = Make();
  const auto test = [](RingHarness& harness) -> Task<void> {
    struct Ask : Operation {
      Ask(Event& ended_in, const IoRequest& what)
          : Operation([](Completion& self) { static_cast<Ask&>(self).ended.Set(); }, what),
            ended(ended_in) {}
      Event& ended;
    };
    Core& core = harness.core(0);
    const std::string path = harness.directory() + "/file";
    co_await Create(core.io(), path, "some");
    File file = co_await OpenFile(core.io(), path, O_RDONLY);
    FileStat by_path;
    FileStat by_handle;
    Event first(core.ready());
    Event second(core.ready());
    Ask of_path(first, {.opcode = Opcode::kStat, .path = path.c_str(), .stat = &by_path});
    Ask of_handle(second, {.opcode = Opcode::kStat, .handle = file.handle(), .stat = &by_handle});
    core.ring().Submit(of_path);
    core.ring().Submit(of_handle);
    EXPECT_TRUE(of_path.in_flight && of_handle.in_flight);
    EXPECT_EQ(by_path.size_bytes + by_handle.size_bytes, 0u);
    co_await first.Wait();
    co_await second.Wait();
    EXPECT_TRUE(of_path.result.ok() && of_handle.result.ok());
    EXPECT_EQ(by_path.size_bytes, 4u);
    EXPECT_EQ(by_handle.size_bytes, 4u);
    EXPECT_EQ(by_path.direct_alignment, by_handle.direct_alignment);
    co_await CloseFile(file);
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

TEST_P(RingFilesTest, ALockIsOneOpenFiles) {
  RingHarness& rings = Make();
  const auto test = [](RingHarness& harness) -> Task<void> {
    IoContext& io = harness.core(0).io();
    const std::string path = harness.directory() + "/LOCK";
    File first = co_await OpenFile(io, path, O_RDWR | O_CREAT);
    File second = co_await OpenFile(io, path, O_RDWR | O_CREAT);
    IoResult locked = co_await first.Lock();
    EXPECT_TRUE(locked.ok());
    locked = co_await first.Lock();
    EXPECT_TRUE(locked.ok()) << "its own again";
    locked = co_await second.Lock();
    EXPECT_EQ(locked.error(), EWOULDBLOCK);
    co_await CloseFile(first);
    locked = co_await second.Lock();
    EXPECT_TRUE(locked.ok());
    co_await CloseFile(second);
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

TEST_P(RingFilesTest, SpaceIsTold) {
  RingHarness& rings = Make();
  const auto test = [](RingHarness& harness) -> Task<void> {
    SpaceStat space;
    IoResult known = co_await StatSpace(harness.core(0).io(), harness.directory().c_str(), space);
    EXPECT_TRUE(known.ok());
    EXPECT_GT(space.free_bytes, 0u);
    EXPECT_LE(space.free_bytes, space.total_bytes);
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

TEST_P(RingFilesTest, DirectTransfersAreAligned) {
  RingHarness& rings = Make();
  const auto test = [](RingHarness& harness) -> Task<void> {
    IoContext& io = harness.core(0).io();
    const std::string path = harness.directory() + "/direct";
    co_await Create(io, path, "");
    FileStat stat;
    IoResult known = co_await StatPath(io, path.c_str(), stat);
    EXPECT_TRUE(known.ok());
    const uint32_t unit = stat.direct_alignment;
    if (unit == 0) co_return;  // the file system of the build refuses direct I/O, and says so
    EXPECT_LE(unit, kDirectAlignment);
    File file = co_await OpenFile(io, path, O_RDWR | O_DIRECT);
    AlignedBuffer buffer = io.buffers.Take(4 * kDirectAlignment);
    EXPECT_GE(buffer.size(), 4 * kDirectAlignment);
    std::memset(buffer.data(), 'd', buffer.size());
    // Transfers of a registered buffer, a part at a time where the disk is slow to take them.
    const uint32_t length = 4 * kDirectAlignment;
    for (uint32_t at = 0; at < length;) {
      IoResult written =
          co_await file.Write(buffer.data() + at, length - at, at, /*sync=*/true, buffer.index());
      EXPECT_GT(written.value(), 0) << written.text();
      if (written.value() <= 0) break;
      // A direct transfer is short by whole sectors; what is not a whole unit is written again.
      at += written.count() / unit * unit;
    }
    IoResult wrong = co_await file.Write(buffer.data(), unit, 1, /*sync=*/false);
    EXPECT_EQ(wrong.error(), EINVAL) << "offset";
    wrong = co_await file.Write(buffer.data(), unit - 1, 0, /*sync=*/false);
    EXPECT_EQ(wrong.error(), EINVAL) << "length";
    std::memset(buffer.data(), '?', buffer.size());
    uint32_t have = 0;
    while (have < length) {
      IoResult got = co_await file.Read(buffer.data() + have, length - have, have, buffer.index());
      EXPECT_GT(got.value(), 0) << got.text();
      if (got.value() <= 0) break;
      have += got.count() / unit * unit;
    }
    EXPECT_EQ(std::count(buffer.data(), buffer.data() + length, 'd'), length);
    IoResult end = co_await file.Read(buffer.data(), unit, length);
    EXPECT_EQ(end.value(), 0);
    co_await CloseFile(file);
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

TEST_P(RingFilesTest, OneHandleServesEveryCore) {
  RingHarness& rings = Make({.core_count = 2});
  const auto test = [](RingHarness& harness) -> Task<void> {
    Core& core = harness.core(0);
    File file = co_await OpenFile(core.io(), harness.directory() + "/file", O_RDWR | O_CREAT);
    co_await WriteAll(file, "shared", 6, 0, /*sync=*/true);
    const Handle handle = file.handle();
    const auto read_there = [handle](Core& there) -> Task<std::string> {
      return [](Core& reader, Handle shared) -> Task<std::string> {
        File same(reader.io(), shared);
        co_return co_await ReadAll(same, 10, 0);
      }(there, handle);
    };
    std::string read = co_await core.CallTaskOn(1, read_there);
    EXPECT_EQ(read, "shared");
    co_await CloseFile(file);
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

}  // namespace
}  // namespace pakv
