#include "cmd/pakvctl/client/input_file.h"

#include <fcntl.h>
#include <unistd.h>

#include "cmd/common/values.h"
#include "runtime/base/check.h"

namespace pakv {

Task<std::string> InputFile::Open(std::string path) {
  PAKV_CHECK(!file_.valid());
  name_ = path.empty() ? "stdin" : Quoted(path);
  if (path.empty()) {
    const int copy = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) co_return "stdin is closed";
    file_ = File(core_.io(), core_.ring().Adopt(Handle{copy}));
    // Of a file it goes on where whoever had it before has stopped; a pipe has no place.
    const off_t place = lseek(STDIN_FILENO, 0, SEEK_CUR);
    if (place > 0) offset_bytes_ = static_cast<uint64_t>(place);
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

Task<IoResult> InputFile::Read(char* buffer, uint32_t bytes_max) {
  IoAwaiter reading = file_.Read(buffer, bytes_max, offset_bytes_);
  reading.WithStop(stop_);
  const IoResult read = co_await reading;
  if (read.ok()) offset_bytes_ += read.count();
  co_return read;
}

Task<void> InputFile::Close() {
  if (!file_.valid()) co_return;
  const IoResult closed = co_await file_.Close();
  static_cast<void>(closed);
}

}  // namespace pakv
