#include "net/resp/commands/relocation.h"

#include <limits>
#include <optional>

#include "net/resp/protocol/resp_protocol.h"
#include "net/resp/table/command_functions.h"
#include "net/text/numbers.h"
#include "net/text/words.h"
#include "runtime/base/seeded_bug.h"

namespace pakv {
namespace {

constexpr std::string_view kErrSame = "ERR source and destination objects are the same";

// The database of this number, or the error.
std::string_view ParseDatabase(std::string_view text, uint32_t& namespace_id) {
  const std::optional<int64_t> index = ParseRespInteger(text);
  if (!index) return kErrNotInteger;
  if (*index != static_cast<int32_t>(*index)) return kErrNotInt32;
  const std::optional<uint32_t> selected = SelectedNamespace(text);
  if (!selected) return kErrNoDatabase;
  namespace_id = *selected;
  return {};
}

std::string_view CheckKeys(RespProtocol& protocol, const Relocation& relocation) {
  const std::string_view error = protocol.CheckKey(relocation.source);
  return error.empty() ? protocol.CheckKey(relocation.target) : error;
}

}  // namespace

void Relocation::AddKeys(const Store& store, Transaction& transaction, bool takes_files) {
  source_index_ = transaction.AddKey(store.Hash(source_namespace, source), source_namespace, source,
                                     OldState::kValueOrFile, /*may_write=*/true);
  target_index_ = transaction.AddKey(store.Hash(target_namespace, target), target_namespace, target,
                                     replaces ? OldState::kNothing : OldState::kExistence,
                                     /*may_write=*/true);
  if (takes_files) transaction.TakeFile(source_index_);
}

void Relocation::Decide(Transaction& transaction) {
  const OldValue old = transaction.Old(source_index_);
  if (!old.exists) {
    result = Result::kNoSource;
    return;
  }
  if (source_index_ == target_index_) {
    result = replaces ? Result::kDone : Result::kTargetExists;
    return;
  }
  if (!replaces && transaction.Old(target_index_).exists) {
    result = Result::kTargetExists;
    return;
  }
  if (PAKV_BUG(kRenameSharesFile) && old.in_file) wanted = copy = old.value;
  const bool is_copied = old.value == wanted || (PAKV_BUG(kCopyOfOldValue) && !wanted.empty());
  if (old.in_file && !is_copied) {
    wanted = old.value;
    result = Result::kWantsCopy;
    return;
  }
  if (old.in_file) {
    transaction.WriteFile(target_index_, copy, old.expiry_ms, &copy_admitted);
  } else {
    transaction.Write(target_index_, old.value, old.expiry_ms);
  }
  if (!keeps_source) transaction.Delete(source_index_);
  result = Result::kDone;
}

void Relocation::Reply(RespWriter& writer) const {
  if (result == Result::kNoSource && needs_source) return writer.Error("ERR no such key");
  if (result == Result::kDone && answers_ok) return writer.Ok();
  writer.Integer(result == Result::kDone ? 1 : 0);
}

// ---- The commands' arguments ----

std::string_view FillRename(RespProtocol& protocol, RespArgs args, uint32_t namespace_id,
                            Relocation& relocation) {
  relocation.source_namespace = relocation.target_namespace = namespace_id;
  relocation.source = args[1];
  relocation.target = args[2];
  relocation.needs_source = relocation.answers_ok = relocation.replaces = true;
  return CheckKeys(protocol, relocation);
}

std::string_view FillRenameNx(RespProtocol& protocol, RespArgs args, uint32_t namespace_id,
                              Relocation& relocation) {
  const std::string_view error = FillRename(protocol, args, namespace_id, relocation);
  relocation.answers_ok = relocation.replaces = false;
  return error;
}

std::string_view FillMove(RespProtocol& protocol, RespArgs args, uint32_t namespace_id,
                          Relocation& relocation) {
  relocation.source_namespace = namespace_id;
  relocation.source = relocation.target = args[1];
  const std::string_view error = ParseDatabase(args[2], relocation.target_namespace);
  if (!error.empty()) return error;
  if (relocation.target_namespace == namespace_id) return kErrSame;
  return CheckKeys(protocol, relocation);
}

std::string_view FillCopy(RespProtocol& protocol, RespArgs args, uint32_t namespace_id,
                          Relocation& relocation) {
  relocation.source_namespace = relocation.target_namespace = namespace_id;
  relocation.source = args[1];
  relocation.target = args[2];
  relocation.keeps_source = true;
  for (size_t index = 3; index < args.size(); ++index) {
    if (IsWord(args[index], "replace")) {
      relocation.replaces = true;
    } else if (IsWord(args[index], "db") && index + 1 < args.size()) {
      const std::string_view error = ParseDatabase(args[++index], relocation.target_namespace);
      if (!error.empty()) return error;
    } else {
      return kErrSyntax;
    }
  }
  if (relocation.target_namespace == namespace_id && relocation.source == relocation.target) {
    return kErrSame;
  }
  return CheckKeys(protocol, relocation);
}

}  // namespace pakv
