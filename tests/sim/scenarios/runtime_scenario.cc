// An echo server of several cores and its clients: every byte comes back, in order, whatever the
// network cuts and delays; calls between cores come back too; a crash of the server is survived by
// its clients.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/base/prng.h"
#include "runtime/io/socket.h"
#include "tests/sim/scenario.h"
#include "tests/sim/world/sim_node.h"

namespace pakv {
namespace {

constexpr const char* kAddress = "10.0.0.1:7379";

// One connection of the echo server: sends back what it receives until the peer ends.
class EchoSession {
 public:
  EchoSession(Core& core, Handle plain)
      : core_(core), socket_(core.io(), core.ring().Adopt(plain)) {}

  static Task<void> Serve(Core& core, Handle plain) {
    EchoSession session(core, plain);
    co_await session.Run();
  }

 private:
  struct Inbox : Receiver {
    explicit Inbox(Core& core_in)
        : Receiver([](Completion& self) { static_cast<Inbox&>(self).news.Set(); }),
          news(core_in.ready()) {}
    Event news;
  };

  Task<void> Run() {
    Inbox inbox(core_);
    inbox.handle = socket_.handle();
    bool alive = true;
    while (alive) {
      core_.ring().SubmitReceive(inbox);
      bool armed = true;
      while (armed) {
        inbox.news.Reset();
        if (inbox.received.empty() && inbox.in_flight) co_await inbox.news.Wait();
        while (!inbox.received.empty()) {
          ReceivedBuffer& buffer = inbox.received.PopFront();
          std::string bytes(buffer.view());
          core_.ring().ReturnBuffer(buffer);
          if (alive) alive = co_await SendAll(std::move(bytes));
        }
        armed = inbox.in_flight || !inbox.received.empty();
        if (!alive && inbox.in_flight) core_.ring().RequestCancel(inbox);
      }
      alive = alive && inbox.end.error() == ENOBUFS;
    }
    IoResult closed = co_await socket_.Close();
    PAKV_CHECK(closed.ok());
  }

  Task<bool> SendAll(std::string bytes) {
    size_t sent = 0;
    while (sent < bytes.size()) {
      IoResult result =
          co_await socket_.Send(bytes.data() + sent, static_cast<uint32_t>(bytes.size() - sent));
      if (!result.ok()) co_return false;
      sent += result.count();
    }
    co_return true;
  }

  Core& core_;
  Socket socket_;
};

// Accepts on core 0 and deals the connections out.
Task<void> Accept(Core& core, uint64_t& accepted_count) {
  std::string bound;
  IoResult listening = co_await Socket::Listen(core.io(), kAddress, 16, bound);
  PAKV_CHECK(listening.ok());
  Socket listener(core.io(), Handle{listening.value()});
  while (true) {
    std::string peer;
    IoResult accepted = co_await listener.Accept(peer);
    PAKV_CHECK(accepted.ok());
    const Handle plain{accepted.value()};
    const auto target = static_cast<uint32_t>(accepted_count++ % core.count());
    co_await core.CallOn(target, [plain](Core& there) {
      there.nursery().Spawn(EchoSession::Serve(there, plain));
      return true;
    });
  }
}

struct Tally {
  uint64_t echoed = 0;
  uint64_t broken = 0;
  uint64_t done = 0;
  std::string wrong;
};

class EchoClient {
 public:
  EchoClient(Core& core, uint64_t seed, Tally& tally)
      : core_(core), prng_(seed), tally_(tally), inbox_(*this), news_(core.ready()) {}

  Task<void> Run(uint32_t rounds) {
    for (uint32_t i = 0; i < rounds; ++i) co_await RunConnection();
    ++tally_.done;
  }

 private:
  struct Inbox : Receiver {
    explicit Inbox(EchoClient& client_in)
        : Receiver([](Completion& self) { static_cast<Inbox&>(self).client.News(); }),
          client(client_in) {}
    EchoClient& client;
  };

  void News() {
    while (!inbox_.received.empty()) {
      ReceivedBuffer& buffer = inbox_.received.PopFront();
      received_ += buffer.view();
      core_.ring().ReturnBuffer(buffer);
    }
    const bool goes_on = !inbox_.in_flight && inbox_.end.error() == ENOBUFS && !closing_;
    if (goes_on) core_.ring().SubmitReceive(inbox_);
    news_.Set();
  }

