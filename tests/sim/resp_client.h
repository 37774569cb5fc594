// RespClient, and GarbageClient who speaks no protocol at all. RespClient: a client of a simulated
// server: one connection that keeps several commands under way and tells the oracle of each. Driven
// by what arrives; it has no task and no core.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/resp/reply_parser.h"
#include "runtime/base/prng.h"
#include "tests/sim/oracle.h"
#include "tests/sim/sim_world.h"

namespace pakv {

// What the clients of one life of the server share.
struct RespLoad {
  SimWorld& world;
  Oracle& oracle;
  std::string address;
  uint32_t key_count = 8;
  uint32_t database_count = 1;
  uint32_t pipeline_max = 4;
  uint32_t value_bytes_max = 64;
  uint32_t flush_per_10000 = 0;
  // Keys with an expiry: the times that they get are around this clock.
  std::function<uint64_t()> wall_ms;  // empty: none
  // Refusals and unknown outcomes may happen: the disk is not well.
  bool disk_is_ill = false;
  // So may refusals of new keys.
  bool memory_is_short = false;
  // So may large replies.
  bool replies_are_bounded = false;
  // Of connections, and of the time that a request may take to arrive: the server may say so.
  bool limits_are_small = false;
  // Longer values go to files.
  uint32_t inline_bytes_max = 1 << 20;

  uint64_t clients_done = 0;
  std::string wrong;  // what should not have been answered

  bool may_refuse() const {
    return disk_is_ill || memory_is_short || limits_are_small || replies_are_bounded;
  }
};

class RespClient {
 public:
  enum class Work : uint8_t { kRandom, kReadAll, kWriteAll };

  // Connects and works: `count` random commands, or one for each key. Then it is done.
  RespClient(RespLoad& load, uint64_t id, uint64_t seed, Work work, uint32_t count);
  RespClient(const RespClient&) = delete;
  RespClient& operator=(const RespClient&) = delete;
  // Lets go of its connection, if it has one.
  ~RespClient();

 private:
  struct Step {
    Oracle::OperationId id = 0;
    OracleOperation what;
  };
  // What one reply is for.
  struct Command {
    bool is_exec = false;
    std::vector<Step> steps;  // one as a rule, all of an EXEC, none if the oracle knows nothing
  };

  void Connected(int32_t error, SimNet::EndpointRef near_end);
  void Poke();
  void TakeReplies();
  void Replied(const RespValue& reply);
  void ExecReplied(const Command& command, const RespValue& reply);
  void StepReplied(const Step& step, const RespValue& reply, bool in_exec);
  void StartMore();
  void StartOne();
  bool AddStep(uint64_t number, Command& command);
  void StartTransaction(uint64_t number);
  void Select(uint64_t database);
  void SendPlain(const std::string& line);
  void SendRest();
  void End();
  void Rejected(const Command& first);
  OracleOperation RandomOperation();
  std::string RandomValue();
  int64_t RandomExpiry();

  RespLoad& load_;
  const uint64_t id_;
  Prng prng_;
  const Work work_;
  uint32_t left_;
  uint64_t next_value_ = 0;
  uint64_t database_ = 0;  // of the commands that are sent now
  // Nothing is sent behind an EXEC before it is answered: the oracle does not think of an operation
  // that is refused, as a whole EXEC may be, when its session's later ones have had their effect.
  bool in_exec_ = false;
  SimNet::EndpointRef end_;
  RespReplyParser parser_;
  std::string received_;
  std::string to_send_;
  std::deque<Command> under_way_;
  // An attempt to connect may outlive its client.
  std::shared_ptr<bool> lives_ = std::make_shared<bool>(true);
  bool poking_ = false;
  bool done_ = false;
};

// Sends what no client sends: bytes without meaning, or the beginning of a command that never ends.
// Others must not notice.
class GarbageClient {
 public:
  GarbageClient(SimNet& net, const std::string& address, uint64_t seed);
  GarbageClient(const GarbageClient&) = delete;
  GarbageClient& operator=(const GarbageClient&) = delete;
  ~GarbageClient();

 private:
  void Poke();

  SimNet& net_;
  std::string to_send_;
  SimNet::EndpointRef end_;
  std::shared_ptr<bool> lives_ = std::make_shared<bool>(true);
};

}  // namespace pakv
