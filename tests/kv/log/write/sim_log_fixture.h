// Parts of the log on simulated cores that share a disk, without a store around them: tests say how
// much of the disk is free at each moment.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "kv/log/files/space_claims.h"
#include "kv/log/write/log_context.h"
#include "tests/kv/log/log_fixture.h"
#include "tests/sim/world/sim_node.h"

namespace pakv {

struct SimLogOptions {
  uint32_t core_count = 1;
  size_t buffer_bytes = 8 << 10;  // of a core's: of ordinary blocks
  uint32_t alignment = 4096;
  uint64_t segment_bytes = 64 << 10;
  uint64_t capacity_bytes = 8 << 20;
};

class SimLogFixture : public testing::Test {
 protected:
  // A machine with an empty disk, on it a directory and a MANIFEST without segments; nothing is
  // claimed of it.
  void NewNode(const SimLogOptions& options) {
    node_.reset();
    claims_ = std::make_unique<SpaceClaims>();
    node_ = std::make_unique<SimNode>(world_, "10.0.0.1",
                                      SimDiskOptions{.capacity_bytes = options.capacity_bytes,
                                                     .direct_alignment = options.alignment});
    node_->disk().MakeDirectories("/data");
    node_->Start({.core_count = options.core_count,
                  .core = {.buffer_count = 4, .buffer_bytes = options.buffer_bytes}});
    log_ = &node_->Own(
        std::make_unique<TestLog>(node_->core(0), "/data/store", ++run_, options.segment_bytes));
    const auto recovered = node_->Run(log_->Recover());
    ASSERT_TRUE(recovered && recovered->ok()) << world_.failure();
    context_ = ContextOf(*log_->directory, log_->recovered, options.segment_bytes);
    context_.claims = claims_.get();
  }
  uint64_t FreeBytes() {
    SpaceStat space;
    EXPECT_EQ(node_->disk().Space(space), 0);
    return space.free_bytes;
  }
  // Others take the rest of the disk.
  void LeaveFree(uint64_t bytes) {
    node_->disk().SetBallast(0);
    const uint64_t free_bytes = FreeBytes();
    ASSERT_LE(bytes, free_bytes);
    node_->disk().SetBallast(free_bytes - bytes);
  }

  SimWorld world_{1};
  LogContext context_;
  std::unique_ptr<SpaceClaims> claims_;
  std::unique_ptr<SimNode> node_;
  TestLog* log_ = nullptr;  // its directory and MANIFEST
  uint64_t run_ = 0;
};

}  // namespace pakv
