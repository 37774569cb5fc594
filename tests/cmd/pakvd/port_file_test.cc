#include "cmd/pakvd/port_file.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "runtime/base/check.h"

namespace pakv {
namespace {

class PortFileTest : public testing::Test {
 protected:
  PortFileTest() {
    std::string name = testing::TempDir() + "pakv-port-file-XXXXXX";
    PAKV_CHECK(mkdtemp(name.data()) != nullptr);
    directory_ = name;
  }
  ~PortFileTest() override { std::filesystem::remove_all(directory_); }

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  size_t FileCount() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(directory_), {}));
  }
  static std::string Read(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }

  std::string directory_;
};

TEST_F(PortFileTest, ALinePerAddressAndNothingElseIsLeft) {
  const std::string path = Path("ports");
  ASSERT_TRUE(WritePortFile(path, {{"data", "127.0.0.1:1"}}).ok());
  ASSERT_TRUE(WritePortFile(path, {{"data", "[::1]:7379"}, {"admin", "127.0.0.1:7380"}}).ok());
  EXPECT_EQ(Read(path), "data [::1]:7379\nadmin 127.0.0.1:7380\n");
  EXPECT_EQ(FileCount(), 1u);
}

TEST_F(PortFileTest, AFailureNamesTheFileAndLeavesNothing) {
  std::filesystem::create_directory(Path("ports"));  // renaming over it fails
  absl::Status status = WritePortFile(Path("ports"), {{"data", "127.0.0.1:1"}});
  EXPECT_FALSE(status.ok());
  EXPECT_NE(status.ToString().find(Path("ports")), std::string::npos) << status;
  EXPECT_EQ(FileCount(), 1u);
  status = WritePortFile(Path("no/ports"), {{"data", "127.0.0.1:1"}});
  EXPECT_NE(status.ToString().find("No such file or directory"), std::string::npos) << status;
}

TEST_F(PortFileTest, WhatCannotBeWrittenIsKnownBefore) {
  EXPECT_TRUE(CheckPortFile(Path("ports")).ok());
  ASSERT_TRUE(WritePortFile(Path("ports"), {{"data", "127.0.0.1:1"}}).ok());
  EXPECT_TRUE(CheckPortFile(Path("ports")).ok()) << "an earlier run's is written over";
  EXPECT_TRUE(CheckPortFile("ports").ok());
  const auto told = [this](const std::string& name) {
    return CheckPortFile(Path(name)).ToString();
  };
  EXPECT_NE(told("no/ports").find("/no: No such file or directory; make"), std::string::npos)
      << told("no/ports");
  EXPECT_NE(told("ports/ports").find("is no directory"), std::string::npos) << told("ports/ports");
  EXPECT_NE(told("no/").find("add the name of a file"), std::string::npos) << told("no/");
  std::filesystem::create_directory(Path("folder"));
  EXPECT_NE(told("folder").find("is a directory"), std::string::npos) << told("folder");
  if (geteuid() != 0) {
    std::filesystem::permissions(Path("folder"), std::filesystem::perms::owner_read);
    EXPECT_NE(told("folder/ports").find("right to write"), std::string::npos);
  }
  EXPECT_EQ(FileCount(), 2u) << "nothing was made";
}

TEST_F(PortFileTest, AnEarlierRunsIsRemoved) {
  ASSERT_TRUE(WritePortFile(Path("ports"), {{"data", "127.0.0.1:1"}}).ok());
  RemovePortFile(Path("ports"));
  EXPECT_EQ(FileCount(), 0u);
  RemovePortFile(Path("ports"));  // there is none: fine
}

}  // namespace
}  // namespace pakv