  Task<void> RunConnection() {
    IoResult connected = co_await Socket::Connect(core_.io(), kAddress);
    if (!connected.ok()) {
      ++tally_.broken;
      co_await core_.timers().SleepUntil(core_.now_ns() + 10 * kNsPerMs);
      co_return;
    }
    Socket socket(core_.io(), core_.ring().Adopt(Handle{connected.value()}));
    received_.clear();
    closing_ = false;
    inbox_.handle = socket.handle();
    core_.ring().SubmitReceive(inbox_);
    std::string sent;
    const uint64_t messages = prng_.Between(1, 5);
    bool alive = true;
    for (uint64_t i = 0; i < messages && alive; ++i) {
      std::string message(1 + prng_.Below(20'000), static_cast<char>('a' + i));
      for (char& byte : message) byte = static_cast<char>(byte + prng_.Below(3));
      size_t begin = 0;
      while (begin < message.size() && alive) {
        IoResult result = co_await socket.Send(message.data() + begin,
                                               static_cast<uint32_t>(message.size() - begin));
        alive = result.ok();
        if (alive) begin += result.count();
      }
      sent += message;
      // Without a free buffer it is armed again, and again not at once.
      const auto receiving = [this] { return inbox_.in_flight || inbox_.end.error() == ENOBUFS; };
      while (alive && received_.size() < sent.size() && receiving()) {
        news_.Reset();
        co_await news_.Wait();
      }
      alive = alive && received_.size() == sent.size();
    }
    // What came is what was sent, also where the connection broke.
    if (sent.compare(0, received_.size(), received_) != 0) tally_.wrong = "an echo differs";
    if (alive) {
      ++tally_.echoed;
    } else {
      ++tally_.broken;
    }
    closing_ = true;
    core_.ring().RequestCancel(inbox_);
    while (inbox_.in_flight) {
      news_.Reset();
      co_await news_.Wait();
    }
    IoResult closed = co_await socket.Close();
    PAKV_CHECK(closed.ok());
  }

  Core& core_;
  Prng prng_;
  Tally& tally_;
  Inbox inbox_;
  Event news_;
  std::string received_;
  bool closing_ = false;
};

Task<void> CallAround(Core& core, uint64_t seed, uint64_t& calls_done, std::string& wrong) {
  Prng prng(seed);
  for (int i = 0; i < 100; ++i) {
    const auto target = static_cast<uint32_t>(prng.Below(core.count()));
    const uint64_t number = prng.Next();
    uint64_t back =
        co_await core.CallOn(target, [number](Core& there) { return number + there.id(); });
    if (back != number + target) wrong = "a call came back wrong";
    if (prng.Chance(1, 4)) {
      co_await core.timers().SleepUntil(core.now_ns() + prng.Below(kNsPerMs));
    }
  }
  ++calls_done;
}

}  // namespace

ScenarioResult RunRuntimeScenario(uint64_t seed) {
  SimWorld world(seed);
  Prng& prng = world.prng();
  SimNode server(world, "10.0.0.1");
  SimNode clients(world, "10.0.0.2");
  const bool resets = prng.Chance(1, 2);
  const bool crashes = prng.Chance(1, 2);
  if (resets) world.net().faults.reset = static_cast<uint32_t>(prng.Below(200));
  world.net().faults.long_delay = static_cast<uint32_t>(prng.Below(1000));
  world.net().faults.cut = static_cast<uint32_t>(prng.Below(10'000));

  const auto start = [&](SimNode& node) {
    node.Start({.core_count = static_cast<uint32_t>(prng.Between(1, 4)),
                .ring = {.receive_buffer_count = 1u << prng.Between(1, 6),
                         .receive_buffer_bytes = static_cast<uint32_t>(prng.Between(1, 4096))},
                .core = {.buffer_count = 1, .buffer_bytes = 4096}});
  };
  ScenarioResult result;
  Tally tally;
  uint64_t accepted = 0;
  uint64_t calls_done = 0;
  uint64_t calls_wanted = 0;
  start(server);
  server.Spawn(0, Accept(server.core(0), accepted));
  for (uint32_t id = 0; id < server.cores().count(); ++id) {
    ++calls_wanted;
    server.Spawn(id, CallAround(server.core(id), prng.Next(), calls_done, tally.wrong));
  }
  start(clients);
  const uint64_t client_count = prng.Between(1, 6);
  for (uint64_t i = 0; i < client_count; ++i) {
    const auto id = static_cast<uint32_t>(i % clients.cores().count());
    Core& core = clients.core(id);
    EchoClient& client = clients.Own(std::make_unique<EchoClient>(core, prng.Next(), tally));
    clients.Spawn(id, client.Run(static_cast<uint32_t>(prng.Between(1, 4))));
  }
  const auto settled = [&] { return tally.done == client_count && calls_done == calls_wanted; };
  if (crashes) {
    world.RunFor(prng.Below(20 * kNsPerMs));
    server.Crash(prng.Chance(1, 2) ? CrashKind::kProcessKill : CrashKind::kPowerCut);
    calls_done = calls_wanted;
    world.RunFor(prng.Below(20 * kNsPerMs));
    start(server);
    server.Spawn(0, Accept(server.core(0), accepted));
  }
  if (!world.RunUntil(settled, 120 * kNsPerSecond)) result.failure = world.failure();
  if (!tally.wrong.empty()) result.failure = tally.wrong;
  if (result.failure.empty() && !resets && !crashes && tally.broken > 0) {
    result.failure = "a connection broke although nothing broke it";
  }
  result.operations = tally.echoed;
  result.digest = world.digest();
  return result;
}

}  // namespace pakv
