#include "cmd/pakvctl/transfer/dump_line.h"

#include <absl/status/status.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "cmd/common/values.h"
#include "cmd/pakvctl/interface/output.h"

namespace pakv {
namespace {

absl::Status Wrong(std::string_view text) {
  return absl::InvalidArgumentError(absl::string_view(text.data(), text.size()));
}

// The members of a line, each looked at once.
class LineReader {
 public:
  explicit LineReader(const nlohmann::json& object) : object_(object) {}

  absl::StatusOr<DumpEntry> Read() {
    DumpEntry entry;
    if (!object_.is_object()) return Wrong("not a JSON object, as {\"key\":\"k\",\"value\":\"v\"}");
    for (const auto& [name, member] : object_.items()) {
      if (name == "namespace" || name == "key" || name == "value") continue;
      if (name == "namespace_encoding" || name == "key_encoding" || name == "encoding") continue;
      if (name == "expires_at_ms" || name == "lsn") continue;
      return Wrong(fmt::format("{} is no member of a dump's line", Quoted(name)));
    }
    for (const char* const name : {"key", "value"}) {
      if (!object_.contains(name)) return Wrong(fmt::format("there is no \"{}\"", name));
    }
    absl::Status status = ReadBytes("namespace", "namespace_encoding", entry.name_space);
    if (status.ok()) status = ReadBytes("key", "key_encoding", entry.key);
    if (status.ok()) status = ReadBytes("value", "encoding", entry.value);
    if (status.ok()) status = ReadExpiry(entry.expires_at_ms);
    if (status.ok()) status = ReadLsn(entry.lsn);
    if (!status.ok()) return status;
    return entry;
  }

 private:
  absl::Status ReadBytes(const char* name, const char* encoding_name, std::string& target) {
    const auto encoding = object_.find(encoding_name);
    const auto found = object_.find(name);
    if (found == object_.end()) {
      if (encoding == object_.end()) return absl::OkStatus();
      return Wrong(fmt::format("\"{}\" without \"{}\"", encoding_name, name));
    }
    if (!found->is_string()) return Wrong(fmt::format("\"{}\" is no string", name));
    target = found->get<std::string>();
    if (encoding == object_.end()) return absl::OkStatus();
    if (*encoding != "base64") return Wrong(fmt::format("\"{}\" is not base64", encoding_name));
    std::optional<std::string> bytes = FromBase64(target);
    if (!bytes) return Wrong(fmt::format("\"{}\" is no base64", name));
    target = *std::move(bytes);
    return absl::OkStatus();
  }

  absl::Status ReadExpiry(uint64_t& target) {
    const auto found = object_.find("expires_at_ms");
    if (found == object_.end()) return absl::OkStatus();
    if (found->is_number_unsigned()) target = found->get<uint64_t>();
    if (target >= 1 && target <= INT64_MAX) return absl::OkStatus();
    return Wrong("\"expires_at_ms\" is no number of milliseconds since 1970");
  }

  absl::Status ReadLsn(uint64_t& target) {
    const auto found = object_.find("lsn");
    if (found == object_.end()) return absl::OkStatus();
    const auto number = found->is_string() ? ParseCount(found->get<std::string>())
                                           : absl::StatusOr<uint64_t>(Wrong(""));
    if (!number.ok() || *number > INT64_MAX) return Wrong("\"lsn\" is no LSN in a string");
    target = *number;
    return absl::OkStatus();
  }

  const nlohmann::json& object_;
};

}  // namespace

std::string FormatDumpLine(const DumpEntry& entry) {
  OrderedJson object;
  PutBytes(object, "namespace", entry.name_space);
  PutBytes(object, "key", entry.key);
  PutBytes(object, "value", entry.value);
  if (entry.expires_at_ms != 0) object["expires_at_ms"] = entry.expires_at_ms;
  if (entry.lsn != 0) PutLsn(object, entry.lsn);
  std::string line = object.dump();
  line += '\n';
  return line;
}

std::string DumpLineHead(const DumpEntry& entry) {
  OrderedJson object;
  PutBytes(object, "namespace", entry.name_space);
  PutBytes(object, "key", entry.key);
  object["encoding"] = "base64";
  std::string head = object.dump();
  head.pop_back();
  return head + ",\"value\":\"";
}

std::string DumpLineTail(const DumpEntry& entry) {
  std::string tail = "\"";
  if (entry.expires_at_ms != 0) tail += fmt::format(",\"expires_at_ms\":{}", entry.expires_at_ms);
  if (entry.lsn != 0) tail += fmt::format(",\"lsn\":\"{}\"", entry.lsn);
  return tail + "}\n";
}

std::string Base64Encoder::Put(std::string_view piece) {
  left_.append(piece);
  const size_t whole = left_.size() / 3 * 3;
  std::string text = Base64(std::string_view(left_).substr(0, whole));
  left_.erase(0, whole);
  return text;
}

std::string Base64Encoder::End() const { return Base64(left_); }

absl::StatusOr<DumpEntry> ParseDumpLine(std::string_view line) {
  nlohmann::json object;
  try {
    object = nlohmann::json::parse(line);
  } catch (const nlohmann::json::parse_error& error) {
    return Wrong(fmt::format("not JSON from its byte {} on", error.byte));
  }
  return LineReader(object).Read();
}

}  // namespace pakv
