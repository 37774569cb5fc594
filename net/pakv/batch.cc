#include "net/pakv/batch.h"

#include <fmt/format.h>

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "kv/store/store.h"
#include "net/pakv/key_functions.h"
#include "net/session/buffers/byte_budget.h"
#include "runtime/base/check.h"
#include "runtime/base/coverage.h"
#include "runtime/base/seeded_bug.h"

namespace pakv {
namespace {

// What reading a key is expected to take, for the budget.
constexpr size_t kReadBytesExpected = 4096;

class Batch {
 public:
  Batch(Session& session, const PakvServer& server, const PakvFields& fields)
      : session_(session),
        server_(server),
        fields_(fields),
        namespace_id_(
            static_cast<uint32_t>(fields.Number(PakvField::kNamespace, kDefaultNamespace))),
        transaction_(session.info().id) {}

  // False: refused, and status() and text() say why.
  bool Prepare();
  bool writes() const { return writes_; }
  // What it is expected to hold while it runs.
  size_t bytes() const {
    const size_t each = sizeof(Operation) + sizeof(TransactionKey);
    // The transaction copies what it writes.
    return operations_.size() * (writes_ ? each : each + kReadBytesExpected) + 2 * bytes_;
  }
  Task<void> Run();
  void WriteReply(OutputBuffer& output, uint64_t id) const;

 private:
  struct Operation {
    PakvType type = PakvType::kNone;
    size_t index = 0;  // of its key in the transaction
    ReplySlot slot;
    PakvStatus status = PakvStatus::kOk;
  };

  bool Decide();
  bool Refuse(PakvStatus status, std::string text) {
    status_ = status;
    text_ = std::move(text);
    return false;
  }
  void WriteOperation(const Operation& operation, PakvWriter& writer) const;

