// SimNode: one machine of a simulated world. Its disk survives its crashes; everything else of it
// is made anew by each start.
//
//   SimWorld world(seed);
//   SimNode node(world, "10.0.0.1");
//   node.disk().MakeDirectories("/data");
//   node.Start({.core_count = 2});
//   auto status = node.Run(OpenSomething(node.core(0), "/data"));  // in virtual time
//   node.CrashAfter(100, CrashKind::kPowerCut);                     // at the 100th operation
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/core/cores.h"
#include "runtime/task/task.h"
#include "tests/sim/disk/sim_disk.h"
#include "tests/sim/world/sim_clock.h"
#include "tests/sim/world/sim_ring.h"
#include "tests/sim/world/sim_world.h"

namespace pakv {

struct SimNodeOptions {
  uint32_t core_count = 1;
  SimRingOptions ring;
  CoreOptions core;
};

class SimNode {
 public:
  SimNode(SimWorld& world, std::string host, const SimDiskOptions& disk = {});
  SimNode(const SimNode&) = delete;
  SimNode& operator=(const SimNode&) = delete;
  // Stops what runs, as a killed process.
  ~SimNode();

  // Boots: cores without tasks. Not running before.
  void Start(const SimNodeOptions& options);
  bool running() const { return cores_ != nullptr; }
  // Between passes: the node's tasks and owned objects are destroyed, its disk keeps what `kind`
  // leaves. Nothing if it is not running.
  void Crash(CrashKind kind);
  // The same at the `submissions`-th operation from now on, wherever that is.
  void CrashAfter(uint64_t submissions, CrashKind kind);
  // Runs on; `image`, a fresh disk of another world, becomes what a crash at this moment would
  // leave.
  void CrashInto(SimDisk& image, CrashKind kind) const;
  // A regular end: everything was closed, `handles` that were not excepted.
  void Stop(size_t open_handles = 0);

  // What tasks use and outlives them, but not a crash: destroyed after the tasks, before the cores,
  // the youngest first.
  template <typename T>
  T& Own(std::unique_ptr<T> object) {
    T& reference = *object;
    owned_.push_back(std::shared_ptr<T>(std::move(object)));
    return reference;
  }

  Cores& cores() { return *cores_; }
  Core& core(uint32_t id) { return cores_->core(id); }
  SimDisk& disk() { return disk_; }
  SimClock& clock() { return clock_; }
  SimProcess& process() { return *process_; }
  const std::string& host() const { return host_; }

  // Gives `task` to the nursery of core `id`, from its loop: its next pass begins it.
  void Spawn(uint32_t id, Task<void> task);

  // Runs `task` on core 0 and steps the world until it has ended. nullopt, or false, if it has
  // not: the node crashed, or the world hangs.
  template <typename T>
  std::optional<T> Run(Task<T> task) {
    // A crash at the task's end destroys what it gave together with all else of the node.
    auto owned = std::make_shared<std::optional<T>>();
    std::optional<T>* result = owned.get();
    owned_.push_back(std::move(owned));
    Spawn(0, Keep(std::move(task), *result));
    core(0).ring().Wake();  // it began outside of a pass: what it left for a pass's end has one
    const bool ended = world_.RunUntil([&] { return !running() || result->has_value(); });
    if (!ended || !running()) return std::nullopt;
    return std::move(*result);
  }
  bool Run(Task<void> task) {
    std::optional<bool> result;
    Spawn(0, KeepVoid(std::move(task), result));
    core(0).ring().Wake();
    return world_.RunUntil([&] { return result.has_value() || !running(); }) && result.has_value();
  }

 private:
  friend class SimWorld;
  template <typename T>
  static Task<void> Keep(Task<T> task, std::optional<T>& result) {
    T value = co_await std::move(task);
    result.emplace(std::move(value));
  }
  static Task<void> KeepVoid(Task<void> task, std::optional<bool>& result) {
    co_await std::move(task);
    result = true;
  }
  struct Starter : Message {
    explicit Starter(Task<void> task_in);
    Task<void> task;
  };
  void TearDown();

  SimWorld& world_;
  const std::string host_;
  SimDisk disk_;
  SimClock clock_;
  std::unique_ptr<SimProcess> process_;
  std::unique_ptr<Cores> cores_;
  std::vector<SimRing*> rings_;          // by core
  std::vector<uint64_t> not_before_ns_;  // by core: the system runs something else
  std::vector<std::unique_ptr<Starter>> starters_;
  std::vector<std::shared_ptr<void>> owned_;
  CrashKind pending_crash_ = CrashKind::kProcessKill;
};

}  // namespace pakv
