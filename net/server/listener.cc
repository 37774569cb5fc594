#include "net/server/listener.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "net/options/limits.h"
#include "net/session/session.h"
#include "runtime/base/check.h"
#include "runtime/base/log.h"
#include "runtime/io/file.h"

namespace pakv {
namespace {

// A client that is told so takes it by then.
constexpr uint64_t kRejectionNs = kNsPerSecond;
// More than this many at once are closed without a word.
constexpr size_t kRejectingMax = 64;
// Without descriptors or memory for another connection, accepting pauses for this long.
constexpr uint64_t kAcceptPauseNs = 100 * kNsPerMs;
// How many ports that the system picked may turn out to be taken on another address of the host.
constexpr int kPickedPortsMax = 16;
constexpr uint64_t kWarnEveryNs = 10 * kNsPerSecond;

bool IsShortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

// What follows the system's words where an address cannot be listened on.
std::string RemedyOf(const Endpoint& endpoint, int error, const std::string& option) {
  switch (error) {
    case EADDRINUSE:
      if (endpoint.is_unix()) {
        return "; a server listens there, or that file is no socket: remove what is there, or "
               "choose another " +
               option;
      }
      return "; `ss -tlnp sport = :" + std::to_string(endpoint.port) +
             "` shows who listens there: stop that, or choose another " + option +
             " (port 0 picks a free one)";
    case EADDRNOTAVAIL:
      return "; none of this machine's interfaces has that address (`ip address` lists theirs): "
             "choose another " +
             option;
    case EACCES:
      if (endpoint.is_unix()) return "";
      return "; a port below 1024 needs a right to it (CAP_NET_BIND_SERVICE; AmbientCapabilities= "
             "of a systemd unit): choose another " +
             option;
    default:
      return "";
  }
}

}  // namespace

// A connection's place: the message that takes it to its core, and that comes back at its end.
struct Listener::Place : Message {
  Listener* listener = nullptr;
  const Target* target = nullptr;
  size_t target_index = 0;
  Handle plain = Handle::kNone;
  ConnectionInfo info;
};

Listener::Listener(Core& core, const ListenerOptions& options)
    : core_(core),
      options_(options),
      free_places_(core.ready(), options.connection_count_max),
      emptied_(core.ready()),
      shortages_(kWarnEveryNs),
      rejections_(kWarnEveryNs),
      nursery_(core.ready()) {}

Listener::~Listener() = default;

Task<absl::Status> Listener::Listen(const Endpoint& endpoint) {
  const std::string given = endpoint.is_unix() ? "unix:" + endpoint.path : endpoint.text;
  std::vector<std::string> addresses;
  IoResult result = co_await Socket::Resolve(core_.io(), given.c_str(), addresses);
  if (result.error() == EADDRNOTAVAIL) {
    co_return absl::InvalidArgumentError("cannot listen on " + endpoint.text +
                                         ": no address is found for that name (in /etc/hosts, or "
                                         "by DNS): choose another " +
                                         options_.option);
  }
  std::vector<std::unique_ptr<Listening>> opened;
  for (int attempt = 0; result.ok() && opened.empty(); ++attempt) {
    result = co_await ListenOnAll(addresses, endpoint.path, opened);
    // The port that the system picked for one address may be taken on another.
    const bool again = result.error() == EADDRINUSE && !endpoint.is_unix() && endpoint.port == 0;
    if (again && attempt < kPickedPortsMax) result = IoResult(0);
  }
  if (!result.ok()) {
    const std::string text = "cannot listen on " + endpoint.text + ": " + result.text() +
                             RemedyOf(endpoint, result.error(), options_.option);
    if (result.error() == EADDRINUSE) co_return absl::AlreadyExistsError(text);
    co_return absl::InvalidArgumentError(text);
  }
  for (auto& listening : opened) {
    addresses_.push_back(listening->address);
    listening_.push_back(std::move(listening));
  }
  co_return absl::OkStatus();
}

// On all of `addresses` with one port, but for those that this machine does not have: one has to
// be there. If one is taken none stays open, or who connects by name might reach somebody else.
Task<IoResult> Listener::ListenOnAll(std::vector<std::string> addresses, std::string unix_path,
                                     std::vector<std::unique_ptr<Listening>>& opened) {
  IoResult failed;
  for (size_t index = 0; index < addresses.size(); ++index) {
    std::string& address = addresses[index];
    if (!opened.empty()) {
      const std::string& first = opened.front()->address;
      address.replace(address.rfind(':'), std::string::npos, first, first.rfind(':'));
    }
    auto listening = std::make_unique<Listening>();
    const IoResult result =
        co_await Socket::Listen(core_.io(), address.c_str(), options_.backlog, listening->address);
    if (result.ok()) {
      listening->socket = Socket(core_.io(), Handle{result.value()});
      listening->unix_path = unix_path;
      opened.push_back(std::move(listening));
      continue;
    }
    failed = result;
    if (result.error() == EADDRINUSE) break;
    if (addresses.size() > 1) LogWarning("cannot listen on {}: {}", address, result.text());
  }
  if (!opened.empty() && failed.error() != EADDRINUSE) co_return IoResult(0);
  for (auto& listening : opened) co_await Close(*listening);
  opened.clear();
  co_return failed;
}

void Listener::Accept(std::vector<Target> targets) {
  PAKV_CHECK(targets_.empty() && !targets.empty());
  PAKV_CHECK(!options_.oldest_gives_way ||
             (targets.size() == 1 && targets[0].group->core().id() == core_.id()));
  targets_ = std::move(targets);
  connection_counts_.resize(targets_.size());
  for (auto& listening : listening_) nursery_.Spawn(AcceptAll(*listening));
}

Task<void> Listener::AcceptAll(Listening& listening) {
  while (!nursery_.stop_requested()) {
    std::string peer;
    IoAwaiter accept = listening.socket.Accept(peer);
    accept.WithStop(nursery_.token());
    const IoResult result = co_await accept;
    if (!result.ok()) {
      if (result.error() == ECANCELED) break;
      if (IsShortage(result.error())) {
        if (shortages_.Count(core_.now_ns()) > 0) {
          LogWarning("cannot accept connections for now: {}", result.text());
        }
        co_await core_.timers().SleepUntil(core_.now_ns() + kAcceptPauseNs);
      }
      continue;
    }
    const Handle plain{result.value()};
    if (!free_places_.TryAcquire()) {
      if (options_.oldest_gives_way) {
        EndOldest();
      } else if (options_.overflow == OverflowPolicy::kReject) {
        ++rejected_;
        LogDebug("a connection of {} was refused: there was no place", peer);
        if (const uint64_t count = rejections_.Count(core_.now_ns())) {
          LogWarning(
              "all {} places for connections are taken: {} refused since the last such line "
              "(max-connections, overflow)",
              options_.connection_count_max, count);
        }
        nursery_.Spawn(Reject(plain));
        continue;
      }
      const bool acquired = co_await free_places_.Acquire(nursery_.token());
      if (!acquired) {
        co_await CloseUnserved(plain);
        break;
      }
    }
    HandOver(plain, std::move(peer), listening.address);
  }
}

// Its place is free when it has ended. Of those that end already each has somebody who waits for
// its place.
void Listener::EndOldest() {
  auto& sessions = targets_[0].group->sessions();
  Session* oldest = sessions.First();
  while (oldest != nullptr && oldest->broken()) oldest = sessions.Next(*oldest);
  if (oldest == nullptr) return;  // all are ending
  if (const uint64_t count = rejections_.Count(core_.now_ns())) {
    LogWarning(
        "all {} places for connections are taken: {} ended for new ones since the last such "
        "line ({})",
        options_.connection_count_max, count, options_.option);
  }
  oldest->RequestKill();
}

void Listener::HandOver(Handle plain, std::string peer, const std::string& local) {
  if (unused_places_.empty()) {
    places_.push_back(std::make_unique<Place>());
    unused_places_.push_back(places_.back().get());
  }
  Place& place = *unused_places_.back();
  unused_places_.pop_back();

  const auto fewest = std::min_element(connection_counts_.begin(), connection_counts_.end());
  place.listener = this;
  place.target_index = static_cast<size_t>(fewest - connection_counts_.begin());
  place.target = &targets_[place.target_index];
  place.plain = plain;
  place.info.id = next_id_++;
  place.info.peer = std::move(peer);
  place.info.local = local;
  ++*fewest;
  ++connection_count_;
  ++accepted_;
  place.set_function([](Message& message, Core& there) {
    Place& arrived = static_cast<Place&>(message);
    SessionGroup::NewConnection connection;
    connection.plain = arrived.plain;
    connection.info = std::move(arrived.info);
    connection.make_protocol = &arrived.target->make_protocol;
    connection.ended = [&arrived, &there] {
      arrived.set_function([](Message& back, Core&) {
        Place& free_place = static_cast<Place&>(back);
        free_place.listener->GiveBack(free_place);
      });
      there.Send(arrived.listener->core_.id(), arrived);
    };
    arrived.target->group->Serve(std::move(connection));
  });
  core_.Send(place.target->group->core().id(), place);
}

void Listener::GiveBack(Place& place) {
  --connection_counts_[place.target_index];
  if (--connection_count_ == 0) emptied_.Set();
  unused_places_.push_back(&place);
  free_places_.Release();
}

Task<void> Listener::Reject(Handle plain) {
  Socket socket(core_.io(), core_.ring().Adopt(plain));
  if (rejecting_count_ < kRejectingMax) {
    ++rejecting_count_;
    IoAwaiter send = socket.Send(kTooManyConnectionsLine.data(),
                                 static_cast<uint32_t>(kTooManyConnectionsLine.size()));
    send.WithDeadline(core_.now_ns() + kRejectionNs);
    const IoResult sent = co_await send;
    if (sent.ok()) {
      const IoResult shut = co_await socket.ShutdownSend();
      static_cast<void>(shut.ok());  // it has gone already
    }
    --rejecting_count_;
  }
  const IoResult closed = co_await socket.Close();
  static_cast<void>(closed.ok());  // Linux has let go of the descriptor in any case
}

Task<void> Listener::CloseUnserved(Handle plain) {
  Socket socket(core_.io(), plain);
  const IoResult closed = co_await socket.Close();
  static_cast<void>(closed.ok());
}

Task<bool> Listener::WaitUntilEmpty(uint64_t deadline_ns) {
  struct Alarm : Timer {
    explicit Alarm(Event& event_in)
        : Timer([](Timer& self) { static_cast<Alarm&>(self).event.Set(); }), event(event_in) {}
    Event& event;
  };
  Alarm alarm(emptied_);
  alarm.Arm(core_.timers(), deadline_ns);
  while (connection_count_ > 0 && core_.now_ns() < deadline_ns) {
    emptied_.Reset();
    co_await emptied_.Wait();
  }
  co_return connection_count_ == 0;
}

Task<void> Listener::Close(Listening& listening) {
  if (!listening.unix_path.empty()) {
    // Before it is closed: the name of an open one is no other server's.
    const IoResult unlinked = co_await UnlinkFile(core_.io(), listening.unix_path.c_str());
    if (!unlinked.ok() && unlinked.error() != ENOENT) {
      LogWarning("cannot remove {}: {}", listening.unix_path, unlinked.text());
    }
  }
  const IoResult closed = co_await listening.socket.Close();
  static_cast<void>(closed.ok());  // Linux has let go of the descriptor in any case
}

Task<void> Listener::Stop() {
  nursery_.RequestStop();
  co_await nursery_.Join();
  for (auto& listening : listening_) co_await Close(*listening);
  listening_.clear();
}

}  // namespace pakv
