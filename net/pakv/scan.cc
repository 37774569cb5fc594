#include "net/pakv/scan.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "net/pakv/key_functions.h"
#include "runtime/base/check.h"
#include "runtime/task/sync.h"

namespace pakv {
namespace {

// A page that has this many bytes is full.
constexpr size_t kPageBytes = 1 << 20;
// Keys that one request looks at.
constexpr size_t kVisitedMax = 65536;
// What one step of the store brings at most: bytes, keys, keys with their values.
constexpr size_t kStepBytesMax = 16 << 20;
constexpr size_t kStepKeysMax = 256;
constexpr size_t kStepValuesMax = 16;
// The store's cursors have so many bits.
constexpr int kCursorBits = 52;

size_t StepKeysMax(bool with_values, size_t key_bytes_max, size_t value_bytes_max) {
  const size_t keys = std::max<size_t>(1, kStepBytesMax / std::max<size_t>(1, key_bytes_max));
  if (!with_values) return std::min(kStepKeysMax, keys);
  const size_t values = std::max<size_t>(1, kStepBytesMax / std::max<size_t>(1, value_bytes_max));
  return std::min({kStepValuesMax, keys, values});
}

}  // namespace

std::optional<uint64_t> PakvScanCursor(const PakvFields& fields) {
  if (!fields.Has(PakvField::kCursor)) return 0;
  const std::string_view bytes = fields.Bytes(PakvField::kCursor);
  uint64_t cursor = 0;
  if (bytes.size() != sizeof(cursor)) return std::nullopt;
  std::memcpy(&cursor, bytes.data(), sizeof(cursor));
  if (cursor == 0 || cursor >> kCursorBits != 0) return std::nullopt;
  return cursor;
}

// One key's value on its way.
struct PakvScan::Read : Request {
  size_t* unread = nullptr;
  Event* finished = nullptr;
};

PakvScan::PakvScan(Session& session, const PakvFields& fields, size_t key_bytes_max,
                   size_t value_bytes_max)
    : session_(session),
      namespace_id_(static_cast<uint32_t>(fields.Number(PakvField::kNamespace, kDefaultNamespace))),
      prefix_(fields.Bytes(PakvField::kPrefix)),
      with_values_(fields.HasOption(PakvOption::kWithValues)),
      in_pieces_(fields.HasOption(PakvOption::kInPieces)),
      limit_(fields.Number(PakvField::kLimit, UINT64_MAX)),
      step_keys_max_(StepKeysMax(with_values_, key_bytes_max, value_bytes_max)),
      cursor_(PakvScanCursor(fields).value_or(0)) {}

Task<void> PakvScan::Run() {
  for (size_t visited = 0; !IsFull() && visited < kVisitedMax && !session_.broken();) {
    const uint64_t left = limit_ - page_.size();
    size_t count = step_keys_max_;
    if (prefix_.empty()) count = static_cast<size_t>(std::min<uint64_t>(count, left));
    Store::KeyFilter accept = [prefix = prefix_](std::string_view key, uint64_t&) {
      return key.starts_with(prefix);
    };
    ScanStep step = co_await session_.store().Scan(session_.core(), namespace_id_, cursor_, count,
                                                   std::move(accept));
    if (step.outcome != Outcome::kDone) {
      status_ = PakvStatusOf(step.outcome);
      error_ = PakvTextOf(step.outcome, {});
      co_return;
    }
    if (step.keys.size() > left && count > 1) {
      // More than are wanted. Fewer keys hold fewer of these, or they cannot be told apart.
      step_keys_max_ = count / 2;
      continue;
    }
    visited += count;
    cursor_ = step.cursor;
    co_await Add(std::move(step.keys));
    if (cursor_ == 0) break;
  }
}

bool PakvScan::IsFull() const {
  return status_ != PakvStatus::kOk || page_.size() >= limit_ || page_bytes_ >= kPageBytes;
}

Task<void> PakvScan::Add(std::vector<std::string> keys) {
  if (with_values_) {
    co_await ReadValues(keys);
    co_return;
  }
  for (std::string& key : keys) {
    page_bytes_ += key.size();
    page_.emplace_back();
    page_.back().key = std::move(key);
  }
}

// All at once: they may lie on the device.
Task<void> PakvScan::ReadValues(const std::vector<std::string>& keys) {
  const auto reads = std::make_unique<Read[]>(keys.size());
  Event finished(session_.core().ready());
  size_t unread = keys.size();
  for (size_t i = 0; i < keys.size(); ++i) {
    Read& read = reads[i];
    read.unread = &unread;
    read.finished = &finished;
    read.is_read = true;
    read.needs = in_pieces_ ? OldState::kValueOrFile : OldState::kValue;
    read.function = &PakvScanFunction;
    read.key = keys[i];
    read.namespace_id = namespace_id_;
    read.hash = session_.store().Hash(read.namespace_id, read.key);
    read.done = [](Request& request) {
      Read& done_read = static_cast<Read&>(request);
      done_read.KeepReply();  // its bytes end with this call
      if (--*done_read.unread == 0) done_read.finished->Set();
    };
    if (session_.store().Start(session_.core(), read)) {
      read.KeepReply();
      --unread;
    }
  }
  if (unread > 0) co_await finished.Wait();
  for (size_t i = 0; i < keys.size(); ++i) {
    const Read& read = reads[i];
    if (read.outcome != Outcome::kDone) {
      status_ = PakvStatusOf(read.outcome);
      error_ = PakvTextOf(read.outcome, read.reply.bytes);
      co_return;
    }
    if (read.reply.kind == Reply::Kind::kNull) continue;
    page_bytes_ += read.key.size() + read.reply.bytes.size();
    page_.emplace_back();
    Found& found = page_.back();
    found.key = read.key;
    found.lsn = read.lsn;
    found.expires_at_ms = static_cast<uint64_t>(read.number);
    found.value = read.reply.bytes;
    if (read.reply.kind == Reply::Kind::kInteger) {
      found.total_bytes = static_cast<uint64_t>(read.reply.integer);
    }
  }
}

void PakvScan::WriteReply(OutputBuffer& output, uint64_t id) const {
  if (status_ != PakvStatus::kOk) {
    WritePakvError(output, PakvType::kScan, id, status_, error_);
    return;
  }
  PakvWriter writer(output, PakvType::kScan, id, PakvStatus::kOk);
  if (cursor_ != 0) {
    char bytes[sizeof(cursor_)];
    std::memcpy(bytes, &cursor_, sizeof(cursor_));
    writer.Bytes(PakvField::kCursor, {bytes, sizeof(bytes)});
  }
  for (const Found& found : page_) {
    writer.BeginEntry();
    if (found.expires_at_ms != kNoExpiry) {
      writer.Number(PakvField::kExpiresAtMs, found.expires_at_ms);
    }
    if (with_values_) writer.Number(PakvField::kLsn, found.lsn);
    if (found.total_bytes != 0) writer.Number(PakvField::kTotalBytes, found.total_bytes);
    writer.Bytes(PakvField::kKey, found.key);
    if (with_values_ && found.total_bytes == 0) writer.Bytes(PakvField::kValue, found.value);
    writer.EndEntry();
  }
  writer.Finish();
}

}  // namespace pakv
