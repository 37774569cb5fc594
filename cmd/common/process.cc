#include "cmd/common/process.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <initializer_list>
#include <new>

namespace pakv {
namespace {

const char* out_of_memory_text = "";
int out_of_memory_exit_code = 1;

// Nothing here needs memory, and no other thread is waited for: what is acknowledged is on disk.
[[noreturn]] void OutOfMemory() {
  const ssize_t written = write(STDERR_FILENO, out_of_memory_text, std::strlen(out_of_memory_text));
  static_cast<void>(written);  // nobody is left to be told
  _exit(out_of_memory_exit_code);
}

}  // namespace

void HoldStandardDescriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(descriptor, F_GETFD) >= 0 || errno != EBADF) continue;
    // The lowest free one is given: this. Opened the wrong way round, so that its use fails.
    const int opened = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    if (opened != descriptor && opened >= 0) close(opened);
  }
}

void ExitWhenOutOfMemory(const char* text, int exit_code) {
  out_of_memory_text = text;
  out_of_memory_exit_code = exit_code;
  std::set_new_handler(OutOfMemory);
}

}  // namespace pakv
