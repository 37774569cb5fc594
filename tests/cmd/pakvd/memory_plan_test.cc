// cmd/pakvd/memory_plan: what --memory is too small for is told before anything is made, with a
// number that is enough.
#include "cmd/pakvd/memory_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "kv/log/files/file_io.h"
#include "kv/store/memory/memory_budget.h"

namespace pakv {
namespace {

using testing::HasSubstr;

constexpr uint64_t kMebibyte = uint64_t{1} << 20;
constexpr uint64_t kResident = 7 * kMebibyte + 12345;

ServerConfig Config(uint32_t core_count, uint64_t memory_bytes, ConfigSource cores_from) {
  ServerConfig config;
  config.server.core_count = core_count;
  config.server.memory_bytes_max = memory_bytes;
  config.sources["cores"] = cores_from;
  return config;
}

uint64_t Least(uint32_t core_count) {
  return MemoryBaseBytes(kResident, core_count) + core_count * MemoryBudget::kLeastBytesPerCore;
}

std::string Refusal(const ServerConfig& config) {
  const auto cores = CoresWithinMemory(config, kResident);
  EXPECT_TRUE(absl::IsResourceExhausted(cores.status())) << cores.status();
  return MessageOf(cores.status());
}

TEST(MemoryPlanTest, MoreThanTheSystemGivesIsTold) {
  const ServerConfig config = Config(1, 4096 * kMebibyte, ConfigSource::kFlag);
  EXPECT_EQ(TooMuchMemory(config, 4096 * kMebibyte), "");
  EXPECT_EQ(TooMuchMemory(config, 0), "") << "it is not known";
  EXPECT_THAT(TooMuchMemory(config, 4095 * kMebibyte),
              HasSubstr("--memory is 4GiB, and this process may have 4095MiB ("));
}

TEST(MemoryPlanTest, TheCoresThatAreAskedForFitOrItIsSaidWhatTheyNeed) {
  EXPECT_EQ(CoresWithinMemory(Config(8, Least(8), ConfigSource::kFlag), kResident).value(), 8u);
  const std::string told = Refusal(Config(8, Least(8) - 1, ConfigSource::kFlag));
  EXPECT_THAT(told, HasSubstr("8 cores need at least "));
  EXPECT_THAT(told, HasSubstr("more --memory, or with fewer cores: --cores 7"));
  // What it names is enough, also where some pages more are resident the next time.
  const uint64_t named = std::strtoull(told.c_str() + told.find("least ") + 6, nullptr, 10);
  const auto next = CoresWithinMemory(Config(8, named * kMebibyte, ConfigSource::kFlag),
                                      kResident + kMebibyte / 4);
  EXPECT_EQ(next.value_or(0), 8u) << told;
}

TEST(MemoryPlanTest, NotEvenOneCoreFits) {
  const std::string one = Refusal(Config(1, Least(1) - 1, ConfigSource::kEnvironment));
  EXPECT_THAT(one, HasSubstr("1 core needs at least "));
  EXPECT_THAT(one, testing::Not(HasSubstr("--cores")));
  EXPECT_THAT(Refusal(Config(4, kMebibyte, ConfigSource::kFile)), HasSubstr("4 cores need"));
  EXPECT_THAT(Refusal(Config(4, kMebibyte, ConfigSource::kDefault)), HasSubstr("1 core needs"));
}

TEST(MemoryPlanTest, AsManyCoresAsFitWhereNobodyHasAskedForTheirNumber) {
  const ServerConfig config = Config(64, Least(3) + 5, ConfigSource::kDefault);
  EXPECT_EQ(CoresWithinMemory(config, kResident).value(), 3u);
}

}  // namespace
}  // namespace pakv
