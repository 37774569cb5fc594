// Long because: it alone knows liburing, and each opcode passes through it.
#include "runtime/io/uring_ring.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "runtime/base/check.h"
#include "runtime/base/clock.h"
#include "runtime/base/pages.h"
#include "runtime/io/address.h"
#include "runtime/io/system_calls.h"
#include "runtime/io/uring_error.h"

namespace pakv {
namespace {

// What a completion belongs to: the low bits of its user data, the rest is a pointer.
constexpr uint64_t kTagMask = 7;
enum Tag : uint64_t {
  kTagOperation = 0,
  kTagReceiver = 1,
  kTagWake = 2,
  kTagAlarm = 3,
  kTagIgnored = 4
};

// A handle with this bit is a slot of the ring's registered files, without it a descriptor.
constexpr int32_t kSlotBit = 1 << 30;
constexpr uint16_t kBufferGroup = 1;

// Steps of kSyncDirectory, kept in Operation::ring_data with the descriptor above them.
enum DirectoryStep : uint64_t { kOpening = 0, kSyncing = 1 };

// Where a Receiver in flight is, kept in its ring_data.
enum ReceiverPlace : uint64_t { kArmed = 0, kStarved = 1 };

bool IsSlot(Handle handle) { return static_cast<int32_t>(handle) >= kSlotBit; }
int32_t SlotOf(Handle handle) { return static_cast<int32_t>(handle) & ~kSlotBit; }

}  // namespace

std::unique_ptr<UringRing> UringRing::Create(const UringOptions& options, std::string& error) {
  std::unique_ptr<UringRing> ring(new UringRing());
  if (!ring->SetUp(options, error)) return nullptr;
  return ring;
}

bool UringRing::SetUp(const UringOptions& options, std::string& error) {
  int result = SetUpQueues(options.entries);
  if (result < 0) {
    error = UringSetUpError(-result, "io_uring_setup", ThisMachine());
    return false;
  }
  // A ring that is not enabled yet answers EBADFD; a sandbox that forbids the call something else.
  if (syscall(SYS_io_uring_enter, ring_.ring_fd, 0, 0, 0, nullptr, 0) < 0 && errno != EBADFD) {
    error = UringSetUpError(errno, "io_uring_enter", ThisMachine());
    return false;
  }
  result = SetUpReceiveBuffers(options.receive_buffer_count, options.receive_buffer_bytes);
  if (result < 0) {
    error = UringSetUpError(-result, "io_uring_register", ThisMachine());
    return false;
  }
  SetUpRegisteredFiles(options.registered_files);
  wake_fd_ = eventfd(0, EFD_CLOEXEC);
  if (wake_fd_ < 0) {
    error = UringSetUpError(errno, "eventfd", ThisMachine());
    return false;
  }
  ArmWake();
  return true;
}

// The queues count against the memlock limit (Linux 6.14 and newer): under a short one they are
// smaller, which costs system calls and nothing else.
int UringRing::SetUpQueues(uint32_t entries) {
  constexpr uint32_t kEntriesMin = 64;
  int result = -ENOMEM;
  for (; result == -ENOMEM && (entries >= kEntriesMin || !degraded_); entries /= 2) {
    io_uring_params params{};
    params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                   IORING_SETUP_R_DISABLED | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL |
                   IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
    params.cq_entries = entries * 8;
    result = io_uring_queue_init_params(entries, &ring_, &params);
    if (result < 0) degraded_ = true;
  }
  ring_ready_ = result >= 0;
  return result;
}

// So does the ring that lists the receive buffers.
int UringRing::SetUpReceiveBuffers(uint32_t count, uint32_t bytes) {
  constexpr uint32_t kBuffersMin = 64;
  PAKV_CHECK(count > 0 && (count & (count - 1)) == 0, "a power of two");
  buffer_bytes_ = bytes;
  int result = -ENOMEM;
  for (buffer_count_ = count; result == -ENOMEM;) {
    const size_t ring_bytes = buffer_count_ * sizeof(io_uring_buf);
    buffer_ring_ = static_cast<io_uring_buf_ring*>(MapPagesOrEnd(ring_bytes));
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<uint64_t>(buffer_ring_);
    registration.ring_entries = buffer_count_;
    registration.bgid = kBufferGroup;
    result = io_uring_register_buf_ring(&ring_, &registration, 0);
    if (result >= 0) break;
    degraded_ = true;
    munmap(buffer_ring_, ring_bytes);
    buffer_ring_ = nullptr;
    if (buffer_count_ <= kBuffersMin) return result;
    buffer_count_ /= 2;
  }
  if (result < 0) return result;
  buffer_memory_ = static_cast<char*>(MapPagesOrEnd(size_t{buffer_count_} * buffer_bytes_));
  io_uring_buf_ring_init(buffer_ring_);
  buffers_ = std::vector<ReceivedBuffer>(buffer_count_);
  for (uint32_t i = 0; i < buffer_count_; ++i) {
    buffers_[i].id = static_cast<uint16_t>(i);
    buffers_[i].data = buffer_memory_ + size_t{i} * buffer_bytes_;
    ProvideBuffer(buffers_[i]);
  }
  return 0;
}

// Registered files are limited by RLIMIT_NOFILE; without them sockets stay plain descriptors.
void UringRing::SetUpRegisteredFiles(uint32_t slots) {
  constexpr uint32_t kSlotsMin = 16;
  while (slots >= kSlotsMin && io_uring_register_files_sparse(&ring_, slots) < 0) slots /= 2;
  if (slots < kSlotsMin) return;
  for (; slots > 0; --slots) free_slots_.push_back(static_cast<int32_t>(slots - 1));
}

UringRing::~UringRing() {
  if (ring_ready_) io_uring_queue_exit(&ring_);
  if (wake_fd_ >= 0) close(wake_fd_);
  if (buffer_ring_ != nullptr) munmap(buffer_ring_, buffer_count_ * sizeof(io_uring_buf));
  if (buffer_memory_ != nullptr) munmap(buffer_memory_, size_t{buffer_count_} * buffer_bytes_);
}

void UringRing::Start() {
  // liburing 2.3 declares io_uring_enable_rings but does not export it.
  const int64_t result =
      syscall(SYS_io_uring_register, ring_.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
  PAKV_CHECK(result == 0, "the ring was started twice");
  started_ = true;
  // Saves looking up the descriptor in each system call; it belongs to this thread. Where it fails
  // the plain descriptor serves.
  static_cast<void>(io_uring_register_ring_fd(&ring_));
  for (Operation* operation : early_) {
    if (operation->cancelled) {
      FinishAtOnce(*operation, -ECANCELED);
    } else {
      Begin(*operation);
    }
  }
  early_ = {};
}

void UringRing::Stop() {
  // Another thread would take it for one of its own.
  static_cast<void>(io_uring_unregister_ring_fd(&ring_));
}

IoResult UringRing::RegisterBuffers(std::span<const std::span<std::byte>> buffers) {
  std::vector<iovec> vectors;
  for (const auto& buffer : buffers) vectors.push_back({buffer.data(), buffer.size()});
  return IoResult(
      io_uring_register_buffers(&ring_, vectors.data(), static_cast<unsigned>(vectors.size())));
}

Handle UringRing::Adopt(Handle plain) {
  if (free_slots_.empty() || IsSlot(plain)) return plain;
  const int descriptor = static_cast<int>(plain);
  const int32_t slot = free_slots_.back();
  if (io_uring_register_files_update(&ring_, static_cast<unsigned>(slot), &descriptor, 1) != 1) {
    return plain;
  }
  free_slots_.pop_back();
  close(descriptor);
  return Handle{slot | kSlotBit};
}

io_uring_sqe* UringRing::NextSqe() {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  while (sqe == nullptr) {
    PAKV_CHECK(started_, "more was submitted before Start than the queue holds");
    const int result = io_uring_submit_and_get_events(&ring_);
    PAKV_CHECK(result >= 0 || result == -EBUSY || result == -EAGAIN || result == -EINTR,
               "the submission queue cannot be flushed");
    // Nothing may be taken while completions find no room, or memory: make some.
    if (result <= 0) SetCompletionsAside();
    sqe = io_uring_get_sqe(&ring_);
  }
  return sqe;
}

bool UringRing::TakeCompletion(Arrived& arrived) {
  const unsigned head = *ring_.cq.khead;
  if (head == io_uring_smp_load_acquire(ring_.cq.ktail)) return false;
  const io_uring_cqe& cqe = ring_.cq.cqes[head & *ring_.cq.kring_mask];
  arrived = {cqe.user_data, cqe.res, cqe.flags};
  io_uring_cq_advance(&ring_, 1);
  return true;
}

void UringRing::SetCompletionsAside() {
  Arrived arrived;
  while (TakeCompletion(arrived)) aside_.push_back(arrived);
}

void UringRing::HandleCompletions() {
  // Handling one may submit, and so set others aside: those are older than what comes after.
  Arrived arrived;
  while (!aside_.empty() || TakeCompletion(arrived)) {
    if (aside_.empty()) {
      CompletionArrived(arrived);
      continue;
    }
    const std::vector<Arrived> older = std::exchange(aside_, {});
    for (const Arrived& each : older) CompletionArrived(each);
  }
}

void UringRing::SetTarget(io_uring_sqe* sqe, Handle handle) {
  if (!IsSlot(handle)) return;
  sqe->fd = SlotOf(handle);
  sqe->flags |= IOSQE_FIXED_FILE;
}

void UringRing::ArmWake() {
  // Each write to the eventfd is one completion; nobody reads it, so nothing has to be armed again.
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_poll_multishot(sqe, wake_fd_, POLLIN);
  io_uring_sqe_set_data64(sqe, kTagWake);
}

// One timer in the kernel for all waits: it is set anew when an earlier end is wanted, and else
// left alone. A wait with a timeout of its own would set the machine's timer twice each time, which
// in a virtual machine costs more than all the rest; so a wait may end once early, in vain.
void UringRing::SetAlarm(uint64_t deadline_ns) {
  const bool armed = alarm_ns_ != kNever;
  alarm_ns_ = deadline_ns;
  alarm_time_.tv_sec = static_cast<int64_t>(deadline_ns / kNsPerSecond);
  alarm_time_.tv_nsec = static_cast<long long>(deadline_ns % kNsPerSecond);
  io_uring_sqe* sqe = NextSqe();
  if (armed) {
    io_uring_prep_timeout_update(sqe, &alarm_time_, kTagAlarm, IORING_TIMEOUT_ABS);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(sqe, kTagIgnored);
  } else {
    io_uring_prep_timeout(sqe, &alarm_time_, 0, IORING_TIMEOUT_ABS);
    io_uring_sqe_set_data64(sqe, kTagAlarm);
  }
}

void UringRing::Wake() {
  const uint64_t one = 1;
  // The counter is never read: it would overflow after 2^64 wake-ups.
  PAKV_CHECK(write(wake_fd_, &one, sizeof(one)) == sizeof(one));
}

void UringRing::FinishAtOnce(Operation& operation, int32_t result) {
  operation.result = IoResult(result);
  operation.in_flight = false;
  done_.PushBack(operation);
}

void UringRing::Submit(Operation& operation) {
  PAKV_CHECK(!operation.in_flight, "the operation is in flight already");
  operation.in_flight = true;
  operation.cancelled = false;
  operation.ring_data = 0;
  if (started_) {
    Begin(operation);
  } else {
    early_.push_back(&operation);
  }
}

void UringRing::Begin(Operation& operation) {
  switch (operation.request.opcode) {
    case Opcode::kTruncate:
    case Opcode::kList:
    case Opcode::kLock:
    case Opcode::kSpace:
    case Opcode::kResolve:
    case Opcode::kListen:
      FinishAtOnce(operation, RunSystemCall(operation.request));
      return;
    case Opcode::kConnect:
      SubmitConnect(operation);
      return;
    case Opcode::kStat:
      SubmitStat(operation);
      return;
    default:
      SubmitNow(operation);
  }
}

// Lives from submission to completion: the kernel reads the address when it takes the entry.
struct UringRing::Connecting {
  SocketAddress address;
  int socket = -1;
};

void UringRing::SubmitConnect(Operation& operation) {
  const std::optional<SocketAddress> address = ResolveAddress(operation.request.path);
  if (!address) return FinishAtOnce(operation, -EADDRNOTAVAIL);
  const int socket = ::socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return FinishAtOnce(operation, -errno);
  SetSocketOptions(socket, address->storage.ss_family);
  auto* connecting = new Connecting{*address, socket};
  operation.ring_data = reinterpret_cast<uint64_t>(connecting);
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_connect(sqe, socket, connecting->address.get(), connecting->address.length);
  io_uring_sqe_set_data(sqe, &operation);
}

int32_t UringRing::ConnectCompleted(Operation& operation, int32_t result) {
  const std::unique_ptr<Connecting> connecting(reinterpret_cast<Connecting*>(operation.ring_data));
  if (result >= 0) return connecting->socket;
  close(connecting->socket);
  return result;
}

// The kernel writes what it finds to memory that lives from submission to completion.
using Attributes = struct statx;

void UringRing::SubmitStat(Operation& operation) {
  const IoRequest& request = operation.request;
  auto* const attributes = new Attributes{};
  operation.ring_data = reinterpret_cast<uint64_t>(attributes);
  const bool by_path = request.path != nullptr;
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_statx(sqe, by_path ? AT_FDCWD : static_cast<int>(request.handle),
                      by_path ? request.path : "", by_path ? 0 : AT_EMPTY_PATH, kStatMask,
                      attributes);
  io_uring_sqe_set_data(sqe, &operation);
}

void UringRing::SubmitNow(Operation& operation) {
  const IoRequest& request = operation.request;
  const int descriptor = static_cast<int>(request.handle);
  io_uring_sqe* sqe = NextSqe();
  switch (request.opcode) {
    case Opcode::kNop:
      io_uring_prep_nop(sqe);
      break;
    case Opcode::kOpen:
      io_uring_prep_openat(sqe, AT_FDCWD, request.path, request.open_flags, request.mode);
      break;
    case Opcode::kClose:
      if (IsSlot(request.handle)) {
        io_uring_prep_close_direct(sqe, static_cast<unsigned>(SlotOf(request.handle)));
      } else {
        io_uring_prep_close(sqe, descriptor);
      }
      io_uring_sqe_set_data(sqe, &operation);
      return;
    case Opcode::kRead:
      if (request.buffer_index >= 0) {
        io_uring_prep_read_fixed(sqe, descriptor, request.buffer, request.length, request.offset,
                                 request.buffer_index);
      } else {
        io_uring_prep_read(sqe, descriptor, request.buffer, request.length, request.offset);
      }
      break;
    case Opcode::kWrite:
      if (request.buffer_index >= 0) {
        io_uring_prep_write_fixed(sqe, descriptor, request.const_buffer, request.length,
                                  request.offset, request.buffer_index);
      } else {
        io_uring_prep_write(sqe, descriptor, request.const_buffer, request.length, request.offset);
      }
      if (request.sync) sqe->rw_flags = RWF_DSYNC;
      break;
    case Opcode::kSyncData:
      io_uring_prep_fsync(sqe, descriptor, IORING_FSYNC_DATASYNC);
      break;
    case Opcode::kRename:
      io_uring_prep_renameat(sqe, AT_FDCWD, request.path, AT_FDCWD, request.path2, 0);
      break;
    case Opcode::kUnlink:
      io_uring_prep_unlinkat(sqe, AT_FDCWD, request.path, 0);
      break;
    case Opcode::kLink:
      io_uring_prep_linkat(sqe, AT_FDCWD, request.path, AT_FDCWD, request.path2, 0);
      break;
    case Opcode::kMakeDirectory:
      io_uring_prep_mkdirat(sqe, AT_FDCWD, request.path, request.mode);
      break;
    case Opcode::kSyncDirectory:
      operation.ring_data = kOpening;
      io_uring_prep_openat(sqe, AT_FDCWD, request.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
      break;
    case Opcode::kAccept:
      io_uring_prep_accept(sqe, descriptor, nullptr, nullptr, SOCK_CLOEXEC);
      break;
    case Opcode::kSend:
      io_uring_prep_send(sqe, descriptor, request.const_buffer, request.length, MSG_NOSIGNAL);
      break;
    case Opcode::kReadable:
      io_uring_prep_poll_add(sqe, descriptor, POLLIN);
      break;
    case Opcode::kReceive:
      io_uring_prep_recv(sqe, descriptor, request.buffer, request.length, MSG_DONTWAIT);
      break;
    case Opcode::kShutdown:
      io_uring_prep_shutdown(sqe, descriptor, request.length == 1 ? SHUT_WR : SHUT_RDWR);
      break;
    default:
      PAKV_CHECK(false, "an opcode that the ring does not know");
  }
  io_uring_sqe_set_data(sqe, &operation);
  SetTarget(sqe, request.handle);
}

void UringRing::RequestCancel(Operation& operation) {
  if (!operation.in_flight || operation.cancelled) return;
  operation.cancelled = true;
  if (!started_) return;
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_cancel64(sqe, reinterpret_cast<uint64_t>(&operation), 0);
  io_uring_sqe_set_data64(sqe, kTagIgnored);
}

void UringRing::SubmitReceive(Receiver& receiver) {
  PAKV_CHECK(started_, "receiving is for after the start");
  PAKV_CHECK(!receiver.in_flight, "the receiver is armed already");
  receiver.in_flight = true;
  receiver.cancelled = false;
  if (lent_count_ == buffer_count_ && !receiver.linked()) {
    // The kernel would refuse it at once, again and again: it waits here for a buffer.
    receiver.ring_data = kStarved;
    starved_.PushBack(receiver);
    return;
  }
  ArmReceive(receiver);
}

void UringRing::ArmReceive(Receiver& receiver) {
  receiver.ring_data = kArmed;
  io_uring_sqe* sqe = NextSqe();
  if (receiver.once) {
    io_uring_prep_recv(sqe, static_cast<int>(receiver.handle), nullptr, buffer_bytes_, 0);
  } else {
    io_uring_prep_recv_multishot(sqe, static_cast<int>(receiver.handle), nullptr, 0, 0);
  }
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = kBufferGroup;
  io_uring_sqe_set_data64(sqe, reinterpret_cast<uint64_t>(&receiver) | kTagReceiver);
  SetTarget(sqe, receiver.handle);
}

void UringRing::RequestCancel(Receiver& receiver) {
  if (!receiver.in_flight || receiver.cancelled) return;
  receiver.cancelled = true;
  if (receiver.ring_data == kStarved) {
    // The kernel does not know it.
    receiver.Unlink();
    receiver.ring_data = kArmed;
    receiver.in_flight = false;
    receiver.end = IoResult(-ECANCELED);
    done_.PushBack(receiver);
    return;
  }
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_cancel64(sqe, reinterpret_cast<uint64_t>(&receiver) | kTagReceiver, 0);
  io_uring_sqe_set_data64(sqe, kTagIgnored);
}

void UringRing::ProvideBuffer(ReceivedBuffer& buffer) {
  buffer.length = 0;
  io_uring_buf_ring_add(buffer_ring_, const_cast<char*>(buffer.data), buffer_bytes_, buffer.id,
                        io_uring_buf_ring_mask(buffer_count_), 0);
  io_uring_buf_ring_advance(buffer_ring_, 1);
}

void UringRing::ReturnBuffer(ReceivedBuffer& buffer) {
  PAKV_CHECK(buffer.id < buffer_count_ && &buffer == &buffers_[buffer.id],
             "a buffer of another ring");
  PAKV_CHECK(buffer.length > 0, "a buffer was returned twice");
  PAKV_CHECK(!buffer.linked());
  ProvideBuffer(buffer);
  --lent_count_;
  if (!starved_.empty()) ArmReceive(starved_.PopFront());
}

void UringRing::OperationCompleted(Operation& operation, int32_t result) {
  const IoRequest& request = operation.request;
  // What a kernel thread was working on is cancelled by interrupting it.
  if (operation.cancelled && result == -EINTR) result = -ECANCELED;
  switch (request.opcode) {
    case Opcode::kSyncDirectory:
      if ((operation.ring_data & 1) == kOpening && result >= 0) {
        operation.ring_data = (static_cast<uint64_t>(result) << 1) | kSyncing;
        io_uring_sqe* sqe = NextSqe();
        io_uring_prep_fsync(sqe, result, 0);
        io_uring_sqe_set_data(sqe, &operation);
        return;
      }
      if ((operation.ring_data & 1) == kSyncing) close(static_cast<int>(operation.ring_data >> 1));
      break;
    case Opcode::kConnect:
      result = ConnectCompleted(operation, result);
      break;
    case Opcode::kAccept:
      if (result >= 0) PrepareAcceptedSocket(result, *request.text);
      break;
    case Opcode::kReadable:
      if (result > 0) result = 0;  // it tells the events
      break;
    case Opcode::kStat: {
      const std::unique_ptr<Attributes> attributes(
          reinterpret_cast<Attributes*>(operation.ring_data));
      if (result >= 0) *request.stat = StatOf(*attributes);
      break;
    }
    case Opcode::kClose:
      // Linux has let go of the descriptor whatever close says.
      if (IsSlot(request.handle)) free_slots_.push_back(SlotOf(request.handle));
      break;
    default:
      break;
  }
  FinishAtOnce(operation, result);
}

void UringRing::ReceiverCompleted(Receiver& receiver, int32_t result, uint32_t flags) {
  if ((flags & IORING_CQE_F_BUFFER) != 0) {
    ReceivedBuffer& buffer = buffers_[flags >> IORING_CQE_BUFFER_SHIFT];
    if (result > 0) {
      buffer.length = static_cast<uint32_t>(result);
      ++lent_count_;
      receiver.received.PushBack(buffer);
    } else {
      ProvideBuffer(buffer);
    }
  }
  if ((flags & IORING_CQE_F_MORE) == 0) {
    receiver.in_flight = false;
    // A multishot receive may end after data, when the kernel could not go on: armed again like
    // one that found no buffer.
    receiver.end = IoResult(result > 0 && !receiver.once ? -ENOBUFS : result);
  }
  if (!receiver.linked()) done_.PushBack(receiver);
}

void UringRing::CompletionArrived(const Arrived& arrived) {
  const auto [user_data, result, flags] = arrived;
  void* object = reinterpret_cast<void*>(user_data & ~kTagMask);
  switch (user_data & kTagMask) {
    case kTagOperation:
      OperationCompleted(*static_cast<Operation*>(object), result);
      break;
    case kTagReceiver:
      ReceiverCompleted(*static_cast<Receiver*>(object), result, flags);
      break;
    case kTagAlarm:
      alarm_ns_ = kNever;
      break;
    case kTagWake:
      if ((flags & IORING_CQE_F_MORE) == 0) ArmWake();
      break;
    default:
      break;
  }
}

void UringRing::Enter(uint64_t deadline_ns, IntrusiveList<Completion>& completed) {
  int result = 0;
  if (!done_.empty() || !aside_.empty() || deadline_ns == 0) {
    // The kernel is entered only if it has something to take or to give.
    constexpr unsigned kWorkWaits = IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW;
    if (io_uring_sq_ready(&ring_) > 0 || (IO_URING_READ_ONCE(*ring_.sq.kflags) & kWorkWaits) != 0) {
      result = io_uring_submit_and_get_events(&ring_);
    }
  } else {
    if (deadline_ns < alarm_ns_) SetAlarm(deadline_ns);
    result = io_uring_submit_and_wait(&ring_, 1);
  }
  // EBUSY: the completion queue has overflowed into the kernel's list; taking what is there makes
  // room. EAGAIN: no memory for requests right now; they stay queued.
  PAKV_CHECK(result >= 0 || result == -EINTR || result == -EBUSY || result == -EAGAIN,
             "io_uring_enter failed");

  HandleCompletions();
  completed.Splice(done_);
}

}  // namespace pakv
