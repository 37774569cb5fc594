// What a connection has between MULTI and EXEC, and what it watches. Made by the first MULTI or
// WATCH and gone with the end of it: a connection that uses neither has none.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kv/store/store.h"
#include "kv/store/transaction.h"
#include "net/resp/table/command_table.h"
#include "net/session/buffers/byte_budget.h"

namespace pakv {

// A command that EXEC will run, with its own copy of the words. Does not move.
struct QueuedCommand {
  QueuedCommand(const CommandRow& row_in, RespArgs args_in);
  QueuedCommand(const QueuedCommand&) = delete;
  QueuedCommand& operator=(const QueuedCommand&) = delete;

  const CommandRow& row;
  std::string bytes;
  std::vector<std::string_view> args;
};

class MultiState {
 public:
  // Of one connection: commands that wait for EXEC; keys that it watches; bytes of both together.
  static constexpr size_t kCommandsMax = kTransactionKeysMax;
  static constexpr size_t kWatchesMax = kTransactionKeysMax;
  static constexpr size_t kBytesMax = kTransactionBytesMax;
  // What all connections of a core hold comes from its budget. One may hold as much of it as is
  // free then, so that few cannot take it all from who comes next; and this much in any case.
  static constexpr size_t kFreeBytes = size_t{16} << 10;

  explicit MultiState(ByteBudget& budget) : budget_(budget) {}
  MultiState(const MultiState&) = delete;
  MultiState& operator=(const MultiState&) = delete;
  ~MultiState() { budget_.Give(bytes_ + watched_bytes_); }

  bool is_open() const { return is_open_; }
  // `selected`: the database that the first command meets.
  void Open(uint32_t selected) {
    is_open_ = true;
    selected_ = selected;
  }
  // A command was refused: EXEC will be, too. Nothing outside of MULTI.
  void Break() { is_broken_ = is_open_; }
  bool is_broken() const { return is_broken_; }
  // Queues the command, or does nothing and returns the error of one that is too much.
  std::string Queue(const CommandRow& row, RespArgs args);
  const std::deque<QueuedCommand>& commands() const { return commands_; }
  // When they are done with, or never will be: frees some of them. False: the destructor frees the
  // rest in no time.
  bool FreeSome();
  size_t memory_bytes() const { return bytes_ + watched_bytes_; }
  // What the queued commands flush: a database, or kEveryNamespace. All of them are about that
  // then.
  std::optional<uint32_t> flushed() const { return flushed_; }

  // Makes room for watches of `keys`, or returns the error if they are too many. NoteWatches
  // follows as soon as `watches` has changed.
  std::string MakeRoomToWatch(RespArgs keys);
  void NoteWatches();

  // Left empty, by Store::Unwatch, before this ends.
  Watches watches;

 private:
  // The error of so many more bytes; empty if they may be taken.
  std::string TooMuch(size_t bytes) const;
  // Whether the command cannot be one with a FLUSH before it, or as one with what is before it.
  bool ConflictsWithFlush(const CommandRow& row, RespArgs args);

  static constexpr size_t kFreedAtOnce = 1024;

  ByteBudget& budget_;
  bool is_open_ = false;
  bool is_broken_ = false;
  std::deque<QueuedCommand> commands_;
  // Where the queue has come to: the selected database, what has been flushed, and whether anything
  // before that is about keys.
  uint32_t selected_ = kDefaultNamespace;
  std::optional<uint32_t> flushed_;
  bool is_about_keys_ = false;
  size_t bytes_ = 0;          // of commands_
  size_t watched_bytes_ = 0;  // of watches, and of those to come
};

}  // namespace pakv
