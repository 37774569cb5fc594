// SimRing: the Ring of a simulated core. What is submitted becomes events in virtual time over the
// node's SimDisk and the world's SimNet; code above cannot tell it from the kernel's.
//
// A write lands in the drive's cache at one moment and completes at a later one, a sync write's
// flush lies in between: a crash at any time finds operations in every state. Rings of one process
// share its handles, as threads share descriptors.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/base/prng.h"
#include "runtime/io/ring.h"
#include "tests/sim/disk/sim_disk.h"
#include "tests/sim/world/sim_clock.h"
#include "tests/sim/world/sim_net.h"

namespace pakv {

struct SimRingOptions {
  uint32_t receive_buffer_count = 64;
  uint32_t receive_buffer_bytes = 4096;
  // Operations that one pass can hand over; further ones wait, in their order, for the next.
  uint32_t submissions_max = UINT32_MAX;
};

// Folds what happens in a world into one number: two runs of a seed give the same.
class SimTrace {
 public:
  void Add(uint64_t value) {
    digest_ = (digest_ ^ value) * 0x100000001b3;
    digest_ ^= digest_ >> 29;
  }
  uint64_t digest() const { return digest_; }

 private:
  uint64_t digest_ = 0xcbf29ce484222325;
};

// What the rings of a world share.
struct SimMachine {
  SimAgenda& agenda;
  SimNet& net;
  SimTrace& trace;
};

class SimRing;

// One run of one program on one node: its handles and rings, from start to exit or crash.
class SimProcess {
 public:
  SimProcess(const SimMachine& machine, SimDisk& disk, std::string host, SimAgenda::Owner id,
             uint64_t seed);
  SimProcess(const SimProcess&) = delete;
  SimProcess& operator=(const SimProcess&) = delete;
  // Crash was called, or the process has ended by itself and its rings are gone.
  ~SimProcess();

  std::unique_ptr<SimRing> NewRing(const SimRingOptions& options);

  // From the count-th submission on nothing happens any more, as if the process had died there;
  // whoever steps the world then calls Crash.
  void DieAfter(uint64_t submissions) { submissions_left_ = submissions; }
  bool dying() const { return dying_; }
  // Everything stops: operations in flight are forgotten (writes among them reach the disk in any
  // part), their awaiters may be destroyed. The disk's own Crash is the caller's.
  void Crash(CrashKind kind);
  // What Crash would leave on the disk, on a copy of it: `image`, which is fresh. Open files that
  // have no name any more are not in it, as no recovery sees them.
  void LeaveOn(SimDisk& image) const;
  // Changes with each step of each operation that changes the disk: between two that differ, a
  // crash finds something else.
  uint64_t disk_steps() const { return disk_steps_; }
  // Operations are under way, which a crash would interrupt.
  bool interruptible() const;
  // Handles that were not closed: what a leak is told by.
  size_t open_handles() const { return files_.size() + sockets_.size() + listeners_.size(); }
  uint64_t submissions() const { return submissions_; }
  // What a pass of a core may have had to copy at once: the most that one operation received, and
  // was asked to send.
  uint32_t received_at_once_max() const { return received_at_once_max_; }
  uint32_t sent_at_once_max() const { return sent_at_once_max_; }

 private:
  friend class SimRing;
  struct File {
    SimDisk::InodeRef inode;
    bool direct = false;
    uint64_t lock_owner = 0;
  };
  struct Socket {
    SimNet::EndpointRef endpoint;
    SimRing* adopted_by = nullptr;  // nullptr: a plain handle
    SimRing* receiving_ring = nullptr;
    Receiver* receiver = nullptr;
    SimRing* sending_ring = nullptr;
    Operation* send = nullptr;
    SimRing* waiting_ring = nullptr;
    Operation* readable = nullptr;
    bool closing = false;
  };
  struct Listening {
    SimNet::ListenerRef listener;
    SimRing* ring = nullptr;
    Operation* accept = nullptr;
  };

