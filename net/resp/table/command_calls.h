// CommandCalls: how often each command was called, on one core or on all. A subcommand counts for
// its command. Counting is one addition to a plain number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "net/resp/table/command_table.h"

namespace pakv {

class CommandCalls {
 public:
  CommandCalls() : rows_(AllCommands()), counts_(rows_.size()) {}

  // `row` is one of AllCommands().
  void Count(const CommandRow& row) { ++counts_[static_cast<size_t>(&row - rows_.data())]; }
  void Add(const CommandCalls& other) {
    for (size_t index = 0; index < counts_.size(); ++index) counts_[index] += other.counts_[index];
  }
  void Reset() { counts_.assign(counts_.size(), 0); }
  // Of the command at `index` of AllCommands().
  uint64_t of(size_t index) const { return counts_[index]; }

 private:
  std::span<const CommandRow> rows_;
  std::vector<uint64_t> counts_;
};

}  // namespace pakv
