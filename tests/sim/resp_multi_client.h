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
#include <string>
#include <string_view>
#include <vector>

#include "net/resp/wire/reply_parser.h"
#include "tests/sim/load_client.h"

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

class RespMultiClient final : public RespLoadClient {
 public:
  // Connects and works: `count` commands or so, or looks at everything that there has to be
  // (`only_looks`). Then it is done, and counted in `load`.
  RespMultiClient(RespLoad& load, RespMultiState& state, uint64_t id, uint64_t seed, uint32_t count,
                  bool only_looks);

 private:
  enum class What : uint8_t { kSimple, kRead, kExec, kMake, kMove, kCount, kGet, kGetAll };
  struct Command {
    What what = What::kSimple;
    uint64_t token = 0;
    uint64_t least = 0;  // that it may answer
  };

  void Greet() override;
  void Replied(const RespValue& reply) override;
  void RepliedTo(const Command& command, const RespValue& reply);
  bool MayFail(std::string_view error) const;
  void CheckLooks(const std::vector<RespValue>& replies);
  void CheckPlaces(const Command& command, uint64_t count);
  void StartMore() override;
  void StartOne();
  void StartOnToken(uint64_t token);
  void LookAtAll();
  void Increment(uint64_t before);
  void Send(Command command, std::string_view line);
  void SendToAll(What what, const std::string& command, uint64_t token);

  RespMultiState& state_;
  const bool only_looks_;
  bool has_made_ = false;
  bool increments_ = false;  // one is under way
  std::deque<Command> under_way_;
};

}  // namespace pakv
