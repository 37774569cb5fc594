// What a test of the Ring boundary runs on: cores over the kernel's rings, with threads and real
// time, or over simulated ones. One run per harness.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "runtime/core/cores.h"
#include "runtime/task/task.h"

namespace pakv {

struct RingHarnessOptions {
  uint32_t core_count = 1;
  // Small where a test wants to run out of them; a power of two.
  uint32_t receive_buffer_count = 64;
  uint32_t receive_buffer_bytes = 4096;
  size_t blocking_pool_threads = 0;  // of kernel's rings; 0: the cores have no pool
  size_t blocking_pool_queue = 256;  // jobs that wait for one
  size_t monitor_pool_threads = 0;
};

class RingHarness {
 public:
  virtual ~RingHarness() = default;
  virtual Cores& cores() = 0;
  Core& core(uint32_t id) { return cores().core(id); }
  // An empty directory.
  virtual const std::string& directory() const = 0;
  // An address of a unix socket that nobody listens on.
  virtual std::string unix_address() const = 0;
  // Runs `task` on core 0 until it has ended. False if it cannot end.
  [[nodiscard]] virtual bool Run(Task<void> task) = 0;
};

enum class RingKind : uint8_t {
  kUring,
  kSimCalm,   // nothing goes wrong
  kSimRough,  // transfers are short, streams are cut, operations stall
};
// `seed` is the simulation's.
std::unique_ptr<RingHarness> MakeRingHarness(RingKind kind, uint64_t seed,
                                             const RingHarnessOptions& options);

}  // namespace pakv