  Session& session_;
  const PakvServer& server_;
  const PakvFields& fields_;
  const uint32_t namespace_id_;
  Transaction transaction_;
  std::deque<Operation> operations_;
  bool writes_ = false;
  size_t bytes_ = 0;  // of keys and values
  PakvStatus status_ = PakvStatus::kOk;
  std::string text_;
  const Operation* failed_ = nullptr;   // the reason why nothing was done
  std::optional<size_t> failed_place_;  // its place, also if it is none that could be tried
};

bool Batch::Prepare() {
  PakvEntryReader entries(fields_.entries());
  PakvFields entry;
  while (entries.Next(entry)) {
    const size_t place = operations_.size();
    const size_t number = place + 1;
    const size_t key_bytes = entry.Bytes(PakvField::kKey).size();
    const size_t value_bytes = entry.Bytes(PakvField::kValue).size();
    bytes_ += key_bytes + value_bytes;
    if (number > kPakvBatchOperationsMax || bytes_ > kPakvBatchBytesMax) {
      return Refuse(PakvStatus::kBatchTooLarge,
                    fmt::format("a batch has at most {} operations and {} bytes of keys and values",
                                kPakvBatchOperationsMax, kPakvBatchBytesMax));
    }
    if (key_bytes > server_.key_bytes_max) {
      failed_place_ = place;
      return Refuse(PakvStatus::kKeyTooLong,
                    fmt::format("operation {}: {} bytes are more than the {} that max-key allows",
                                number, key_bytes, server_.key_bytes_max));
    }
    if (value_bytes > server_.inline_value_bytes_max) {
      failed_place_ = place;
      return Refuse(PakvStatus::kValueTooLong,
                    fmt::format("operation {}: a value of {} bytes; in a batch it has at most {}",
                                number, value_bytes, server_.inline_value_bytes_max));
    }
    Operation& operation = operations_.emplace_back();
    operation.type = static_cast<PakvType>(entry.Number(PakvField::kOperation));
    ReplySlot& slot = operation.slot;
    slot.namespace_id = namespace_id_;
    FillPakvKeyRequest(operation.type, entry, server_.inline_value_bytes_max, slot);
    operation.index = transaction_.AddKey(session_.store().Hash(namespace_id_, slot.key),
                                          namespace_id_, slot.key, slot.needs, slot.is_write);
    writes_ = writes_ || slot.is_write;
  }
  PAKV_CHECK(entries.ok(), "it was checked before");
  return true;
}

Task<void> Batch::Run() {
  Store& store = session_.store();
  Outcome outcome = Outcome::kDone;
  if (writes_) {
    const auto decide = [this](Transaction&) { return Decide(); };
    outcome = co_await store.Transact(session_.core(), transaction_, decide);
  } else {
    outcome = co_await store.Snapshot(session_.core(), transaction_);
    if (outcome == Outcome::kDone) {
      Decide();
      outcome = transaction_.refusal();
    }
  }
  if (outcome != Outcome::kDone) {
    Refuse(PakvStatusOf(outcome), std::string(PakvTextOf(outcome, transaction_.damage())));
  }
}

// On whatever core decides. False: nothing is to be done, for a reason that is kept.
bool Batch::Decide() {
  size_t reply_bytes = 0;
  for (size_t place = 0; place < operations_.size(); ++place) {
    Operation& operation = operations_[place];
    transaction_.Run(operation.index, operation.slot);
    if (transaction_.refusal() != Outcome::kDone) return false;  // the store says so
    operation.status = PakvStatusIn(operation.type, operation.slot);
    // A key that is not there has nothing to be deleted, which is what was wanted; if it was one
    // version of it that was to be deleted, it is not.
    if (operation.status == PakvStatus::kNotFound && operation.slot.if_lsn != kNoLsn) {
      operation.status = PakvStatus::kConditionFailed;
    }
    reply_bytes += operation.slot.reply.bytes.size();
    if (reply_bytes > kPakvBatchBytesMax) {
      return Refuse(
          PakvStatus::kBatchTooLarge,
          fmt::format("the reply to a batch has at most {} bytes of values", kPakvBatchBytesMax));
    }
    if (operation.status == PakvStatus::kOk || operation.status == PakvStatus::kNotFound) continue;
    PAKV_COVERED(kBatchUndone);
    failed_ = &operation;
    failed_place_ = place;
    const std::string_view why = PakvTextOfDeclined(operation.status);
    Refuse(operation.status,
           why.empty() ? std::string() : fmt::format("operation {}: {}", place + 1, why));
    return PAKV_BUG(kBatchGoesOn);
  }
  return true;
}

void Batch::WriteReply(OutputBuffer& output, uint64_t id) const {
  PakvWriter writer(output, PakvType::kBatch, id, status_);
  if (status_ != PakvStatus::kOk) {
    if (failed_place_) writer.Number(PakvField::kNumber, *failed_place_);
    if (failed_ != nullptr && failed_->slot.lsn != kNoLsn) {
      writer.Number(PakvField::kLsn, failed_->slot.lsn);
    }
    if (!text_.empty()) writer.Bytes(PakvField::kText, text_);
  } else {
    if (transaction_.lsn() != kNoLsn) writer.Number(PakvField::kLsn, transaction_.lsn());
    for (const Operation& operation : operations_) {
      writer.BeginEntry();
      WriteOperation(operation, writer);
      writer.EndEntry();
    }
  }
  writer.Finish();
}

// What the reply to that request alone would hold; the LSN of what was written is the batch's.
void Batch::WriteOperation(const Operation& operation, PakvWriter& writer) const {
  const ReplySlot& slot = operation.slot;
  const bool is_get = operation.type == PakvType::kGet;
  const bool has_bytes = slot.reply.kind == Reply::Kind::kBytes;
  if (is_get && slot.number != 0) {
    writer.Number(PakvField::kTtlMs, static_cast<uint64_t>(slot.number));
  }
  if (operation.type == PakvType::kIncr) {
    writer.Number(PakvField::kNumber, static_cast<uint64_t>(slot.reply.integer));
  }
  if (is_get && operation.status == PakvStatus::kOk) {
    // What this batch itself has written is of its LSN.
    writer.Number(PakvField::kLsn, slot.lsn != kNoLsn ? slot.lsn : transaction_.lsn());
  }
  if (operation.status != PakvStatus::kOk) {
    writer.Number(PakvField::kStatus, static_cast<uint64_t>(operation.status));
  }
  if (has_bytes) {
    writer.Bytes(is_get ? PakvField::kValue : PakvField::kOldValue, slot.reply.bytes);
  }
}

}  // namespace

Task<void> RunPakvBatch(Session& session, const PakvServer& server, const PakvFields& fields,
                        uint64_t id) {
  Batch batch(session, server, fields);
  if (batch.Prepare()) {
    co_await session.Until(Session::Wait::kReturned);
    co_await session.TransactionRoom(batch.writes());
    if (session.broken()) co_return;
    SessionGroup& group = session.group();
    BudgetCharge charge(batch.writes() ? group.transaction_budget : group.read_budget,
                        batch.bytes());
    co_await batch.Run();
  }
  batch.WriteReply(session.OpenReply(), id);
  session.CloseReply();
}

}  // namespace pakv
