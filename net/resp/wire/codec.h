// RESP requests (RESP2 and RESP3 clients send the same): bytes in, argument vectors out.
//
// The parser is pure: no socket, no clock, no knowledge of commands. It works in place: where a
// request lies whole in the caller's bytes, its arguments are views into them, and nothing is
// copied or allocated. What it makes of a stream does not depend on where the stream was cut.
//
// Kept from Redis 7: its error texts, its inline quoting (sdssplitargs), that empty lines, `*0`
// and `*-1` are ignored, that an inline request has at most 64 KiB. Stricter than Redis: a length
// line ends in CR LF and has at most 32 bytes, and the CR LF behind a bulk is checked. More gently
// than in Redis, a bulk above limits.bulk_bytes_max does not end the connection.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pakv {

// What Redis takes at most, unless it is told otherwise: INT_MAX arguments, and a bulk of 512 MiB
// (its proto-max-bulk-len). More is a protocol error, here and there.
inline constexpr size_t kRespProtocolArgsMax = INT32_MAX;
inline constexpr size_t kRespProtocolBulkBytesMax = size_t{512} << 20;

// Bounds of one request; all inclusive.
struct RespLimits {
  // A request of more arguments, up to kRespProtocolArgsMax, is skipped, see Status::kTooLarge: no
  // command takes as many, and each costs 16 bytes here that a client pays 6 for.
  size_t args_max = size_t{1} << 20;
  // A longer argument is skipped, see Status::kTooLarge. The larger of --max-key and --max-value:
  // which argument is a key only the command table knows, so it checks keys by itself.
  size_t bulk_bytes_max = kRespProtocolBulkBytesMax;
  // A bulk longer than this, but not longer than that, is given to the caller in pieces, once per
  // request; see Status::kLarge.
  size_t whole_bulk_bytes_max = SIZE_MAX;
  // A request whose bytes, framing included, exceed this is skipped likewise: it bounds what the
  // caller has to hold for one request. What is given in pieces does not count.
  size_t request_bytes_max = size_t{1} << 30;
  // A bulk longer than this is not worth skipping: a protocol error ("invalid bulk length").
  size_t skip_bytes_max = 2 * kRespProtocolBulkBytesMax;
};

// The longest inline request, its line end excluded.
inline constexpr size_t kRespInlineBytesMax = size_t{64} << 10;
// The longest line behind `*` or `$`, its CR LF excluded.
inline constexpr size_t kRespCountLineBytesMax = 32;
// What a client that has yet to authenticate may send, as in Redis 7.
inline constexpr size_t kRespUnauthenticatedArgsMax = 10;
inline constexpr size_t kRespUnauthenticatedBulkBytesMax = 16384;

// True for the first words of HTTP requests that browsers can be tricked into sending (`POST`,
// `Host:`, any case). The parser refuses them as inline requests; a server calls this for command
// names that it does not know, and closes the connection.
[[nodiscard]] bool IsRespCrossProtocolWord(std::string_view word);
// What is due for one.
inline constexpr std::string_view kRespCrossProtocolError =
    "ERR Protocol error: HTTP request (POST or Host:) on a data port";

class RespRequestParser {
 public:
  enum class Status : uint8_t {
    // args() holds a request of at least one argument.
    kRequest,
    // No whole request is left. What is left in `input` belongs to an unfinished one: see Next.
    kPartial,
    // A request was over a limit; its bytes were skipped without being held. error() is due as
    // reply in its place (and an open MULTI fails); the connection goes on.
    kTooLarge,
    // A large bulk begins: args() holds those before it, large_bytes() is its length. Nothing was
    // taken off `input`; now either TakeLarge or SkipLarge is called.
    kLarge,
    // The request whose large bulk was taken is complete: args() holds those behind it, if any.
    kLargeEnd,
    // The stream cannot be understood: error() is due, then the connection closes. Final.
    kError,
  };

  explicit RespRequestParser(const RespLimits& limits);
  RespRequestParser(const RespRequestParser&) = delete;
  RespRequestParser& operator=(const RespRequestParser&) = delete;

  // Takes one request off the front of `input`.
  //
  // On kPartial the bytes left in `input` have to come again at the front of the next call's
  // input, with more behind them; the caller may have moved them meanwhile. Nothing is parsed
  // twice: repeated calls cost the new bytes alone (and a move the arguments found so far), so a
  // caller may call for each byte received. Of an over-limit request nothing is left over but
  // a few bytes of a length line.
  [[nodiscard]] Status Next(std::string_view& input);

