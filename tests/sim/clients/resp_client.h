// RespClient, and GarbageClient who speaks no protocol at all. RespClient: a client of a simulated
// server: one connection that keeps several commands under way and tells the oracle of each.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "net/resp/wire/reply_parser.h"
#include "tests/sim/clients/load_client.h"
#include "tests/sim/clients/random_operations.h"
#include "tests/sim/oracle/oracle.h"
#include "tests/sim/world/sim_net.h"

namespace pakv {

class RespClient final : public RespLoadClient {
 public:
  enum class Work : uint8_t { kRandom, kReadAll, kWriteAll };

  // Connects and works: `count` random commands, or one for each key. Then it is done.
  RespClient(RespLoad& load, uint64_t id, uint64_t seed, Work work, uint32_t count);

 private:
  struct Step {
    Oracle::OperationId id = 0;
    OracleOperation what;
    std::string name{};  // of the command that says it
  };
  // What one reply is for.
  struct Command {
    bool is_exec = false;
    std::vector<Step> steps;  // one as a rule, all of an EXEC, none if the oracle knows nothing
  };

  void Replied(const RespValue& reply) override;
  void ExecReplied(const Command& command, const RespValue& reply);
  void StepReplied(const Step& step, const RespValue& reply, bool in_exec);
  void StartMore() override;
  void StartOne();
  bool AddStep(uint64_t number, Command& command);
  std::string KeyOf(uint64_t number) const;
  void LimitForExec(OracleOperation& what) const;
  void StartTransaction(uint64_t number);
  void Select(uint64_t database);
  void SendPlain(const std::string& line);
  void Rejected(const Command& first);

  const Work work_;
  RandomOperations operations_;
  uint64_t database_ = 0;  // of the commands that are sent now
  // Nothing is sent behind an EXEC before it is answered: the oracle does not think of an operation
  // that is refused, as a whole EXEC may be, when its session's later ones have had their effect.
  bool in_exec_ = false;
  std::deque<Command> under_way_;
};

// Sends what no client sends: bytes without meaning, or the beginning of a command that never ends,
// maybe in the middle of a value that goes to a file. Others must not notice.
class GarbageClient {
 public:
  // `inline_bytes_max`: what is longer goes to a file.
  GarbageClient(SimNet& net, const std::string& address, uint64_t seed, uint32_t inline_bytes_max);
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
