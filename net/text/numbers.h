// Numbers in arguments and values, as Redis reads and writes them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pakv {

// Redis' string2ll: an optional minus and digits without leading zeros, nothing else.
std::optional<int64_t> ParseRespInteger(std::string_view text);
// Redis' string2ld: what strtold takes, whole, finite or not, but no NaN and nothing out of range.
std::optional<long double> ParseRespFloat(std::string_view text);
// Redis' "human" form: 17 digits behind the point, and of these no zeros at the end.
std::string FormatRespFloat(long double number);

}  // namespace pakv
