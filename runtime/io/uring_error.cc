#include "runtime/io/uring_error.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace pakv {
namespace {

constexpr int kMajorMin = 6;
constexpr int kMinorMin = 1;
// More than the smallest ring that is tried takes, and no less than pakvd needs beside it.
constexpr size_t kMappedMin = size_t{1} << 20;

bool IsOld(const std::string& release) {
  int major = 0;
  int minor = 0;
  if (std::sscanf(release.c_str(), "%d.%d", &major, &minor) != 2) return false;
  return major < kMajorMin || (major == kMajorMin && minor < kMinorMin);
}

// A limit that a mapping of the ring has met is met by this one too.
bool LacksAddressSpace() {
  void* const mapped = mmap(nullptr, kMappedMin, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return true;
  munmap(mapped, kMappedMin);
  return false;
}

bool LimitsMemlock() {
  rlimit limit{};
  return getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

std::string NoMemory(const UringMachine& machine) {
  if (machine.lacks_address_space) {
    return "this process may map no memory for io_uring; raise the limit of its address space "
           "with: ulimit -v unlimited (with systemd: LimitAS=infinity)";
  }
  if (machine.limits_memlock) {
    return "not enough locked memory for io_uring; raise the limit with: ulimit -l unlimited "
           "(with systemd: LimitMEMLOCK=infinity)";
  }
  return "the system has no memory for io_uring: free some, give this container more, or start "
         "with fewer --cores";
}

std::string SandboxRemedy() {
  return "a seccomp filter, as in Docker's default profile; with Docker or Podman run the "
         "container with --security-opt seccomp=FILE, where FILE is the default profile with "
         "io_uring_setup, io_uring_enter and io_uring_register allowed; with systemd add "
         "@aio to SystemCallFilter=";
}

}  // namespace

UringMachine ThisMachine() {
  UringMachine machine;
  utsname system{};
  if (uname(&system) == 0) machine.kernel_release = system.release;
  if (FILE* file = std::fopen("/proc/sys/kernel/io_uring_disabled", "re")) {
    if (std::fscanf(file, "%d", &machine.io_uring_disabled) != 1) machine.io_uring_disabled = 0;
    std::fclose(file);
  }
  machine.lacks_address_space = LacksAddressSpace();
  machine.limits_memlock = LimitsMemlock();
  return machine;
}

std::string UringSetUpError(int error, const char* call, const UringMachine& machine) {
  const std::string kernel = "this kernel, Linux " + machine.kernel_release + ",";
  if (IsOld(machine.kernel_release)) {
    return kernel + " is too old for pakvd's use of io_uring: Linux 6.1 or newer is needed";
  }
  switch (error) {
    case EPERM:
    case EACCES:
      if (machine.io_uring_disabled != 0) {
        return "io_uring is switched off on this machine (kernel.io_uring_disabled = " +
               std::to_string(machine.io_uring_disabled) +
               "); allow it with: sysctl -w kernel.io_uring_disabled=0";
      }
      return std::string("this sandbox forbids ") + call + " (" + SandboxRemedy() + ")";
    case ENOSYS:
      return kernel + " was built without io_uring, or this sandbox hides " + call + " (" +
             SandboxRemedy() + ")";
    case EINVAL:
      return kernel + " refuses the io_uring features that pakvd needs (SINGLE_ISSUER, " +
             "DEFER_TASKRUN, buffer rings): Linux 6.1 or newer is needed";
    case ENOMEM:
      return NoMemory(machine);
    case EMFILE:
    case ENFILE:
      return "too few file descriptors for io_uring; raise the limit with: ulimit -n 65536 "
             "(with systemd: LimitNOFILE=65536)";
    default:
      return std::string("cannot set up io_uring: ") + call + ": " + std::strerror(error);
  }
}

}  // namespace pakv
