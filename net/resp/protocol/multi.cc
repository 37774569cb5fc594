#include "net/resp/protocol/multi.h"

#include <algorithm>
#include <new>

#include "net/resp/protocol/own_keys.h"
#include "net/resp/table/command_functions.h"

namespace pakv {
namespace {

constexpr std::string_view kErrFlush =
    "ERR Command not allowed inside a transaction: FLUSHDB and FLUSHALL come before all that is "
    "about keys, and without WATCH; behind them what they have emptied may be read, and nothing "
    "written";

}  // namespace

RespArgs QueuedWords::Copy(RespArgs args) {
  size_t bytes = args.size_bytes();
  for (const std::string_view arg : args) bytes += arg.size();
  // Views stand at their alignment.
  bytes = (bytes + alignof(std::string_view) - 1) / alignof(std::string_view) *
          alignof(std::string_view);
  if (bytes > free_.size()) {
    const size_t piece_bytes =
        std::max(bytes, std::clamp(copied_bytes_, kFirstPieceBytes, kPieceBytesMax));
    pieces_.push_back(std::make_unique_for_overwrite<std::byte[]>(piece_bytes));
    free_ = {pieces_.back().get(), piece_bytes};
  }
  copied_bytes_ += bytes;
  const std::span<std::byte> taken = free_.first(bytes);
  free_ = free_.subspan(bytes);
  auto* const copies = reinterpret_cast<std::string_view*>(taken.data());
  char* place = reinterpret_cast<char*>(taken.data() + args.size_bytes());
  for (size_t i = 0; i < args.size(); ++i) {
    new (copies + i) std::string_view(place, args[i].size());
    place = std::copy(args[i].begin(), args[i].end(), place);
  }
  return {std::launder(copies), args.size()};
}

bool QueuedWords::FreeSome() {
  if (pieces_.size() <= kPiecesFreedAtOnce) return false;
  pieces_.resize(pieces_.size() - kPiecesFreedAtOnce);
  free_ = {};
  return true;
}

std::string MultiState::TooMuch(size_t bytes) const {
  const size_t held = bytes_ + watched_bytes_ + bytes;
  if (held > kBytesMax) {
    return "ERR too many bytes: what a connection watches and queues for EXEC takes at most " +
           std::to_string(kBytesMax) + " bytes";
  }
  if (held <= kFreeBytes || held + bytes <= budget_.free_bytes()) return {};
  return "ERR the server's connections watch and queue too much for EXEC as a whole; try again "
         "when some of them are done";
}

bool MultiState::ConflictsWithFlush(const CommandRow& row, RespArgs args) {
  if (row.now == &RunSelect) {
    selected_ = SelectedNamespace(args[1]).value_or(selected_);
    return false;
  }
  const bool is_emptied = flushed_ && (*flushed_ == kEveryNamespace || *flushed_ == selected_);
  if (row.alone == &RunFlush) {
    const std::optional<uint32_t> flushed = FlushedNamespace(args, selected_);
    if (!flushed) return false;  // it does nothing
    if (is_about_keys_ || !watches.empty()) return true;
    if (flushed_ && !is_emptied && *flushed != kEveryNamespace) return true;
    if (!is_emptied || *flushed == kEveryNamespace) flushed_ = flushed;
    return false;
  }
  if (!row.is_on_keys() && !OwnKeys::LooksAtAll(row)) return false;
  if (flushed_) return row.is_write() || !is_emptied;
  is_about_keys_ = true;
  return false;
}

std::string MultiState::Queue(const CommandRow& row, RespArgs args) {
  if (ConflictsWithFlush(row, args)) return std::string(kErrFlush);
  // Half of EXEC's reply would be none.
  if (row.alone == &RunClientReply) return "ERR Command not allowed inside a transaction";
  if (commands_.size() == kCommandsMax) {
    return "ERR too many commands wait for EXEC (at most " + std::to_string(kCommandsMax) + ")";
  }
  size_t bytes = sizeof(QueuedCommand);
  for (const std::string_view arg : args) bytes += arg.size() + sizeof(std::string_view);
  std::string error = TooMuch(bytes);
  if (!error.empty()) return error;
  bytes_ += bytes;
  budget_.Take(bytes);
  if (commands_.empty()) commands_.reserve(kCommandsReserved);
  commands_.push_back({.row = &row, .args = words_.Copy(args)});
  return {};
}

std::string MultiState::MakeRoomToWatch(RespArgs keys) {
  if (watches.count() + keys.size() > kWatchesMax) {
    return "ERR a connection watches at most " + std::to_string(kWatchesMax) + " keys";
  }
  size_t bytes = 0;
  for (const std::string_view key : keys) bytes += Watches::BytesOf(key);
  std::string error = TooMuch(bytes);
  if (!error.empty()) return error;
  watched_bytes_ += bytes;
  budget_.Take(bytes);
  return {};
}

void MultiState::NoteWatches() {
  budget_.Give(watched_bytes_);
  watched_bytes_ = watches.memory_bytes();
  budget_.Take(watched_bytes_);
}

}  // namespace pakv
