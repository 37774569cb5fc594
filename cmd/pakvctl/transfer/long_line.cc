#include "cmd/pakvctl/transfer/long_line.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "cmd/pakvctl/interface/output.h"

namespace pakv {
namespace {

// What may stand around a value: the longest key, each byte written as six, and then some.
constexpr size_t kAroundBytesMax = size_t{1} << 20;

constexpr std::string_view kBlanks = " \t\r";

void SkipBlanks(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
}

// Takes a string with its quotes off `text`. Nothing: it does not begin with one, or not end.
std::optional<std::string_view> TakeString(std::string_view& text) {
  if (text.empty() || text[0] != '"') return std::nullopt;
  for (size_t at = 1; at < text.size(); ++at) {
    if (text[at] == '\\') {
      ++at;
    } else if (text[at] == '"') {
      const std::string_view taken = text.substr(0, at + 1);
      text.remove_prefix(at + 1);
      return taken;
    }
  }
  return std::nullopt;
}

// Takes members off the object until the one whose string does not end; false: there is none.
bool SkipToValue(std::string_view& text) {
  SkipBlanks(text);
  if (!text.starts_with('{')) return false;
  text.remove_prefix(1);
  while (true) {
    SkipBlanks(text);
    const auto name = TakeString(text);
    if (!name) return false;
    SkipBlanks(text);
    if (!text.starts_with(':')) return false;
    text.remove_prefix(1);
    SkipBlanks(text);
    if (*name == "\"value\"") return text.starts_with('"');
    if (text.starts_with('"') && !TakeString(text)) return false;
    const size_t comma = text.find(',');
    if (comma == std::string_view::npos) return false;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace

bool LongLine::Fail(std::string why) {
  error_ = std::move(why);
  return false;
}

// `begin`: where its bytes begin in `bytes`, the line's beginning.
bool LongLine::FindValue(std::string_view bytes, size_t& begin) {
  std::string_view rest = bytes;
  const bool found = SkipToValue(rest);
  begin = bytes.size() - rest.size() + 1;
  if (found) {
    const auto head = nlohmann::json::parse(std::string(bytes.substr(0, begin)) + "\"}", nullptr,
                                            /*allow_exceptions=*/false);
    if (head.is_object() && head.value("encoding", nlohmann::json()) == "base64") return true;
  }
  return Fail(
      "too long to be held; of such a line the value is base64, and \"encoding\":\"base64\" "
      "stands before it, as dump writes it");
}

bool LongLine::Put(std::string_view bytes, std::string& value) {
  if (state_ == State::kHead) {
    size_t begin = 0;
    if (!FindValue(bytes, begin)) return false;
    around_ = bytes.substr(0, begin);
    bytes.remove_prefix(begin);
    state_ = State::kValue;
  }
  if (state_ == State::kValue) {
    const size_t end = std::min(bytes.find('"'), bytes.size());
    if (!PutDigits(bytes.substr(0, end), value)) return false;
    bytes.remove_prefix(end);
    if (!bytes.empty()) state_ = State::kTail;
  }
  around_.append(bytes);
  return around_.size() <= kAroundBytesMax || Fail("more than a value is too long in it");
}

bool LongLine::PutDigits(std::string_view text, std::string& value) {
  if (text.empty()) return true;
  digits_.append(text);
  const size_t whole = digits_.size() / 4 * 4;
  const std::optional<std::string> bytes = FromBase64(std::string_view(digits_).substr(0, whole));
  // What follows on padding is none.
  if (!bytes || padded_) return Fail("\"value\" is no base64");
  value.append(*bytes);
  padded_ = whole > 0 && digits_[whole - 1] == '=';
  digits_.erase(0, whole);
  return true;
}

absl::StatusOr<DumpEntry> LongLine::End() const {
  if (state_ != State::kTail) {
    return absl::InvalidArgumentError("it ends within its value");
  }
  if (!digits_.empty()) return absl::InvalidArgumentError("\"value\" is no base64");
  return ParseDumpLine(around_);
}

}  // namespace pakv
