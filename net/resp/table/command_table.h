// The RESP commands: one row each, from which dispatch, COMMAND, limits and order follow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "kv/shard/messages/request.h"
#include "net/resp/wire/reply_writer.h"
#include "net/session/buffers/reply_queue.h"
#include "runtime/task/task.h"

namespace pakv {

class RespProtocol;
struct Relocation;

// The command's name and its arguments.
using RespArgs = std::span<const std::string_view>;

// What a command says about itself, in the order and with the names of COMMAND INFO.
enum CommandFlag : uint32_t {
  kFlagWrite = 1 << 0,
  kFlagReadonly = 1 << 1,
  kFlagDenyOom = 1 << 2,
  kFlagAdmin = 1 << 3,
  kFlagNoScript = 1 << 4,
  kFlagLoading = 1 << 5,
  kFlagStale = 1 << 6,
  kFlagFast = 1 << 7,
  kFlagNoAuth = 1 << 8,
  kFlagAllowBusy = 1 << 9,
  kFlagSkipSlowlog = 1 << 10,
};
// Its classes: rights are given by them.
enum CommandClass : uint32_t {
  kClassKeyspace = 1 << 0,
  kClassRead = 1 << 1,
  kClassWrite = 1 << 2,
  kClassString = 1 << 3,
  kClassAdmin = 1 << 4,
  kClassFast = 1 << 5,
  kClassSlow = 1 << 6,
  kClassDangerous = 1 << 7,
  kClassConnection = 1 << 8,
  kClassTransaction = 1 << 9,
};

// How a command runs, which is also its place among the others of its session.
enum class CommandKind : uint8_t {
  kKey,  // on one key: starts at once, in order with others on that key
  // On several keys. A reply per key, or the sum of their integers: reads see all keys at one
  // moment, writes are as many kKey. kGroup writes all as one; what it needs to know keeps it from
  // writing (MSETNX). What cannot be done as kKey is, at once, runs alone.
  kValues,
  kSum,
  kGroup,
  kPair,   // on two keys as one, a write; runs alone
  kNow,    // answered from what the session and its core know
  kAlone,  // a barrier: waits for all earlier ones, and all later ones wait for it
};

// Completes a request whose key (argument 1), value (argument 2, if there), function and needs are
// set. A text is the error that the command ends with.
using FillRequest = std::string_view (*)(RespProtocol& protocol, RespArgs args, ReplySlot& slot);
// Understands the arguments of a command on two keys. A text is the error that it ends with.
using FillRelocation = std::string_view (*)(RespProtocol& protocol, RespArgs args,
                                            uint32_t namespace_id, Relocation& relocation);
using RunNow = void (*)(RespProtocol& protocol, RespArgs args, RespWriter& writer);
using RunAlone = Task<void> (*)(RespProtocol& protocol, RespArgs args);

struct CommandRow {
  std::string_view name;  // lower case; "client|id" for a subcommand
  int8_t arity = 0;       // with the name; negative: at least
  CommandKind kind = CommandKind::kNow;
  uint32_t flags = 0;
  uint32_t classes = 0;
  // Where the keys are, as Redis counts: 0 for none, a negative last one from the end.
  int16_t first_key = 0;
  int16_t last_key = 0;
  uint8_t key_step = 0;

  // kKey, kValues, kSum, kGroup
  KeyFunction function = nullptr;
  OldState needs = OldState::kNothing;
  FillRequest fill = nullptr;
  ReplySlot::Encode encode2 = nullptr;  // nullptr: by the reply's kind
  ReplySlot::Encode encode3 = nullptr;
  // The argument that becomes the value as it is: it may be long, and then goes to a file while it
  // is received. 0: none.
  uint8_t value_arg = 0;
  // kPair
  FillRelocation relocation = nullptr;
  // kNow
  RunNow now = nullptr;
  // kAlone
  RunAlone alone = nullptr;
  // Runs at once, also between MULTI and EXEC, where others are queued. Those of kind kAlone run
  // in their places when EXEC has written, but for FLUSH.
  bool runs_in_multi = false;

  // For COMMAND: how the keys are used; hints; subcommands; for COMMAND DOCS.
  std::string_view key_flags;         // separated by blanks, like tips
  std::string_view second_key_flags;  // of two keys that are used differently
  std::string_view tips;
  std::span<const CommandRow> subcommands;
  std::string_view summary;
  std::string_view since;
  std::string_view group;

  bool is_write() const { return (flags & kFlagWrite) != 0; }
  // Its arguments name keys, and what it does is about these alone.
  bool is_on_keys() const { return kind != CommandKind::kNow && kind != CommandKind::kAlone; }
  bool Takes(size_t arg_count) const {
    return arity >= 0 ? arg_count == static_cast<size_t>(arity)
                      : arg_count >= static_cast<size_t>(-arity);
  }
};

// The row of a command, whatever its case; nullptr if there is none. Costs a hash and two compares
// of words.
const CommandRow* FindCommand(std::string_view name);
// The row of a subcommand; nullptr if there is none.
const CommandRow* FindSubcommand(const CommandRow& row, std::string_view name);
std::span<const CommandRow> AllCommands();

}  // namespace pakv
