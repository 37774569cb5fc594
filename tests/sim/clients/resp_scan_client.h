// RespScanClient: a client of a simulated server that walks through a database, by SCAN and KEYS,
// while it and others write there, the index grows and shrinks, and its records are moved. Its own
// keys are nobody else's, so that it knows of each: a walk finds those that were there all the
// while, and none that was gone before it began.
#pragma once

#include <cstdint>
#include <deque>
#include <set>
#include <string>

#include "net/resp/wire/reply_parser.h"
#include "tests/sim/clients/load_client.h"

namespace pakv {

class RespScanClient final : public RespLoadClient {
 public:
  // Connects and works: `count` commands or so. Then it is done, and counted in `load`.
  RespScanClient(RespLoad& load, uint64_t id, uint64_t seed, uint32_t count);

 private:
  enum class What : uint8_t { kSet, kDelete, kScan, kKeys };
  struct Command {
    What what = What::kScan;
    std::string key{};
  };

  void Replied(const RespValue& reply) override;
  void WriteReplied(const Command& command, const RespValue& reply);
  void ScanReplied(const RespValue& reply);
  void StartMore() override;
  void StartOne();
  void Set();
  void Delete();
  void BeginWalk();
  void Scan();
  void EndWalk();
  void Found(const RespValue& keys);
  void Send(What what, const std::vector<std::string>& words, std::string key = {});
  void Wrong(const std::string& what);

  const std::string prefix_;  // of its keys
  uint64_t next_key_ = 0;
  std::set<std::string> there_;  // for sure
  std::set<std::string> gone_;   // for sure, and they were there
  // The walk, if one is under way: what it has to find and has found, what it may not find, and
  // where it is.
  bool walks_ = false;
  bool by_pattern_ = false;
  std::set<std::string> to_find_;
  std::set<std::string> to_miss_;
  std::string cursor_;
  std::deque<Command> under_way_;
};

}  // namespace pakv
