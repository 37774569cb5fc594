#include "net/pakv/operator_requests.h"

#include <algorithm>
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

// Of one reply, at most.
constexpr uint64_t kNamespacesMaxOfPage = 1000;

std::string_view BytesOf(const uint64_t& number) {
  return {reinterpret_cast<const char*>(&number), sizeof(number)};
}
// What a cursor is: the number of a compaction on request, or an id; nothing if the bytes are none.
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
    writer.Bytes(PakvField::kCursor, BytesOf(progress->number));
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

Task<void> RunPakvNamespaces(Session& session, const PakvFields& fields, uint64_t id) {
  uint64_t begin = 0;
  if (fields.Has(PakvField::kCursor)) {
    const std::optional<uint64_t> next = NumberOf(fields.Bytes(PakvField::kCursor));
    if (!next || *next > kNamespacesMax) {
      ReplyError(session, PakvType::kNamespaces, id, PakvStatus::kBadValue,
                 "no cursor of namespaces");
      co_return;
    }
    begin = *next;
  }
  const uint64_t limit = fields.Number(PakvField::kLimit, kNamespacesMaxOfPage);
  const NamespacePage page = co_await session.store().ListNamespaces(
      session.core(), static_cast<uint32_t>(begin), std::min(limit, kNamespacesMaxOfPage));
  if (session.broken()) co_return;
  PakvWriter writer(session.OpenReply(), PakvType::kNamespaces, id, PakvStatus::kOk);
  if (page.next) {
    const uint64_t next = *page.next;
    writer.Bytes(PakvField::kCursor, BytesOf(next));
  }
  for (const NamespacePage::Entry& each : page.entries) {
    writer.BeginEntry();
    writer.Number(PakvField::kNamespace, each.namespace_id);
    writer.Number(PakvField::kNumber, each.keys);
    writer.Bytes(PakvField::kName, each.name);
    writer.EndEntry();
  }
  writer.Finish();
  session.CloseReply();
}

}  // namespace pakv
