// The Ring contract, sockets.
// Long because: each rule of the contract is a test beside the others, over the same pairs.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>

#include "runtime/io/socket.h"
#include "tests/runtime/io/ring_contract_test.h"

namespace pakv {
namespace {

class RingSocketsTest : public RingContractTest {};
INSTANTIATE_TEST_SUITE_P(Rings, RingSocketsTest, RingParams(), RingParamName);

// Gathers what a socket receives. It keeps the ring's buffers while `keeps_buffers`.
struct Inbox : Receiver {
  explicit Inbox(Core& core_in)
      : Receiver([](Completion& self) { static_cast<Inbox&>(self).News(); }),
        core(core_in),
        news(core_in.ready()) {}

  void Arm(Handle socket) {
    handle = socket;
    ended = false;
    core.ring().SubmitReceive(*this);
  }
  void News() {
    while (!received.empty()) {
      ReceivedBuffer& buffer = received.PopFront();
      bytes += buffer.view();
      ++buffer_count;
      if (keeps_buffers) {
        kept.PushBack(buffer);
      } else {
        core.ring().ReturnBuffer(buffer);
      }
    }
    ended = !in_flight;
    if (ended && end.error() == ENOBUFS && !keeps_buffers) Arm(handle);
    news.Set();
  }
  void ReturnKept() {
    while (!kept.empty()) core.ring().ReturnBuffer(kept.PopFront());
  }
  // Waits for more.
  Task<void> More() {
    if (ended && end.error() == ENOBUFS) Arm(handle);
    news.Reset();
    co_await news.Wait();
  }
  bool over() const { return ended && end.error() != ENOBUFS; }
  Task<void> ToEnd() {
    while (!over()) co_await More();
  }
  Task<void> Until(size_t count) {
    while (!over() && bytes.size() < count) co_await More();
  }
  Task<void> Cancel() {
    core.ring().RequestCancel(*this);
    while (in_flight) {
      news.Reset();
      co_await news.Wait();
    }
  }

