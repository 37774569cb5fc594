// PakvClient: a client of a simulated server that speaks the pakv protocol: single requests, values
// in pieces and batches under way together, replies in any order, the oracle told of each. A
// batch's operations are operations of their own to the oracle: of one that was refused none has
// ever happened. Groups of keys are those of RespGroupClient: whoever looks at one in a batch sees
// one generation of it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/pakv/codec.h"
#include "tests/sim/clients/pakv_load_client.h"
#include "tests/sim/oracle/oracle.h"

namespace pakv {

class PakvClient final : public PakvLoadClient {
 public:
  // Connects and works: `count` requests. Then it is done, and counted in `load`.
  PakvClient(RespLoad& load, uint64_t id, uint64_t seed, uint32_t count);

 private:
  // What was asked for on one of the oracle's keys.
  struct Part {
    Oracle::OperationId id = 0;
    std::string key;
    std::string name;  // as the oracle knows the key
    OracleOperation what;
  };
  struct Asked {
    PakvType type = PakvType::kNone;
    std::vector<Part> parts;  // of single requests one, of batches on the oracle's keys some
    bool reads_group = false;
    std::string value;         // of a get: what has come in parts
    uint64_t total_bytes = 0;  // of these and what is to come
  };
  // A set whose value goes in pieces, with other requests between them.
  struct Upload {
    uint64_t id = 0;
    uint64_t database = 0;
    Part part;
    size_t sent_bytes = 0;
    uint64_t total_bytes = 0;  // as it says; 0: it does not
    bool refused = false;      // and answered
    bool ended = false;        // all is sent, and the refusal is to come
  };

  void Replied(const PakvFrame& frame, const PakvFields& fields) override;
  void PartCame(Asked& asked, const PakvFields& fields);
  void BatchReplied(const Asked& asked, const PakvFrame& frame, const PakvFields& fields);
  void GroupRead(const PakvFields& fields);
  void Refused(const Asked& asked, PakvStatus status, std::string_view text);
  void NobodyHasRead() override;
  void StartMore() override;
  void StartOne();
  void StartOnKeys(uint64_t count);
  void StartOnGroup();
  OracleOperation RandomOperation(bool may_be_long);
  // That a reply is to come for, whatever else is sent.
  size_t awaited() const {
    return under_way_.size() - (upload_ && !upload_->refused && !upload_->ended ? 1 : 0);
  }
  bool is_uploading() const { return upload_ && !upload_->ended; }
  void BeginUpload(uint64_t database, Part part);
  void SendPiece();
  std::string RandomValue(bool may_be_long);

  uint64_t next_value_ = 0;
  std::map<uint64_t, Asked> under_way_;
  std::optional<Upload> upload_;
};

}  // namespace pakv
