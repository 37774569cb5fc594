// PakvClient: a client of a simulated server that speaks the pakv protocol: single requests and
// batches under way together, replies in any order, the oracle told of each. A batch's operations
// are operations of their own to the oracle: of one that was refused none has ever happened. Groups
// of keys are those of RespGroupClient: whoever looks at one in a batch sees one generation of it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/pakv/codec.h"
#include "runtime/base/prng.h"
#include "tests/sim/oracle.h"
#include "tests/sim/resp_client.h"

namespace pakv {

class PakvClient {
 public:
  // Connects and works: `count` requests. Then it is done, and counted in `load`.
  PakvClient(RespLoad& load, uint64_t id, uint64_t seed, uint32_t count);
  PakvClient(const PakvClient&) = delete;
  PakvClient& operator=(const PakvClient&) = delete;
  // Lets go of its connection, if it has one.
  ~PakvClient();

 private:
  // What was asked for on one of the oracle's keys.
  struct Part {
    Oracle::OperationId id = 0;
    std::string key;
    OracleOperation what;
  };
  struct Asked {
    PakvType type = PakvType::kNone;
    std::vector<Part> parts;  // of single requests one, of batches on the oracle's keys some
    bool reads_group = false;
  };

  void Connected(int32_t error, SimNet::EndpointRef near_end);
  void Poke();
  void TakeReplies();
  void Replied(const PakvFrame& frame);
  void BatchReplied(const Asked& asked, const PakvFrame& frame, const PakvFields& fields);
  void GroupRead(const PakvFields& fields);
  void Refused(const Asked& asked, PakvStatus status, std::string_view text);
  void NobodyHasRead();
  void StartMore();
  void StartOne();
  void StartOnKeys(uint64_t count);
  void StartOnGroup();
  OracleOperation RandomOperation();
  std::string RandomValue();
  void SendRest();
  void Wrong(std::string what);
  void End();

  RespLoad& load_;
  const uint64_t id_;
  Prng prng_;
  uint32_t left_;
  uint64_t next_value_ = 0;
  uint64_t next_id_ = 1;
  SimNet::EndpointRef end_;
  PakvFrameReader reader_{PakvReads::kReplies, size_t{16} << 20};
  std::string received_;
  OutputBuffer to_send_;
  size_t sent_bytes_ = 0;  // of to_send_
  std::map<uint64_t, Asked> under_way_;
  // An attempt to connect may outlive its client.
  std::shared_ptr<bool> lives_ = std::make_shared<bool>(true);
  bool poking_ = false;
  bool done_ = false;
};

}  // namespace pakv
