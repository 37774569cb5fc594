#include "cmd/pakvctl/transfer/line_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

namespace pakv {
namespace {

constexpr uint32_t kReadBytes = 256 << 10;

}  // namespace

Task<LineReader::Read> LineReader::Next() {
  while (true) {
    const size_t end = buffer_.find('\n', searched_);
    if (end != std::string::npos || (at_end_ && begin_ < buffer_.size())) {
      const size_t stop = std::min(end, buffer_.size());
      line_ = std::string_view(buffer_).substr(begin_, stop - begin_);
      begin_ = std::min(stop + 1, buffer_.size());
      searched_ = begin_;
      ++number_;
      if (line_.find_first_not_of(" \t\r") == std::string_view::npos) continue;
      co_return Read::kLine;
    }
    if (at_end_) co_return Read::kEnd;
    buffer_.erase(0, begin_);
    begin_ = 0;
    searched_ = buffer_.size();
    if (buffer_.size() > line_bytes_max_) {
      ++number_;
      line_ = buffer_;
      begin_ = buffer_.size();
      co_return Read::kLong;
    }
    const Read read = co_await Fill();
    if (read != Read::kLine) co_return read;
  }
}

Task<LineReader::Read> LineReader::More() {
  buffer_.erase(0, begin_);
  begin_ = 0;
  if (buffer_.empty() && !at_end_) {
    const Read read = co_await Fill();
    if (read != Read::kLine) co_return read;
  }
  const size_t end = buffer_.find('\n');
  line_ = std::string_view(buffer_).substr(0, end);
  begin_ = end == std::string::npos ? buffer_.size() : end + 1;
  searched_ = begin_;
  co_return end != std::string::npos || at_end_ ? Read::kLine : Read::kLong;
}

// kLine: there is more in the buffer, or the end has come.
Task<LineReader::Read> LineReader::Fill() {
  const size_t held = buffer_.size();
  buffer_.resize(held + kReadBytes);
  const IoResult read = co_await input_.Read(buffer_.data() + held, kReadBytes);
  buffer_.resize(held + (read.ok() ? read.count() : 0));
  if (!read.ok() && read.error() == ECANCELED) co_return Read::kStopped;
  if (!read.ok()) {
    error_ = fmt::format("{} cannot be read: {}", input_.name(), read.text());
    co_return Read::kError;
  }
  at_end_ = read.count() == 0;
  co_return Read::kLine;
}

}  // namespace pakv
