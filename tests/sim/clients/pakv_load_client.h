// PakvLoadClient: a connection of the load on a simulated server whose replies are the pakv
// protocol's. PakvCounterClient: one that counts by compare-and-set, and so proves that of several
// that found the same version one alone writes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "net/pakv/codec.h"
#include "tests/sim/clients/load_client.h"

namespace pakv {

class PakvLoadClient : public LoadClient {
 protected:
  using LoadClient::LoadClient;

  // Of a request; the frame's bytes are valid during the call. Never of hello.
  virtual void Replied(const PakvFrame& frame, const PakvFields& fields) = 0;
  // What has no reply by now was not taken (docs/protocol.md); the connection ends.
  virtual void NobodyHasRead() = 0;

  // Whether a reply that is neither ok nor one that a request provides for may be, and whether
  // what was asked for may have happened all the same.
  bool Explains(PakvStatus status) const;
  static bool IsUnknown(PakvStatus status) {
    return PakvCategoryOf(status) == PakvCategory::kUnknownOutcome;
  }
  uint64_t NextId() { return ++last_id_; }
  void Wrong(const std::string& what);

 private:
  void Greet() final;
  void TakeReplies(std::string_view& input) final;
  void TakeReply(const PakvFrame& frame);

  uint64_t hello_ = 0;
  uint64_t last_id_ = 0;
  PakvFrameReader reader_{PakvReads::kReplies, size_t{16} << 20};
};

// What all such clients of a scenario know, across the lives of its server.
struct PakvCounterState {
  uint64_t counted = 0;  // increments that were answered as done
  uint64_t begun = 0;    // that may have been
};

class PakvCounterClient final : public PakvLoadClient {
 public:
  // Connects and works: `count` requests or so. Then it is done, and counted in `load`.
  PakvCounterClient(RespLoad& load, PakvCounterState& state, uint64_t id, uint64_t seed,
                    uint32_t count);

 private:
  void Replied(const PakvFrame& frame, const PakvFields& fields) override;
  void NobodyHasRead() override;
  void StartMore() override;
  void Look();
  void Increment(uint64_t found, uint64_t version);
  void Incremented(const PakvFrame& frame, const PakvFields& fields);

  PakvCounterState& state_;
  uint64_t under_way_ = 0;  // the request's id, one at a time; 0: none
  bool writes_ = false;     // it is an increment
  uint64_t least_ = 0;      // that the counter is for sure
  uint64_t version_ = 0;    // that the increment is of; 0: of none
};

}  // namespace pakv
