// Small text functions of the RESP commands.
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
// Compares with a word in lower case.
bool IsWord(std::string_view text, std::string_view lower);
std::string Lower(std::string_view text);
// Redis' stringmatchlen: * ? [a-z] [^a] and \ before a byte that means itself. Costs at most the
// product of both lengths.
bool GlobMatches(std::string_view pattern, std::string_view text, bool ignore_case = false);

}  // namespace pakv
