#include "tests/sim/world/sim_node.h"

#include "runtime/base/check.h"
#include "runtime/base/log.h"

namespace pakv {

SimNode::SimNode(SimWorld& world, std::string host, const SimDiskOptions& disk)
    : world_(world),
      host_(std::move(host)),
      disk_(disk, world.prng().Next()),
      clock_(world.agenda()) {
  world_.nodes_.push_back(this);
}

SimNode::~SimNode() {
  Crash(CrashKind::kProcessKill);
  std::erase(world_.nodes_, this);
}

void SimNode::Start(const SimNodeOptions& options) {
  PAKV_CHECK(!running());
  LogDebug("-- {} at {} ns: start with {} cores", host_, world_.now_ns(), options.core_count);
  process_ = std::make_unique<SimProcess>(world_.machine_, disk_, host_, world_.next_process_++,
                                          world_.prng().Next());
  std::vector<std::unique_ptr<Ring>> rings;
  for (uint32_t id = 0; id < options.core_count; ++id) {
    auto ring = process_->NewRing(options.ring);
    rings_.push_back(ring.get());
    rings.push_back(std::move(ring));
  }
  CoreOptions core_options = options.core;
  core_options.seed = world_.seed();
  cores_ = std::make_unique<Cores>(clock_, std::move(rings), core_options);
  not_before_ns_.assign(options.core_count, 0);
}

SimNode::Starter::Starter(Task<void> task_in)
    : Message([](Message& self, Core& here) {
        here.nursery().Spawn(std::move(static_cast<Starter&>(self).task));
      }),
      task(std::move(task_in)) {}

void SimNode::Spawn(uint32_t id, Task<void> task) {
  starters_.push_back(std::make_unique<Starter>(std::move(task)));
  core(id).Post(*starters_.back());
}

void SimNode::TearDown() {
  // Core 0 coordinates as a rule: what it has others do goes before it.
  for (uint32_t id = cores_->count(); id > 0; --id) core(id - 1).nursery().DestroyTasks();
  starters_.clear();
  while (!owned_.empty()) owned_.pop_back();
  cores_.reset();
  rings_.clear();
  process_.reset();
}

void SimNode::Crash(CrashKind kind) {
  if (!running()) return;
  LogDebug("-- {} at {} ns: {}", host_, world_.now_ns(),
           kind == CrashKind::kPowerCut ? "power cut" : "process kill");
  if (process_->interruptible()) ++world_.crash_points_;
  process_->Crash(kind);
  TearDown();
  disk_.Crash(kind);
}

void SimNode::CrashAfter(uint64_t submissions, CrashKind kind) {
  pending_crash_ = kind;
  process_->DieAfter(process_->submissions() + submissions);
}

void SimNode::CrashInto(SimDisk& image, CrashKind kind) const {
  PAKV_CHECK(running());
  process_->LeaveOn(image);
  image.Crash(kind);
}

void SimNode::Stop(size_t open_handles) {
  PAKV_CHECK(process_->open_handles() == open_handles, "handles were left open");
  TearDown();
}

}  // namespace pakv
