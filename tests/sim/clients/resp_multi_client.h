// RespMultiClient: a client of a simulated server that changes several keys by what it has read.
//
//   counter   WATCH, GET, MULTI, SET one more, EXEC: what is counted is what was answered as done
//   tokens    a value that RENAME and RENAMENX move between a few keys, long ones from file to
//             file: it is always in one of them, whole, and never in two. It is set anew where it
//             is, too: what was answered is what moves from then on
//   own keys  an EXEC in a database that nobody else uses, and on a key of one that all of them
//             share: its first replies tell what is there, so that each later one is known exactly,
//             of what looks at all keys, and of RENAME, RENAMENX, COPY and MOVE with their values
//
// The first two outlive the server: what they have to be is known across its lives.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "net/resp/wire/reply_parser.h"
#include "tests/sim/clients/load_client.h"

namespace pakv {

// What all such clients of a scenario know.
struct RespMultiState {
  uint64_t counted = 0;  // increments that were answered as done
  uint64_t begun = 0;    // that may have been
  // Its value has versions, from 1 on.
  struct Token {
    uint64_t begun = 0;        // the newest that it may have
    uint64_t settled = 0;      // the oldest; 0: it may not be there
    bool is_changing = false;  // a newer one was sent, and what became of it is not known
  };
  std::map<uint64_t, Token> tokens;  // by number
  uint64_t clients = 0;              // that there were

  // What was under way is done, or will never be.
  void ServerEnded() {
    for (auto& [number, token] : tokens) token.is_changing = false;
  }
};

class RespMultiClient final : public RespLoadClient {
 public:
  // Connects and works: `count` commands or so, or looks at everything that there has to be
  // (`only_looks`). Then it is done, and counted in `load`.
  RespMultiClient(RespLoad& load, RespMultiState& state, uint64_t id, uint64_t seed, uint32_t count,
                  bool only_looks);

 private:
  enum class What : uint8_t {
    kSimple,
    kRead,
    kExec,
    kSet,
    kMove,
    kCount,
    kGet,
    kGetCopy,
    kGetAll,
    kOwnKeys,
  };
  struct Command {
    What what = What::kSimple;
    uint64_t token = 0;
    uint64_t least = 0;   // that it may answer: a count, or a version
    std::string looks{};  // kOwnKeys: what the EXEC does, a letter each
    std::string value{};  // that it sets
  };

  void Greet() override;
  void Replied(const RespValue& reply) override;
  void RepliedTo(const Command& command, const RespValue& reply);
  void SetReplied(const Command& command, const RespValue& reply);
  void CheckLooks(const std::vector<RespValue>& replies);
  void CheckOwnKeys(const Command& command, const std::vector<RespValue>& replies);
  bool IsVersion(const Command& command, const std::string& value);
  void CheckPlaces(const Command& command, uint64_t count);
  void StartMore() override;
  void StartOne();
  void StartOnToken(uint64_t token);
  void SetToken(uint64_t token);
  void LookAtAll();
  void LookAtOwnKeys();
  std::vector<std::string> LinesOf(char look, const std::string& value) const;
  std::string ValueOf(uint64_t token, uint64_t version) const;
  void Increment(uint64_t before);
  void Send(Command command, std::string_view line);
  void SendToAll(What what, const std::string& command, uint64_t token);

  RespMultiState& state_;
  const bool only_looks_;
  const uint64_t own_database_;
  uint64_t next_value_ = 0;
  bool increments_ = false;  // one is under way
  std::deque<Command> under_way_;
};

}  // namespace pakv
