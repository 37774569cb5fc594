// Long because: every operation of the boundary is carried out here, as in the ring it stands for.
#include "tests/sim/world/sim_ring.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "runtime/base/check.h"
#include "runtime/base/coverage.h"

namespace pakv {

SimRing::SimRing(SimProcess& process, const SimRingOptions& options)
    : process_(process),
      agenda_(process.machine_.agenda),
      submissions_max_(options.submissions_max),
      buffer_bytes_(options.receive_buffer_bytes),
      buffer_memory_(size_t{options.receive_buffer_count} * options.receive_buffer_bytes),
      buffers_(options.receive_buffer_count) {
  for (uint32_t i = 0; i < options.receive_buffer_count; ++i) {
    buffers_[i].id = static_cast<uint16_t>(i);
    buffers_[i].data = buffer_memory_.data() + size_t{i} * buffer_bytes_;
    free_buffers_.push_back(static_cast<uint16_t>(i));
  }
  process_.rings_.push_back(this);
}

SimRing::~SimRing() {
  PAKV_CHECK(in_flight_.empty() && receivers_.empty(), "a ring died with operations in flight");
  std::erase(process_.rings_, this);
}

namespace {

bool ChangesDisk(const IoRequest& request) {
  switch (request.opcode) {
    case Opcode::kOpen:
      return (request.open_flags & (O_CREAT | O_TRUNC)) != 0;
    case Opcode::kWrite:
    case Opcode::kSyncData:
    case Opcode::kTruncate:
    case Opcode::kRename:
    case Opcode::kUnlink:
    case Opcode::kLink:
    case Opcode::kMakeDirectory:
    case Opcode::kSyncDirectory:
      return true;
    default:
      return false;
  }
}

}  // namespace

uint64_t SimRing::DiskDelay() {
  Prng& prng = process_.prng_;
  const uint32_t stall = process_.disk_.faults.stall;
  if (stall != 0 && prng.Chance(stall, 10'000)) return prng.Between(1, 1000) * kNsPerMs;
  return prng.Between(5, 100) * kNsPerUs;
}

void SimRing::CheckBuffer(const IoRequest& request) const {
  if (request.buffer_index < 0) return;
  const auto index = static_cast<size_t>(request.buffer_index);
  PAKV_CHECK(index < registered_.size(), "no such registered buffer");
  const void* data = request.opcode == Opcode::kWrite ? request.const_buffer : request.buffer;
  const auto* begin = static_cast<const std::byte*>(data);
  PAKV_CHECK(begin >= registered_[index].data() &&
                 begin + request.length <= registered_[index].data() + registered_[index].size(),
             "a transfer leaves its registered buffer");
}

void SimRing::Submit(Operation& operation) {
  PAKV_CHECK(!operation.in_flight, "the operation is in flight already");
  PAKV_CHECK(!process_.crashed_, "a crashed process submits an operation");
  operation.in_flight = true;
  operation.cancelled = false;
  operation.ring_data = next_id_++;
  const uint64_t id = operation.ring_data;
  in_flight_.push_back({id, &operation});
  SimTrace& trace = process_.machine_.trace;
  trace.Add(static_cast<uint64_t>(operation.request.opcode));
  trace.Add(operation.request.offset << 32 | operation.request.length);
  if (process_.dying_) return;
  if (submissions_ < submissions_max_ && waiting_.empty()) return Begin(id);
  PAKV_COVERED(kSubmissionWaited);
  waiting_.push_back(id);
}

SimRing::InFlight* SimRing::Find(uint64_t id) {
  const auto found =
      std::lower_bound(in_flight_.begin(), in_flight_.end(), id,
                       [](const InFlight& flight, uint64_t wanted) { return flight.id < wanted; });
  return found == in_flight_.end() || found->id != id ? nullptr : &*found;
}

// The kernel takes it.
void SimRing::Begin(uint64_t id) {
  InFlight* const found = Find(id);
  if (found == nullptr || process_.dying_) return;
  ++submissions_;
  if (process_.submissions_++ >= process_.submissions_left_) {
    process_.dying_ = true;
    agenda_.CancelAll(process_.id_);
    return;
  }
  found->begun = true;
  Operation& operation = *found->operation;
  if (ChangesDisk(operation.request)) ++process_.disk_steps_;
  int32_t result = 0;
  if (SubmitNow(operation, result)) {
    Finish(id, result);
  } else {
    RunLater(id);
  }
}

// What the kernel's ring does at once, and nothing can come between. False: not one of these.
bool SimRing::SubmitNow(Operation& operation, int32_t& result) {
  const IoRequest& request = operation.request;
  SimDisk& disk = process_.disk_;
  switch (request.opcode) {
    case Opcode::kTruncate:
      result = disk.Truncate(*process_.FileOf(request.handle).inode, request.offset);
      return true;
    case Opcode::kList:
      result = disk.List(request.path, *request.names);
      return true;
    case Opcode::kLock: {
      SimProcess::File& file = process_.FileOf(request.handle);
      const uint64_t owner =
          process_.id_ << 32 | static_cast<uint32_t>(static_cast<int32_t>(request.handle));
      result = disk.Lock(*file.inode, owner);
      if (result == 0) file.lock_owner = owner;
      return true;
    }
    case Opcode::kResolve:
      *request.names = process_.machine_.net.Resolve(request.path);
      result =
          request.names->empty() ? -EADDRNOTAVAIL : static_cast<int32_t>(request.names->size());
      return true;
    case Opcode::kListen: {
      SimNet::ListenerRef listener;
      result = process_.machine_.net.Listen(process_.host_, request.path, request.length, listener);
      if (result < 0) return true;
      const Handle handle = process_.NewHandle();
      *request.text = listener->address;
      listener->changed = [process = &process_, handle] { process->ListenerChanged(handle); };
      process_.listeners_.emplace(handle, SimProcess::Listening{std::move(listener)});
      result = static_cast<int32_t>(handle);
      return true;
    }
    default:
      return false;
  }
}

void SimRing::RunLater(uint64_t id) {
  Operation& operation = *Find(id)->operation;
  const IoRequest& request = operation.request;
  Prng& prng = process_.prng_;
  const uint64_t soon_ns = prng.Between(1, 20) * kNsPerUs;
  switch (request.opcode) {
    case Opcode::kWrite:
    case Opcode::kRead:
      CheckBuffer(request);
      [[fallthrough]];
    case Opcode::kOpen:
    case Opcode::kSyncData:
    case Opcode::kRename:
    case Opcode::kUnlink:
    case Opcode::kLink:
    case Opcode::kMakeDirectory:
    case Opcode::kSyncDirectory:
    case Opcode::kStat:
    case Opcode::kSpace:
      agenda_.After(DiskDelay(), process_.id_, [this, id] { Land(id); });
      return;
    case Opcode::kNop:
      FinishAfter(soon_ns, id, 0);
      return;
    case Opcode::kConnect:
      process_.machine_.net.Connect(
          process_.id_, process_.host_, request.path,
          [this, id](int32_t error, SimNet::EndpointRef endpoint) {
            // A cancelled attempt has been answered already.
            if (Find(id) == nullptr) {
              if (endpoint != nullptr) process_.machine_.net.Abandon(endpoint, /*reset=*/true);
              return;
            }
            if (error == 0) error = static_cast<int32_t>(process_.AddSocket(std::move(endpoint)));
            Finish(id, error);
          });
      return;
    case Opcode::kAccept: {
      SimProcess::Listening& listening = process_.listeners_.at(request.handle);
      PAKV_CHECK(listening.accept == nullptr, "one accept at a time");
      listening.ring = this;
      listening.accept = &operation;
      agenda_.After(soon_ns, process_.id_,
                    [this, handle = request.handle] { process_.ListenerChanged(handle); });
      return;
    }
    case Opcode::kSend: {
      SimProcess::Socket& socket = process_.sockets_.at(request.handle);
      PAKV_CHECK(socket.send == nullptr, "one send at a time, or their order is lost");
      PAKV_CHECK(socket.adopted_by == nullptr || socket.adopted_by == this);
      process_.sent_at_once_max_ = std::max(process_.sent_at_once_max_, request.length);
      socket.sending_ring = this;
      socket.send = &operation;
      agenda_.After(soon_ns, process_.id_,
                    [this, handle = request.handle] { process_.SocketChanged(handle); });
      return;
    }
    case Opcode::kReadable: {
      SimProcess::Socket& socket = process_.sockets_.at(request.handle);
      PAKV_CHECK(socket.readable == nullptr, "one of a kind at a time");
      PAKV_CHECK(socket.adopted_by == nullptr || socket.adopted_by == this);
      socket.waiting_ring = this;
      socket.readable = &operation;
      agenda_.After(soon_ns, process_.id_,
                    [this, handle = request.handle] { process_.SocketChanged(handle); });
      return;
    }
    case Opcode::kReceive:
      PAKV_CHECK(process_.sockets_.at(request.handle).receiver == nullptr,
                 "beside a receiver the order of the bytes is lost");
      [[fallthrough]];
    case Opcode::kShutdown:
    case Opcode::kClose:
      agenda_.After(soon_ns, process_.id_, [this, id] { Land(id); });
      return;
    default:
      PAKV_CHECK(false, "an opcode that the ring does not know");
  }
}

// The moment at which an operation takes effect; it completes now or a little later.
void SimRing::Land(uint64_t id) {
  InFlight* found = Find(id);
  if (found == nullptr) return;
  Operation& operation = *found->operation;
  const IoRequest& request = operation.request;
  Prng& prng = process_.prng_;
  if (operation.cancelled && request.opcode != Opcode::kClose && prng.Chance(1, 2)) {
    return Finish(id, -ECANCELED);
  }
  const int32_t result = Carry(operation);
  found = Find(id);  // others may have finished
  found->landed = true;
  found->result = result;
  if (ChangesDisk(request)) ++process_.disk_steps_;
  if (request.opcode == Opcode::kWrite && request.sync && result > 0) {
    agenda_.After(DiskDelay(), process_.id_, [this, id] { Sync(id); });
    return;
  }
  FinishAfter(prng.Below(10) * kNsPerUs, id, result);
}

// The flush that is part of a sync write.
void SimRing::Sync(uint64_t id) {
  const InFlight& flight = *Find(id);
  const IoRequest& write = flight.operation->request;
  const int32_t synced = process_.disk_.SyncRange(
      *process_.FileOf(write.handle).inode, write.offset, static_cast<uint32_t>(flight.result));
  ++process_.disk_steps_;
  FinishAfter(process_.prng_.Below(10) * kNsPerUs, id, synced < 0 ? synced : flight.result);
}

int32_t SimRing::Carry(Operation& operation) {
  const IoRequest& request = operation.request;
  SimDisk& disk = process_.disk_;
  switch (request.opcode) {
    case Opcode::kOpen:
      return Open(operation);
    case Opcode::kRead: {
      SimProcess::File& file = process_.FileOf(request.handle);
      return disk.Read(*file.inode, file.direct, request.buffer, request.length, request.offset);
    }
    case Opcode::kWrite: {
      SimProcess::File& file = process_.FileOf(request.handle);
      return disk.Write(*file.inode, file.direct, request.const_buffer, request.length,
                        request.offset);
    }
    case Opcode::kSyncData:
      return disk.SyncData(*process_.FileOf(request.handle).inode);
    case Opcode::kRename:
      return disk.Rename(request.path, request.path2);
    case Opcode::kUnlink:
      return disk.Unlink(request.path);
    case Opcode::kLink:
      return disk.Link(request.path, request.path2);
    case Opcode::kMakeDirectory:
      return disk.MakeDirectory(request.path);
    case Opcode::kSyncDirectory:
      return disk.SyncDirectory(request.path);
    case Opcode::kStat:
      return request.path != nullptr
                 ? disk.StatPath(request.path, *request.stat)
                 : disk.Stat(*process_.FileOf(request.handle).inode, *request.stat);
    case Opcode::kSpace:
      return disk.Space(*request.space);
    case Opcode::kReceive:
      return ReceiveNow(request);
    case Opcode::kShutdown:
      if (const auto found = process_.sockets_.find(request.handle);
          found != process_.sockets_.end()) {
        if (request.length == 1) {
          process_.machine_.net.ShutdownSend(found->second.endpoint);
        } else {
          process_.machine_.net.Shutdown(found->second.endpoint);
        }
        return 0;
      }
      process_.machine_.net.CloseListener(process_.listeners_.at(request.handle).listener);
      return 0;
    case Opcode::kClose:
      if (const auto file = process_.files_.find(request.handle); file != process_.files_.end()) {
        const SimDisk::InodeRef inode = file->second.inode;
        disk.Unlock(*inode, file->second.lock_owner);
        process_.files_.erase(file);
        if (!process_.IsOpen(*inode)) disk.Closed(*inode);
        return 0;
      }
      if (const auto listening = process_.listeners_.find(request.handle);
          listening != process_.listeners_.end()) {
        PAKV_CHECK(listening->second.accept == nullptr, "closed while it accepts");
        listening->second.listener->changed = nullptr;
        process_.machine_.net.CloseListener(listening->second.listener);
        process_.listeners_.erase(listening);
        return 0;
      }
      process_.sockets_.at(request.handle).closing = true;
      process_.CloseIfDone(request.handle);
      return 0;
    default:
      PAKV_CHECK(false, "an opcode that has no effect");
      return -EINVAL;
  }
}

int32_t SimRing::Open(Operation& operation) {
  SimDisk::InodeRef inode;
  const int32_t result =
      process_.disk_.Open(operation.request.path, operation.request.open_flags, inode);
  if (result < 0) return result;
  const Handle handle = process_.NewHandle();
  process_.files_.emplace(
      handle, SimProcess::File{std::move(inode), (operation.request.open_flags & O_DIRECT) != 0});
  return static_cast<int32_t>(handle);
}

int32_t SimRing::ReceiveNow(const IoRequest& request) {
  const SimProcess::Socket& socket = process_.sockets_.at(request.handle);
  const SimNet::Endpoint& endpoint = *socket.endpoint;
  if (endpoint.received.empty()) {
    if (endpoint.error != 0) return endpoint.error;
    return endpoint.end_received ? 0 : -EAGAIN;
  }
  SimNet& net = process_.machine_.net;
  size_t count = std::min<size_t>(endpoint.received.size(), request.length);
  if (count > 1 && net.faults.cut != 0 && process_.prng_.Chance(1, 8)) {
    count = 1 + process_.prng_.Below(count);
  }
  const std::string bytes = net.Take(socket.endpoint, count);
  std::memcpy(request.buffer, bytes.data(), bytes.size());
  process_.received_at_once_max_ =
      std::max(process_.received_at_once_max_, static_cast<uint32_t>(bytes.size()));
  return static_cast<int32_t>(bytes.size());
}

void SimRing::FinishAfter(uint64_t delay_ns, uint64_t id, int32_t result) {
  Find(id)->result = result;
  agenda_.After(delay_ns, process_.id_, [this, id] {
    if (const InFlight* found = Find(id)) Finish(id, found->result);
  });
}

void SimRing::Finish(uint64_t id, int32_t result) {
  const InFlight* const found = Find(id);
  if (found == nullptr) return;
  Operation& operation = *found->operation;
  in_flight_.erase(in_flight_.begin() + (found - in_flight_.data()));
  operation.result = IoResult(result);
  finished_.push_back(&operation);
  process_.machine_.trace.Add(static_cast<uint64_t>(static_cast<uint32_t>(result)));
}

void SimRing::RequestCancel(Operation& operation) {
  if (!operation.in_flight || operation.cancelled) return;
  operation.cancelled = true;
  if (process_.dying_) return;
  const uint64_t id = operation.ring_data;
  switch (operation.request.opcode) {
    case Opcode::kConnect:
    case Opcode::kAccept:
    case Opcode::kSend:
    case Opcode::kReadable:
      break;
    default:
      return;  // what is on its way to the disk is looked at when it lands
  }
  agenda_.After(process_.prng_.Between(1, 20) * kNsPerUs, process_.id_, [this, id] {
    const InFlight* const found = Find(id);
    if (found == nullptr) return;
    const Operation* late = found->operation;
    for (auto& [handle, socket] : process_.sockets_) {
      if (socket.send == late) socket.send = nullptr;
      if (socket.readable == late) socket.readable = nullptr;
    }
    for (auto& [handle, listening] : process_.listeners_) {
      if (listening.accept == late) listening.accept = nullptr;
    }
    Finish(id, -ECANCELED);
  });
}

void SimRing::SubmitReceive(Receiver& receiver) {
  PAKV_CHECK(!receiver.in_flight, "the receiver is armed already");
  SimProcess::Socket& socket = process_.sockets_.at(receiver.handle);
  PAKV_CHECK(socket.receiver == nullptr, "one receiver per socket");
  PAKV_CHECK(socket.adopted_by == nullptr || socket.adopted_by == this);
  receiver.in_flight = true;
  receiver.cancelled = false;
  receiver.end = IoResult(0);
  receivers_.push_back(&receiver);
  socket.receiver = &receiver;
  socket.receiving_ring = this;
  if (process_.dying_) return;
  agenda_.After(process_.prng_.Between(1, 20) * kNsPerUs, process_.id_,
                [this, handle = receiver.handle] { process_.SocketChanged(handle); });
}

void SimRing::RequestCancel(Receiver& receiver) {
  if (!receiver.in_flight || receiver.cancelled) return;
  receiver.cancelled = true;
  if (process_.dying_) return;
  agenda_.After(process_.prng_.Between(1, 20) * kNsPerUs, process_.id_,
                [this, handle = receiver.handle, target = &receiver] {
                  const auto found = process_.sockets_.find(handle);
                  if (found == process_.sockets_.end() || found->second.receiver != target ||
                      !target->cancelled) {
                    return;
                  }
                  found->second.receiver = nullptr;
                  EndReceiver(*target, -ECANCELED);
                  process_.CloseIfDone(handle);
                });
}

void SimRing::EndReceiver(Receiver& receiver, int32_t result) {
  receiver_news_.push_back({&receiver, nullptr, result});
  process_.machine_.trace.Add(static_cast<uint64_t>(static_cast<uint32_t>(result)));
}

void SimRing::ReturnBuffer(ReceivedBuffer& buffer) {
  PAKV_CHECK(!buffer.linked());
  PAKV_CHECK(&buffer == &buffers_[buffer.id], "the buffer is another ring's");
  PAKV_CHECK(
      std::find(free_buffers_.begin(), free_buffers_.end(), buffer.id) == free_buffers_.end(),
      "the buffer was returned twice");
  // Whoever still reads it sees that it is not his any more.
  std::memset(const_cast<char*>(buffer.data), '#', buffer_bytes_);
  free_buffers_.push_back(buffer.id);
}

void SimRing::Enter(uint64_t, IntrusiveList<Completion>& completed) {
  woken_ = false;
  submissions_ = 0;
  while (!waiting_.empty() && submissions_ < submissions_max_ && !process_.dying_) {
    const uint64_t id = waiting_.front();
    waiting_.pop_front();
    Begin(id);
  }
  for (Operation* operation : finished_) {
    operation->in_flight = false;
    completed.PushBack(*operation);
  }
  finished_.clear();
  for (const ReceiverNews& news : receiver_news_) {
    Receiver& receiver = *news.receiver;
    if (news.buffer != nullptr) {
      receiver.received.PushBack(*news.buffer);
    } else {
      receiver.in_flight = false;
      receiver.end = IoResult(news.end);
      std::erase(receivers_, &receiver);
    }
    if (!receiver.linked()) completed.PushBack(receiver);
  }
  receiver_news_.clear();
}

Handle SimRing::Adopt(Handle plain) {
  const auto found = process_.sockets_.find(plain);
  PAKV_CHECK(found != process_.sockets_.end(), "no plain handle of a socket");
  PAKV_CHECK(found->second.adopted_by == nullptr, "adopted twice");
  // Some stay plain descriptors, as when the table of registered files is full.
  if (process_.prng_.Chance(1, 8)) return plain;
  const Handle handle = process_.NewHandle();
  auto node = process_.sockets_.extract(found);
  node.key() = handle;
  node.mapped().adopted_by = this;
  node.mapped().endpoint->changed = [process = &process_, handle] {
    process->SocketChanged(handle);
  };
  process_.sockets_.insert(std::move(node));
  return handle;
}

IoResult SimRing::RegisterBuffers(std::span<const std::span<std::byte>> buffers) {
  PAKV_CHECK(registered_.empty(), "buffers are registered once");
  registered_.assign(buffers.begin(), buffers.end());
  return IoResult(0);
}

std::string SimRing::Describe() const {
  std::string text;
  for (const InFlight& flight : in_flight_) {
    const IoRequest& request = flight.operation->request;
    text += " opcode " + std::to_string(static_cast<int>(request.opcode)) + " on handle " +
            std::to_string(static_cast<int>(request.handle)) +
            (request.path != nullptr ? std::string(" ") + request.path : "") +
            (flight.operation->cancelled ? " cancelled;" : ";");
  }
  if (!receivers_.empty()) text += " receivers: " + std::to_string(receivers_.size());
  return text.empty() ? " nothing" : text;
}

}  // namespace pakv
