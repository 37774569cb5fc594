// The handles of a simulated process, what happens at them, and what is left when it dies
// (tests/sim/world/sim_ring.h).
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "runtime/base/check.h"
#include "tests/sim/world/sim_ring.h"

namespace pakv {

SimProcess::SimProcess(const SimMachine& machine, SimDisk& disk, std::string host,
                       SimAgenda::Owner id, uint64_t seed)
    : machine_(machine), disk_(disk), host_(std::move(host)), id_(id), prng_(seed) {}

SimProcess::~SimProcess() {
  PAKV_CHECK(rings_.empty(), "a process ended before its rings");
  if (!crashed_) Crash(CrashKind::kProcessKill);
}

std::unique_ptr<SimRing> SimProcess::NewRing(const SimRingOptions& options) {
  return std::make_unique<SimRing>(*this, options);
}

void SimProcess::Crash(CrashKind kind) {
  PAKV_CHECK(!crashed_);
  crashed_ = true;
  machine_.agenda.CancelAll(id_);
  for (SimRing* ring : rings_) ring->Forget();
  for (auto& [handle, file] : files_) disk_.Unlock(*file.inode, file.lock_owner);
  files_.clear();
  for (auto& [handle, listening] : listeners_) {
    listening.listener->changed = nullptr;
    machine_.net.CloseListener(listening.listener);
  }
  listeners_.clear();
  for (auto& [handle, socket] : sockets_) {
    machine_.net.Abandon(socket.endpoint,
                         kind == CrashKind::kPowerCut || !socket.endpoint->received.empty());
  }
  sockets_.clear();
}

// The kernel has an operation whose process dies: it may be carried out, a write in any part.
void SimRing::LeaveBehind(const InFlight& flight, SimDisk& disk, const SimDisk::Copies* copies,
                          Prng& prng) const {
  if (!flight.begun || flight.landed) return;
  const IoRequest& request = flight.operation->request;
  switch (request.opcode) {
    case Opcode::kWrite: {
      const SimProcess::File& file = process_.FileOf(request.handle);
      SimDisk::InodeRef inode = file.inode;
      if (copies != nullptr) {
        const auto copy = copies->find(inode.get());
        if (copy == copies->end()) return;
        inode = copy->second;
      }
      disk.WriteSome(*inode, file.direct, request.const_buffer, request.length, request.offset);
      return;
    }
    case Opcode::kRename:
      if (prng.Chance(1, 2)) static_cast<void>(disk.Rename(request.path, request.path2));
      return;
    case Opcode::kUnlink:
      if (prng.Chance(1, 2)) static_cast<void>(disk.Unlink(request.path));
      return;
    case Opcode::kLink:
      if (prng.Chance(1, 2)) static_cast<void>(disk.Link(request.path, request.path2));
      return;
    case Opcode::kMakeDirectory:
      if (prng.Chance(1, 2)) static_cast<void>(disk.MakeDirectory(request.path));
      return;
    case Opcode::kOpen: {
      SimDisk::InodeRef inode;
      if (prng.Chance(1, 2)) {
        static_cast<void>(disk.Open(request.path, request.open_flags, inode));
      }
      return;
    }
    default:
      return;
  }
}

void SimRing::Forget() {
  for (const InFlight& flight : in_flight_) {
    Operation& operation = *flight.operation;
    operation.in_flight = false;
    LeaveBehind(flight, process_.disk_, /*copies=*/nullptr, process_.prng_);
  }
  in_flight_.clear();
  waiting_.clear();
  for (Operation* operation : finished_) operation->in_flight = false;
  finished_.clear();
  receiver_news_.clear();
  for (Receiver* receiver : receivers_) receiver->in_flight = false;
  receivers_.clear();
  for (ReceivedBuffer& buffer : buffers_) buffer.Unlink();
}

bool SimProcess::interruptible() const {
  return std::any_of(rings_.begin(), rings_.end(),
                     [](const SimRing* ring) { return !ring->in_flight_.empty(); });
}

void SimProcess::LeaveOn(SimDisk& image) const {
  const SimDisk::Copies copies = image.CopyFrom(disk_);
  for (const SimRing* ring : rings_) {
    for (const SimRing::InFlight& flight : ring->in_flight_) {
      ring->LeaveBehind(flight, image, &copies, image.prng());
    }
  }
}

SimProcess::File& SimProcess::FileOf(Handle handle) {
  const auto found = files_.find(handle);
  PAKV_CHECK(found != files_.end(), "not the handle of an open file");
  return found->second;
}

bool SimProcess::IsOpen(const SimDisk::Inode& inode) const {
  return std::any_of(files_.begin(), files_.end(),
                     [&](const auto& open) { return open.second.inode.get() == &inode; });
}

Handle SimProcess::AddSocket(SimNet::EndpointRef endpoint) {
  const Handle handle = NewHandle();
  endpoint->changed = [this, handle] { SocketChanged(handle); };
  sockets_.emplace(handle, Socket{std::move(endpoint)});
  return handle;
}

void SimProcess::CloseIfDone(Handle handle) {
  const auto found = sockets_.find(handle);
  if (found == sockets_.end() || !found->second.closing) return;
  // An operation in flight keeps the socket, as it keeps the kernel's file.
  const Socket& socket = found->second;
  if (socket.receiver != nullptr || socket.send != nullptr || socket.readable != nullptr) return;
  machine_.net.Close(found->second.endpoint);
  sockets_.erase(found);
}

void SimProcess::SocketChanged(Handle handle) {
  if (dying_) return;
  const auto found = sockets_.find(handle);
  if (found == sockets_.end()) return;
  TrySend(found->second);
  TryReceive(handle, found->second);
  TryReadable(found->second);
  CloseIfDone(handle);
}

void SimProcess::TrySend(Socket& socket) {
  if (socket.send == nullptr) return;
  const IoRequest& request = socket.send->request;
  const int32_t sent = machine_.net.Send(
      socket.endpoint, {static_cast<const char*>(request.const_buffer), request.length});
  // A reset tells the socket in between, which tries again.
  if (socket.send == nullptr || (sent == 0 && request.length != 0)) return;
  Operation* operation = std::exchange(socket.send, nullptr);
  socket.sending_ring->Finish(operation->ring_data, sent);
}

void SimProcess::TryReceive(Handle, Socket& socket) {
  SimNet::Endpoint& endpoint = *socket.endpoint;
  while (socket.receiver != nullptr) {
    Receiver& receiver = *socket.receiver;
    SimRing& ring = *socket.receiving_ring;
    if (endpoint.received.empty()) {
      if (endpoint.error == 0 && !endpoint.end_received) return;
      socket.receiver = nullptr;
      ring.EndReceiver(receiver, endpoint.error);
      return;
    }
    if (ring.free_buffers_.empty()) {
      socket.receiver = nullptr;
      ring.EndReceiver(receiver, -ENOBUFS);
      return;
    }
    ReceivedBuffer& buffer = ring.buffers_[ring.free_buffers_.back()];
    ring.free_buffers_.pop_back();
    size_t count = std::min<size_t>(endpoint.received.size(), ring.buffer_bytes_);
    if (count > 1 && machine_.net.faults.cut != 0 && prng_.Chance(1, 8)) {
      count = 1 + prng_.Below(count);
    }
    const std::string bytes = machine_.net.Take(socket.endpoint, count);
    std::memcpy(const_cast<char*>(buffer.data), bytes.data(), bytes.size());
    buffer.length = static_cast<uint32_t>(bytes.size());
    ring.receiver_news_.push_back({&receiver, &buffer, 0});
    machine_.trace.Add(bytes.size());
    if (receiver.once) {
      socket.receiver = nullptr;
      ring.EndReceiver(receiver, static_cast<int32_t>(bytes.size()));
      return;
    }
    // The kernel may end a multishot receive after any completion.
    if (prng_.Chance(1, 64)) {
      socket.receiver = nullptr;
      ring.EndReceiver(receiver, -ENOBUFS);
    }
  }
}

void SimProcess::TryReadable(Socket& socket) {
  const SimNet::Endpoint& endpoint = *socket.endpoint;
  if (socket.readable == nullptr) return;
  if (endpoint.received.empty() && !endpoint.end_received && endpoint.error == 0) return;
  Operation* operation = std::exchange(socket.readable, nullptr);
  socket.waiting_ring->Finish(operation->ring_data, 0);
}

void SimProcess::ListenerChanged(Handle handle) {
  if (dying_) return;
  const auto found = listeners_.find(handle);
  if (found == listeners_.end() || found->second.accept == nullptr) return;
  Listening& listening = found->second;
  int32_t result = 0;
  if (listening.listener->closed) {
    result = -EINVAL;
  } else if (listening.listener->pending.empty()) {
    return;
  } else if (const uint32_t chance = machine_.net.faults.no_descriptor;
             chance != 0 && prng_.Chance(chance, 10'000)) {
    result = -EMFILE;
  } else {
    SimNet::EndpointRef endpoint = std::move(listening.listener->pending.front());
    listening.listener->pending.pop_front();
    *listening.accept->request.text = endpoint->remote_address;
    result = static_cast<int32_t>(AddSocket(std::move(endpoint)));
  }
  Operation* operation = std::exchange(listening.accept, nullptr);
  listening.ring->Finish(operation->ring_data, result);
}

}  // namespace pakv
