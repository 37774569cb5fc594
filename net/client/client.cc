#include "net/client/client.h"

#include <algorithm>
#include <utility>

#include "runtime/base/check.h"
#include "runtime/io/address.h"

namespace pakv {
namespace {

uint64_t CounterOf(const ClientReply& reply, std::string_view name) {
  for (const ClientReply::Entry& entry : reply.entries) {
    if (entry.text.empty() && entry.key == name) return static_cast<uint64_t>(entry.number);
  }
  return 0;
}

// The fields of a set; as an operation of a batch, or as a request.
void WriteSet(const ClientSet& request, bool in_batch, PakvWriter& writer) {
  switch (request.condition) {
    case ClientCondition::kNone:
      break;
    case ClientCondition::kIfAbsent:
      writer.Number(PakvField::kCondition, static_cast<uint64_t>(PakvCondition::kIfAbsent));
      break;
    case ClientCondition::kIfPresent:
      writer.Number(PakvField::kCondition, static_cast<uint64_t>(PakvCondition::kIfPresent));
      break;
    case ClientCondition::kIfVersion:
      writer.Number(PakvField::kIfVersion, request.version);
      break;
  }
  if (request.ttl_ms != 0) writer.Number(PakvField::kTtlMs, request.ttl_ms);
  if (request.expires_at_ms != 0) {
    writer.Number(PakvField::kExpiresAtMs, request.expires_at_ms);
  }
  if (request.return_old) {
    writer.Number(PakvField::kOptions, static_cast<uint64_t>(PakvOption::kReturnOld));
  }
  if (in_batch) {
    writer.Number(PakvField::kOperation, static_cast<uint64_t>(PakvType::kSet));
  }
  writer.Bytes(PakvField::kKey, request.key);
  writer.Bytes(PakvField::kValue, request.value);
}

void WriteOperation(const ClientOperation& operation, PakvWriter& writer) {
  const ClientSet& set = operation.set;
  PakvType type = PakvType::kGet;
  switch (operation.kind) {
    case ClientOperation::Kind::kSet:
      return WriteSet(set, /*in_batch=*/true, writer);
    case ClientOperation::Kind::kGet:
      break;
    case ClientOperation::Kind::kDelete:
      type = PakvType::kDelete;
      if (set.condition == ClientCondition::kIfVersion) {
        writer.Number(PakvField::kIfVersion, set.version);
      }
      if (set.return_old) {
        writer.Number(PakvField::kOptions, static_cast<uint64_t>(PakvOption::kReturnOld));
      }
      break;
    case ClientOperation::Kind::kIncrement:
      type = PakvType::kIncr;
      writer.Number(PakvField::kNumber, static_cast<uint64_t>(operation.delta));
      break;
  }
  writer.Number(PakvField::kOperation, static_cast<uint64_t>(type));
  writer.Bytes(PakvField::kKey, set.key);
}

ClientOperationDone ToOperationDone(ClientReply::Entry& entry) {
  ClientOperationDone done;
  done.found = entry.status == PakvStatus::kOk;
  done.number = entry.number;
  done.old_value = std::move(entry.old_value);
  if (entry.lsn != 0) {
    done.value.emplace();
    done.value->bytes = std::move(entry.value);
    done.value->lsn = entry.lsn;
    done.value->ttl_ms = entry.ttl_ms;
  }
  return done;
}

}  // namespace

Client::Client(Core& core, ClientOptions options)
    : core_(core),
      options_(std::move(options)),
      connection_(std::make_unique<ClientConnection>(core_, options_.connection)),
      pieces_turn_(core.ready(), 1) {}

Client::~Client() = default;

Task<ClientError> Client::Connect() {
  ClientError error;
  error.fault = ClientFault::kConnect;
  for (const Endpoint& endpoint : options_.endpoints) {
    std::vector<std::string> addresses;
    if (endpoint.is_unix()) {
      addresses.push_back(endpoint.text);
    } else {
      for (const SocketAddress& address : ResolveAddresses(endpoint.text)) {
        addresses.push_back(AddressText(address));
      }
    }
    if (addresses.empty()) {
      if (!error.text.empty()) error.text += "; ";
      error.text += endpoint.text + ": the host is not known";
    }
    for (std::string& address : addresses) {
      ClientError tried = co_await TryAddress(std::move(address));
      if (tried.ok()) co_return tried;
      // What a server said, or that it is none, tells more than that another does not answer.
      if (tried.fault != ClientFault::kConnect) {
        error.fault = tried.fault;
        error.status = tried.status;
      }
      if (!error.text.empty()) error.text += "; ";
      error.text += tried.text;
    }
  }
  co_return error;
}

Task<ClientError> Client::TryAddress(std::string address) {
  co_await connection_->Close();
  connection_ = std::make_unique<ClientConnection>(core_, options_.connection);
  ClientError error =
      co_await connection_->Open(std::move(address), core_.now_ns() + options_.connect_timeout_ns);
  if (!error.ok()) co_await connection_->Close();
  co_return error;
}

Task<void> Client::Close() { co_await connection_->Close(); }

// With the namespace in use, whose tag is the first.
template <typename Fill>
uint64_t Client::StartHere(PakvType type, const Fill& fill, std::optional<bool> is_write) {
  const auto fill_here = [&](PakvWriter& writer) {
    if (namespace_id_ != 0) writer.Number(PakvField::kNamespace, namespace_id_);
    fill(writer);
  };
  return connection_->Start(type, fill_here, is_write);
}

uint64_t Client::StartSet(const ClientSet& request) {
  return StartHere(PakvType::kSet,
                   [&](PakvWriter& writer) { WriteSet(request, /*in_batch=*/false, writer); });
}

// A reply that is neither success nor one of the outcomes that its request provides for.
ClientError Client::RefusedError(const ClientReply& reply) {
  ClientError error;
  error.fault = ClientFault::kRefused;
  error.status = reply.status;
  error.outcome_unknown = PakvCategoryOf(reply.status) == PakvCategory::kUnknownOutcome;
  error.text = reply.text.empty() ? std::string(PakvName(reply.status)) : reply.text;
  if (error.text.empty()) error.text = "the server refused for a reason unknown here";
  return error;
}

uint64_t Client::StartGet(std::string_view key) {
  return StartHere(PakvType::kGet, [&](PakvWriter& writer) { writer.Bytes(PakvField::kKey, key); });
}

uint64_t Client::StartGetVersion(std::string_view key) {
  return StartHere(PakvType::kGet, [&](PakvWriter& writer) {
    writer.Number(PakvField::kOptions, static_cast<uint64_t>(PakvOption::kWithoutValue));
    writer.Bytes(PakvField::kKey, key);
  });
}

uint64_t Client::StartGetParts(std::string_view key) {
  return connection_->StartParts(PakvType::kGet, [&](PakvWriter& writer) {
    if (namespace_id_ != 0) writer.Number(PakvField::kNamespace, namespace_id_);
    writer.Number(PakvField::kOptions, static_cast<uint64_t>(PakvOption::kInPieces));
    writer.Bytes(PakvField::kKey, key);
  });
}

void Client::SendLastPiece(uint64_t id, const ClientSet& set) {
  connection_->SendLast(id, [&](PakvWriter& writer) {
    if (namespace_id_ != 0) writer.Number(PakvField::kNamespace, namespace_id_);
    WriteSet(set, /*in_batch=*/false, writer);
  });
}

uint64_t Client::StartDelete(std::string_view key, bool return_old) {
  return StartHere(PakvType::kDelete, [&](PakvWriter& writer) {
    if (return_old) {
      writer.Number(PakvField::kOptions, static_cast<uint64_t>(PakvOption::kReturnOld));
    }
    writer.Bytes(PakvField::kKey, key);
  });
}

uint64_t Client::StartIncrement(std::string_view key, int64_t delta) {
  return StartHere(PakvType::kIncr, [&](PakvWriter& writer) {
    writer.Number(PakvField::kNumber, static_cast<uint64_t>(delta));
    writer.Bytes(PakvField::kKey, key);
  });
}

uint64_t Client::StartBatch(std::span<const ClientOperation> operations) {
  const bool is_write = std::any_of(
      operations.begin(), operations.end(),
      [](const ClientOperation& each) { return each.kind != ClientOperation::Kind::kGet; });
  return StartHere(
      PakvType::kBatch,
      [&](PakvWriter& writer) {
        for (const ClientOperation& operation : operations) {
          writer.BeginEntry();
          WriteOperation(operation, writer);
          writer.EndEntry();
        }
      },
      is_write);
}

uint64_t Client::StartScan(std::string_view prefix, std::string_view cursor, uint64_t limit) {
  return StartHere(PakvType::kScan, [&](PakvWriter& writer) {
    writer.Number(PakvField::kLimit, limit);
    if (!prefix.empty()) writer.Bytes(PakvField::kPrefix, prefix);
    if (!cursor.empty()) writer.Bytes(PakvField::kCursor, cursor);
  });
}

uint64_t Client::StartScanValues(std::string_view prefix, std::string_view cursor, uint64_t limit) {
  return StartHere(PakvType::kScan, [&](PakvWriter& writer) {
    writer.Number(PakvField::kOptions, static_cast<uint64_t>(PakvOption::kWithValues) |
                                           static_cast<uint64_t>(PakvOption::kInPieces));
    writer.Number(PakvField::kLimit, limit);
    if (!prefix.empty()) writer.Bytes(PakvField::kPrefix, prefix);
    if (!cursor.empty()) writer.Bytes(PakvField::kCursor, cursor);
  });
}

uint64_t Client::StartFlush() {
  return StartHere(PakvType::kFlush, [](PakvWriter&) {});
}

uint64_t Client::StartFlushAll() {
  return connection_->Start(PakvType::kFlush, [](PakvWriter& writer) {
    writer.Number(PakvField::kOptions, static_cast<uint64_t>(PakvOption::kAllNamespaces));
  });
}

uint64_t Client::StartOpenNamespace(std::string_view name, bool create) {
  return connection_->Start(PakvType::kNamespace, [&](PakvWriter& writer) {
    if (create) writer.Number(PakvField::kOptions, static_cast<uint64_t>(PakvOption::kCreate));
    writer.Bytes(PakvField::kName, name);
  });
}

uint64_t Client::StartNamespaces(std::string_view cursor) {
  return connection_->Start(PakvType::kNamespaces, [&](PakvWriter& writer) {
    if (!cursor.empty()) writer.Bytes(PakvField::kCursor, cursor);
  });
}

uint64_t Client::StartPing() {
  return connection_->Start(PakvType::kPing, [](PakvWriter&) {});
}

uint64_t Client::StartStats() {
  return connection_->Start(PakvType::kStats, [](PakvWriter&) {});
}

uint64_t Client::StartCheck() {
  return connection_->Start(PakvType::kCheck, [](PakvWriter&) {});
}

uint64_t Client::StartCompact(uint32_t gain_percent, std::string_view cursor) {
  return connection_->Start(PakvType::kCompact, [&](PakvWriter& writer) {
    writer.Number(PakvField::kNumber, gain_percent);
    if (!cursor.empty()) writer.Bytes(PakvField::kCursor, cursor);
  });
}

void Client::Discard(uint64_t id) { connection_->Discard(id); }

Task<ClientResult<ClientSetDone>> Client::AwaitSet(uint64_t id) {
  ClientResult<ClientReply> reply = co_await connection_->Await(id);
  if (!reply.ok()) co_return reply.error();
  ClientSetDone done;
  done.condition_met = reply->status == PakvStatus::kOk;
  if (PakvCategoryOf(reply->status) == PakvCategory::kCondition) co_return done;
  if (!done.condition_met) co_return RefusedError(*reply);
  done.lsn = reply->lsn;
  done.old_value = std::move(reply->old_value);
  co_return done;
}

Task<ClientResult<std::optional<ClientValue>>> Client::AwaitGet(uint64_t id) {
  ClientResult<ClientReply> reply = co_await connection_->Await(id);
  if (!reply.ok()) co_return reply.error();
  std::optional<ClientValue> value;
  if (PakvCategoryOf(reply->status) == PakvCategory::kMissing) co_return value;
  if (reply->status != PakvStatus::kOk) co_return RefusedError(*reply);
  value.emplace();
  value->bytes = std::move(reply->value).value_or(std::string());
  value->lsn = reply->lsn;
  value->ttl_ms = reply->ttl_ms;
  co_return value;
}

Task<ClientResult<std::optional<ClientDeleteDone>>> Client::AwaitDelete(uint64_t id) {
  ClientResult<ClientReply> reply = co_await connection_->Await(id);
  if (!reply.ok()) co_return reply.error();
  std::optional<ClientDeleteDone> done;
  if (PakvCategoryOf(reply->status) == PakvCategory::kMissing) co_return done;
  if (reply->status != PakvStatus::kOk) co_return RefusedError(*reply);
  done.emplace();
  done->lsn = reply->lsn;
  done->old_value = std::move(reply->old_value);
  co_return done;
}

Task<ClientResult<ClientNumber>> Client::AwaitIncrement(uint64_t id) {
  ClientResult<ClientReply> reply = co_await connection_->Await(id);
  if (!reply.ok()) co_return reply.error();
  if (reply->status != PakvStatus::kOk) co_return RefusedError(*reply);
  ClientNumber number;
  number.value = reply->number.value_or(0);
  number.lsn = reply->lsn;
  co_return number;
}

Task<ClientResult<ClientBatchDone>> Client::AwaitBatch(uint64_t id) {
  ClientResult<ClientReply> reply = co_await connection_->Await(id);
  if (!reply.ok()) co_return reply.error();
  ClientBatchDone done;
  if (PakvCategoryOf(reply->status) == PakvCategory::kCondition) {
    done.failed = static_cast<size_t>(reply->number.value_or(0));
    co_return done;
  }
  if (reply->status != PakvStatus::kOk) {
    ClientError error = RefusedError(*reply);
    if (reply->number) error.operation = static_cast<size_t>(*reply->number);
    co_return error;
  }
  done.lsn = reply->lsn;
  done.operations.reserve(reply->entries.size());
  for (ClientReply::Entry& entry : reply->entries) {
    done.operations.push_back(ToOperationDone(entry));
  }
  co_return done;
}

Task<ClientResult<ClientScanPage>> Client::AwaitScan(uint64_t id) {
  ClientResult<ClientReply> reply = co_await connection_->Await(id);
  if (!reply.ok()) co_return reply.error();
  if (reply->status != PakvStatus::kOk) co_return RefusedError(*reply);
  ClientScanPage page;
  for (ClientReply::Entry& entry : reply->entries) page.keys.push_back(std::move(entry.key));
  page.cursor = std::move(reply->cursor);
  co_return page;
}

Task<ClientResult<ClientValuesPage>> Client::AwaitScanValues(uint64_t id) {
  ClientResult<ClientReply> reply = co_await connection_->Await(id);
  if (!reply.ok()) co_return reply.error();
  if (reply->status != PakvStatus::kOk) co_return RefusedError(*reply);
  ClientValuesPage page;
  page.entries.reserve(reply->entries.size());
  for (ClientReply::Entry& entry : reply->entries) {
    page.entries.push_back({.key = std::move(entry.key),
                            .value = std::move(entry.value),
                            .lsn = entry.lsn,
                            .expires_at_ms = entry.expires_at_ms,
                            .total_bytes = entry.total_bytes});
  }
  page.cursor = std::move(reply->cursor);
  co_return page;
}

Task<ClientResult<uint64_t>> Client::AwaitFlush(uint64_t id) {
  ClientResult<ClientReply> reply = co_await connection_->Await(id);
  if (!reply.ok()) co_return reply.error();
  if (reply->status != PakvStatus::kOk) co_return RefusedError(*reply);
  co_return reply->lsn;
}

Task<ClientResult<std::optional<uint64_t>>> Client::AwaitOpenNamespace(uint64_t id) {
  ClientResult<ClientReply> reply = co_await connection_->Await(id);
  if (!reply.ok()) co_return reply.error();
  std::optional<uint64_t> namespace_id;
  if (PakvCategoryOf(reply->status) == PakvCategory::kMissing) co_return namespace_id;
  if (reply->status != PakvStatus::kOk) co_return RefusedError(*reply);
  namespace_id = reply->namespace_id;
  co_return namespace_id;
}

Task<ClientResult<ClientNamespacesPage>> Client::AwaitNamespaces(uint64_t id) {
  ClientResult<ClientReply> reply = co_await connection_->Await(id);
  if (!reply.ok()) co_return reply.error();
  if (reply->status != PakvStatus::kOk) co_return RefusedError(*reply);
  ClientNamespacesPage page;
  page.cursor = std::move(reply->cursor);
  for (ClientReply::Entry& entry : reply->entries) {
    page.entries.push_back({std::move(entry.key), static_cast<uint64_t>(entry.number)});
  }
  co_return page;
}

Task<ClientResult<bool>> Client::AwaitPing(uint64_t id) {
  ClientResult<ClientReply> reply = co_await connection_->Await(id);
  if (!reply.ok()) co_return reply.error();
  if (reply->status != PakvStatus::kOk) co_return RefusedError(*reply);
  co_return true;
}

Task<ClientResult<std::vector<ClientCounter>>> Client::AwaitStats(uint64_t id) {
  ClientResult<ClientReply> reply = co_await connection_->Await(id);
  if (!reply.ok()) co_return reply.error();
  if (reply->status != PakvStatus::kOk) co_return RefusedError(*reply);
  std::vector<ClientCounter> counters;
  for (ClientReply::Entry& entry : reply->entries) {
    ClientCounter counter;
    counter.name = std::move(entry.key);
    counter.value = entry.number;
    counters.push_back(std::move(counter));
  }
  co_return counters;
}

Task<ClientResult<ClientCheck>> Client::AwaitCheck(uint64_t id) {
  ClientResult<ClientReply> reply = co_await connection_->Await(id);
  if (!reply.ok()) co_return reply.error();
  if (reply->status != PakvStatus::kOk) co_return RefusedError(*reply);
  ClientCheck check;
  check.segments = CounterOf(*reply, "segments");
  check.live_bytes = CounterOf(*reply, "live_bytes");
  check.finding_count = CounterOf(*reply, "findings");
  for (ClientReply::Entry& entry : reply->entries) {
    if (entry.text.empty()) continue;
    check.findings.push_back({std::move(entry.key), std::move(entry.text)});
  }
  co_return check;
}

Task<ClientResult<ClientCompaction>> Client::AwaitCompact(uint64_t id) {
  ClientResult<ClientReply> reply = co_await connection_->Await(id);
  if (!reply.ok()) co_return reply.error();
  if (reply->status != PakvStatus::kOk) co_return RefusedError(*reply);
  ClientCompaction compaction;
  compaction.cursor = std::move(reply->cursor);
  compaction.segments = CounterOf(*reply, "segments");
  compaction.removed_bytes = CounterOf(*reply, "removed_bytes");
  compaction.copied_bytes = CounterOf(*reply, "copied_bytes");
  compaction.segments_left = CounterOf(*reply, "segments_left");
  compaction.gain_bytes = CounterOf(*reply, "gain_bytes");
  compaction.set_aside = CounterOf(*reply, "set_aside");
  co_return compaction;
}

}  // namespace pakv
