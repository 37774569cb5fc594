#include "cmd/pakvd/service_manager.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstddef>
#include <string>

namespace pakv {
namespace {

// The socket that a manager listens on, with an abstract name or a path.
class Listening {
 public:
  explicit Listening(const std::string& name) : name_(name) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    name.copy(address.sun_path, sizeof(address.sun_path) - 1);
    if (name[0] == '@') address.sun_path[0] = '\0';
    descriptor_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const size_t bytes = offsetof(sockaddr_un, sun_path) + name.size();
    EXPECT_EQ(bind(descriptor_, reinterpret_cast<const sockaddr*>(&address),
                   static_cast<socklen_t>(bytes)),
              0)
        << name;
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

 private:
  const std::string name_;
  int descriptor_ = -1;
};

TEST(ServiceManagerTest, StateAndStatusAreLinesOfOneDatagram) {
  const std::string unique = "pakv-notify-" + std::to_string(getpid());
  for (const std::string& name : {"@" + unique, testing::TempDir() + unique}) {
    const Listening listening(name);
    const ServiceManager manager(name.c_str());
    manager.Tell("", "reading the data");
    manager.Tell("READY=1", "1 key\nMAINPID=1");
    EXPECT_EQ(listening.Take(), "STATUS=reading the data");
    EXPECT_EQ(listening.Take(), "READY=1\nSTATUS=1 key\\x0aMAINPID=1") << "no line is forged";
    EXPECT_EQ(listening.Take(), "");
  }
}

TEST(ServiceManagerTest, WhoDoesNotListenKeepsNobodyFromServing) {
  ServiceManager(nullptr).Tell("READY=1", "");
  ServiceManager("").Tell("READY=1", "");
  ServiceManager("/nowhere/notify").Tell("READY=1", "");
  ServiceManager("vsock:2:1").Tell("READY=1", "");
  ServiceManager(("/" + std::string(200, 'x')).c_str()).Tell("READY=1", "");
}

}  // namespace
}  // namespace pakv
