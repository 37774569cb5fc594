// What a connection has between MULTI and EXEC, and what it watches. Made by the first MULTI or
// WATCH and gone with the end of it: a connection that uses neither has none.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kv/store/store.h"
#include "kv/store/transaction.h"
#include "net/resp/table/command_table.h"
#include "net/session/buffers/byte_budget.h"

namespace pakv {

// A command that EXEC will run. Its words are copies, in the connection's QueuedWords.
struct QueuedCommand {
  const CommandRow* row = nullptr;
  RespArgs args;
};

// Copies of the words of commands, one behind the other in few pieces of memory: most commands are
// short. Larger pieces come as there is more of it, so that what is not used is never more than
// what is, but for the first piece.
class QueuedWords {
 public:
  QueuedWords() = default;
  QueuedWords(const QueuedWords&) = delete;
  QueuedWords& operator=(const QueuedWords&) = delete;

  RespArgs Copy(RespArgs args);
  // Frees some of them. False: what is left is freed in no time.
  bool FreeSome();

 private:
  static constexpr size_t kFirstPieceBytes = 2000;
  static constexpr size_t kPieceBytesMax = 64 << 10;
  static constexpr size_t kPiecesFreedAtOnce = 16;

  std::vector<std::unique_ptr<std::byte[]>> pieces_;
  std::span<std::byte> free_;  // of the last one
  size_t copied_bytes_ = 0;
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

  static constexpr size_t kCommandsReserved = 16;

  explicit MultiState(ByteBudget& budget) : budget_(budget) {}
  MultiState(const MultiState&) = delete;
  MultiState& operator=(const MultiState&) = delete;
  ~MultiState() { budget_.Give(bytes_ + watched_bytes_); }

  bool is_open() const { return is_open_; }
  // `selected`: the database that the first command meets. `output_mark`: the session's.
  void Open(uint32_t selected, uint64_t output_mark) {
    is_open_ = true;
    selected_ = selected;
    output_mark_ = output_mark;
  }
  uint64_t output_mark() const { return output_mark_; }
  // A command was refused: EXEC will be, too. Nothing outside of MULTI.
  void Break() { is_broken_ = is_open_; }
  bool is_broken() const { return is_broken_; }
  // Queues the command, or does nothing and returns the error of one that is too much.
  std::string Queue(const CommandRow& row, RespArgs args);
  const std::vector<QueuedCommand>& commands() const { return commands_; }
  // When they are done with, or never will be: frees some of them. False: the destructor frees the
  // rest in no time.
  bool FreeSome() {
    commands_.clear();
    return words_.FreeSome();
  }
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

  ByteBudget& budget_;
  bool is_open_ = false;
  bool is_broken_ = false;
  uint64_t output_mark_ = 0;
  std::vector<QueuedCommand> commands_;
  QueuedWords words_;
  // Where the queue has come to: the selected database, what has been flushed, and whether anything
  // before that is about keys.
  uint32_t selected_ = kDefaultNamespace;
  std::optional<uint32_t> flushed_;
  bool is_about_keys_ = false;
  size_t bytes_ = 0;          // of commands_
  size_t watched_bytes_ = 0;  // of watches, and of those to come
};

}  // namespace pakv
