// MULTI, EXEC, DISCARD, WATCH, UNWATCH. EXEC runs what was queued as one transaction of the store:
// the keys of all commands are read at one moment, each command's function runs on what those
// before it have left, and all that they write becomes durable and visible together. A command that
// ends with an error is one that changed nothing, as in Redis; the others go on. Commands that are
// not about keys by their names run when it is their turn to reply (OwnKeys).
//
// FLUSHDB and FLUSHALL are one record of the log, and stop all writes until every core knows of it,
// which no transaction does. So an EXEC with one of them writes nothing else, and looks at nothing
// that would have to be of the same moment: of the keys that it reads it knows that they are gone.
//
// An EXEC may be of 65,536 keys: all that is done about each of them by this core alone, before and
// behind the transaction itself, yields to others now and then.
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "net/resp/commands/relocation.h"
#include "net/resp/protocol/alone_reply.h"
#include "net/resp/protocol/multi.h"
#include "net/resp/protocol/own_keys.h"
#include "net/resp/protocol/resp_protocol.h"
#include "net/resp/table/command_functions.h"
#include "net/session/unread_reply.h"
#include "runtime/base/check.h"
#include "runtime/base/chunked_vector.h"
#include "runtime/core/next_pass.h"

namespace pakv {
namespace {

// The commands of one EXEC on their way through the store.
class Execution {
 public:
  Execution(RespProtocol& protocol, const std::vector<QueuedCommand>& commands)
      : protocol_(protocol), commands_(commands) {}

  // Asks for the keys. Commands that cannot be run have their errors by then. False: there are too
  // many, each counted as often as it is named; or the connection is gone. In many passes, if there
  // are many.
  Task<bool> Prepare(Transaction& transaction) {
    uint32_t namespace_id = protocol_.namespace_id();
    const auto looks = [](const QueuedCommand& command) {
      return OwnKeys::LooksAtAll(*command.row);
    };
    if (std::any_of(commands_.begin(), commands_.end(), looks)) own_.emplace();
    steps_.reserve(commands_.size());
    for (const QueuedCommand& command : commands_) {
      Step& step = steps_.emplace_back();
      step.first_part = parts_.size();
      if (command.row->now == &RunSelect) {
        namespace_id = SelectedNamespace(command.args[1]).value_or(namespace_id);
      } else if (command.row->kind == CommandKind::kPair) {
        PrepareRelocation(command, namespace_id, step, transaction);
      } else if (command.row->kind == CommandKind::kKey) {
        const RespArgs args = command.args;
        PrepareKey(command, args[1], args.size() > 2 ? args[2] : std::string_view(), namespace_id,
                   step);
      } else if (command.row->is_on_keys()) {
        co_await PrepareKeys(command, namespace_id, step);
      }
      step.end_part = parts_.size();
      if (parts_.size() > kTransactionKeysMax) co_return false;
      for (size_t i = step.first_part; i < step.end_part; ++i) {
        Part& part = parts_[i];
        part.index = AddKey(transaction, part.slot.namespace_id, part.slot.hash, part.slot.key,
                            part.slot.needs, command.row->is_write());
        if (EndsPass()) co_await NextPass(protocol_.core());
      }
      if (EndsPass()) co_await NextPass(protocol_.core());
      if (protocol_.session().broken()) co_return false;
    }
    co_return true;
  }
  // What it will hold of its own and in the transaction, once it is prepared, at most or nearly so.
  size_t bytes_expected() const {
    size_t names = 0;
    for (const QueuedCommand& command : commands_) {
      if (command.row->kind == CommandKind::kKey) {
        ++names;
      } else if (command.row->is_on_keys()) {
        names += (command.args.size() - 1) / command.row->key_step;
      }
    }
    names = std::min(names, kTransactionKeysMax + 1);
    return commands_.size() * sizeof(Step) +
           names * (sizeof(Part) + sizeof(TransactionKey) + kBytesBesideKey);
  }
  // Apart from replies.
  size_t memory_bytes() const {
    return steps_.capacity() * sizeof(Step) + parts_.memory_bytes() +
           (own_ ? own_->memory_bytes() : 0);
  }
  // There is nothing of what it looks at.
  void SetEmptied() {
    if (own_) own_->SetEmptied();
  }

