// Ring: the one boundary between pakv and the machine. A core owns one and is the only thread that
// calls it, Wake excepted. UringRing is the kernel's; SimRing (tests/sim) is a simulated disk,
// network and clock behind the same calls, and code above cannot tell them apart.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/io/operation.h"

namespace pakv {

class Ring {
 public:
  virtual ~Ring() = default;

  // Makes the calling thread the owner. Once, before the first Enter; Submit and RegisterBuffers
  // may be called before it.
  virtual void Start() = 0;
  // The owner's last call, before another thread may destroy the ring.
  virtual void Stop() {}

  // Takes `operation`; it is handed back by a later Enter, exactly once. Never blocks on a disk or
  // a peer, except for the opcodes that only start and stop use (kList, kTruncate, kLock, ...).
  virtual void Submit(Operation& operation) = 0;
  // Asks for an early end. The completion still comes: -ECANCELED, or whatever it came to.
  virtual void RequestCancel(Operation& operation) = 0;

  // Starts receiving from `receiver.handle`.
  virtual void SubmitReceive(Receiver& receiver) = 0;
  virtual void RequestCancel(Receiver& receiver) = 0;
  // Gives a received buffer back for further receives.
  virtual void ReturnBuffer(ReceivedBuffer& buffer) = 0;

  // Sends off what was submitted, waits until something has completed, somebody called Wake or the
  // monotonic clock has reached `deadline_ns` (0: does not wait), and appends what has completed
  // to `completed`. It may return sooner with nothing.
  virtual void Enter(uint64_t deadline_ns, IntrusiveList<Completion>& completed) = 0;

  // Ends the wait of the owner's Enter, or of its next one. Any thread.
  virtual void Wake() = 0;

  // Turns the plain handle of an accepted or connected socket, which may come from another core's
  // ring, into this ring's own, which is cheaper to use. The plain one is this ring's from now on.
  virtual Handle Adopt(Handle plain) = 0;

  // Makes `buffers` known to the kernel, so that transfers need not pin them each time; their
  // index is their place in the span. Once, before the first use; they outlive the ring. Returns
  // an error where a limit forbids it: then transfers go without (buffer_index -1).
  virtual IoResult RegisterBuffers(std::span<const std::span<std::byte>> buffers) = 0;
};

}  // namespace pakv
