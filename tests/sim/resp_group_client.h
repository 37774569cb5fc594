// RespGroupClient: a client of a simulated server whose commands are on several keys as one. Its
// keys are in groups that nobody but such clients writes, always as a whole: whoever reads a group
// as one sees one generation of it, or nothing.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "net/resp/reply_parser.h"
#include "runtime/base/prng.h"
#include "tests/sim/resp_client.h"

namespace pakv {

class RespGroupClient {
 public:
  // Connects and works: `count` commands. Then it is done, and counted in `load`.
  RespGroupClient(RespLoad& load, uint64_t id, uint64_t seed, uint32_t count);
  RespGroupClient(const RespGroupClient&) = delete;
  RespGroupClient& operator=(const RespGroupClient&) = delete;
  // Lets go of its connection, if it has one.
  ~RespGroupClient();

 private:
  enum class What : uint8_t { kWriteAll, kWriteIfNone, kReadAll, kCount, kDeleteAll };

  void Connected(int32_t error, SimNet::EndpointRef near_end);
  void Poke();
  void TakeReplies();
  void Replied(What what, const RespValue& reply);
  void StartOne();
  void End();

  RespLoad& load_;
  const uint64_t id_;
  Prng prng_;
  uint32_t left_;
  uint64_t next_value_ = 0;
  SimNet::EndpointRef end_;
  RespReplyParser parser_;
  std::string received_;
  std::string to_send_;
  std::deque<What> under_way_;
  // An attempt to connect may outlive its client.
  std::shared_ptr<bool> lives_ = std::make_shared<bool>(true);
  bool poking_ = false;
  bool done_ = false;
};

}  // namespace pakv
