// OBJECT and MEMORY: what is known of a key beside its value.
#include "kv/log/format/lsn.h"
#include "kv/shard/state/memory_share.h"
#include "net/resp/protocol/resp_protocol.h"
#include "net/resp/table/command_functions.h"
#include "net/text/numbers.h"
#include "net/text/words.h"

namespace pakv {
namespace {

// Redis keeps a value as an integer, with its header in one piece, or with a header apart: by its
// length.
constexpr size_t kIntegerBytesMax = 20;
constexpr size_t kEmbeddedBytesMax = 44;

// Of a key that is there; there is none for one that is not.
void Answer(const OldValue& old, int64_t integer, Request& request) {
  request.reply.kind = old.exists ? Reply::Kind::kInteger : Reply::Kind::kNull;
  request.reply.integer = integer;
}

}  // namespace

Change ObjectEncoding(const OldValue& old, Request& request) {
  request.reply.kind = old.exists ? Reply::Kind::kBytes : Reply::Kind::kNull;
  if (old.in_file || old.value_length > kEmbeddedBytesMax) {
    request.reply.bytes = "raw";
  } else if (old.value_length <= kIntegerBytesMax && ParseRespInteger(old.value)) {
    request.reply.bytes = "int";
  } else {
    request.reply.bytes = "embstr";
  }
  return {};
}

Change ObjectReferences(const OldValue& old, Request& request) {
  Answer(old, 1, request);
  return {};
}

// Reads leave no trace, so it is the time since the value was written. One that has been written by
// this transaction has no LSN yet.
Change ObjectIdleTime(const OldValue& old, Request& request) {
  const uint64_t now = LsnTickOfWallUs(request.ExpiryClockMs() * 1000);
  const uint64_t then = old.lsn == kNoLsn ? now : LsnTick(old.lsn);
  const uint64_t idle = now > then ? now - then : 0;
  Answer(old, static_cast<int64_t>(idle / (kLsnTicksPerUs * 1'000'000)), request);
  return {};
}

Change ObjectFrequency(const OldValue& old, Request& request) {
  Answer(old, 0, request);
  if (!old.exists) return {};
  request.reply.kind = Reply::Kind::kError;
  request.reply.bytes =
      "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that "
      "when switching between policies at runtime LRU and LFU data will take some time to adjust.";
  return {};
}

// What the index holds for the key at most, and the cache for the value. Of a value in a file
// nothing but the reference can be in memory.
Change MemoryUsage(const OldValue& old, Request& request) {
  const uint64_t value_bytes = old.in_file ? 0 : MemoryShare::ValueCost(old.value_length);
  const uint64_t bytes = MemoryShare::KeyCost(request.key.size()) + value_bytes;
  Answer(old, static_cast<int64_t>(bytes), request);
  return {};
}

// SAMPLES is about values that have parts.
std::string_view FillMemoryUsage(RespProtocol&, RespArgs args, ReplySlot& slot) {
  slot.value = {};
  for (size_t index = 2; index < args.size(); index += 2) {
    if (!IsWord(args[index], "samples") || index + 1 == args.size()) return kErrSyntax;
    const std::optional<int64_t> samples = ParseRespInteger(args[index + 1]);
    if (!samples) return kErrNotInteger;
    if (*samples < 0) return kErrSyntax;
  }
  return {};
}

}  // namespace pakv
