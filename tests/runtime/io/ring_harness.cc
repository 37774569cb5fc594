#include "tests/runtime/io/ring_harness.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <utility>
#include <vector>

#include "runtime/base/clock.h"
#include "runtime/core/blocking_pool.h"
#include "runtime/io/uring_ring.h"
#include "tests/sim/world/sim_node.h"

namespace pakv {
namespace {

class UringHarness final : public RingHarness {
 public:
  explicit UringHarness(const RingHarnessOptions& options) {
    // Below the working directory rather than in /tmp, which may be a file system without direct
    // I/O; relative, as the address of a unix socket holds 107 bytes.
    char name[] = "ring-test-XXXXXX";
    PAKV_CHECK(mkdtemp(name) != nullptr);
    directory_ = name;
    std::vector<std::unique_ptr<Ring>> rings;
    for (uint32_t i = 0; i < options.core_count; ++i) {
      std::string error;
      auto ring = UringRing::Create({.entries = 64,
                                     .registered_files = 16,
                                     .receive_buffer_count = options.receive_buffer_count,
                                     .receive_buffer_bytes = options.receive_buffer_bytes},
                                    error);
      PAKV_CHECK(ring != nullptr, error.c_str());
      rings.push_back(std::move(ring));
    }
    pool_ = MakePool(options.blocking_pool_threads, options.blocking_pool_queue);
    monitor_pool_ = MakePool(options.monitor_pool_threads, options.blocking_pool_queue);
    cores_ = std::make_unique<Cores>(
        SystemClock(), std::move(rings),
        CoreOptions{.blocking_pool = pool_.get(), .monitor_pool = monitor_pool_.get()});
  }
  ~UringHarness() override {
    // Its threads may still be waking a core that has their job's answer already.
    pool_.reset();
    monitor_pool_.reset();
    cores_.reset();
    std::filesystem::remove_all(directory_);
  }

  Cores& cores() override { return *cores_; }
  const std::string& directory() const override { return directory_; }
  std::string unix_address() const override { return "unix:" + directory_ + "/socket"; }

  bool Run(Task<void> task) override {
    core(0).nursery().Spawn(RunAndLeave(*cores_, std::move(task)));
    if (!cores_->Start()) return false;
    cores_->Join();
    return true;
  }

 private:
  static std::unique_ptr<BlockingPool> MakePool(size_t thread_count, size_t queue_count_max) {
    if (thread_count == 0) return nullptr;
    auto pool =
        BlockingPool::Create({.thread_count = thread_count, .queue_count_max = queue_count_max});
    PAKV_CHECK(pool != nullptr);
    return pool;
  }
  static Task<void> RunAndLeave(Cores& cores, Task<void> task) {
    co_await std::move(task);
    cores.RequestLeave();
  }

  std::string directory_;
  std::unique_ptr<BlockingPool> pool_;
  std::unique_ptr<BlockingPool> monitor_pool_;
  std::unique_ptr<Cores> cores_;
};

class SimHarness final : public RingHarness {
 public:
  SimHarness(bool rough, uint64_t seed, const RingHarnessOptions& options)
      : world_(seed), node_(world_, "127.0.0.1") {
    node_.disk().MakeDirectories(directory_.c_str());
    if (rough) {
      node_.disk().faults.short_transfer = 3000;
      node_.disk().faults.stall = 300;
      world_.net().faults.long_delay = 1000;
      world_.net().faults.cut = 7000;
    } else {
      world_.net().faults.cut = 0;
    }
    node_.Start({.core_count = options.core_count,
                 .ring = {.receive_buffer_count = options.receive_buffer_count,
                          .receive_buffer_bytes = options.receive_buffer_bytes}});
  }

  Cores& cores() override { return node_.cores(); }
  const std::string& directory() const override { return directory_; }
  std::string unix_address() const override { return "unix:/data/socket"; }

  bool Run(Task<void> task) override {
    if (!node_.Run(std::move(task))) {
      ADD_FAILURE() << world_.failure() << ", seed " << world_.seed();
      return false;
    }
    EXPECT_EQ(node_.process().open_handles(), 0u) << "handles were left open";
    return true;
  }

 private:
  const std::string directory_ = "/data/test";
  SimWorld world_;
  SimNode node_;
};

}  // namespace

std::unique_ptr<RingHarness> MakeRingHarness(RingKind kind, uint64_t seed,
                                             const RingHarnessOptions& options) {
  if (kind == RingKind::kUring) return std::make_unique<UringHarness>(options);
  return std::make_unique<SimHarness>(kind == RingKind::kSimRough, seed, options);
}

}  // namespace pakv
