// The Ring contract: one suite over the kernel's ring and the simulated one, so that what is tested
// in simulation holds in the kernel. Its files: ring_files_test.cc, ring_sockets_test.cc,
// ring_core_test.cc.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "tests/runtime/io/ring_harness.h"

namespace pakv {

struct RingParam {
  const char* name;
  RingKind kind;
  uint64_t seed;
};
inline void PrintTo(const RingParam& param, std::ostream* stream) { *stream << param.name; }

class RingContractTest : public testing::TestWithParam<RingParam> {
 protected:
  // The harness of this test, made with other options than the defaults if called first.
  RingHarness& Make(const RingHarnessOptions& options = {}) {
    harness_ = MakeRingHarness(GetParam().kind, GetParam().seed, options);
    return *harness_;
  }

 private:
  std::unique_ptr<RingHarness> harness_;
};

inline auto RingParams() {
  return testing::Values(RingParam{"Uring", RingKind::kUring, 0},
                         RingParam{"SimCalm", RingKind::kSimCalm, 1},
                         RingParam{"SimRough1", RingKind::kSimRough, 2},
                         RingParam{"SimRough2", RingKind::kSimRough, 3},
                         RingParam{"SimRough3", RingKind::kSimRough, 4});
}
inline std::string RingParamName(const testing::TestParamInfo<RingParam>& info) {
  return info.param.name;
}

}  // namespace pakv
