// RespGroupClient: a client of a simulated server whose commands are on several keys as one. Its
// keys are in groups that nobody but such clients writes, always as a whole: whoever reads a group
// as one sees one generation of it, or nothing.
#pragma once

#include <cstdint>
#include <deque>

#include "net/resp/wire/reply_parser.h"
#include "tests/sim/clients/load_client.h"

namespace pakv {

class RespGroupClient final : public RespLoadClient {
 public:
  // Connects and works: `count` commands. Then it is done, and counted in `load`.
  RespGroupClient(RespLoad& load, uint64_t id, uint64_t seed, uint32_t count);

 private:
  enum class What : uint8_t { kWriteAll, kWriteIfNone, kReadAll, kCount, kDeleteAll };

  void Replied(const RespValue& reply) override;
  void RepliedTo(What what, const RespValue& reply);
  void StartMore() override;
  void StartOne();

  uint64_t next_value_ = 0;
  std::deque<What> under_way_;
};

}  // namespace pakv
