// Commands on several keys that are one: MSET, MSETNX, DEL, UNLINK, RENAME and its like as a
// transaction, MGET and EXISTS as a snapshot. They run alone: all earlier commands of the session
// are done.
#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kv/log/files/file_io.h"
#include "kv/shard/values/value_upload.h"
#include "kv/store/transaction.h"
#include "net/resp/commands/relocation.h"
#include "net/resp/protocol/alone_reply.h"
#include "net/resp/protocol/resp_protocol.h"
#include "net/resp/table/command_functions.h"
#include "net/session/unread_reply.h"
#include "runtime/core/next_pass.h"

namespace pakv {
namespace {

// What reading a key is expected to take, for the budget.
constexpr size_t kReadBytesExpected = 4096;
// So many commands on however many keys may read at the same time, at least.
constexpr size_t kReadersMin = 4;
// So often a file is copied for a key whose value has changed meanwhile.
constexpr int kCopiesMax = 8;

// Keys that are added to a transaction, or freed, before others have their turn.
constexpr size_t kKeysPerPass = 512;

size_t AddKey(RespProtocol& protocol, Transaction& transaction, std::string_view key,
              OldState needs, bool may_write) {
  const uint32_t namespace_id = protocol.namespace_id();
  return transaction.AddKey(protocol.store().Hash(namespace_id, key), namespace_id, key, needs,
                            may_write);
}

// MSET, and MSETNX which looks first.
Task<void> WriteTogether(RespProtocol& protocol, const CommandRow& row, RespArgs args) {
  size_t bytes = args.size() / 2 * sizeof(TransactionKey);
  for (const std::string_view arg : args) bytes += arg.size();
  BudgetCharge charge(protocol.session().group().transaction_budget, bytes);
  const bool only_new = row.needs != OldState::kNothing;
  Transaction transaction(protocol.session().info().id);
  std::vector<size_t> indexes;
  indexes.reserve(args.size() / 2);
  for (size_t index = 1; index < args.size(); index += 2) {
    indexes.push_back(AddKey(protocol, transaction, args[index], row.needs, true));
    if (indexes.size() % kKeysPerPass == 0) co_await NextPass(protocol.core());
  }
  bool written = false;
  const auto decide = [&](Transaction& decided) {
    const auto exists = [&](size_t index) { return decided.Old(index).exists; };
    if (only_new && std::any_of(indexes.begin(), indexes.end(), exists)) return false;
    // Of a key that is given twice the last value counts.
    for (size_t i = 0; i < indexes.size(); ++i) {
      decided.WriteKept(indexes[i], args[2 + 2 * i], kNoExpiry);
    }
    written = true;
    return true;
  };
  const Outcome outcome = co_await protocol.store().Transact(protocol.core(), transaction, decide);
  if (outcome != Outcome::kDone) {
    AloneReply(protocol)->Error(OutcomeText(outcome, transaction.damage()));
  } else if (only_new) {
    AloneReply(protocol)->Integer(written ? 1 : 0);
  } else {
    AloneReply(protocol)->Ok();
  }
  while (transaction.FreeSome()) co_await NextPass(protocol.core());
}

// DEL and UNLINK: how many there were, each counted once.
Task<void> DeleteTogether(RespProtocol& protocol, const CommandRow& row, RespArgs args) {
  size_t bytes = 0;
  for (const std::string_view arg : args) bytes += arg.size() + sizeof(TransactionKey);
  BudgetCharge charge(protocol.session().group().transaction_budget, bytes);
  Transaction transaction(protocol.session().info().id);
  for (size_t index = 1; index < args.size(); ++index) {
    AddKey(protocol, transaction, args[index], row.needs, true);
    if (index % kKeysPerPass == 0) co_await NextPass(protocol.core());
  }
  int64_t deleted = 0;
  const auto decide = [&deleted](Transaction& decided) {
    for (size_t index = 0; index < decided.key_count(); ++index) {
      if (!decided.Old(index).exists) continue;
      decided.Delete(index);
      ++deleted;
    }
    return deleted > 0;
  };
  const Outcome outcome = co_await protocol.store().Transact(protocol.core(), transaction, decide);
  if (outcome == Outcome::kDone) {
    AloneReply(protocol)->Integer(deleted);
  } else {
    AloneReply(protocol)->Error(OutcomeText(outcome, transaction.damage()));
  }
  while (transaction.FreeSome()) co_await NextPass(protocol.core());
}

// RENAME, RENAMENX, COPY, MOVE.
Task<void> Relocate(RespProtocol& protocol, const CommandRow& row, RespArgs args) {
  Relocation relocation;
  const std::string_view error =
      row.relocation(protocol, args, protocol.namespace_id(), relocation);
  if (!error.empty()) {
    AloneReply(protocol)->Error(error);
    co_return;
  }
  BudgetCharge charge(protocol.session().group().transaction_budget, 2 * kReadBytesExpected);
  Store& store = protocol.store();
  const auto decide = [&relocation](Transaction& decided) {
    relocation.Decide(decided);
    return relocation.result == Relocation::Result::kDone;
  };
  Outcome outcome = Outcome::kDone;
  std::string detail;
  // The transaction that has found a file, and holds it.
  std::unique_ptr<Transaction> seen;
  for (int copies = 0; copies <= kCopiesMax; ++copies) {
    ValueUpload copy(store.value_files(protocol.core()));
    if (seen != nullptr) {
      outcome = co_await copy.CopyFrom(*ValueReference::Decode(relocation.wanted));
      detail = copy.error();
      store.ReleaseFiles(protocol.core(), *seen);
      relocation.copy = copy.reference();
    }
    auto transaction = std::make_unique<Transaction>(protocol.session().info().id);
    if (outcome == Outcome::kDone) {
      relocation.AddKeys(store, *transaction, /*takes_files=*/true);
      outcome = co_await store.Transact(protocol.core(), *transaction, decide);
      detail = transaction->damage();
    }
    co_await copy.Close(relocation.copy_admitted);
    seen = std::move(transaction);
    if (outcome != Outcome::kDone || relocation.result != Relocation::Result::kWantsCopy) break;
  }
  store.ReleaseFiles(protocol.core(), *seen);
  AloneReply reply(protocol);
  if (outcome != Outcome::kDone) {
    reply->Error(OutcomeText(outcome, detail));
  } else if (relocation.result == Relocation::Result::kWantsCopy) {
    reply->Error("ERR the key's value changes faster than its file can be copied; try again");
  } else {
    relocation.Reply(*reply);
  }
}

// A value in a file, which is pinned: chunk by chunk, no faster than the client reads.
Task<void> SendFile(RespProtocol& protocol, ValueReference reference) {
  Session& session = protocol.session();
  ValueFiles& files = protocol.store().value_files(protocol.core());
  for (uint32_t index = 0; index < reference.chunk_count() && !session.broken(); ++index) {
    absl::StatusOr<ValueChunk> chunk = co_await files.ReadChunk(reference, index);
    if (!chunk.ok() && index > 0) {
      // Its length has been promised.
      session.RequestKill();
      co_return;
    }
    if (!chunk.ok()) {
      const Outcome why = OutcomeOfRead(chunk.status());
      AloneReply(protocol)->Error(OutcomeText(why, MessageOf(chunk.status())));
      co_return;
    }
    {
      AloneReply reply(protocol);
      if (index == 0) reply->BulkHeader(reference.length());
      reply->output().Append(chunk->view());
      if (index + 1 == reference.chunk_count()) reply->output().Append("\r\n");
    }
    *chunk = ValueChunk();  // whoever waits for memory goes on, whether or not this client reads
    co_await session.Room();
  }
}

// All as they were at one moment, however long it takes to send them.
Task<void> SendValues(RespProtocol& protocol, const Transaction& transaction,
                      const std::vector<uint32_t>& indexes) {
  constexpr size_t kFramingBytes = 16;
  size_t reply_bytes = 0;
  bool any_file = false;
  for (const uint32_t index : indexes) {
    const OldValue old = transaction.Old(index);
    any_file = any_file || old.in_file;
    reply_bytes += kFramingBytes + old.value.size();
  }
  Session& session = protocol.session();
  UnreadReply unread(session);
  const bool is_small = !any_file && reply_bytes <= unread.small_bytes();
  if (!is_small && !unread.Hold(transaction.memory_bytes() + indexes.size() * sizeof(uint32_t))) {
    AloneReply(protocol)->Error(OutcomeText(Outcome::kNoRoom, {}));
    co_return;
  }
  AloneReply(protocol)->Array(indexes.size());
  for (const uint32_t index : indexes) {
    const OldValue old = transaction.Old(index);
    if (old.in_file) {
      co_await SendFile(protocol, *ValueReference::Decode(old.value));
    } else if (old.exists) {
      AloneReply(protocol)->Bulk(old.value);
    } else {
      AloneReply(protocol)->Null();
    }
    if (!is_small) co_await session.Room();
    if (session.broken()) co_return;
  }
}

// What it is expected to hold is charged while it runs, and not while the client reads.
Task<Outcome> LookTogether(RespProtocol& protocol, Transaction& transaction) {
  SessionGroup& group = protocol.session().group();
  const size_t expected = transaction.memory_bytes() + transaction.key_count() * kReadBytesExpected;
  const size_t most = group.limits().core_read_bytes_max / kReadersMin;
  BudgetCharge charge(group.read_budget, std::min(expected, most));
  co_return co_await protocol.store().Snapshot(protocol.core(), transaction);
}

// MGET: the values; EXISTS: how many there are, as often as each is named.
Task<void> ReadTogether(RespProtocol& protocol, const CommandRow& row, RespArgs args) {
  Transaction transaction(protocol.session().info().id);
  std::vector<uint32_t> indexes;
  indexes.reserve(args.size() - 1);
  for (const std::string_view key : args.subspan(1)) {
    const size_t index = AddKey(protocol, transaction, key, row.needs, false);
    if (row.needs == OldState::kValueOrFile) transaction.TakeFile(index);
    indexes.push_back(static_cast<uint32_t>(index));
    if (indexes.size() % kKeysPerPass == 0) co_await NextPass(protocol.core());
  }
  const Outcome outcome = co_await LookTogether(protocol, transaction);
  protocol.ForgetArgs();
  if (outcome != Outcome::kDone) {
    AloneReply(protocol)->Error(OutcomeText(outcome, transaction.damage()));
  } else if (row.kind == CommandKind::kSum) {
    const auto exists = [&](uint32_t index) { return transaction.Old(index).exists; };
    AloneReply(protocol)->Integer(std::count_if(indexes.begin(), indexes.end(), exists));
  } else {
    co_await SendValues(protocol, transaction, indexes);
  }
  protocol.store().ReleaseFiles(protocol.core(), transaction);
  while (transaction.FreeSome()) co_await NextPass(protocol.core());
}

}  // namespace

// Few never are: so much any batch of requests may add.
bool MayBeLarge(RespProtocol& protocol, RespArgs keys) {
  if (keys.size() <= SessionGroup::Batch::kMax) return false;
  const size_t bytes_max = protocol.session().group().limits().output_bytes_max;
  Store& store = protocol.store();
  size_t bytes = 0;
  std::array<uint64_t, SessionGroup::Batch::kMax> hashes;
  for (size_t begin = 0; begin < keys.size(); begin += hashes.size()) {
    const RespArgs some = keys.subspan(begin, std::min(hashes.size(), keys.size() - begin));
    for (size_t i = 0; i < some.size(); ++i) {
      hashes[i] = store.Hash(protocol.namespace_id(), some[i]);
    }
    const std::span<const uint64_t> their(hashes.data(), some.size());
    store.Prefetch(protocol.core(), their);
    for (const uint64_t hash : their) bytes += store.ReadBytesExpected(protocol.core(), hash);
    if (bytes > bytes_max) return true;
  }
  return false;
}

Task<void> RunTogether(RespProtocol& protocol, const CommandRow& row, RespArgs args) {
  Session& session = protocol.session();
  co_await session.Quiet();
  co_await session.TransactionRoom(row.is_write());
  if (session.broken()) co_return;
  if (row.kind == CommandKind::kPair) {
    co_await Relocate(protocol, row, args);
  } else if (row.kind == CommandKind::kSum && row.is_write()) {
    co_await DeleteTogether(protocol, row, args);
  } else if (row.is_write()) {
    co_await WriteTogether(protocol, row, args);
  } else {
    co_await ReadTogether(protocol, row, args);
  }
}

}  // namespace pakv
