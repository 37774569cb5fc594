// COMMAND: what the command table tells about itself.
#include <bit>
#include <string>
#include <vector>

#include "net/resp/protocol/resp_protocol.h"
#include "net/resp/table/command_functions.h"
#include "net/text/glob.h"
#include "net/text/words.h"

namespace pakv {
namespace {

// By bit, as in CommandFlag and CommandClass.
constexpr std::string_view kFlagNames[] = {"write",    "readonly",   "denyoom",     "admin",
                                           "noscript", "loading",    "stale",       "fast",
                                           "no_auth",  "allow_busy", "skip_slowlog"};
constexpr std::string_view kClassNames[] = {"@keyspace",   "@read",       "@write", "@string",
                                            "@admin",      "@fast",       "@slow",  "@dangerous",
                                            "@connection", "@transaction"};

void WriteBits(uint32_t bits, std::span<const std::string_view> names, RespWriter& writer) {
  writer.Set(static_cast<size_t>(std::popcount(bits)));
  for (size_t bit = 0; bit < names.size(); ++bit) {
    if ((bits >> bit & 1) != 0) writer.Simple(names[bit]);
  }
}

// The bit of a class that is named without its `@`; 0 if there is no such class.
uint32_t ClassOf(std::string_view name) {
  for (size_t bit = 0; bit < std::size(kClassNames); ++bit) {
    if (IsWord(name, kClassNames[bit].substr(1))) return 1u << bit;
  }
  return 0;
}

std::vector<std::string_view> Words(std::string_view text) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const size_t length = std::min(text.find(' '), text.size());
    words.push_back(text.substr(0, length));
    text.remove_prefix(std::min(length + 1, text.size()));
  }
  return words;
}

std::string_view NotesOf(const CommandRow& row) {
  if (row.name == "set") return "RW and ACCESS due to the optional `GET` argument";
  if (row.name == "getex") return "RW and UPDATE because it changes the TTL";
  return {};
}

// Of the keys from `first` to `last`, as the row counts them.
void WriteKeySpec(const CommandRow& row, std::string_view key_flags, int first, int last,
                  RespWriter& writer) {
  const std::string_view notes = NotesOf(row);
  writer.Map(notes.empty() ? 3 : 4);
  if (!notes.empty()) {
    writer.Bulk("notes");
    writer.Bulk(notes);
  }
  writer.Bulk("flags");
  const std::vector<std::string_view> flags = Words(key_flags);
  writer.Set(flags.size());
  for (const std::string_view flag : flags) writer.Simple(flag);
  writer.Bulk("begin_search");
  writer.Map(2);
  writer.Bulk("type");
  writer.Bulk("index");
  writer.Bulk("spec");
  writer.Map(1);
  writer.Bulk("index");
  writer.Integer(first);
  writer.Bulk("find_keys");
  writer.Map(2);
  writer.Bulk("type");
  writer.Bulk("range");
  writer.Bulk("spec");
  writer.Map(3);
  writer.Bulk("lastkey");
  // Here the last key counts from the first one, or from the end.
  writer.Integer(last < 0 ? last : last - first);
  writer.Bulk("keystep");
  writer.Integer(row.key_step);
  writer.Bulk("limit");
  writer.Integer(0);
}

void WriteKeySpecs(const CommandRow& row, RespWriter& writer) {
  if (row.first_key == 0) return writer.Set(0);
  const int first = row.first_key;
  if (row.second_key_flags.empty()) {
    writer.Set(1);
    WriteKeySpec(row, row.key_flags, first, row.last_key, writer);
  } else {
    writer.Set(2);
    WriteKeySpec(row, row.key_flags, first, first, writer);
    WriteKeySpec(row, row.second_key_flags, first + 1, first + 1, writer);
  }
}

void WriteRow(const CommandRow& row, RespWriter& writer) {
  writer.Array(10);
  writer.Bulk(row.name);
  writer.Integer(row.arity);
  WriteBits(row.flags, kFlagNames, writer);
  writer.Integer(row.first_key);
  writer.Integer(row.last_key);
  writer.Integer(row.key_step);
  WriteBits(row.classes, kClassNames, writer);
  const std::vector<std::string_view> tips = Words(row.tips);
  writer.Set(tips.size());
  for (const std::string_view tip : tips) writer.Bulk(tip);
  WriteKeySpecs(row, writer);
  writer.Set(row.subcommands.size());
  for (const CommandRow& subcommand : row.subcommands) WriteRow(subcommand, writer);
}

// What is told of a command is far longer than its name.
constexpr size_t kNamesMax = 1024;

bool CheckNames(RespArgs args, RespWriter& writer) {
  if (args.size() - 2 <= kNamesMax) return true;
  writer.Error("ERR at most " + std::to_string(kNamesMax) + " commands may be named at once");
  return false;
}

