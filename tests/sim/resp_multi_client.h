// RespMultiClient: a client of a simulated server that changes several keys by what it has read.
//
//   counter   WATCH, GET, MULTI, SET one more, EXEC: what is counted is what was answered as done
//   tokens    a value that RENAME and RENAMENX move between a few keys, long ones from file to
//             file: it is always in one of them, whole, and never in two
//
// Both outlive the server: what they have to be is known across its lives.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "net/resp/reply_parser.h"
#include "runtime/base/prng.h"
#include "tests/sim/resp_client.h"

namespace pakv {

// What all such clients of a scenario know.
struct RespMultiState {
  uint64_t counted = 0;  // increments that were answered as done
  uint64_t begun = 0;    // that may have been
  struct Token {
    std::string value;
    bool is_made = false;  // for sure
  };
  std::map<uint64_t, Token> tokens;  // by number
};

class RespMultiClient {
 public:
  // Connects and works: `count` commands or so, or looks at everything that there has to be
  // (`only_looks`). Then it is done, and counted in `load`.
  RespMultiClient(RespLoad& load, RespMultiState& state, uint64_t id, uint64_t seed, uint32_t count,
                  bool only_looks);
  RespMultiClient(const RespMultiClient&) = delete;
  RespMultiClient& operator=(const RespMultiClient&) = delete;
  // Lets go of its connection, if it has one.
  ~RespMultiClient();

 private:
  enum class What : uint8_t { kSimple, kRead, kExec, kMake, kMove, kCount, kGet, kGetAll };
  struct Command {
    What what = What::kSimple;
    uint64_t token = 0;
    uint64_t least = 0;  // that it may answer
  };

  void Connected(int32_t error, SimNet::EndpointRef near_end);
  void Poke();
  void TakeReplies();
  void Replied(const Command& command, const RespValue& reply);
  bool MayFail(std::string_view error) const;
  void CheckPlaces(const Command& command, uint64_t count);
  void StartMore();
  void StartOnToken(uint64_t token);
  void LookAtAll();
  void Increment(uint64_t before);
  void Send(Command command, std::string_view line);
  void SendToAll(What what, const std::string& command, uint64_t token);
  void End();

  RespLoad& load_;
  RespMultiState& state_;
  const uint64_t id_;
  Prng prng_;
  uint32_t left_;
  const bool only_looks_;
  bool has_made_ = false;
  bool increments_ = false;  // one is under way
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

}  // namespace pakv
