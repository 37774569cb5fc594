// Pieces: a stream that comes in pieces, as a connection's bytes do. What was not used yet lies
// in memory of just that length, so that a byte read behind it is found.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string_view>
#include <utility>

#include "runtime/base/prng.h"

namespace pakv {

class Pieces {
 public:
  // Cuts the stream in pieces, each at most `piece_bytes_max` long. Both outlive it.
  Pieces(std::string_view stream, size_t piece_bytes_max, Prng& prng)
      : stream_(stream), piece_bytes_max_(piece_bytes_max), prng_(prng) {}

  bool at_end() const { return stream_.empty(); }
  // What was left of the bytes before, with a piece more. There is one.
  std::string_view Next() {
    const size_t piece = std::min<size_t>(stream_.size(), 1 + prng_.Below(piece_bytes_max_));
    auto next = std::make_unique<char[]>(held_bytes_ + piece);
    std::copy_n(held_.get(), held_bytes_, next.get());
    stream_.copy(next.get() + held_bytes_, piece);
    stream_.remove_prefix(piece);
    held_ = std::move(next);
    held_bytes_ += piece;
    return {held_.get(), held_bytes_};
  }
  // Of what Next returned, `rest` is not used yet: its end.
  void Keep(std::string_view rest) {
    auto kept = std::make_unique<char[]>(rest.size());
    rest.copy(kept.get(), rest.size());
    held_bytes_ = rest.size();
    held_ = std::move(kept);
  }
  size_t kept_bytes() const { return held_bytes_; }

 private:
  std::string_view stream_;
  const size_t piece_bytes_max_;
  Prng& prng_;
  std::unique_ptr<char[]> held_;
  size_t held_bytes_ = 0;
};

}  // namespace pakv