// "get", or "client|id" for a subcommand.
const CommandRow* FindNamed(std::string_view name) {
  const size_t bar = name.find('|');
  const CommandRow* const row = FindCommand(name.substr(0, bar));
  if (row == nullptr || bar == std::string_view::npos) return row;
  return FindSubcommand(*row, name.substr(bar + 1));
}

void WriteDocs(const CommandRow& row, RespWriter& writer) {
  writer.Bulk(row.name);
  writer.Map(row.subcommands.empty() ? 3 : 4);
  writer.Bulk("summary");
  writer.Bulk(row.summary);
  writer.Bulk("since");
  writer.Bulk(row.since);
  writer.Bulk("group");
  writer.Bulk(row.group);
  if (row.subcommands.empty()) return;
  writer.Bulk("subcommands");
  writer.Map(row.subcommands.size());
  for (const CommandRow& subcommand : row.subcommands) WriteDocs(subcommand, writer);
}

}  // namespace

void RunCommand(RespProtocol&, RespArgs, RespWriter& writer) {
  writer.Array(AllCommands().size());
  for (const CommandRow& row : AllCommands()) WriteRow(row, writer);
}

void RunCommandCount(RespProtocol&, RespArgs, RespWriter& writer) {
  writer.Integer(static_cast<int64_t>(AllCommands().size()));
}

void RunCommandInfo(RespProtocol& protocol, RespArgs args, RespWriter& writer) {
  if (args.size() == 2) return RunCommand(protocol, args, writer);
  if (!CheckNames(args, writer)) return;
  writer.Array(args.size() - 2);
  for (const std::string_view name : args.subspan(2)) {
    const CommandRow* const row = FindNamed(name);
    if (row == nullptr) {
      writer.Null();
    } else {
      WriteRow(*row, writer);
    }
  }
}

void RunCommandList(RespProtocol&, RespArgs args, RespWriter& writer) {
  const bool filtered = args.size() > 2;
  if (filtered && (args.size() != 5 || !IsWord(args[2], "filterby"))) {
    return writer.Error(kErrSyntax);
  }
  std::string_view pattern = "*";
  uint32_t classes = ~0u;  // one of them
  if (filtered && IsWord(args[3], "pattern")) {
    pattern = args[4];
    if (pattern.size() > kPatternBytesMax) return writer.Error(kErrPattern);
  } else if (filtered && IsWord(args[3], "aclcat")) {
    classes = ClassOf(args[4]);
  } else if (filtered && IsWord(args[3], "module")) {
    classes = 0;  // there are no modules
  } else if (filtered) {
    return writer.Error(kErrSyntax);
  }
  std::vector<std::string_view> names;
  const auto consider = [&](const CommandRow& row) {
    if ((row.classes & classes) == 0) return;
    if (GlobMatches(pattern, row.name, /*ignore_case=*/true)) names.push_back(row.name);
  };
  for (const CommandRow& row : AllCommands()) {
    consider(row);
    if (!filtered) continue;
    for (const CommandRow& subcommand : row.subcommands) consider(subcommand);
  }
  writer.Array(names.size());
  for (const std::string_view name : names) writer.Bulk(name);
}

void RunCommandDocs(RespProtocol&, RespArgs args, RespWriter& writer) {
  if (!CheckNames(args, writer)) return;
  std::vector<const CommandRow*> rows;
  if (args.size() == 2) {
    for (const CommandRow& row : AllCommands()) rows.push_back(&row);
  }
  for (const std::string_view name : args.subspan(2)) {
    if (const CommandRow* const row = FindNamed(name)) rows.push_back(row);
  }
  writer.Map(rows.size());
  for (const CommandRow* const row : rows) WriteDocs(*row, writer);
}

void RunCommandGetKeys(RespProtocol&, RespArgs args, RespWriter& writer) {
  const RespArgs command = args.subspan(2);
  const CommandRow* row = FindCommand(command[0]);
  if (row != nullptr && !row->subcommands.empty()) row = FindSubcommand(*row, command[1]);
  if (row == nullptr) return writer.Error("ERR Invalid command specified");
  if (row->first_key == 0) return writer.Error("ERR The command has no key arguments");
  if (!row->Takes(command.size())) {
    return writer.Error("ERR Invalid number of arguments specified for command");
  }
  const size_t step = row->key_step;
  const auto first = static_cast<size_t>(row->first_key);
  const size_t last = row->last_key < 0 ? command.size() - 1 : static_cast<size_t>(row->last_key);
  writer.Array((last - first) / step + 1);
  for (size_t index = first; index <= last; index += step) writer.Bulk(command[index]);
}

}  // namespace pakv
