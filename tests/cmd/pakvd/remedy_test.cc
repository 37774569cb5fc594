#include "cmd/pakvd/remedy.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "kv/log/files/file_io.h"

namespace pakv {
namespace {

std::string Told(const absl::Status& status) { return MessageOf(WithRemedy(status, "/data")); }

TEST(RemedyTest, EachErrorOfTheSystemIsToldWithWhatToDo) {
  const struct {
    int error;
    const char* what_to_do;
  } cases[] = {{ENOSPC, "Free some space"},
               {EDQUOT, "raise the quota"},
               {EFBIG, "ulimit -f"},
               {EACCES, "chown -R"},
               {EPERM, "the right to read and write /data"},
               {EROFS, "mount it for writing"},
               {EMFILE, "ulimit -n"},
               {ENFILE, "fs.file-max"},
               {EIO, "dmesg"},
               {ENOENT, "give --dir"},
               {ENOTDIR, "give --dir"},
               {ENOMEM, "fewer --cores"},
               {EINVAL, "Try again"}};
  for (const auto& each : cases) {
    const absl::Status at_path = IoError("open", "/data/MANIFEST", IoResult(-each.error));
    const absl::Status at_offset = IoErrorAt("write", "/data/MANIFEST", 7, IoResult(-each.error));
    EXPECT_EQ(ErrnoOf(at_path), each.error);
    for (const absl::Status& status : {at_path, at_offset}) {
      const std::string told = Told(status);
      EXPECT_EQ(told.find(MessageOf(status)), 0u) << told;
      EXPECT_NE(told.find(each.what_to_do), std::string::npos) << told;
      EXPECT_EQ(WithRemedy(status, "/data").code(), status.code());
    }
  }
}

TEST(RemedyTest, DamageIsToldWithTheWaysOut) {
  const std::string told = Told(absl::DataLossError("it; --salvage goes on without it"));
  EXPECT_NE(told.find("nothing was changed, but for an empty LOCK"), std::string::npos);
  EXPECT_NE(told.find("pakvctl verify /data"), std::string::npos);
  EXPECT_NE(told.find("start with --salvage"), std::string::npos);
  EXPECT_EQ(Told(absl::DataLossError("IDENTITY")).find("start with --salvage"), std::string::npos);
}

TEST(RemedyTest, WhatSaysItAlreadyStaysAsItIs) {
  EXPECT_EQ(Told(absl::FailedPreconditionError("set the clock")), "set the clock");
  EXPECT_EQ(Told(absl::ResourceExhaustedError("more --memory")), "more --memory");
}

}  // namespace
}  // namespace pakv
