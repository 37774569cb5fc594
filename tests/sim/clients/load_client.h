// LoadClient: one connection of the load on a simulated server. It connects, receives, sends what
// is queued as fast as the server takes it, and hangs up; what is asked, and what the replies mean,
// is for the clients that are made of it. RespLoadClient: one whose replies are RESP. Driven by
// what arrives; they have no task and no core.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "net/resp/wire/reply_parser.h"
#include "net/session/buffers/output_buffer.h"
#include "runtime/base/prng.h"
#include "tests/sim/oracle/oracle.h"
#include "tests/sim/world/sim_world.h"

namespace pakv {

// The host that all of them are on.
inline constexpr const char* kLoadHost = "10.0.0.9";

// What the clients of one life of the server share.
struct RespLoad {
  SimWorld& world;
  Oracle& oracle;
  std::string address;
  uint32_t key_count = 8;
  uint32_t database_count = 1;
  uint32_t pipeline_max = 4;
  uint32_t value_bytes_max = 64;
  uint32_t flush_per_10000 = 0;
  // Keys with an expiry: the times that they get are around this clock.
  std::function<uint64_t()> wall_ms;  // empty: none
  // Refusals and unknown outcomes may happen: the disk is not well.
  bool disk_is_ill = false;
  // So may refusals of new keys.
  bool memory_is_short = false;
  // So may those for want of a file descriptor; nothing else comes of that.
  bool lacks_descriptors = false;
  // So may large replies.
  bool replies_are_bounded = false;
  // Of connections, and of the time that a request may take to arrive: the server may say so.
  bool limits_are_small = false;
  // Longer values go to files.
  uint32_t inline_bytes_max = 1 << 20;
  // Some clients send a little at a time, with pauses.
  bool some_are_slow = false;

  uint64_t clients_done = 0;
  std::string wrong;  // what should not have been answered

  bool may_refuse() const {
    return disk_is_ill || memory_is_short || limits_are_small || replies_are_bounded ||
           lacks_descriptors;
  }
  // Whether this error of RESP may be.
  bool Explains(std::string_view error) const;
  // ... for want of a descriptor. Nothing has happened then.
  bool LacksDescriptorsFor(std::string_view error) const;
};

class LoadClient {
 public:
  LoadClient(const LoadClient&) = delete;
  LoadClient& operator=(const LoadClient&) = delete;
  // Lets go of its connection, if it has one.
  virtual ~LoadClient();

 protected:
  // Connects, in an event of its own: nothing is called before the constructors have ended.
  // `left`: what it has to start before it is done.
  LoadClient(RespLoad& load, uint64_t id, uint64_t seed, uint32_t left);

  // It is connected: queues what comes before all else.
  virtual void Greet() {}
  // Takes what it understands off the front of what has arrived. What is left comes again, with
  // more behind it.
  virtual void TakeReplies(std::string_view& input) = 0;
  // Starts what there is room for. With nothing to start and nothing under way it ends.
  virtual void StartMore() = 0;

  // Hangs up, and is counted in `load` as done. What is still under way is left to the oracle: it
  // may have happened.
  void End();
  bool done() const { return done_; }

  RespLoad& load_;
  const uint64_t id_;
  Prng prng_;
  uint32_t left_;
  OutputBuffer to_send_;

 private:
  void Connected(int32_t error, SimNet::EndpointRef near_end);
  void Poke();
  void Receive();
  void SendRest();

  // Sends what the server takes now, or the bit that it is time for. False: that was all for now.
  bool SendSome();

  SimNet::EndpointRef end_;
  size_t bit_bytes_max_ = 0;  // that it sends before it pauses; 0: it does not
  bool pauses_ = false;
  std::string received_;
  size_t sent_bytes_ = 0;  // of to_send_
  // An attempt to connect may outlive its client.
  std::shared_ptr<bool> lives_ = std::make_shared<bool>(true);
  bool poking_ = false;
  bool done_ = false;
};

class RespLoadClient : public LoadClient {
 protected:
  using LoadClient::LoadClient;

  virtual void Replied(const RespValue& reply) = 0;

 private:
  void TakeReplies(std::string_view& input) final;

  RespReplyParser parser_;
};

}  // namespace pakv
