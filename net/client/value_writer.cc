#include "net/client/value_writer.h"

#include <algorithm>
#include <utility>

#include "runtime/base/check.h"

namespace pakv {
namespace {

constexpr size_t kPieceBytesMax = size_t{64} << 10;
// While more than this waits to be sent, nothing is added.
constexpr size_t kUnsentBytesMax = size_t{256} << 10;

}  // namespace

ValueWriter::ValueWriter(Client& client, ClientSet set, uint64_t total_bytes)
    : client_(client), set_(std::move(set)), total_bytes_(total_bytes) {}

Task<bool> ValueWriter::Write(std::string_view bytes) {
  ClientConnection& connection = *client_.connection_;
  // What goes in one frame is a bound of the server's.
  const size_t piece_bytes = std::clamp<size_t>(client_.whole_value_bytes_max(), 1, kPieceBytesMax);
  while (!bytes.empty()) {
    const std::string_view taken = bytes.substr(0, kPieceBytesMax);
    buffer_.append(taken);
    bytes.remove_prefix(taken.size());
    if (id_ == 0) {
      if (buffer_.size() <= client_.whole_value_bytes_max()) continue;
      const bool granted = co_await client_.pieces_turn_.Acquire();
      PAKV_CHECK(granted, "nothing stops this wait");
      id_ = connection.OpenPieces();
    }
    size_t sent = 0;
    while (buffer_.size() - sent > piece_bytes && !connection.IsSettled(id_)) {
      connection.SendPiece(id_, std::string_view(buffer_).substr(sent, piece_bytes), total_bytes_);
      sent += piece_bytes;
      co_await connection.UnsentBelow(id_, kUnsentBytesMax);
    }
    if (connection.IsSettled(id_)) co_return false;
    buffer_.erase(0, sent);
  }
  co_return true;
}

Task<ClientResult<ClientSetDone>> ValueWriter::Finish() {
  set_.value = std::move(buffer_);
  if (id_ == 0) {
    const uint64_t id = client_.StartSet(set_);
    co_return co_await client_.AwaitSet(id);
  }
  // Of one that is refused the server waits for the end all the same.
  if (client_.connection_->IsSettled(id_)) set_.value.clear();
  client_.SendLastPiece(id_, set_);
  ClientResult<ClientSetDone> done = co_await client_.AwaitSet(id_);
  client_.pieces_turn_.Release();
  co_return done;
}

}  // namespace pakv
