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
    if (kind < 5) return {OracleCommand::kSet, Value(), Expiry()};
    if (kind < 6) return {OracleCommand::kExpireAt, {}, Expiry()};
    if (kind < 7) {
      return {OracleCommand::kExpireAt, {}, Expiry(), {.answers_old = true}};
    }
    if (kind < 8) return {OracleCommand::kPersist, {}, 0};
    return {OracleCommand::kExpireTime, {}, 0};
  }
  const uint64_t dice = prng_.Below(100);
  if (dice < 27) return {OracleCommand::kGet, {}, 0};
  if (dice < 30) return {OracleCommand::kLength, {}, 0};
  if (dice < 51) return {OracleCommand::kSet, Value(), 0};
  if (dice < 55) return {OracleCommand::kSet, Value(), 0, {.answers_old = true}};
  if (dice < 65) return {OracleCommand::kSet, Value(), 0, {.if_absent = true}};
  if (dice < 73) return {OracleCommand::kDelete, {}, 0};
  if (dice < 77) return {OracleCommand::kDelete, {}, 0, {.answers_old = true}};
  if (dice < 90) return {OracleCommand::kIncrement, {}, static_cast<int64_t>(prng_.Below(100))};
  std::string part = Value().substr(0, options_.part_bytes_max);
  if (dice < 95) return {OracleCommand::kAppend, std::move(part), 0};
  const auto place = static_cast<int64_t>(prng_.Below(options_.places));
  return {OracleCommand::kSetRange, std::move(part), place};
}

OracleOperation RandomOperations::NextOfResp() {
  OracleOperation what = Next();
  switch (what.command) {
    case OracleCommand::kGet:
      return Look(std::move(what));
    case OracleCommand::kLength:
      if (prng_.Chance(1, 2)) what.command = OracleCommand::kExists;
      return what;
    case OracleCommand::kExpireTime:
      what.options.in_seconds = prng_.Chance(1, 3);
      return what;
    case OracleCommand::kSet:
      VarySet(what);
      return what;
    case OracleCommand::kExpireAt:
      if (!what.options.answers_old) VaryExpireAt(what.options);
      return what;
    case OracleCommand::kPersist:
      what.options.answers_old = prng_.Chance(1, 3);
      return what;
    case OracleCommand::kIncrement:
      return Sum();
    default:
      return what;
  }
}

// Some of it now and then: from a place within the value or behind it, counted from either end.
OracleOperation RandomOperations::Look(OracleOperation get) {
  if (!prng_.Chance(1, 4)) return get;
  const auto place = [this] {
    const auto at = static_cast<int64_t>(prng_.Below(options_.value_bytes_max + 10));
    const int64_t near = prng_.Chance(1, 2) ? at % 70 : at;
    return prng_.Chance(1, 3) ? -near : near;
  };
  get.command = OracleCommand::kGetRange;
  get.number = place();
  get.last = place();
  return get;
}

void RandomOperations::VarySet(OracleOperation& what) {
  OracleOptions& options = what.options;
  if (!options.if_absent && prng_.Chance(1, 4)) {
    (prng_.Chance(1, 3) ? options.if_absent : options.if_present) = true;
  }
  if (what.number == 0) options.keeps_expiry = prng_.Chance(1, 4);
  // A number, which is nobody else's either.
  if (prng_.Chance(1, 5)) what.argument = std::to_string(id_ * 10'000 + next_value_++);
  if (prng_.Chance(1, 6)) options.answers_old = true;
  // Whole seconds, which have an option of their own.
  if (what.number != 0 && prng_.Chance(1, 4)) what.number += 1000 - what.number % 1000;
}

void RandomOperations::VaryExpireAt(OracleOptions& options) {
  bool* const conditions[] = {&options.if_absent, &options.if_present, &options.if_later,
                              &options.if_sooner};
  if (prng_.Chance(2, 3)) *conditions[prng_.Below(4)] = true;
}

OracleOperation RandomOperations::Sum() {
  const auto quarters = static_cast<int64_t>(prng_.Below(200)) - 100;
  if (prng_.Chance(1, 4)) {
    OracleOperation what{OracleCommand::kAddFloat};
    constexpr const char* kPlaces[] = {"", ".25", ".5", ".75"};
    const int64_t size = quarters < 0 ? -quarters : quarters;
    what.argument = (quarters < 0 ? "-" : "") + std::to_string(size / 4) + kPlaces[size % 4];
    return what;
  }
  // Ones have commands of their own.
  return {OracleCommand::kIncrement, {}, prng_.Chance(1, 4) ? quarters % 2 : quarters};
}

}  // namespace pakv
