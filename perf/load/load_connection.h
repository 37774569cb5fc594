// LoadConnection: one RESP connection of the load generator. Requests are composed when they are
// due, whatever has been answered by then, and leave in one send per pass of the core; each reply
// is checked and its latency counted from the time for which its request was planned.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "net/resp/wire/reply_parser.h"
#include "net/session/buffers/output_buffer.h"
#include "perf/load/key_draw.h"
#include "runtime/base/histogram.h"
#include "runtime/base/prng.h"
#include "runtime/core/core.h"
#include "runtime/io/socket.h"
#include "runtime/task/nursery.h"
#include "runtime/task/sync.h"
#include "runtime/task/task.h"

namespace pakv {

// What is asked for. Keys are redis-benchmark's: "key:" and 12 digits.
struct LoadPlan {
  uint64_t keys = 1'000'000;
  KeyDraw::Kind draw = KeyDraw::Kind::kEven;
  uint32_t value_bytes = 64;
  // SET and GET are drawn in this proportion.
  uint32_t sets = 1;
  uint32_t gets = 0;
};

// What came of it, summed over all connections.
struct LoadResult {
  FineHistogram latency_ns;
  FineHistogram set_latency_ns;
  FineHistogram get_latency_ns;
  FineHistogram lateness_ns;  // from the planned time to the composing: the generator's own
  uint64_t sets = 0;          // answered
  uint64_t hits = 0;
  uint64_t misses = 0;
  uint64_t errors = 0;  // wrong replies, and requests without one
  std::string first_error;
  uint64_t last_reply_ns = 0;

  uint64_t answered() const { return sets + hits + misses; }
  void AddErrors(uint64_t count, std::string_view text) {
    if (errors == 0) first_error = text;
    errors += count;
  }
};

class LoadConnection {
 public:
  // Called whenever replies have been taken, or the connection has broken; from the core's loop.
  class Listener {
   public:
    virtual void OnReplies(LoadConnection& connection) = 0;

   protected:
    ~Listener() = default;
  };

  LoadConnection(Core& core, const LoadPlan& plan, uint64_t seed, LoadResult& result,
                 Listener& listener);
  // Connect has failed, or Stop has been awaited.
  ~LoadConnection();

  Task<IoResult> Connect(std::string address);
  // Counts what is unanswered as errors and closes.
  Task<void> Stop();

  // Composes `count` requests that were planned for `planned_ns`; they leave in this pass, or when
  // the send before them is done. On a broken connection each is an error.
  void Compose(uint64_t planned_ns, uint32_t count);
  uint64_t unanswered() const { return unanswered_; }
  bool broken() const { return broken_; }

 private:
  struct Receive : Receiver {
    explicit Receive(LoadConnection& connection_in);
    LoadConnection& connection;
  };
  // Requests of one kind and time, oldest first.
  struct Sent {
    uint64_t planned_ns;
    uint32_t count;
    bool is_get;
  };

  Task<void> SendLoop();
  void AppendRequest(bool is_get);
  void TakeReceived();
  void TakeBytes(std::string_view bytes);
  // False if the stream cannot be understood any further.
  bool TakeReplies(std::string_view& bytes);
  void TakeReply();
  void Break(std::string_view why);

  Core& core_;
  const LoadPlan& plan_;
  LoadResult& result_;
  Listener& listener_;
  Prng prng_;
  const KeyDraw draw_;
  std::string set_tail_;  // of a SET, behind the key

  Socket socket_;
  Receive receive_;
  Event received_all_;
  RespReplyParser parser_;
  RespValue reply_;
  std::string held_;  // an unfinished line

  std::deque<Sent> sent_;
  uint64_t unanswered_ = 0;
  OutputBuffer composed_;
  OutputBuffer sending_;
  Event composed_some_;
  bool connected_ = false;
  bool broken_ = false;
  bool stopping_ = false;
  Nursery nursery_;
};

}  // namespace pakv