  // Runs the functions. On whatever core decides.
  void Decide(Transaction& transaction) {
    if (own_) own_->Begin(transaction);
    for (size_t at = 0; at < commands_.size(); ++at) {
      Step& step = steps_[at];
      if (step.relocation) {
        step.relocation->Decide(transaction);
        Note(transaction, at, step.relocation->source_index());
        Note(transaction, at, step.relocation->target_index());
      }
      if (commands_[at].row->kind == CommandKind::kGroup &&
          commands_[at].row->needs != OldState::kNothing) {
        step.is_refused = AnyExists(transaction, step);
        if (step.is_refused) continue;
      }
      for (size_t i = step.first_part; i < step.end_part; ++i) {
        transaction.Run(parts_[i].index, parts_[i].slot);
        Note(transaction, at, parts_[i].index);
      }
    }
  }

  // The whole reply, no faster than the client reads. One that reads fast, or whose replies are
  // dropped, keeps nobody waiting either.
  Task<void> Reply() {
    Session& session = protocol_.session();
    const ShowsOwnKeys shows(protocol_, own_ ? &*own_ : nullptr);
    AloneReply(protocol_)->Array(commands_.size());
    if (own_) co_await own_->Rewind(protocol_);
    for (size_t at = 0; at < commands_.size(); ++at) {
      const QueuedCommand& command = commands_[at];
      const Step& step = steps_[at];
      if (RunsInItsPlace(*command.row)) {
        if (own_) own_->AdvanceTo(at);
        co_await command.row->alone(protocol_, command.args);
      } else if (command.row->kind != CommandKind::kKey || !step.error.empty()) {
        // A command before this one may have changed the version.
        ReplyTo(command, step, *AloneReply(protocol_));
      }
      if (at % kCommandsPerPass == kCommandsPerPass - 1) co_await NextPass(protocol_.core());
      co_await session.Room();
      if (session.broken()) co_return;
      if (!RepliesByPart(*command.row, step)) continue;
      for (size_t i = step.first_part; i < step.end_part; ++i) {
        protocol_.EncoderOf (*command.row)(parts_[i].slot, AloneReply(protocol_)->output());
        if (EndsPass()) co_await NextPass(protocol_.core());
        co_await session.Room();
        if (session.broken()) co_return;
      }
    }
  }

  // When all is over: what the destructor would free at once.
  Task<void> Free() {
    while (parts_.size() > kKeysPerPass) {
      parts_.ShrinkTo(parts_.size() - kKeysPerPass);
      co_await NextPass(protocol_.core());
    }
  }

 private:
  // Some of them have replies of 16 KiB: well below a millisecond.
  static constexpr size_t kCommandsPerPass = 16;
  // Looked up, encoded or freed: a fraction of a millisecond.
  static constexpr size_t kKeysPerPass = 1024;
  // Places in the transaction's tables and in those of OwnKeys.
  static constexpr size_t kBytesBesideKey = 128;
  static constexpr size_t kChunkParts = 16;

  struct Part {
    ReplySlot slot;
    size_t index = 0;
  };
  // One command's.
  struct Step {
    size_t first_part = 0;
    size_t end_part = 0;
    std::string error;
    bool is_refused = false;                 // MSETNX: there was one
    std::unique_ptr<Relocation> relocation;  // rare
  };

  struct ShowsOwnKeys {
    ShowsOwnKeys(RespProtocol& protocol_in, OwnKeys* own) : protocol(protocol_in) {
      protocol.set_own_keys(own);
    }
    ShowsOwnKeys(const ShowsOwnKeys&) = delete;
    ShowsOwnKeys& operator=(const ShowsOwnKeys&) = delete;
    ~ShowsOwnKeys() { protocol.set_own_keys(nullptr); }
    RespProtocol& protocol;
  };

  // A FLUSH has been done already, and UNWATCH by EXEC itself.
  static bool RunsInItsPlace(const CommandRow& row) {
    return row.kind == CommandKind::kAlone && row.alone != &RunFlush && row.alone != &RunUnwatch;
  }

  size_t AddKey(Transaction& transaction, uint32_t namespace_id, uint64_t hash,
                std::string_view key, OldState needs, bool may_write) {
    if (own_) needs = std::max(needs, OldState::kExistence);
    const size_t index = transaction.AddKey(hash, namespace_id, key, needs, may_write);
    if (own_) own_->Add(index, hash, namespace_id, key);
    return index;
  }

  void Note(const Transaction& transaction, size_t at, size_t index) {
    if (own_) own_->Note(transaction, at, index);
  }

