#include "net/pakv/operator_requests.h"

#include <cstring>
#include <optional>
#include <string_view>

#include "kv/store/store.h"
#include "net/pakv/key_functions.h"

namespace pakv {
namespace {

void WriteCounter(PakvWriter& writer, std::string_view name, uint64_t value) {
  writer.BeginEntry();
  writer.Number(PakvField::kNumber, value);
  writer.Bytes(PakvField::kKey, name);
  writer.EndEntry();
}

void ReplyError(Session& session, PakvType type, uint64_t id, PakvStatus status,
                std::string_view text) {
  WritePakvError(session.OpenReply(), type, id, status, text);
  session.CloseReply();
}

// The number of a compaction on request; nothing if the bytes are none.
std::optional<uint64_t> NumberOf(std::string_view cursor) {
  uint64_t number = 0;
  if (cursor.size() != sizeof(number)) return std::nullopt;
  std::memcpy(&number, cursor.data(), sizeof(number));
  return number;
}

}  // namespace

Task<void> RunPakvCheck(Session& session, uint64_t id) {
  const CheckReport report = co_await session.store().Check(session.core());
  if (session.broken()) co_return;
  PakvWriter writer(session.OpenReply(), PakvType::kCheck, id, PakvStatus::kOk);
  WriteCounter(writer, "segments", report.segments);
  WriteCounter(writer, "live_bytes", report.live_bytes);
  WriteCounter(writer, "findings", report.finding_count);
  for (const CheckReport::Finding& finding : report.findings) {
    writer.BeginEntry();
    writer.Bytes(PakvField::kKey, finding.file);
    writer.Bytes(PakvField::kText, finding.what);
    writer.EndEntry();
  }
  writer.Finish();
  session.CloseReply();
}

Task<void> RunPakvCompact(Session& session, const PakvFields& fields, uint64_t id) {
  const auto gain_percent =
      static_cast<int64_t>(fields.Number(PakvField::kNumber, kCompactionGainPercent));
  if (gain_percent < 1 || gain_percent > 100) {
    ReplyError(session, PakvType::kCompact, id, PakvStatus::kBadValue,
               "the least gain is a percentage, 1 to 100");
    co_return;
  }
  std::optional<CompactionProgress> progress;
  if (!fields.Has(PakvField::kCursor)) {
    progress = co_await session.store().RequestCompaction(session.core(),
                                                          static_cast<uint32_t>(gain_percent));
  } else if (const auto number = NumberOf(fields.Bytes(PakvField::kCursor))) {
    progress = co_await session.store().CompactionProgressOf(session.core(), *number);
  }
  if (session.broken()) co_return;
  if (!progress) {
    ReplyError(session, PakvType::kCompact, id, PakvStatus::kBadValue,
               "this server has begun no such compaction");
    co_return;
  }
  if (progress->outcome != Outcome::kDone) {
    ReplyError(session, PakvType::kCompact, id, PakvStatusOf(progress->outcome), progress->why);
    co_return;
  }
  PakvWriter writer(session.OpenReply(), PakvType::kCompact, id, PakvStatus::kOk);
  if (!progress->done) {
    char bytes[sizeof(progress->number)];
    std::memcpy(bytes, &progress->number, sizeof(bytes));
    writer.Bytes(PakvField::kCursor, {bytes, sizeof(bytes)});
  }
  WriteCounter(writer, "segments", progress->segments);
  WriteCounter(writer, "removed_bytes", progress->removed_bytes);
  WriteCounter(writer, "copied_bytes", progress->copied_bytes);
  WriteCounter(writer, "segments_left", progress->segments_left);
  WriteCounter(writer, "gain_bytes", progress->gain_bytes);
  WriteCounter(writer, "set_aside", progress->set_aside);
  writer.Finish();
  session.CloseReply();
}

}  // namespace pakv
