// RandomOperations: what one client of the oracle's asks for on one key, by a PRNG. Each value that
// it makes is made once, so that whose write a read has seen is never in doubt.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "runtime/base/prng.h"
#include "tests/sim/oracle/oracle.h"

namespace pakv {

struct RandomOperationsOptions {
  std::function<uint64_t()> wall_ms;  // keys get times around this clock; empty: none
  uint32_t value_bytes_max = 64;
  uint32_t long_one_in = 8;          // so many values are as long as that, most have 64 at most
  size_t part_bytes_max = SIZE_MAX;  // of what is added to a value or written into it
  uint64_t places = 1;               // where it is written into it: below this
};

class RandomOperations {
 public:
  // `id`: no other client has it. Draws from `prng`, which has to outlive this.
  RandomOperations(Prng& prng, uint64_t id, RandomOperationsOptions options)
      : prng_(prng), id_(id), options_(std::move(options)) {}

  OracleOperation Next();
  // The same with all that RESP has beside it: conditions, answers, and reads of other kinds.
  OracleOperation NextOfResp();
  std::string Value();

 private:
  int64_t Expiry();
  void VarySet(OracleOperation& what);
  void VaryExpireAt(OracleOptions& options);
  OracleOperation Look(OracleOperation get);
  OracleOperation Sum();

  Prng& prng_;
  const uint64_t id_;
  const RandomOperationsOptions options_;
  uint64_t next_value_ = 0;
};

}  // namespace pakv
