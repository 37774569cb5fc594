// A kernel or sandbox that cannot run pakvd is told by name, with what to do about it; a short
// memlock limit only degrades. Real seccomp filters and limits, each in a process of its own.
#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/core/cores.h"
#include "runtime/io/file.h"
#include "runtime/io/uring_error.h"
#include "runtime/io/uring_ring.h"

namespace pakv {
namespace {

// Runs `function` in a child process and returns what it returned, with what it wrote to stderr.
struct ChildResult {
  std::string answer;
  std::string log;
};
std::string ReadAll(int descriptor) {
  std::string text;
  std::array<char, 4096> buffer{};
  while (true) {
    const ssize_t count = read(descriptor, buffer.data(), buffer.size());
    if (count <= 0) break;
    text.append(buffer.data(), static_cast<size_t>(count));
  }
  close(descriptor);
  return text;
}
ChildResult InChild(const std::function<std::string()>& function) {
  std::array<int, 2> answer{};
  std::array<int, 2> log{};
  PAKV_CHECK(pipe(answer.data()) == 0 && pipe(log.data()) == 0);
  const pid_t child = fork();
  PAKV_CHECK(child >= 0);
  if (child == 0) {
    dup2(log[1], STDERR_FILENO);
    const std::string text = function();
    const bool whole =
        write(answer[1], text.data(), text.size()) == static_cast<ssize_t>(text.size());
    _exit(whole ? 0 : 1);
  }
  close(answer[1]);
  close(log[1]);
  ChildResult result{.answer = ReadAll(answer[0]), .log = ReadAll(log[0])};
  int status = 0;
  PAKV_CHECK(waitpid(child, &status, 0) == child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << result.log;
  return result;
}

// From here on `call` fails with `error` in this process, as in a container.
void Forbid(long call, int error) {
  std::array<sock_filter, 4> program = {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(call), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<uint32_t>(error)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog filter{.len = program.size(), .filter = program.data()};
  PAKV_CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  PAKV_CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0, "no seccomp here");
}

std::string CreateError() {
  std::string error;
  return UringRing::Create({}, error) == nullptr ? error : "it works";
}

constexpr char kSandboxRemedy[] =
    "a seccomp filter, as in Docker's default profile; with Docker or Podman run the container "
    "with --security-opt seccomp=FILE, where FILE is the default profile with io_uring_setup, "
    "io_uring_enter and io_uring_register allowed; with systemd add @aio to SystemCallFilter=";

TEST(StartUpTest, HereItWorks) { EXPECT_EQ(InChild(CreateError).answer, "it works"); }

TEST(StartUpTest, ASandboxThatForbidsSetUpIsNamedWithItsRemedy) {
  const ChildResult result = InChild([] {
    Forbid(SYS_io_uring_setup, EPERM);
    return CreateError();
  });
  EXPECT_EQ(result.answer,
            std::string("this sandbox forbids io_uring_setup (") + kSandboxRemedy + ")");
}

TEST(StartUpTest, ASandboxThatHidesSetUpIsNamedWithItsRemedy) {
  const ChildResult result = InChild([] {
    Forbid(SYS_io_uring_setup, ENOSYS);
    return CreateError();
  });
  EXPECT_EQ(result.answer, "this kernel, Linux " + ThisMachine().kernel_release +
                               ", was built without io_uring, or this sandbox hides "
                               "io_uring_setup (" +
                               kSandboxRemedy + ")");
}

TEST(StartUpTest, ASandboxThatForbidsTheOtherCallsIsNamedToo) {
  const ChildResult registering = InChild([] {
    Forbid(SYS_io_uring_register, EPERM);
    return CreateError();
  });
  EXPECT_EQ(registering.answer,
            std::string("this sandbox forbids io_uring_register (") + kSandboxRemedy + ")");
  const ChildResult entering = InChild([] {
    Forbid(SYS_io_uring_enter, EPERM);
    return CreateError();
  });
  EXPECT_EQ(entering.answer,
            std::string("this sandbox forbids io_uring_enter (") + kSandboxRemedy + ")");
}

TEST(StartUpTest, TheSwitchedOffMachineIsNamedWithItsRemedy) {
  EXPECT_EQ(UringSetUpError(EPERM, "io_uring_setup",
                            {.kernel_release = "6.8.0-generic", .io_uring_disabled = 2}),
            "io_uring is switched off on this machine (kernel.io_uring_disabled = 2); allow it "
            "with: sysctl -w kernel.io_uring_disabled=0");
}

TEST(StartUpTest, AnOldKernelIsNamedWhateverItsErrorIs) {
  for (const char* release : {"5.10.0-30-amd64", "6.0.12", "4.19"}) {
    for (const int error : {EINVAL, ENOSYS, EPERM}) {
      EXPECT_EQ(UringSetUpError(error, "io_uring_setup", {.kernel_release = release}),
                std::string("this kernel, Linux ") + release +
                    ", is too old for pakvd's use of io_uring: Linux 6.1 or newer is needed");
    }
  }
  EXPECT_EQ(UringSetUpError(EINVAL, "io_uring_setup", {.kernel_release = "6.1.0"}),
            "this kernel, Linux 6.1.0, refuses the io_uring features that pakvd needs "
            "(SINGLE_ISSUER, DEFER_TASKRUN, buffer rings): Linux 6.1 or newer is needed");
}

constexpr char kAddressSpaceRemedy[] =
    "this process may map no memory for io_uring; raise the limit of its address space with: "
    "ulimit -v unlimited (with systemd: LimitAS=infinity)";

TEST(StartUpTest, WhateverMemoryIsMissingIsNamedWithItsRemedy) {
  EXPECT_EQ(UringSetUpError(ENOMEM, "io_uring_setup", {.kernel_release = "6.1.0"}),
            "not enough locked memory for io_uring; raise the limit with: ulimit -l unlimited "
            "(with systemd: LimitMEMLOCK=infinity)");
  EXPECT_EQ(UringSetUpError(ENOMEM, "io_uring_setup",
                            {.kernel_release = "6.1.0", .lacks_address_space = true}),
            kAddressSpaceRemedy);
  EXPECT_EQ(UringSetUpError(ENOMEM, "io_uring_setup",
                            {.kernel_release = "6.1.0", .limits_memlock = false}),
            "the system has no memory for io_uring: free some, give this container more, or start "
            "with fewer --cores");
}

TEST(StartUpTest, AShortAddressSpaceIsNotTakenForLockedMemory) {
  const ChildResult result = InChild([]() -> std::string {
    // What is mapped by now, in pages: proc_pid_statm(5).
    size_t pages = 0;
    FILE* const file = std::fopen("/proc/self/statm", "re");
    PAKV_CHECK(file != nullptr && std::fscanf(file, "%zu", &pages) == 1);
    std::fclose(file);
    const rlim_t bytes = pages * static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const rlimit limit{.rlim_cur = bytes, .rlim_max = bytes};
    PAKV_CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    return CreateError();
  });
  EXPECT_EQ(result.answer, kAddressSpaceRemedy);
}

TEST(StartUpTest, LimitsAreNamedWithTheirRemedy) {
  const ChildResult result = InChild([] {
    const rlimit limit{.rlim_cur = 0, .rlim_max = 0};
    PAKV_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    return CreateError();
  });
  EXPECT_EQ(result.answer,
            "too few file descriptors for io_uring; raise the limit with: ulimit -n 65536 "
            "(with systemd: LimitNOFILE=65536)");
}

// ---- A short memlock limit. -------------------------------------------------------------------

// The limit counts what a user has locked in all processes, and does not bind who has
// CAP_IPC_LOCK. So: a user of our own for each process, since what an ended one had locked is given
// back a moment later. Nothing for who is a plain user already. A container may have users up to
// 65535 alone.
void BecomeNobody(const std::string& directory) {
  if (geteuid() != 0) return;
  const auto user = static_cast<uid_t>(20'000 + getpid() % 40'000);
  PAKV_CHECK(chown(directory.c_str(), user, user) == 0);
  PAKV_CHECK(setgroups(0, nullptr) == 0);
  PAKV_CHECK(setresgid(user, user, user) == 0);
  PAKV_CHECK(setresuid(user, user, user) == 0);
}

Task<void> WriteDirectly(Core& core, std::string path, std::string& answer) {
  AlignedBuffer buffer = core.buffers().Take(kDirectAlignment);
  answer += "index " + std::to_string(buffer.index());
  IoResult opened = co_await File::Open(core.io(), path.c_str(), O_RDWR | O_CREAT | O_DIRECT);
  if (!opened.ok()) answer += ", open: " + opened.text();
  File file(core.io(), Handle{opened.value()});
  for (size_t i = 0; i < buffer.size(); ++i) buffer.data()[i] = static_cast<uint8_t>(i % 251);
  IoResult written =
      co_await file.Write(buffer.data(), kDirectAlignment, 0, /*sync=*/true, buffer.index());
  answer += ", wrote " + std::to_string(written.value());
  IoResult closed = co_await file.Close();
  if (!closed.ok()) answer += ", close: " + closed.text();
  core.Leave();
}

constexpr size_t kBufferBytes = 256 << 10;  // of four
constexpr size_t kAmpleBytes = 4 << 20;

size_t MemlockLimit() {
  rlimit limit{};
  PAKV_CHECK(getrlimit(RLIMIT_MEMLOCK, &limit) == 0);
  return limit.rlim_max;
}

std::string WriteUnderMemlock(const std::string& directory, size_t bytes) {
  BecomeNobody(directory);
  const rlimit limit{.rlim_cur = bytes, .rlim_max = bytes};
  PAKV_CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
  std::string error;
  std::unique_ptr<UringRing> ring = UringRing::Create({}, error);
  if (ring == nullptr) return error;
  std::string answer = ring->degraded() ? "degraded, " : "whole, ";
  std::vector<std::unique_ptr<Ring>> rings;
  rings.push_back(std::move(ring));
  Cores cores(SystemClock(), std::move(rings), {.buffer_count = 4, .buffer_bytes = kBufferBytes});
  cores.core(0).nursery().Spawn(WriteDirectly(cores.core(0), directory + "/file", answer));
  if (!cores.Start()) return "no thread";
  cores.Join();
  return answer;
}

ChildResult WriteInChildUnderMemlock(size_t bytes) {
  // Where this user may write and direct I/O works; /tmp may be a tmpfs.
  char directory[] = "/var/tmp/pakv-memlock-test-XXXXXX";
  PAKV_CHECK(mkdtemp(directory) != nullptr);
  ChildResult result = InChild([&] { return WriteUnderMemlock(directory, bytes); });
  std::filesystem::remove_all(directory);
  return result;
}

constexpr char kMemlockWarning[] =
    "the memlock limit is too low to register the buffers for direct I/O; writes cost more CPU; "
    "raise it with: ulimit -l unlimited (with systemd: LimitMEMLOCK=infinity)";

TEST(StartUpTest, AShortMemlockLimitCostsTheRegisteredBuffersAndWarns) {
  const ChildResult result = WriteInChildUnderMemlock(512 << 10);
  EXPECT_THAT(result.answer, testing::EndsWith("index -1, wrote 4096"));
  EXPECT_THAT(result.log, testing::HasSubstr("warn"));
  EXPECT_THAT(result.log, testing::HasSubstr(kMemlockWarning));
}

TEST(StartUpTest, TheSmallestMemlockLimitStillServes) {
  // What many containers and Linux before 5.16 give. Newer kernels count the queues, too.
  const ChildResult result = WriteInChildUnderMemlock(64 << 10);
  EXPECT_THAT(result.answer, testing::EndsWith("index -1, wrote 4096"));
  EXPECT_THAT(result.log, testing::HasSubstr(kMemlockWarning));
}

TEST(StartUpTest, AnAmpleMemlockLimitCostsNothing) {
  if (MemlockLimit() < kAmpleBytes) GTEST_SKIP() << "this machine's limit is short";
  const ChildResult result = WriteInChildUnderMemlock(kAmpleBytes);
  EXPECT_EQ(result.answer, "whole, index 0, wrote 4096");
  EXPECT_THAT(result.log, testing::Not(testing::HasSubstr("memlock")));
}

TEST(StartUpTest, SixtyFourOpenFilesAreEnough) {
  const ChildResult result = InChild([] {
    const rlimit limit{.rlim_cur = 64, .rlim_max = 64};
    PAKV_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    return CreateError();
  });
  EXPECT_EQ(result.answer, "it works");
}

}  // namespace
}  // namespace pakv