  void PrepareRelocation(const QueuedCommand& command, uint32_t namespace_id, Step& step,
                         Transaction& transaction) {
    auto made = std::make_unique<Relocation>();
    Relocation& relocation = *made;
    step.error = command.row->relocation(protocol_, command.args, namespace_id, relocation);
    if (!step.error.empty()) return;
    relocation.AddKeys(protocol_.store(), transaction, /*takes_files=*/false);
    if (own_) {
      const auto note = [&](uint32_t its_namespace, std::string_view key) {
        const uint64_t hash = protocol_.store().Hash(its_namespace, key);
        return AddKey(transaction, its_namespace, hash, key, OldState::kExistence, true);
      };
      const size_t source = note(relocation.source_namespace, relocation.source);
      PAKV_CHECK(source == relocation.source_index(), "it is the same key");
      const size_t target = note(relocation.target_namespace, relocation.target);
      PAKV_CHECK(target == relocation.target_index(), "it is the same key");
    }
    step.relocation = std::move(made);
  }

  // One more key, or command without one, was worked on: whether that is enough for this pass.
  bool EndsPass() {
    if (++worked_ < kKeysPerPass) return false;
    worked_ = 0;
    return true;
  }

  // False: it is not fit for the store, and the command has its error.
  bool PrepareKey(const QueuedCommand& command, std::string_view key, std::string_view value,
                  uint32_t namespace_id, Step& step) {
    ReplySlot& slot = parts_.EmplaceBack().slot;
    const std::string_view error = protocol_.FillSlot(*command.row, command.args, key, value, slot);
    if (!error.empty()) {
      step.error = error;
      parts_.ShrinkTo(step.first_part);
      return false;
    }
    slot.namespace_id = namespace_id;
    slot.hash = protocol_.store().Hash(namespace_id, slot.key);
    return true;
  }

  Task<void> PrepareKeys(const QueuedCommand& command, uint32_t namespace_id, Step& step) {
    const RespArgs args = command.args;
    const size_t key_step = command.row->key_step;
    if (key_step == 2 && args.size() % 2 == 0) {
      step.error =
          "ERR wrong number of arguments for '" + std::string(command.row->name) + "' command";
      co_return;
    }
    for (size_t at = 1; at < args.size() && parts_.size() <= kTransactionKeysMax; at += key_step) {
      const std::string_view value = key_step == 2 ? args[at + 1] : std::string_view();
      if (!PrepareKey(command, args[at], value, namespace_id, step)) co_return;
      if (EndsPass()) co_await NextPass(protocol_.core());
    }
  }

  bool AnyExists(const Transaction& transaction, const Step& step) const {
    for (size_t i = step.first_part; i < step.end_part; ++i) {
      if (transaction.Old(parts_[i].index).exists) return true;
    }
    return false;
  }

  // The replies of its parts are still to come, one by one.
  static bool RepliesByPart(const CommandRow& row, const Step& step) {
    return step.error.empty() &&
           (row.kind == CommandKind::kValues || row.kind == CommandKind::kKey);
  }

  void ReplyTo(const QueuedCommand& command, const Step& step, RespWriter& writer) {
    if (!step.error.empty()) {
      writer.Error(step.error);
    } else if (command.row->kind == CommandKind::kNow) {
      command.row->now(protocol_, command.args, writer);
    } else if (step.relocation) {
      step.relocation->Reply(writer);
    } else if (command.row->alone == &RunFlush && !FlushedNamespace(command.args, 0)) {
      writer.Error(kErrSyntax);
    } else if (!command.row->is_on_keys()) {
      writer.Ok();  // FLUSH, UNWATCH: EXEC has done so already
    } else {
      ReplyOnKeys(*command.row, step, writer);
    }
  }

  void ReplyOnKeys(const CommandRow& row, const Step& step, RespWriter& writer) {
    switch (row.kind) {
      case CommandKind::kValues:
        return writer.Array(step.end_part - step.first_part);
      case CommandKind::kKey:
        return;  // its one part's
      case CommandKind::kSum: {
        int64_t sum = 0;
        for (size_t i = step.first_part; i < step.end_part; ++i) {
          sum += parts_[i].slot.reply.integer;
        }
        return writer.Integer(sum);
      }
      default:
        if (row.needs == OldState::kNothing) return writer.Ok();
        return writer.Integer(step.is_refused ? 0 : 1);
    }
  }

