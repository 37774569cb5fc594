// What a connection has between MULTI and EXEC, and what it watches. Made by the first MULTI or
// WATCH and gone with the end of it: a connection that uses neither has none.
#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "kv/store/transaction.h"
#include "net/resp/command_table.h"
#include "net/session/byte_budget.h"

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
  // The most that one transaction queues; what all of a core have queued is in its budget.
  static constexpr size_t kCommandsMax = 65'536;
  static constexpr size_t kBytesMax = size_t{16} << 20;
  static constexpr size_t kWatchesMax = 65'536;

  explicit MultiState(ByteBudget& budget) : budget_(budget) {}
  MultiState(const MultiState&) = delete;
  MultiState& operator=(const MultiState&) = delete;
  ~MultiState() { budget_.Give(bytes_); }

  bool is_open() const { return is_open_; }
  void Open() { is_open_ = true; }
  // A command was refused: EXEC will be, too. Nothing outside of MULTI.
  void Break() { is_broken_ = is_open_; }
  bool is_broken() const { return is_broken_; }
  // False, and nothing done: it is more than may be queued.
  bool Queue(const CommandRow& row, RespArgs args);
  const std::deque<QueuedCommand>& commands() const { return commands_; }

  // Left empty, by Store::Unwatch, before this ends.
  Watches watches;

 private:
  ByteBudget& budget_;
  bool is_open_ = false;
  bool is_broken_ = false;
  std::deque<QueuedCommand> commands_;
  size_t bytes_ = 0;
};

}  // namespace pakv
