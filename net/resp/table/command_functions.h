// The functions that the rows of the command table name. They stand in net/resp/commands, each in
// the file that is named above it here.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "net/resp/table/command_table.h"

namespace pakv {

inline constexpr std::string_view kErrSyntax = "ERR syntax error";
inline constexpr std::string_view kErrNotInteger = "ERR value is not an integer or out of range";
inline constexpr std::string_view kErrNotInt32 =
    "ERR value is out of range, value must between -2147483648 and 2147483647";
// Of patterns for names of the server's own, all together: they are matched at once.
inline constexpr size_t kPatternBytesMax = 4096;
inline constexpr std::string_view kErrPattern =
    "ERR patterns for names of commands and parameters have at most 4096 bytes";
inline constexpr std::string_view kErrNoDatabase = "ERR DB index is out of range";

// strings.cc: functions of one key (KeyFunction), and what fills in their requests.
Change GetValue(const OldValue& old, Request& request);
Change SetValue(const OldValue& old, Request& request);
Change SetIfAbsent(const OldValue& old, Request& request);
Change GetAndSet(const OldValue& old, Request& request);
Change GetAndDelete(const OldValue& old, Request& request);
Change AddInteger(const OldValue& old, Request& request);
Change AppendValue(const OldValue& old, Request& request);
Change ValueLength(const OldValue& old, Request& request);
Change SetRange(const OldValue& old, Request& request);
Change GetRange(const OldValue& old, Request& request);
Change AddFloat(const OldValue& old, Request& request);
std::string_view FillSet(RespProtocol& protocol, RespArgs args, ReplySlot& slot);
std::string_view FillIncr(RespProtocol& protocol, RespArgs args, ReplySlot& slot);
std::string_view FillDecr(RespProtocol& protocol, RespArgs args, ReplySlot& slot);
std::string_view FillIncrBy(RespProtocol& protocol, RespArgs args, ReplySlot& slot);
std::string_view FillDecrBy(RespProtocol& protocol, RespArgs args, ReplySlot& slot);
std::string_view FillAppend(RespProtocol& protocol, RespArgs args, ReplySlot& slot);
std::string_view FillGetRange(RespProtocol& protocol, RespArgs args, ReplySlot& slot);
std::string_view FillSetRange(RespProtocol& protocol, RespArgs args, ReplySlot& slot);

// expiry.cc
struct TimeWord {
  bool in_seconds = false;   // otherwise in milliseconds
  bool is_relative = false;  // from now on; otherwise since 1970
  bool operator==(const TimeWord&) const = default;
};
// In Request::options: `expiry_ms`, or EXPIRE's `number`, counts from the owner's clock.
inline constexpr uint32_t kTimeIsRelative = 1u << 31;
// EX, PX, EXAT, PXAT; nothing for another word.
std::optional<TimeWord> ParseTimeWord(std::string_view word);
// Sets `expiry_ms` from the argument behind such a word of `command`, or returns the error.
std::string_view FillTime(RespProtocol& protocol, std::string_view command, std::string_view text,
                          TimeWord word, ReplySlot& slot);
std::string InvalidTime(std::string_view command);
// The time that FillTime set, at the owner.
uint64_t ExpiryOf(const Request& request);
// Writes the value with its time; a delete if that is over already.
Change WriteOrDelete(std::string_view value, uint64_t expiry_ms, const Request& request);
Change SetFor(const OldValue& old, Request& request);
Change ExpireKey(const OldValue& old, Request& request);
Change PersistKey(const OldValue& old, Request& request);
Change TimeLeft(const OldValue& old, Request& request);
Change GetAndExpire(const OldValue& old, Request& request);
std::string_view FillSetForSeconds(RespProtocol& protocol, RespArgs args, ReplySlot& slot);
std::string_view FillSetForMs(RespProtocol& protocol, RespArgs args, ReplySlot& slot);
std::string_view FillGetEx(RespProtocol& protocol, RespArgs args, ReplySlot& slot);
std::string_view FillExpireSeconds(RespProtocol& protocol, RespArgs args, ReplySlot& slot);
std::string_view FillExpireMs(RespProtocol& protocol, RespArgs args, ReplySlot& slot);
std::string_view FillExpireAtSeconds(RespProtocol& protocol, RespArgs args, ReplySlot& slot);
std::string_view FillExpireAtMs(RespProtocol& protocol, RespArgs args, ReplySlot& slot);
std::string_view FillTimeLeftMs(RespProtocol& protocol, RespArgs args, ReplySlot& slot);
std::string_view FillExpireTime(RespProtocol& protocol, RespArgs args, ReplySlot& slot);
std::string_view FillExpireTimeMs(RespProtocol& protocol, RespArgs args, ReplySlot& slot);

// keys.cc
Change DeleteKey(const OldValue& old, Request& request);
Change KeyExists(const OldValue& old, Request& request);
Change KeyType(const OldValue& old, Request& request);
// TYPE's reply: a word, whatever the version.
void EncodeType(const ReplySlot& slot, OutputBuffer& output);
Task<void> RunScan(RespProtocol& protocol, RespArgs args);
Task<void> RunKeys(RespProtocol& protocol, RespArgs args);
Task<void> RunRandomKey(RespProtocol& protocol, RespArgs args);
Task<void> RunDbSize(RespProtocol& protocol, RespArgs args);
Task<void> RunFlush(RespProtocol& protocol, RespArgs args);
// What FLUSHDB or FLUSHALL empties; nothing if it is a syntax error.
std::optional<uint32_t> FlushedNamespace(RespArgs args, uint32_t selected);

// relocation.cc: arguments of commands on two keys (FillRelocation).
std::string_view FillRename(RespProtocol& protocol, RespArgs args, uint32_t namespace_id,
                            Relocation& relocation);
std::string_view FillRenameNx(RespProtocol& protocol, RespArgs args, uint32_t namespace_id,
                              Relocation& relocation);
std::string_view FillMove(RespProtocol& protocol, RespArgs args, uint32_t namespace_id,
                          Relocation& relocation);
std::string_view FillCopy(RespProtocol& protocol, RespArgs args, uint32_t namespace_id,
                          Relocation& relocation);

// together.cc
// Whether the values of keys that this core owns may come to more than a session may have unsent,
// and so are better read as one, and sent piece by piece.
bool MayBeLarge(RespProtocol& protocol, RespArgs keys);
// A command on several keys, of one owner or of several, as one.
Task<void> RunTogether(RespProtocol& protocol, const CommandRow& row, RespArgs args);

// object.cc: what is known of a key beside its value. In the functions that fill in their
// requests, the subcommand is argument 0.
Change ObjectEncoding(const OldValue& old, Request& request);
Change ObjectFrequency(const OldValue& old, Request& request);
Change ObjectIdleTime(const OldValue& old, Request& request);
Change ObjectReferences(const OldValue& old, Request& request);
Change MemoryUsage(const OldValue& old, Request& request);
std::string_view FillMemoryUsage(RespProtocol& protocol, RespArgs args, ReplySlot& slot);

// server.cc
void RunPing(RespProtocol& protocol, RespArgs args, RespWriter& writer);
void RunEcho(RespProtocol& protocol, RespArgs args, RespWriter& writer);
void RunQuit(RespProtocol& protocol, RespArgs args, RespWriter& writer);
Task<void> RunReset(RespProtocol& protocol, RespArgs args);
void RunHello(RespProtocol& protocol, RespArgs args, RespWriter& writer);
void RunSelect(RespProtocol& protocol, RespArgs args, RespWriter& writer);
// What SELECT would select; nothing if it is an error.
std::optional<uint32_t> SelectedNamespace(std::string_view index);
void RunAuth(RespProtocol& protocol, RespArgs args, RespWriter& writer);
void RunTime(RespProtocol& protocol, RespArgs args, RespWriter& writer);
void RunWait(RespProtocol& protocol, RespArgs args, RespWriter& writer);
void RunWaitAof(RespProtocol& protocol, RespArgs args, RespWriter& writer);
void RunClientId(RespProtocol& protocol, RespArgs args, RespWriter& writer);
void RunClientGetName(RespProtocol& protocol, RespArgs args, RespWriter& writer);
void RunClientSetName(RespProtocol& protocol, RespArgs args, RespWriter& writer);
void RunClientSetInfo(RespProtocol& protocol, RespArgs args, RespWriter& writer);
void RunConfigGet(RespProtocol& protocol, RespArgs args, RespWriter& writer);
void RunConfigSet(RespProtocol& protocol, RespArgs args, RespWriter& writer);
Task<void> RunConfigResetStat(RespProtocol& protocol, RespArgs args);
void RunHelp(RespProtocol& protocol, RespArgs args, RespWriter& writer);

// info.cc
Task<void> RunInfo(RespProtocol& protocol, RespArgs args);

// client.cc
Task<void> RunClientList(RespProtocol& protocol, RespArgs args);
void RunClientInfo(RespProtocol& protocol, RespArgs args, RespWriter& writer);
Task<void> RunClientKill(RespProtocol& protocol, RespArgs args);
Task<void> RunClientReply(RespProtocol& protocol, RespArgs args);
void RunClientNoEvict(RespProtocol& protocol, RespArgs args, RespWriter& writer);

// transactions.cc
void RunMulti(RespProtocol& protocol, RespArgs args, RespWriter& writer);
Task<void> RunExec(RespProtocol& protocol, RespArgs args);
Task<void> RunDiscard(RespProtocol& protocol, RespArgs args);
Task<void> RunWatch(RespProtocol& protocol, RespArgs args);
Task<void> RunUnwatch(RespProtocol& protocol, RespArgs args);

// introspection.cc
void RunCommand(RespProtocol& protocol, RespArgs args, RespWriter& writer);
void RunCommandCount(RespProtocol& protocol, RespArgs args, RespWriter& writer);
void RunCommandInfo(RespProtocol& protocol, RespArgs args, RespWriter& writer);
void RunCommandList(RespProtocol& protocol, RespArgs args, RespWriter& writer);
void RunCommandDocs(RespProtocol& protocol, RespArgs args, RespWriter& writer);
void RunCommandGetKeys(RespProtocol& protocol, RespArgs args, RespWriter& writer);

}  // namespace pakv