  RespProtocol& protocol_;
  const std::vector<QueuedCommand>& commands_;
  std::vector<Step> steps_;                 // one per command
  ChunkedVector<Part, kChunkParts> parts_;  // one per key of each
  std::optional<OwnKeys> own_;              // if a command looks at all keys
  size_t worked_ = 0;                       // in this pass
};

Task<Outcome> Run(RespProtocol& protocol, Execution& execution, Transaction& transaction) {
  if (transaction.key_count() == 0) co_return Outcome::kDone;
  const auto decide = [&execution](Transaction& decided) {
    execution.Decide(decided);
    return true;
  };
  co_return co_await protocol.store().Transact(protocol.core(), transaction, decide);
}

// The same of one that removes all that its other commands read.
Task<Outcome> RunWithFlush(RespProtocol& protocol, uint32_t flushed, Execution& execution,
                           Transaction& transaction) {
  const Outcome outcome = co_await protocol.store().FlushFor(protocol.core(), flushed, transaction);
  if (outcome != Outcome::kDone) co_return outcome;
  execution.SetEmptied();
  execution.Decide(transaction);
  co_return Outcome::kDone;
}

}  // namespace

void RunMulti(RespProtocol& protocol, RespArgs, RespWriter& writer) {
  MultiState& multi = protocol.multi();
  if (multi.is_open()) return writer.Error("ERR MULTI calls can not be nested");
  multi.Open(protocol.namespace_id(), protocol.session().output_mark());
  writer.Ok();
}

Task<void> RunDiscard(RespProtocol& protocol, RespArgs) {
  if (!protocol.in_multi()) {
    AloneReply(protocol)->Error("ERR DISCARD without MULTI");
    co_return;
  }
  co_await protocol.EndMulti();
  AloneReply(protocol)->Ok();
}

Task<void> RunExec(RespProtocol& protocol, RespArgs args) {
  if (args.size() > 1) {
    co_await protocol.EndMulti();
    AloneReply(protocol)->Error(
        "EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command");
    co_return;
  }
  if (!protocol.in_multi()) {
    AloneReply(protocol)->Error("ERR EXEC without MULTI");
    co_return;
  }
  MultiState& multi = protocol.multi();
  if (multi.is_broken()) {
    co_await protocol.EndMulti();
    AloneReply(protocol)->Error("EXECABORT Transaction discarded because of previous errors.");
    co_return;
  }
  Session& session = protocol.session();
  co_await session.TransactionRoom(/*is_write=*/true);
  if (session.broken()) co_return;
  Execution execution(protocol, multi.commands());
  Transaction transaction(session.info().id);
  UnreadReply unread(session);
  // It has written when it turns out that others do not read.
  if (!unread.has_room()) transaction.LimitReplies(unread.small_bytes());
  Outcome outcome = Outcome::kTooLarge;
  // While it runs; of what is left of it then, while the client reads, UnreadReply knows.
  std::optional<BudgetCharge> charge;
  charge.emplace(session.group().transaction_budget, execution.bytes_expected());
  const bool is_prepared = co_await execution.Prepare(transaction);
  if (session.broken()) co_return;
  if (is_prepared && multi.flushed()) {
    outcome = co_await RunWithFlush(protocol, *multi.flushed(), execution, transaction);
  } else if (is_prepared) {
    transaction.Require(multi.watches);  // keys, too
    // A client that sends MULTI to EXEC at once would have a send for each half of its replies.
    session.BeginHold(multi.output_mark());
    outcome = co_await Run(protocol, execution, transaction);
  }
  charge.reset();
  co_await protocol.Unwatch();
  session.EndHold();
  if (outcome != Outcome::kDone) {
    AloneReply(protocol)->Error(OutcomeText(outcome, transaction.damage()));
  } else if (transaction.watch_broken()) {
    AloneReply(protocol)->NullArray();
  } else {
    static_cast<void>(unread.Hold(execution.memory_bytes() + transaction.memory_bytes()));
    co_await execution.Reply();
  }
  co_await execution.Free();
  while (transaction.FreeSome()) co_await NextPass(protocol.core());
  co_await protocol.EndMulti();
}

Task<void> RunWatch(RespProtocol& protocol, RespArgs args) {
  if (protocol.in_multi()) {
    AloneReply(protocol)->Error("ERR WATCH inside MULTI is not allowed");
    co_return;
  }
  const RespArgs keys = args.subspan(1);
  for (const std::string_view key : keys) {
    const std::string_view too_long = protocol.CheckKey(key);
    if (too_long.empty()) continue;
    AloneReply(protocol)->Error(too_long);
    co_return;
  }
  MultiState& multi = protocol.multi();
  const std::string error = multi.MakeRoomToWatch(keys);
  if (!error.empty()) {
    AloneReply(protocol)->Error(error);
    co_return;
  }
  co_await protocol.store().Watch(protocol.core(), multi.watches, protocol.namespace_id(), keys);
  multi.NoteWatches();
  AloneReply(protocol)->Ok();
}

Task<void> RunUnwatch(RespProtocol& protocol, RespArgs) {
  co_await protocol.EndMulti();
  AloneReply(protocol)->Ok();
}

}  // namespace pakv