  Core& core;
  Event news;
  std::string bytes;
  size_t buffer_count = 0;
  bool ended = true;
  bool keeps_buffers = false;
  IntrusiveList<ReceivedBuffer> kept;
};

struct Pair {
  Socket client;
  Socket server;
  std::string peer;  // the client's address, as the server sees it
};

Task<Socket> Listen(Core& core, std::string address, std::string& bound) {
  IoResult listening = co_await Socket::Listen(core.io(), address.c_str(), 16, bound);
  EXPECT_TRUE(listening.ok()) << listening.text();
  co_return Socket(core.io(), Handle{listening.value()});
}

// Both ends of one connection to `address`, adopted by the core's ring.
Task<Pair> Connect(Core& core, std::string address) {
  std::string bound;
  Socket listener = co_await Listen(core, address, bound);
  Pair pair;
  IoResult connected = co_await Socket::Connect(core.io(), bound.c_str());
  EXPECT_TRUE(connected.ok()) << connected.text();
  pair.client = Socket(core.io(), core.ring().Adopt(Handle{connected.value()}));
  IoResult accepted = co_await listener.Accept(pair.peer);
  EXPECT_TRUE(accepted.ok()) << accepted.text();
  pair.server = Socket(core.io(), core.ring().Adopt(Handle{accepted.value()}));
  IoResult closed = co_await listener.Close();
  EXPECT_TRUE(closed.ok());
  co_return pair;
}

Task<void> Close(Socket& socket) {
  IoResult closed = co_await socket.Close();
  EXPECT_TRUE(closed.ok()) << closed.text();
}

// Sends all of it; the error that ended it, 0 if none.
Task<int32_t> SendAll(Socket& socket, std::string_view bytes) {
  while (!bytes.empty()) {
    IoResult sent = co_await socket.Send(bytes.data(), static_cast<uint32_t>(bytes.size()));
    if (!sent.ok()) co_return sent.error();
    bytes.remove_prefix(sent.count());
  }
  co_return 0;
}

Task<void> SendAndClose(Socket& socket, std::string bytes) {
  int32_t error = co_await SendAll(socket, bytes);
  EXPECT_EQ(error, 0);
  co_await Close(socket);
}

// Not periodic in any power of two, so that a lost or doubled piece shows.
std::string Pattern(size_t count) {
  std::string bytes(count, '\0');
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<char>(i % 251);
  return bytes;
}

TEST_P(RingSocketsTest, BytesArriveInOrderAndThenTheEnd) {
  RingHarness& rings = Make();
  const auto test = [](RingHarness& harness) -> Task<void> {
    Core& core = harness.core(0);
    Pair pair = co_await Connect(core, "127.0.0.1:0");
    EXPECT_TRUE(pair.peer.starts_with("127.0.0.1:")) << pair.peer;
    const std::string request = Pattern(300'000);
    Inbox inbox(core);
    inbox.Arm(pair.server.handle());
    core.nursery().Spawn(SendAndClose(pair.client, request));
    co_await inbox.ToEnd();
    EXPECT_EQ(inbox.end.value(), 0);
    EXPECT_TRUE(inbox.bytes == request);
    co_await Close(pair.server);
    while (pair.client.valid()) co_await core.ready().Yield();
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

TEST_P(RingSocketsTest, BothDirectionsFlowAtOnce) {
  RingHarness& rings = Make();
  const auto test = [](RingHarness& harness) -> Task<void> {
    Core& core = harness.core(0);
    Pair pair = co_await Connect(core, harness.unix_address());
    const std::string request = Pattern(100'000);
    const std::string reply = Pattern(150'000);
    Inbox server_inbox(core);
    Inbox client_inbox(core);
    server_inbox.Arm(pair.server.handle());
    client_inbox.Arm(pair.client.handle());
    const auto send = [](Socket& socket, const std::string& bytes) -> Task<void> {
      int32_t error = co_await SendAll(socket, bytes);
      EXPECT_EQ(error, 0);
    };
    core.nursery().Spawn(send(pair.client, request));
    co_await send(pair.server, reply);
    co_await server_inbox.Until(request.size());
    co_await client_inbox.Until(reply.size());
    EXPECT_TRUE(server_inbox.bytes == request);
    EXPECT_TRUE(client_inbox.bytes == reply);
    co_await server_inbox.Cancel();
    co_await client_inbox.Cancel();
    co_await Close(pair.client);
    co_await Close(pair.server);
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

TEST_P(RingSocketsTest, ReceivesGoOnAfterTheRingRanOutOfBuffers) {
  RingHarness& rings = Make({.receive_buffer_count = 4, .receive_buffer_bytes = 64});
  const auto test = [](RingHarness& harness) -> Task<void> {
    Core& core = harness.core(0);
    Pair pair = co_await Connect(core, "127.0.0.1:0");
    const std::string request = Pattern(1000);
    Inbox inbox(core);
    inbox.keeps_buffers = true;
    inbox.Arm(pair.server.handle());
    core.nursery().Spawn(SendAndClose(pair.client, request));
    // The four buffers fill; without one the receiver ends and says why.
    while (inbox.buffer_count < 4 || !inbox.ended) co_await inbox.More();
    EXPECT_EQ(inbox.end.error(), ENOBUFS);
    EXPECT_EQ(inbox.buffer_count, 4u);
    EXPECT_LE(inbox.bytes.size(), 4u * 64u);
    inbox.keeps_buffers = false;
    inbox.ReturnKept();
    co_await inbox.ToEnd();
    EXPECT_EQ(inbox.end.value(), 0);
    EXPECT_TRUE(inbox.bytes == request);
    co_await Close(pair.server);
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

// However much there is: who takes it decides when there is to be more.
TEST_P(RingSocketsTest, WhoReceivesOnceIsGivenOneBuffer) {
  RingHarness& rings = Make({.receive_buffer_count = 8, .receive_buffer_bytes = 64});
  const auto test = [](RingHarness& harness) -> Task<void> {
    Core& core = harness.core(0);
    Pair pair = co_await Connect(core, "127.0.0.1:0");
    const std::string request = Pattern(1000);
    Inbox inbox(core);
    inbox.once = true;
    inbox.Arm(pair.server.handle());
    core.ring().RequestCancel(inbox);
    while (!inbox.ended) co_await inbox.More();
    EXPECT_EQ(inbox.end.error(), ECANCELED);
    inbox.Arm(pair.server.handle());
    core.nursery().Spawn(SendAndClose(pair.client, request));
    size_t count = 0;
    while (true) {
      while (!inbox.ended) co_await inbox.More();
      if (inbox.end.value() <= 0) break;
      EXPECT_EQ(inbox.buffer_count, ++count);
      EXPECT_LE(inbox.end.value(), 64);
      co_await core.timers().SleepUntil(core.now_ns() + kNsPerMs / 10);
      EXPECT_EQ(inbox.buffer_count, count);
      inbox.Arm(pair.server.handle());
    }
    EXPECT_EQ(inbox.end.value(), 0) << "the peer's end is told as ever";
    EXPECT_TRUE(inbox.bytes == request);
    co_await Close(pair.server);
    while (pair.client.valid()) co_await core.ready().Yield();
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

// Armed while others hold all buffers, it waits for one; cancelled, it may have ended before its
// function hears of it, and is linked until then: whoever asks whether it rests looks at both.
TEST_P(RingSocketsTest, AReceiverWithoutABufferIsCancelled) {
  RingHarness& rings = Make({.receive_buffer_count = 4, .receive_buffer_bytes = 64});
  const auto test = [](RingHarness& harness) -> Task<void> {
    Core& core = harness.core(0);
    Pair greedy = co_await Connect(core, "127.0.0.1:0");
    Pair starved = co_await Connect(core, "127.0.0.1:0");
    const std::string request = Pattern(1000);
    Inbox holder(core);
    holder.keeps_buffers = true;
    holder.Arm(greedy.server.handle());
    core.nursery().Spawn(SendAndClose(greedy.client, request));
    while (holder.buffer_count < 4 || !holder.ended) co_await holder.More();
    Inbox inbox(core);
    for (int round = 0; round < 3; ++round) {
      inbox.Arm(starved.server.handle());
      EXPECT_TRUE(inbox.in_flight);
      if (round == 1) co_await core.timers().SleepUntil(core.now_ns() + kNsPerMs);
      core.ring().RequestCancel(inbox);
      EXPECT_TRUE(inbox.in_flight || inbox.linked());
      EXPECT_FALSE(inbox.ended) << "its function is called from a pass";
      while (!inbox.ended) co_await inbox.More();
      EXPECT_FALSE(inbox.in_flight || inbox.linked());
      EXPECT_EQ(inbox.end.error(), ECANCELED);
    }
    // It is forgotten: a buffer that comes back is for those who still wait.
    inbox.Arm(starved.server.handle());
    int32_t error = co_await SendAll(starved.client, "at last");
    EXPECT_EQ(error, 0);
    EXPECT_TRUE(inbox.bytes.empty());
    holder.keeps_buffers = false;
    holder.ReturnKept();
    co_await inbox.Until(7);
    EXPECT_EQ(inbox.bytes, "at last");
    holder.Arm(greedy.server.handle());
    co_await holder.ToEnd();
    EXPECT_TRUE(holder.bytes == request);
    co_await inbox.Cancel();
    co_await Close(starved.client);
    co_await Close(starved.server);
    co_await Close(greedy.server);
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

TEST_P(RingSocketsTest, ACancelledReceiverEndsOnce) {
  RingHarness& rings = Make();
  const auto test = [](RingHarness& harness) -> Task<void> {
    Core& core = harness.core(0);
    Pair pair = co_await Connect(core, "127.0.0.1:0");
    Inbox inbox(core);
    inbox.Arm(pair.server.handle());
    co_await inbox.Cancel();
    EXPECT_EQ(inbox.end.error(), ECANCELED);
    core.ring().RequestCancel(inbox);  // without effect, as it has ended
    // The socket is as before: a further receiver gets what comes.
    Inbox next(core);
    next.Arm(pair.server.handle());
    int32_t error = co_await SendAll(pair.client, "after");
    EXPECT_EQ(error, 0);
    co_await next.Until(5);
    EXPECT_EQ(next.bytes, "after");
    co_await next.Cancel();
    co_await Close(pair.client);
    co_await Close(pair.server);
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

// What is there is received into memory that no wait holds.
TEST_P(RingSocketsTest, WhatIsThereIsReceivedAtOnce) {
  RingHarness& rings = Make();
  const auto test = [](RingHarness& harness) -> Task<void> {
    Core& core = harness.core(0);
    Pair pair = co_await Connect(core, "127.0.0.1:0");
    // First by a receiver, which then rests: nothing is lost in between.
    const std::string request = Pattern(200'000);
    Inbox inbox(core);
    inbox.Arm(pair.server.handle());
    core.nursery().Spawn(SendAndClose(pair.client, request));
    co_await inbox.Until(1000);
    co_await inbox.Cancel();
    std::string bytes = inbox.bytes;
    std::string piece(3000, '\0');
    bool ended = false;
    while (!ended) {
      IoResult readable = co_await pair.server.Readable();
      EXPECT_EQ(readable.value(), 0) << readable.text();
      IoResult received = co_await pair.server.ReceiveNow(piece.data(), 3000);
      EXPECT_TRUE(received.ok()) << received.text();
      if (!received.ok()) break;
      EXPECT_LE(received.count(), 3000u);
      bytes.append(piece, 0, received.count());
      ended = received.count() == 0;
    }
    EXPECT_TRUE(bytes == request);
    co_await Close(pair.server);
    while (pair.client.valid()) co_await core.ready().Yield();
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

TEST_P(RingSocketsTest, WhereNothingIsThereNothingIsWaitedFor) {
  RingHarness& rings = Make();
  const auto test = [](RingHarness& harness) -> Task<void> {
    Core& core = harness.core(0);
    Pair pair = co_await Connect(core, harness.unix_address());
    std::string piece(100, '\0');
    IoResult received = co_await pair.server.ReceiveNow(piece.data(), 100);
    EXPECT_EQ(received.error(), EAGAIN);
    // To wait is another operation, which ends early when it is asked to, and takes nothing.
    IoAwaiter readable = pair.server.Readable();
    readable.WithDeadline(core.now_ns() + 20 * kNsPerMs);
    const IoResult waited = co_await readable;
    EXPECT_EQ(waited.error(), ETIME);
    int32_t error = co_await SendAll(pair.client, "at last");
    EXPECT_EQ(error, 0);
    const IoResult again = co_await pair.server.Readable();
    EXPECT_EQ(again.value(), 0);
    received = co_await pair.server.ReceiveNow(piece.data(), 100);
    EXPECT_TRUE(received.ok()) << received.text();
    EXPECT_EQ(piece.substr(0, received.ok() ? received.count() : 0),
              std::string_view("at last").substr(0, received.ok() ? received.count() : 0));
    // The rest, if it came in parts, is a receiver's again.
    Inbox inbox(core);
    inbox.Arm(pair.server.handle());
    error = co_await SendAll(pair.client, "!");
    EXPECT_EQ(error, 0);
    co_await inbox.Until(8 - received.count());
    EXPECT_TRUE(std::string_view("at last!").ends_with(inbox.bytes)) << inbox.bytes;
    co_await inbox.Cancel();
    co_await Close(pair.client);
    co_await Close(pair.server);
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

TEST_P(RingSocketsTest, ShutdownEndsBothSides) {
  RingHarness& rings = Make();
  const auto test = [](RingHarness& harness) -> Task<void> {
    Core& core = harness.core(0);
    Pair pair = co_await Connect(core, "127.0.0.1:0");
    Inbox near_inbox(core);
    Inbox far_inbox(core);
    near_inbox.Arm(pair.server.handle());
    far_inbox.Arm(pair.client.handle());
    IoResult ended = co_await pair.server.Shutdown();
    EXPECT_TRUE(ended.ok());
    co_await near_inbox.ToEnd();
    co_await far_inbox.ToEnd();
    EXPECT_EQ(near_inbox.end.value(), 0);
    EXPECT_EQ(far_inbox.end.value(), 0);
    int32_t error = co_await SendAll(pair.server, "too late");
    EXPECT_EQ(error, EPIPE);
    co_await Close(pair.client);
    co_await Close(pair.server);
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

TEST_P(RingSocketsTest, ShutdownOfSendingLeavesTheOtherDirectionOpen) {
  RingHarness& rings = Make();
  const auto test = [](RingHarness& harness) -> Task<void> {
    Core& core = harness.core(0);
    Pair pair = co_await Connect(core, "127.0.0.1:0");
    Inbox server_inbox(core);
    Inbox client_inbox(core);
    server_inbox.Arm(pair.server.handle());
    client_inbox.Arm(pair.client.handle());
    int32_t error = co_await SendAll(pair.client, "last words");
    EXPECT_EQ(error, 0);
    IoResult ended = co_await pair.client.ShutdownSend();
    EXPECT_TRUE(ended.ok());
    co_await server_inbox.ToEnd();
    EXPECT_EQ(server_inbox.end.value(), 0);
    EXPECT_EQ(server_inbox.bytes, "last words");
    error = co_await SendAll(pair.server, "the answer");
    EXPECT_EQ(error, 0);
    co_await Close(pair.server);
    co_await client_inbox.ToEnd();
    EXPECT_EQ(client_inbox.end.value(), 0);
    EXPECT_EQ(client_inbox.bytes, "the answer");
    co_await Close(pair.client);
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

// The kernel completes a send that has waited only once a good part of its buffer is free. One that
// begins takes what room there is: so it shows that a slow reader has read.
TEST_P(RingSocketsTest, ASendThatIsBegunAnewTakesWhatRoomThereIs) {
  RingHarness& rings = Make();
  const auto test = [](RingHarness& harness) -> Task<void> {
    Core& core = harness.core(0);
    Pair pair = co_await Connect(core, harness.unix_address());
    const std::string bytes = Pattern(1 << 20);
    size_t sent_bytes = 0;
    IoResult sent;
    // Until it waits in vain.
    while (sent.ok() && sent_bytes < bytes.size()) {
      IoAwaiter send = pair.client.Send(bytes.data() + sent_bytes,
                                        static_cast<uint32_t>(bytes.size() - sent_bytes));
      send.WithDeadline(core.now_ns() + 50 * kNsPerMs);
      sent = co_await send;
      sent_bytes += sent.ok() ? sent.count() : 0;
    }
    EXPECT_EQ(sent.error(), ETIME);
    EXPECT_LT(sent_bytes, bytes.size());
    // A part of that, though at least what the kernel takes for a piece.
    std::string received(std::min<size_t>(sent_bytes, 65536), '\0');
    size_t received_bytes = 0;
    while (received_bytes < received.size()) {
      IoResult readable = co_await pair.server.Readable();
      EXPECT_TRUE(readable.ok()) << readable.text();
      const IoResult got =
          co_await pair.server.ReceiveNow(received.data() + received_bytes,
                                          static_cast<uint32_t>(received.size() - received_bytes));
      EXPECT_TRUE(got.ok()) << got.text();
      if (!got.ok()) break;
      received_bytes += got.count();
    }
    EXPECT_EQ(received, bytes.substr(0, received.size()));
    IoAwaiter again = pair.client.Send(bytes.data() + sent_bytes,
                                       static_cast<uint32_t>(bytes.size() - sent_bytes));
    again.WithDeadline(core.now_ns() + 600 * kNsPerSecond);
    sent = co_await again;
    EXPECT_TRUE(sent.ok() && sent.count() > 0) << sent.text();
    co_await Close(pair.client);
    co_await Close(pair.server);
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

TEST_P(RingSocketsTest, SendingToAClosedSocketFails) {
  RingHarness& rings = Make();
  const auto test = [](RingHarness& harness) -> Task<void> {
    Core& core = harness.core(0);
    Pair pair = co_await Connect(core, "127.0.0.1:0");
    co_await Close(pair.server);
    int32_t error = 0;
    while (error == 0) error = co_await SendAll(pair.client, "anybody there?");
    EXPECT_TRUE(error == EPIPE || error == ECONNRESET) << error;
    co_await Close(pair.client);
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

TEST_P(RingSocketsTest, ConnectingAndListeningSayWhatIsWrong) {
  RingHarness& rings = Make();
  const auto test = [](RingHarness& harness) -> Task<void> {
    Core& core = harness.core(0);
    std::string bound;
    Socket listener = co_await Listen(core, "127.0.0.1:0", bound);
    EXPECT_TRUE(bound.starts_with("127.0.0.1:")) << bound;
    EXPECT_FALSE(bound.ends_with(":0")) << bound;
    std::string unused;
    IoResult taken = co_await Socket::Listen(core.io(), bound.c_str(), 16, unused);
    EXPECT_EQ(taken.error(), EADDRINUSE);
    IoResult nonsense = co_await Socket::Listen(core.io(), "nonsense", 16, unused);
    EXPECT_EQ(nonsense.error(), EADDRNOTAVAIL);
    co_await Close(listener);
    IoResult refused = co_await Socket::Connect(core.io(), bound.c_str());
    EXPECT_EQ(refused.error(), ECONNREFUSED);
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

TEST_P(RingSocketsTest, AnAcceptedSocketMovesToAnotherCore) {
  RingHarness& rings = Make({.core_count = 2});
  const auto test = [](RingHarness& harness) -> Task<void> {
    Core& core = harness.core(0);
    std::string bound;
    Socket listener = co_await Listen(core, "127.0.0.1:0", bound);
    IoResult connected = co_await Socket::Connect(core.io(), bound.c_str());
    EXPECT_TRUE(connected.ok());
    Socket client(core.io(), core.ring().Adopt(Handle{connected.value()}));
    std::string peer;
    IoResult accepted = co_await listener.Accept(peer);
    EXPECT_TRUE(accepted.ok());
    co_await Close(listener);
    const auto serve = [plain = Handle{accepted.value()}](Core& there) -> Task<bool> {
      return [](Core& server, Handle handle) -> Task<bool> {
        Socket socket(server.io(), server.ring().Adopt(handle));
        Inbox inbox(server);
        inbox.Arm(socket.handle());
        co_await inbox.Until(4);
        int32_t error = co_await SendAll(socket, inbox.bytes + inbox.bytes);
        EXPECT_EQ(error, 0);
        co_await inbox.ToEnd();
        co_await Close(socket);
        co_return inbox.bytes == "ping";
      }(there, plain);
    };
    const auto ask = [](Core& asking, Socket& socket) -> Task<void> {
      int32_t error = co_await SendAll(socket, "ping");
      EXPECT_EQ(error, 0);
      Inbox inbox(asking);
      inbox.Arm(socket.handle());
      co_await inbox.Until(8);
      EXPECT_EQ(inbox.bytes, "pingping");
      co_await inbox.Cancel();
      co_await Close(socket);
    };
    core.nursery().Spawn(ask(core, client));
    bool heard = co_await core.CallTaskOn(1, serve);
    EXPECT_TRUE(heard);
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

TEST_P(RingSocketsTest, AnAcceptWithADeadlineEndsInTime) {
  RingHarness& rings = Make();
  const auto test = [](RingHarness& harness) -> Task<void> {
    Core& core = harness.core(0);
    std::string bound;
    std::string peer;
    Socket listener = co_await Listen(core, "127.0.0.1:0", bound);
    const uint64_t deadline_ns = core.now_ns() + 20 * kNsPerMs;
    IoAwaiter accept = listener.Accept(peer);
    accept.WithDeadline(deadline_ns);
    IoResult accepted = co_await accept;
    EXPECT_EQ(accepted.error(), ETIME);
    EXPECT_GE(core.now_ns(), deadline_ns);
    // It took nothing with it: the next connection is accepted.
    IoResult connected = co_await Socket::Connect(core.io(), bound.c_str());
    EXPECT_TRUE(connected.ok());
    IoAwaiter again = listener.Accept(peer);
    again.WithDeadline(core.now_ns() + 600 * kNsPerSecond);
    accepted = co_await again;
    EXPECT_TRUE(accepted.ok());
    Socket client(core.io(), Handle{connected.value()});
    Socket server(core.io(), Handle{accepted.value()});
    co_await Close(client);
    co_await Close(server);
    co_await Close(listener);
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

TEST_P(RingSocketsTest, AnAcceptIsCancelledByAStop) {
  RingHarness& rings = Make();
  const auto test = [](RingHarness& harness) -> Task<void> {
    Core& core = harness.core(0);
    std::string bound;
    Socket listener = co_await Listen(core, "127.0.0.1:0", bound);
    StopSource stop;
    const auto request_stop = [](Core& here, StopSource& source) -> Task<void> {
      co_await here.timers().SleepUntil(here.now_ns() + kNsPerMs);
      source.RequestStop();
    };
    core.nursery().Spawn(request_stop(core, stop));
    std::string peer;
    IoAwaiter accept = listener.Accept(peer);
    accept.WithStop(stop.token());
    IoResult accepted = co_await accept;
    EXPECT_EQ(accepted.error(), ECANCELED);
    IoAwaiter again = listener.Accept(peer);
    again.WithStop(stop.token());
    accepted = co_await again;
    EXPECT_EQ(accepted.error(), ECANCELED) << "a stop that was requested before";
    co_await Close(listener);
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

}  // namespace
}  // namespace pakv
