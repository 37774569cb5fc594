#include "tests/sim/clients/random_operations.h"

#include <algorithm>
#include <utility>

namespace pakv {

std::string RandomOperations::Value() {
  constexpr uint32_t kShortBytesMax = 64;
  std::string value = std::to_string(id_) + "." + std::to_string(next_value_++) + ".";
  const uint32_t bytes_max = options_.value_bytes_max;
  const uint64_t length = prng_.Chance(1, options_.long_one_in)
                              ? prng_.Below(bytes_max + 1)
                              : prng_.Below(std::min(bytes_max, kShortBytesMax));
  while (value.size() < length) value.push_back(static_cast<char>('a' + prng_.Below(26)));
  return value;
}

// About now, as a rule: what matters happens at the boundary.
int64_t RandomOperations::Expiry() {
  constexpr uint64_t kSpansMs[] = {4, 40, 3'000, 5 * 3'600'000};
  const uint64_t span_ms = kSpansMs[prng_.Below(4)];
  const uint64_t from_ms = options_.wall_ms() - (prng_.Chance(1, 8) ? span_ms : 0);
  return static_cast<int64_t>(from_ms + prng_.Below(span_ms + 1));
}

OracleOperation RandomOperations::Next() {
  if (options_.wall_ms && prng_.Chance(2, 5)) {
    const uint64_t kind = prng_.Below(10);
    if (kind < 5) return {OracleCommand::kSetUntil, Value(), Expiry()};
    if (kind < 6) return {OracleCommand::kExpireAt, {}, Expiry()};
    if (kind < 7) return {OracleCommand::kGetExpireAt, {}, Expiry()};
    if (kind < 8) return {OracleCommand::kPersist, {}, 0};
    return {OracleCommand::kExpireTime, {}, 0};
  }
  const uint64_t dice = prng_.Below(100);
  if (dice < 27) return {OracleCommand::kGet, {}, 0};
  if (dice < 30) return {OracleCommand::kLength, {}, 0};
  if (dice < 51) return {OracleCommand::kSet, Value(), 0};
  if (dice < 55) return {OracleCommand::kGetSet, Value(), 0};
  if (dice < 65) return {OracleCommand::kSetIfAbsent, Value(), 0};
  if (dice < 73) return {OracleCommand::kDelete, {}, 0};
  if (dice < 77) return {OracleCommand::kGetDelete, {}, 0};
  if (dice < 90) return {OracleCommand::kIncrement, {}, static_cast<int64_t>(prng_.Below(100))};
  std::string part = Value().substr(0, options_.part_bytes_max);
  if (dice < 95) return {OracleCommand::kAppend, std::move(part), 0};
  const auto place = static_cast<int64_t>(prng_.Below(options_.places));
  return {OracleCommand::kSetRange, std::move(part), place};
}

}  // namespace pakv
