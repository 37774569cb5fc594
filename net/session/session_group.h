// SessionGroup: what the sessions of one core share: their slots, bounds, buffers and counters.
#pragma once

#include <absl/functional/function_ref.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/options/limits.h"
#include "net/session/buffers/byte_budget.h"
#include "net/session/buffers/frame_budget.h"
#include "net/session/buffers/output_buffer.h"
#include "net/session/buffers/reply_queue.h"
#include "net/session/protocol.h"
#include "net/session/request_rate.h"
#include "runtime/core/core.h"
#include "runtime/task/nursery.h"
#include "runtime/task/task.h"

namespace pakv {

class Session;
class Store;

// Counters of one core's sessions, since its start.
struct SessionCounters {
  uint64_t opened = 0;
  uint64_t requests = 0;
  uint64_t bytes_received = 0;
  uint64_t bytes_sent = 0;
  uint64_t ended_between_frames = 0;
  uint64_t ended_within_frame = 0;
  uint64_t ended_by_error = 0;  // the connection broke
  uint64_t protocol_errors = 0;
  uint64_t request_timeouts = 0;
  uint64_t idle_timeouts = 0;
  uint64_t receives_without_buffer = 0;
};

// Who is at the other end, for logs and for the protocol.
struct ConnectionInfo {
  uint64_t id = 0;    // counts up over all cores from 1; never used again
  std::string peer;   // as the system names it
  std::string local;  // the address that was connected to
};

// Where a visit of a group's sessions has come to. Linked while it is under way (VisitNext); who
// gives up before unlinks it, on the group's core.
struct SessionWalk : ListHook {
  Session* next = nullptr;
};

class SessionGroup {
 public:
  // Makes the protocol of a connection by the first bytes that it sent; nullptr as long as they
  // do not tell, and `*refused` set where they tell that no protocol of ours is spoken. `begin` is
  // empty where nothing more comes that could tell: the one in which the client is told why.
  using MakeProtocol = std::function<std::unique_ptr<Protocol>(
      Session& session, std::string_view begin, bool* refused)>;

  // `store` may be nullptr where no protocol uses it. All outlive the group.
  SessionGroup(Core& core, Store* store, const SessionLimits& limits);
  SessionGroup(const SessionGroup&) = delete;
  SessionGroup& operator=(const SessionGroup&) = delete;
  ~SessionGroup();

  Core& core() { return core_; }
  Store& store() { return *store_; }
  const SessionLimits& limits() const { return limits_; }
  SlotPool& slots() { return slots_; }
  SessionCounters& counters() { return counters_; }
  RequestRate& request_rate() { return request_rate_; }
  size_t session_count() const { return session_count_; }
  IntrusiveList<Session>& sessions() { return sessions_; }
  // Visits the next few sessions, in the order of their opening, beginning with the first if `walk`
  // is not under way; `visit` may end them (RequestKill). False: there is none any more, and `walk`
  // is not under way. Each session that is there all the while is visited once.
  bool VisitNext(SessionWalk& walk, absl::FunctionRef<void(Session&)> visit);

  // How sessions receive: one buffer at a time as long as they are ahead of what they may hold by
  // too much, since who is armed for many may come to any number of them, whatever he was told.
  bool receives_once() const { return receives_once_; }

  ByteBudget write_budget;
  ByteBudget transaction_budget;
  ByteBudget read_budget;
  FrameBudget frame_budget;
  ByteBudget unread_budget;  // by UnreadReply
  ByteBudget queued_budget;

  // Serves a connection in the core's nursery; `plain` is the handle that an accept or connect
  // gave. `ended` is called, on this core, when it is over and its memory is about to go.
  struct NewConnection {
    Handle plain = Handle::kNone;
    ConnectionInfo info;
    const MakeProtocol* make_protocol = nullptr;
    std::function<void()> ended;
  };
  void Serve(NewConnection connection);

  // Asks all sessions to answer what they have received, and to end then.
  void RequestDrain();
  // Ends all sessions, whatever they are at.
  void RequestKill();
  bool draining() const { return draining_; }
  // No session is left.
  Task<void> WaitUntilEmpty();

  // Requests of the session whose turn it is, filled in and not started yet: they are started
  // together, so that they wait for memory together. Empty whenever another session may run.
  struct Batch {
    static constexpr size_t kMax = 16;
    std::array<ReplySlot*, kMax> slots{};  // taken from the pool; used again if answered at once
    size_t count = 0;
  };
  Batch batch;

  // Where replies go that nobody wants; empty between OpenReply and CloseReply of one.
  OutputBuffer dropped;

  // What the sessions hold: themselves, their slots, what is in their buffers or on its way.
  uint64_t memory_bytes() const;

  // Gives `buffer`, which is empty, some memory that another session used before.
  void BorrowBuffer(OutputBuffer& buffer);
  void ReturnBuffer(OutputBuffer& buffer);

 private:
  friend class Session;

  // Visited in one pass, in which others wait: for each of them a line of text may be written.
  static constexpr size_t kVisitedPerStep = 32;
  static constexpr size_t kKeptBuffers = 64;
  static constexpr size_t kKeptBufferBytes = 64 << 10;
  // Of a session besides its object: its protocol, the frame of its coroutine, strings (three names
  // that the client may give).
  static constexpr size_t kBytesPerSession = 3072;

  // Of one session: it holds `bytes` more than it may, which were `bytes_before`.
  void NoteAhead(size_t bytes_before, size_t bytes);

  // No walk waits at the session, which is about to end.
  void PassBy(Session& session);

  Core& core_;
  Store* const store_;
  const SessionLimits limits_;
  SlotPool slots_;
  SessionCounters counters_;
  RequestRate request_rate_;
  std::vector<OutputBuffer> buffers_;
  IntrusiveList<Session> sessions_;
  IntrusiveList<SessionWalk> walks_;
  size_t session_count_ = 0;
  uint64_t buffer_bytes_ = 0;  // that sessions have noted
  uint64_t kept_buffer_bytes_ = 0;
  size_t ahead_bytes_ = 0;  // that sessions have noted
  bool receives_once_ = false;
  bool draining_ = false;
  Event empty_;
};

}  // namespace pakv