  // ---- After kLarge ----
  size_t large_bytes() const { return bulk_bytes_; }
  // args() are not needed any more: what comes before the bulk is taken off `input`.
  void TakeLarge(std::string_view& input);
  // After that, until large_bytes() is 0: takes up to `bytes_max` of the bulk off `input`.
  std::string_view TakePiece(std::string_view& input, size_t bytes_max);
  // The same of bytes of the bulk that were received past the input.
  void TakeElsewhere(size_t bytes);
  // The request is skipped; in its place `error` is due: Next will return kTooLarge.
  void SkipLarge(std::string_view& input, std::string error);

  // The request that Next found. Views into its input (or, for quoted inline arguments, into the
  // parser): valid until the next call of Next and while the caller keeps the bytes.
  std::span<const std::string_view> args() const { return {args_.data(), arg_count_}; }
  // Some of them are views into the parser, which the next call of Next overwrites.
  bool args_in_parser() const { return args_in_parser_; }

  // After kPartial: how many bytes, those left in `input` included, the input must have for the
  // next call to get any further. A caller may allocate a large bulk in one piece by it: the length
  // was checked, limits.request_bytes_max bounds it. Calling earlier is allowed and cheap.
  size_t frame_bytes_min() const { return frame_bytes_min_; }

  // After kPartial: true within a request, false between two: an end of stream now is an error,
  // or clean. Blank lines between requests count as nothing.
  bool in_request() const { return phase_ != Phase::kStart || frame_bytes_min_ > 1; }

  // After kTooLarge and kError: the text of the reply, without `-` and line end.
  std::string_view error() const { return error_; }

  // A client that has yet to authenticate is held to kRespUnauthenticated…; off at first.
  void set_unauthenticated(bool unauthenticated);

  // Bytes of memory that the parser holds beside itself.
  size_t memory_bytes() const {
    return args_.capacity() * sizeof(std::string_view) + unquoted_.capacity() + error_.capacity();
  }
  // args() are not needed any more: gives back what a long request has taken. Between two calls of
  // Next, the first of which has returned kRequest or kLargeEnd.
  void ReleaseArgs() {
    arg_count_ = 0;
    ReleaseLarge();
  }

 private:
  enum class Phase : uint8_t {
    kStart,           // before a request's first byte
    kInline,          // within a line
    kBulkLength,      // before `$`
    kBulk,            // within a bulk and its CR LF, all held by the caller
    kSkipLength,      // as kBulkLength, of an over-limit request
    kSkipBulk,        // within a bulk that is thrown away
    kSkipTerminator,  // before the CR LF of that
    kLargeBulk,       // within a bulk that is given in pieces
    kFailed,
  };
  enum class Count : uint8_t { kDone, kPartial, kInvalid, kTooLong };

  static Count ReadCount(const char*& at, const char* end, int64_t& value);
  static Count ReadCountSlowly(const char*& at, const char* end, int64_t& value);
  Status Resume(std::string_view& input);
  Status ParseBulks(std::string_view& input, const char* at, bool within);
  Status ParseInline(std::string_view& input);
  bool SplitInline(std::string_view line);
  Status Skip(std::string_view& input);
  Status EndLarge(std::string_view& input);
  Status StartSkip(std::string_view& input, const char* at, size_t bulk_bytes);
  Status StartSkipArgs(std::string_view& input, const char* at, size_t args);
  Status Partial(std::string_view& input, const char* at, Phase phase, size_t more);
  Status Done(std::string_view& input, const char* at);
  Status Fail(std::string_view text);
  Status FailCount(Count count, bool multibulk);
  Status FailByte(char got);
  void AddArg(std::string_view arg) {
    if (arg_count_ == args_.size()) GrowArgs();
    args_[arg_count_++] = arg;
  }
  void GrowArgs();
  void Rebase(const char* base);
  void ReleaseLarge();

  RespLimits limits_;
  size_t bulk_bytes_limit_;  // beyond it the slow path looks closer
  size_t args_limit_;
  bool unauthenticated_ = false;
  Phase phase_ = Phase::kStart;
  size_t args_expected_ = 0;
  size_t arg_count_ = 0;
  size_t bulk_bytes_ = 0;     // of the bulk being read or skipped
  bool large_taken_ = false;  // the present request's
  size_t offset_ = 0;         // from the request's first byte to what is parsed next
  size_t frame_bytes_min_ = 1;
  const char* base_ = nullptr;          // where the unfinished request began at the last call
  std::vector<std::string_view> args_;  // its size is a capacity; arg_count_ are in use
  std::string unquoted_;                // quoted inline arguments, decoded
  bool args_in_parser_ = false;         // the present request has such arguments
  std::string error_;
};

}  // namespace pakv
