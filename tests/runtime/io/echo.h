// An echo server, the smallest there can be on the runtime: at most 40 lines of code. Core 0
// accepts and hands the connections to the first cores in turn; what arrives is sent back.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "runtime/core/cores.h"
#include "runtime/io/receive_stream.h"
#include "runtime/io/socket.h"

namespace pakv {

class EchoServer {
 public:
  EchoServer(Cores& cores, uint32_t core_count) {
    for (uint32_t id = 0; id < core_count; ++id) {
      sessions_.push_back(std::make_unique<Nursery>(cores.core(id).ready()));
    }
  }

  // Runs on core 0 until `stop` is requested and all connections have ended.
  Task<void> Serve(Core& here, Socket& listener, StopToken stop) {
    for (size_t next = 0;; ++next) {
      std::string peer;
      IoResult accepted = co_await listener.Accept(peer).WithStop(stop);
      if (!accepted.ok()) break;
      const auto target = static_cast<uint32_t>(next % sessions_.size());
      co_await here.CallOn(target, [this, plain = Handle{accepted.value()}](Core& there) {
        sessions_[there.id()]->Spawn(Session(there, plain));
        return true;
      });
    }
    for (uint32_t id = 0; id < sessions_.size(); ++id) {
      co_await here.CallTaskOn(id, [this](Core& there) { return Join(*sessions_[there.id()]); });
    }
  }

 private:
  static Task<void> Session(Core& core, Handle plain) {
    Socket socket(core.io(), core.ring().Adopt(plain));
    ReceiveStream stream(core.io(), socket.handle());
    while (true) {
      const std::string received = co_await stream.Next();
      if (received.empty()) break;
      IoResult sent = co_await socket.SendAll(received);
      if (!sent.ok()) break;
    }
    co_await stream.Stop();
    static_cast<void>(co_await socket.Close());
  }
  static Task<bool> Join(Nursery& sessions) {
    co_await sessions.Join();
    co_return true;
  }

  std::vector<std::unique_ptr<Nursery>> sessions_;  // by core
};

}  // namespace pakv
