#include "cmd/pakvctl/line_reader.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "cmd/common/values.h"
#include "runtime/base/check.h"

namespace pakv {
namespace {

constexpr uint32_t kReadBytes = 256 << 10;

}  // namespace

Task<std::string> LineReader::Open(std::string path) {
  PAKV_CHECK(!file_.valid());
  name_ = path.empty() ? "stdin" : Quoted(path);
  if (path.empty()) {
    const int copy = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) co_return "stdin is closed";
    file_ = File(core_.io(), core_.ring().Adopt(Handle{copy}));
    // Of a file it goes on where whoever had it before has stopped; a pipe has no place.
    const off_t place = lseek(STDIN_FILENO, 0, SEEK_CUR);
    if (place > 0) offset_ = static_cast<uint64_t>(place);
  } else {
    const IoResult opened = co_await File::Open(core_.io(), path.c_str(), O_RDONLY);
    if (!opened.ok()) co_return name_ + ": " + opened.text();
    file_ = File(core_.io(), Handle{opened.value()});
    FileStat stat;
    const IoResult asked = co_await file_.Stat(stat);
    if (asked.ok()) total_bytes_ = stat.size_bytes;
  }
  co_return std::string();
}

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
      error_ = fmt::format(
          "{}, line {}: longer than {} bytes, which no key and value are that the "
          "server takes",
          name_, number_ + 1, line_bytes_max_);
      co_return Read::kError;
    }
    const size_t held = buffer_.size();
    buffer_.resize(held + kReadBytes);
    const IoResult read = co_await file_.Read(buffer_.data() + held, kReadBytes, offset_);
    buffer_.resize(held + (read.ok() ? read.count() : 0));
    if (!read.ok()) {
      error_ = fmt::format("{} cannot be read: {}", name_, read.text());
      co_return Read::kError;
    }
    offset_ += read.count();
    at_end_ = read.count() == 0;
  }
}

Task<void> LineReader::Close() {
  if (!file_.valid()) co_return;
  const IoResult closed = co_await file_.Close();
  static_cast<void>(closed);
}

}  // namespace pakv
