#include "cmd/pakvd/service_manager.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/base/clock.h"
#include "tests/sim/world/sim_node.h"
#include "tests/sim/world/sim_world.h"

namespace pakv {
namespace {

// The socket that a manager listens on, with an abstract name or a path.
class Listening {
 public:
  explicit Listening(const std::string& name) : name_(name) {
    address_.sun_family = AF_UNIX;
    name.copy(address_.sun_path, sizeof(address_.sun_path) - 1);
    if (name[0] == '@') address_.sun_path[0] = '\0';
    address_bytes_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    descriptor_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(bind(descriptor_, address(), address_bytes_), 0) << name;
  }
  Listening(const Listening&) = delete;
  Listening& operator=(const Listening&) = delete;
  ~Listening() {
    close(descriptor_);
    if (name_[0] == '/') unlink(name_.c_str());
  }
  // The next datagram; empty: none has come.
  std::string Take() const {
    char buffer[4096];
    const ssize_t bytes = recv(descriptor_, buffer, sizeof(buffer), MSG_DONTWAIT);
    return bytes < 0 ? std::string() : std::string(buffer, static_cast<size_t>(bytes));
  }
  // Others send "from others" until nobody can send any more. Returns how many came.
  size_t FillUp() const {
    size_t count = 0;
    // One sender may be full before the receiver is.
    for (size_t before = SIZE_MAX; before != count;) {
      before = count;
      const int sender = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
      constexpr std::string_view kText = "from others";
      while (sendto(sender, kText.data(), kText.size(), 0, address(), address_bytes_) > 0) ++count;
      EXPECT_EQ(errno, EAGAIN);
      close(sender);
    }
    return count;
  }

 private:
  const sockaddr* address() const { return reinterpret_cast<const sockaddr*>(&address_); }

  const std::string name_;
  sockaddr_un address_{};
  socklen_t address_bytes_ = 0;
  int descriptor_ = -1;
};

// A core in virtual time, on which the manager is told.
class ServiceManagerTest : public testing::Test {
 protected:
  ServiceManagerTest() { node_.Start({}); }

  Core& core() { return node_.core(0); }
  uint64_t now_ns() { return node_.clock().MonotonicNs(); }
  void Sleep(uint64_t ns) {
    const auto wait = [](Core& here, uint64_t until_ns) -> Task<void> {
      const bool slept = co_await here.timers().SleepUntil(until_ns);
      EXPECT_TRUE(slept);
    };
    EXPECT_TRUE(node_.Run(wait(core(), now_ns() + ns)));
  }

  SimWorld world_{1};
  SimNode node_{world_, "10.0.0.1"};
  const std::string unique_ = "pakv-notify-" + std::to_string(getpid());
};

TEST_F(ServiceManagerTest, StateAndStatusAreLinesOfOneDatagram) {
  for (const std::string& name : {"@" + unique_, testing::TempDir() + unique_}) {
    const Listening listening(name);
    ServiceManager manager(core(), name.c_str());
    manager.Tell("", "reading the data");
    manager.Tell("READY=1", "1 key\nMAINPID=1");
    EXPECT_EQ(listening.Take(), "STATUS=reading the data");
    EXPECT_EQ(listening.Take(), "READY=1\nSTATUS=1 key\\x0aMAINPID=1") << "no line is forged";
    EXPECT_EQ(listening.Take(), "");
  }
}

TEST_F(ServiceManagerTest, WhoDoesNotListenKeepsNobodyFromServing) {
  const std::string too_long = "/" + std::string(200, 'x');
  const char* const names[] = {nullptr, "", "/nowhere/notify", "vsock:2:1", too_long.c_str()};
  for (const char* const name : names) {
    ServiceManager manager(core(), name);
    manager.Tell("READY=1", "");
    EXPECT_EQ(core().next_deadline_ns(), kNever) << "it is not tried again";
  }
}

// systemd is busy, or stopped in a debugger: its queue is full.
TEST_F(ServiceManagerTest, WhatAFullSocketDoesNotTakeIsSentWhenItDoes) {
  const Listening listening("@" + unique_);
  const size_t others = listening.FillUp();
  ASSERT_GT(others, 0u);
  ServiceManager manager(core(), ("@" + unique_).c_str());
  manager.Tell("", "reading the data");
  manager.Tell("", "reading more of it");
  manager.Tell("READY=1", "serving");
  manager.Tell("STOPPING=1", "stopping");
  Sleep(60 * kNsPerSecond);
  for (size_t i = 0; i < others; ++i) ASSERT_EQ(listening.Take(), "from others") << i;
  EXPECT_EQ(listening.Take(), "") << "it was not waited for";
  Sleep(ServiceManager::kRetryNs);
  EXPECT_EQ(listening.Take(), "READY=1\nSTATUS=serving") << "the statuses before it are old";
  EXPECT_EQ(listening.Take(), "STOPPING=1\nSTATUS=stopping");
  EXPECT_EQ(listening.Take(), "");
  EXPECT_EQ(core().next_deadline_ns(), kNever) << "all is told";
}

TEST_F(ServiceManagerTest, ItMayEndWithoutHavingBeenHeard) {
  const Listening listening("@" + unique_);
  ASSERT_GT(listening.FillUp(), 0u);
  {
    ServiceManager manager(core(), ("@" + unique_).c_str());
    manager.Tell("READY=1", "serving");
    EXPECT_NE(core().next_deadline_ns(), kNever);
  }
  EXPECT_EQ(core().next_deadline_ns(), kNever);
}

}  // namespace
}  // namespace pakv