  Handle NewHandle() { return Handle{next_handle_++}; }
  Handle AddSocket(SimNet::EndpointRef endpoint);
  File& FileOf(Handle handle);
  bool IsOpen(const SimDisk::Inode& inode) const;
  void CloseIfDone(Handle handle);
  void SocketChanged(Handle handle);
  void TryReceive(Handle handle, Socket& socket);
  void TrySend(Socket& socket);
  static void TryReadable(Socket& socket);
  void ListenerChanged(Handle handle);

  SimMachine machine_;
  SimDisk& disk_;
  const std::string host_;
  const SimAgenda::Owner id_;
  Prng prng_;
  std::vector<SimRing*> rings_;
  int32_t next_handle_ = 3;
  std::map<Handle, File> files_;
  std::map<Handle, Socket> sockets_;
  std::map<Handle, Listening> listeners_;
  uint64_t submissions_ = 0;
  uint64_t submissions_left_ = UINT64_MAX;
  uint64_t disk_steps_ = 0;
  uint32_t received_at_once_max_ = 0;
  uint32_t sent_at_once_max_ = 0;
  bool dying_ = false;
  bool crashed_ = false;
};

class SimRing final : public Ring {
 public:
  SimRing(SimProcess& process, const SimRingOptions& options);
  ~SimRing() override;

  void Start() override {}
  void Submit(Operation& operation) override;
  void RequestCancel(Operation& operation) override;
  void SubmitReceive(Receiver& receiver) override;
  void RequestCancel(Receiver& receiver) override;
  void ReturnBuffer(ReceivedBuffer& buffer) override;
  // Never waits: time passes outside.
  void Enter(uint64_t deadline_ns, IntrusiveList<Completion>& completed) override;
  void Wake() override { woken_ = true; }
  Handle Adopt(Handle plain) override;
  IoResult RegisterBuffers(std::span<const std::span<std::byte>> buffers) override;

  // What is under way, for the message about a hang.
  std::string Describe() const;
  // Its core has a reason to run a pass.
  bool ready() const {
    return woken_ || !finished_.empty() || !receiver_news_.empty() || !waiting_.empty();
  }

 private:
  friend class SimProcess;
  struct InFlight {
    uint64_t id;
    Operation* operation;
    bool begun = false;   // it is more than an entry in the queue
    bool landed = false;  // it took effect, with this result; kWrite: in the drive's cache
    int32_t result = 0;
  };

  // nullptr: it is not in flight any more. Valid until something is submitted or finished.
  InFlight* Find(uint64_t id);
  void Begin(uint64_t id);
  bool SubmitNow(Operation& operation, int32_t& result);
  void RunLater(uint64_t id);
  void Land(uint64_t id);
  void Sync(uint64_t id);
  int32_t Carry(Operation& operation);
  int32_t Open(Operation& operation);
  int32_t ReceiveNow(const IoRequest& request);
  void Finish(uint64_t id, int32_t result);
  void FinishAfter(uint64_t delay_ns, uint64_t id, int32_t result);
  void EndReceiver(Receiver& receiver, int32_t result);
  uint64_t DiskDelay();
  void CheckBuffer(const IoRequest& request) const;
  // Of an operation in flight, on the disk or, with `copies`, on a copy of it.
  void LeaveBehind(const InFlight& flight, SimDisk& disk, const SimDisk::Copies* copies,
                   Prng& prng) const;
  void Forget();

  SimProcess& process_;
  SimAgenda& agenda_;
  uint64_t next_id_ = 1;
  std::vector<InFlight> in_flight_;  // by id
  const uint32_t submissions_max_;
  uint32_t submissions_ = 0;          // since the last pass
  std::deque<uint64_t> waiting_;      // for the next one
  std::vector<Receiver*> receivers_;  // armed
  std::atomic<bool> woken_{false};

  // What the next Enter hands over; until then nobody can see it.
  struct ReceiverNews {
    Receiver* receiver;
    ReceivedBuffer* buffer;  // nullptr: it has ended
    int32_t end;
  };
  std::vector<ReceiverNews> receiver_news_;
  std::vector<Operation*> finished_;

  uint32_t buffer_bytes_;
  std::vector<char> buffer_memory_;
  std::vector<ReceivedBuffer> buffers_;
  std::vector<uint16_t> free_buffers_;
  std::vector<std::span<std::byte>> registered_;
};

}  // namespace pakv
