// LineReader: the lines of a file or of stdin, as InputFile reads them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "cmd/pakvctl/client/input_file.h"
#include "runtime/core/core.h"
#include "runtime/task/stop.h"
#include "runtime/task/task.h"

namespace pakv {

class LineReader {
 public:
  enum class Read : uint8_t {
    kLine,
    kLong,  // the beginning of a line that is longer than line_bytes_max: More brings the rest
    kEnd,
    kError,
    kStopped,  // as the token wanted it
  };

  // Longer lines come bit by bit.
  LineReader(Core& core, size_t line_bytes_max, StopToken stop)
      : input_(core, stop), line_bytes_max_(line_bytes_max) {}
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  // An empty path: stdin. Returns what is wrong, or nothing. Once.
  Task<std::string> Open(std::string path) { return input_.Open(std::move(path)); }
  // The next line that is not blank. Suspends.
  Task<Read> Next();
  // After kLong: more of that line, kLong again or, with its end, kLine. Suspends.
  Task<Read> More();
  Task<void> Close() { return input_.Close(); }

  std::string_view line() const { return line_; }  // until the next Next, or More
  uint64_t number() const { return number_; }      // of that line, from 1
  const std::string& error() const { return error_; }
  const std::string& name() const { return input_.name(); }  // of the file, for messages
  uint64_t read_bytes() const { return input_.offset_bytes() - (buffer_.size() - begin_); }
  uint64_t total_bytes() const { return input_.total_bytes(); }  // 0: not known

 private:
  Task<Read> Fill();

  InputFile input_;
  const size_t line_bytes_max_;
  std::string buffer_;
  size_t begin_ = 0;     // of what was not returned yet
  size_t searched_ = 0;  // up to here there is no line end
  bool at_end_ = false;
  std::string_view line_;
  uint64_t number_ = 0;
  std::string error_;
};

}  // namespace pakv
