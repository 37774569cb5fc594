// Commands on several keys that are one: MSET and MSETNX as a transaction, MGET and EXISTS as a
// snapshot. They run alone: all earlier commands of the session are done.
#include <algorithm>
#include <string>
#include <vector>

#include "kv/store/transaction.h"
#include "net/resp/alone_reply.h"
#include "net/resp/commands.h"
#include "net/resp/resp_protocol.h"

namespace pakv {
namespace {

// What reading a key is expected to take, for the budget.
constexpr size_t kReadBytesExpected = 4096;

size_t AddKey(RespProtocol& protocol, Transaction& transaction, std::string_view key,
              OldState needs, bool may_write) {
  const uint32_t namespace_id = protocol.namespace_id();
  return transaction.AddKey(protocol.store().Hash(namespace_id, key), namespace_id, key, needs,
                            may_write);
}

// MSET, and MSETNX which looks first.
Task<void> WriteTogether(RespProtocol& protocol, const CommandRow& row, RespArgs args) {
  size_t bytes = 0;
  for (const std::string_view arg : args) bytes += arg.size() + sizeof(TransactionKey);
  // The transaction copies what it writes.
  BudgetCharge charge(protocol.session().group().write_budget, 2 * bytes);
  const bool only_new = row.needs != OldState::kNothing;
  Transaction transaction(protocol.session().info().id);
  std::vector<size_t> indexes;
  for (size_t index = 1; index < args.size(); index += 2) {
    indexes.push_back(AddKey(protocol, transaction, args[index], row.needs, true));
  }
  bool written = false;
  const auto decide = [&](Transaction& decided) {
    const auto exists = [&](size_t index) { return decided.Old(index).exists; };
    if (only_new && std::any_of(indexes.begin(), indexes.end(), exists)) return false;
    // Of a key that is given twice the last value counts.
    for (size_t i = 0; i < indexes.size(); ++i) {
      decided.Write(indexes[i], args[2 + 2 * i], kNoExpiry);
    }
    written = true;
    return true;
  };
  const Outcome outcome = co_await protocol.store().Transact(protocol.core(), transaction, decide);
  AloneReply reply(protocol);
  if (outcome != Outcome::kDone) {
    reply->Error(OutcomeText(outcome, transaction.damage()));
  } else if (only_new) {
    reply->Integer(written ? 1 : 0);
  } else {
    reply->Ok();
  }
}

// MGET: the values; EXISTS: how many there are, as often as each is named.
Task<void> ReadTogether(RespProtocol& protocol, const CommandRow& row, RespArgs args) {
  BudgetCharge charge(protocol.session().group().read_budget, args.size() * kReadBytesExpected);
  Transaction transaction(protocol.session().info().id);
  std::vector<size_t> indexes;
  for (const std::string_view key : args.subspan(1)) {
    indexes.push_back(AddKey(protocol, transaction, key, row.needs, false));
  }
  const Outcome outcome = co_await protocol.store().Snapshot(protocol.core(), transaction);
  AloneReply reply(protocol);
  if (outcome != Outcome::kDone) {
    reply->Error(OutcomeText(outcome, transaction.damage()));
  } else if (row.kind == CommandKind::kSum) {
    reply->Integer(std::count_if(indexes.begin(), indexes.end(),
                                 [&](size_t index) { return transaction.Old(index).exists; }));
  } else {
    reply->Array(indexes.size());
    for (const size_t index : indexes) {
      const OldValue old = transaction.Old(index);
      if (old.exists) {
        reply->Bulk(old.value);
      } else {
        reply->Null();
      }
    }
  }
}

}  // namespace

Task<void> RunTogether(RespProtocol& protocol, const CommandRow& row, RespArgs args) {
  Session& session = protocol.session();
  co_await session.Quiet();
  if (!session.MayStartKey(row.is_write())) co_await session.KeyRoom(row.is_write());
  if (session.broken()) co_return;
  if (row.is_write()) {
    co_await WriteTogether(protocol, row, args);
  } else {
    co_await ReadTogether(protocol, row, args);
  }
}

}  // namespace pakv
