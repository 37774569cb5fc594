// A dump's lines: one JSON object per key, so that jq, grep and any language can read and write
// them.
//
//   {"namespace":"0","key":"k","value":"v","lsn":"648518346341351425"}
//   {"namespace":"0","key":"/w==","key_encoding":"base64","value":"","expires_at_ms":1767225600000}
//
// Bytes that are no UTF-8 stand as base64 (RFC 4648), with "encoding" for the value and
// "key_encoding" for the key that say so. "expires_at_ms" counts from 1970; without it the key
// lives for ever. "lsn" is what the version was where the dump was made; loading makes a new one.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace pakv {

struct DumpEntry {
  std::string name_space = "0";
  std::string key;
  std::string value;
  uint64_t expires_at_ms = 0;  // 0: it lives for ever
  uint64_t lsn = 0;            // 0: not known
};

// With its line end.
std::string FormatDumpLine(const DumpEntry& entry);

// The same of a value that is not held: what stands before it and behind it. Between them it stands
// as base64, whatever its bytes.
std::string DumpLineHead(const DumpEntry& entry);
std::string DumpLineTail(const DumpEntry& entry);

// Base64 of bytes that come in pieces.
class Base64Encoder {
 public:
  // What can be told by now.
  std::string Put(std::string_view piece);
  // The rest. Once.
  std::string End() const;

 private:
  std::string left_;  // fewer than three
};

// A line without its end. Whatever is not understood is an error, and nothing is guessed: its
// message follows "line 7: ".
absl::StatusOr<DumpEntry> ParseDumpLine(std::string_view line);

}  // namespace pakv
