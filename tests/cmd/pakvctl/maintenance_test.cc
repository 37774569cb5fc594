// pakvctl's check, compact and progress: what is printed, and the exit codes.
#include "cmd/pakvctl/commands/maintenance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "cmd/common/progress.h"
#include "tests/cmd/pakvctl/command_test.h"

namespace pakv {
namespace {

using testing::HasSubstr;

class MaintenanceTest : public CommandTest {};

TEST_F(MaintenanceTest, ASoundCheckIsExitZeroAndSaysWhatWasLookedAt) {
  client_.check = {.segments = 7, .live_bytes = 4096};
  EXPECT_EQ(Run({"check"}), 0);
  EXPECT_EQ(out_, "");
  EXPECT_EQ(err_, "pakvctl: 7 segments, 4096 live bytes: no findings\n");
  EXPECT_EQ(Run({"check", "-q"}), 0);
  EXPECT_EQ(err_, "");
  EXPECT_EQ(Run({"check", "-o", "json"}), 0);
  EXPECT_EQ(out_, "{\"segments\":7,\"live_bytes\":4096,\"finding_count\":0,\"findings\":[]}\n");
  client_.check = {.segments = 1, .live_bytes = 1};
  EXPECT_EQ(Run({"check"}), 0);
  EXPECT_EQ(err_, "pakvctl: 1 segment, 1 live byte: no findings\n");
}

TEST_F(MaintenanceTest, FindingsAreExitFiveAndNameTheirFile) {
  client_.check = {.segments = 7,
                   .live_bytes = 4096,
                   .finding_count = 3,
                   .findings = {{"00000002.seg", "is gone"}, {"a\x1b", "b\n"}}};
  EXPECT_EQ(Run({"check"}), 5);
  EXPECT_EQ(out_, "00000002.seg: is gone\na\\x1b: b\\x0a\n");
  EXPECT_THAT(err_, HasSubstr("7 segments, 4096 live bytes: 3 findings, of which"));
  EXPECT_THAT(err_, HasSubstr("pakvctl verify"));
  EXPECT_EQ(Run({"check", "-o", "json"}), 5);
  EXPECT_THAT(out_, HasSubstr("{\"file\":\"00000002.seg\",\"what\":\"is gone\"}"));
}

TEST_F(MaintenanceTest, CompactAsksUntilThereIsNothingMoreToGain) {
  client_.compactions = {{.cursor = "1", .segments_left = 4, .gain_bytes = 4 << 20},
                         {.cursor = "2", .segments = 3, .segments_left = 1, .gain_bytes = 1 << 20},
                         {.segments = 4, .removed_bytes = 8 << 20, .copied_bytes = 3 << 20}};
  EXPECT_EQ(Run({"compact", "--gain", "25"}), 0);
  EXPECT_EQ(out_, "OK\n");
  EXPECT_EQ(err_, "pakvctl: 4 segments compacted: 8.0 MiB removed, 3.0 MiB of it copied\n");
  EXPECT_EQ(client_.asked, (std::vector<std::string>{"25 ", "25 1", "25 2"}));
  EXPECT_GT(client_.now_ns, 100 * kNsPerMs) << "it pauses between";
}

TEST_F(MaintenanceTest, CompactWithNothingToDoSaysSo) {
  client_.compactions = {{.segments = 0}};
  EXPECT_EQ(Run({"compact"}), 0);
  EXPECT_EQ(out_, "OK\n");
  EXPECT_EQ(err_, "pakvctl: nothing to compact: no closed segment has 10 % or more to give back\n");
  client_.compactions = {{.segments = 0}};
  EXPECT_EQ(Run({"compact", "-q"}), 0);
  EXPECT_EQ(err_, "");
}

TEST_F(MaintenanceTest, CompactTellsOfSegmentsThatItLeavesAlone) {
  client_.compactions = {{.segments = 1, .set_aside = 2}};
  EXPECT_EQ(Run({"compact", "-o", "json"}), 5);
  EXPECT_EQ(out_, "{\"segments\":1,\"removed_bytes\":0,\"copied_bytes\":0,\"set_aside\":2}\n");
  EXPECT_THAT(err_, HasSubstr("pakvctl: 2 segments left alone"));
}

TEST_F(MaintenanceTest, CompactDrawsABarOnATerminalAndTakesItAway) {
  client_.compactions = {{.cursor = "1", .segments = 1, .segments_left = 3}, {.segments = 4}};
  err_is_terminal_ = true;
  EXPECT_EQ(Run({"compact"}), 0);
  EXPECT_THAT(err_, HasSubstr("\rcompacting [#####---------------]  25 % 1 of 4 segments"));
  EXPECT_THAT(err_, HasSubstr(" \rpakvctl: 4 segments compacted"));
  client_.compactions = {{.cursor = "1"}, {.segments = 4}};
  EXPECT_EQ(Run({"compact"}), 0);
  EXPECT_THAT(err_, HasSubstr("\rcompacting  looking for what is dead"));
}

TEST_F(MaintenanceTest, ARefusalIsToldWithItsExitCode) {
  client_.failure.fault = ClientFault::kRefused;
  client_.failure.status = PakvStatus::kDiskFull;
  client_.failure.text = "there is no room";
  EXPECT_EQ(Run({"compact"}), 4);
  EXPECT_EQ(err_, "pakvctl: there is no room\n");
  EXPECT_EQ(Run({"check"}), 4);
}

TEST(ProgressTest, APlainLineComesOnlyWhereItTakesLong) {
  std::ostringstream err;
  Progress progress({.what = "loading"}, err);
  progress.Show(0, 0, 100, "0 keys");
  progress.Show(4 * kNsPerSecond, 10, 100, "10 keys");
  EXPECT_EQ(err.str(), "");
  progress.Show(5 * kNsPerSecond, 20, 100, "20 keys");
  progress.Show(6 * kNsPerSecond, 30, 100, "30 keys");
  progress.Show(10 * kNsPerSecond, 40, 0, "40 keys");
  progress.End(11 * kNsPerSecond);
  EXPECT_EQ(err.str(), "pakvctl: loading:  20 % 20 keys\npakvctl: loading: 40 keys\n");
}

TEST(ProgressTest, ABarIsNotWiderThanALineNorFullerThanFull) {
  std::ostringstream err;
  Progress progress({.what = "dumping", .is_terminal = true}, err);
  progress.Show(0, 300, 100, std::string(200, 'x'));
  EXPECT_THAT(err.str(), HasSubstr("[####################] 100 % xxx"));
  EXPECT_EQ(err.str().size(), 80u);
  progress.Show(kNsPerMs, 300, 100, "too soon");
  EXPECT_EQ(err.str().size(), 80u);
  progress.End(kNsPerMs);
  EXPECT_EQ(err.str().substr(80), "\r" + std::string(79, ' ') + "\r");
}

TEST(ProgressTest, QuietShowsNothing) {
  std::ostringstream err;
  Progress progress({.what = "dumping", .is_terminal = true, .quiet = true}, err);
  progress.Show(0, 1, 2, "x");
  progress.End(0);
  EXPECT_EQ(err.str(), "");
}

TEST_F(MaintenanceTest, NamespacesAreListedPageByPageWithTheirKeys) {
  EXPECT_EQ(Run({"namespace", "list"}), 0);
  EXPECT_EQ(out_, "2\t0\n3\torders\n");
  EXPECT_EQ(Run({"namespace", "list", "-q"}), 0);
  EXPECT_EQ(out_, "0\norders\n");
  EXPECT_EQ(Run({"-o", "json", "namespace", "list"}), 0);
  EXPECT_EQ(out_, "[{\"namespace\":\"0\",\"keys\":2},{\"namespace\":\"orders\",\"keys\":3}]\n");
  client_.failure = {.fault = ClientFault::kRefused, .status = PakvStatus::kReadOnly, .text = "no"};
  EXPECT_EQ(Run({"namespace", "list"}), 4);
}

TEST_F(MaintenanceTest, ANamespaceIsDroppedByNameAlone) {
  EXPECT_EQ(Run({"namespace", "drop", "orders"}), 0);
  EXPECT_EQ(out_, "OK\n");
  client_.has_namespace = false;
  EXPECT_EQ(Run({"namespace", "drop", "orders"}), 1);
  EXPECT_EQ(out_, "");
  EXPECT_EQ(err_, "Namespace not found: orders\n");
}

TEST_F(MaintenanceTest, ConnectionsAreListedALineEach) {
  client_.connections =
      "id=3 addr=10.0.0.9:7 name= cmd=get\nid=4 addr=[::1]:9 name=a\x1b cmd=NULL\n";
  EXPECT_EQ(Run({"client", "list"}), 0);
  EXPECT_EQ(out_, "id=3 addr=10.0.0.9:7 name= cmd=get\nid=4 addr=[::1]:9 name=a\\x1b cmd=NULL\n");
  EXPECT_EQ(Run({"client", "list", "-o", "json"}), 0);
  EXPECT_EQ(out_,
            "[{\"id\":\"3\",\"addr\":\"10.0.0.9:7\",\"name\":\"\",\"cmd\":\"get\"},"
            "{\"id\":\"4\",\"addr\":\"[::1]:9\",\"name\":\"a\\u001b\",\"cmd\":\"NULL\"}]\n");
  client_.connections = "";
  EXPECT_EQ(Run({"client", "list", "-o", "json"}), 0);
  EXPECT_EQ(out_, "[]\n");
}

TEST_F(MaintenanceTest, KillIsExitOneIfThereIsNoSuchConnection) {
  EXPECT_EQ(Run({"client", "kill", "7"}), 0);
  EXPECT_EQ(out_, "OK\n");
  EXPECT_EQ(Run({"client", "kill", "10.0.0.9:7", "-q"}), 0);
  EXPECT_EQ(out_, "");
  client_.killed = 0;
  EXPECT_EQ(Run({"client", "kill", "8"}), 1);
  EXPECT_EQ(err_, "Client not found: 8\n");
  EXPECT_EQ(client_.asked, (std::vector<std::string>{"7", "10.0.0.9:7", "8"}));
  client_.failure.fault = ClientFault::kConnectionLost;
  client_.failure.text = "gone";
  EXPECT_EQ(Run({"client", "kill", "8"}), 3);
  EXPECT_EQ(Run({"client", "list"}), 3);
}

}  // namespace
}  // namespace pakv
