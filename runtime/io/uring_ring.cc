#include "runtime/io/uring_ring.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "runtime/base/check.h"
#include "runtime/base/clock.h"
#include "runtime/io/address.h"
#include "runtime/io/system_calls.h"

namespace pakv {
namespace {

// What a completion belongs to: the low bits of its user data, the rest is a pointer.
constexpr uint64_t kTagMask = 7;
enum Tag : uint64_t { kTagOperation = 0, kTagReceiver = 1, kTagWake = 2, kTagIgnored = 3 };

// A handle with this bit is a slot of the ring's registered files, without it a descriptor.
constexpr int32_t kSlotBit = 1 << 30;
constexpr uint16_t kBufferGroup = 1;

// Steps of kSyncDirectory, kept in Operation::ring_data with the descriptor above them.
enum DirectoryStep : uint64_t { kOpening = 0, kSyncing = 1 };

bool IsSlot(Handle handle) { return static_cast<int32_t>(handle) >= kSlotBit; }
int32_t SlotOf(Handle handle) { return static_cast<int32_t>(handle) & ~kSlotBit; }
std::string SetUpError(int error) {
  utsname system{};
  uname(&system);
  const std::string kernel = std::string("Linux ") + system.release;
  if (error == EPERM || error == EACCES) {
    int disabled = 0;
    if (FILE* file = std::fopen("/proc/sys/kernel/io_uring_disabled", "re")) {
      if (std::fscanf(file, "%d", &disabled) != 1) disabled = 0;
      std::fclose(file);
    }
    if (disabled != 0) {
      return "io_uring is switched off on this machine (kernel.io_uring_disabled = " +
             std::to_string(disabled) + "); allow it with: sysctl kernel.io_uring_disabled=0";
    }
    return "this sandbox forbids io_uring (a seccomp filter, as in Docker's default profile); in "
           "Docker run with --security-opt seccomp=FILE where FILE allows io_uring_setup, "
           "io_uring_enter and io_uring_register";
  }
  if (error == ENOSYS) {
    return kernel + " has no io_uring, or a sandbox hides it; pakvd needs Linux 6.1 or newer";
  }
  if (error == EINVAL) {
    return kernel + " lacks io_uring features (SINGLE_ISSUER, DEFER_TASKRUN); pakvd needs Linux " +
           "6.1 or newer";
  }
  if (error == ENOMEM) {
    return "not enough locked memory for io_uring; raise it with: ulimit -l unlimited "
           "(systemd: LimitMEMLOCK=infinity)";
  }
  return std::string("cannot set up io_uring: ") + std::strerror(error);
}

}  // namespace

std::unique_ptr<UringRing> UringRing::Create(const UringOptions& options, std::string& error) {
  std::unique_ptr<UringRing> ring(new UringRing());
  if (!ring->SetUp(options, error)) return nullptr;
  return ring;
}

bool UringRing::SetUp(const UringOptions& options, std::string& error) {
  io_uring_params params{};
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_R_DISABLED |
                 IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
  params.cq_entries = options.entries * 8;
  int result = io_uring_queue_init_params(options.entries, &ring_, &params);
  if (result < 0) {
    error = SetUpError(-result);
    return false;
  }
  ring_ready_ = true;

  buffer_count_ = options.receive_buffer_count;
  buffer_bytes_ = options.receive_buffer_bytes;
  PAKV_CHECK((buffer_count_ & (buffer_count_ - 1)) == 0);
  const size_t ring_bytes = buffer_count_ * sizeof(io_uring_buf);
  const size_t memory_bytes = size_t{buffer_count_} * buffer_bytes_;
  void* ring_memory =
      mmap(nullptr, ring_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  void* memory =
      mmap(nullptr, memory_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  PAKV_CHECK(ring_memory != MAP_FAILED && memory != MAP_FAILED, "out of memory");
  buffer_ring_ = static_cast<io_uring_buf_ring*>(ring_memory);
  buffer_memory_ = static_cast<char*>(memory);
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<uint64_t>(buffer_ring_);
  registration.ring_entries = buffer_count_;
  registration.bgid = kBufferGroup;
  result = io_uring_register_buf_ring(&ring_, &registration, 0);
  if (result < 0) {
    error = SetUpError(-result);
    return false;
  }
  io_uring_buf_ring_init(buffer_ring_);
  buffers_ = std::vector<ReceivedBuffer>(buffer_count_);
  for (uint32_t i = 0; i < buffer_count_; ++i) {
    buffers_[i].id = static_cast<uint16_t>(i);
    buffers_[i].data = buffer_memory_ + size_t{i} * buffer_bytes_;
    ReturnBuffer(buffers_[i]);
  }

  // Registered files are limited by RLIMIT_NOFILE; without them sockets stay plain descriptors.
  for (uint32_t slots = options.registered_files; slots >= 16; slots /= 2) {
    if (io_uring_register_files_sparse(&ring_, slots) < 0) continue;
    for (uint32_t slot = slots; slot > 0; --slot) {
      free_slots_.push_back(static_cast<int32_t>(slot - 1));
    }
    break;
  }

  wake_fd_ = eventfd(0, EFD_CLOEXEC);
  if (wake_fd_ < 0) {
    error = std::string("cannot create an eventfd: ") + std::strerror(errno);
    return false;
  }
  ArmWakeRead();
  return true;
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
  for (Operation* operation : early_) {
    if (operation->cancelled) {
      FinishAtOnce(*operation, -ECANCELED);
    } else {
      Begin(*operation);
    }
  }
  early_ = {};
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
    const int result = io_uring_submit(&ring_);
    PAKV_CHECK(result >= 0 || result == -EBUSY || result == -EAGAIN || result == -EINTR,
               "the submission queue cannot be flushed");
    sqe = io_uring_get_sqe(&ring_);
  }
  return sqe;
}

void UringRing::SetTarget(io_uring_sqe* sqe, Handle handle) {
  if (!IsSlot(handle)) return;
  sqe->fd = SlotOf(handle);
  sqe->flags |= IOSQE_FIXED_FILE;
}

void UringRing::ArmWakeRead() {
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_read(sqe, wake_fd_, &wake_count_, sizeof(wake_count_), 0);
  io_uring_sqe_set_data64(sqe, kTagWake);
}

void UringRing::Wake() {
  const uint64_t one = 1;
  // The counter cannot overflow: the owner reads it each time that it wakes.
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
    case Opcode::kStat:
    case Opcode::kList:
    case Opcode::kLock:
    case Opcode::kSpace:
    case Opcode::kListen:
      FinishAtOnce(operation, RunSystemCall(operation.request));
      return;
    case Opcode::kConnect: {
      const std::optional<SocketAddress> address = ResolveAddress(operation.request.path);
      if (!address) return FinishAtOnce(operation, -EADDRNOTAVAIL);
      const int socket = ::socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (socket < 0) return FinishAtOnce(operation, -errno);
      SetSocketOptions(socket, address->storage.ss_family);
      operation.ring_data = static_cast<uint64_t>(socket);
      io_uring_sqe* sqe = NextSqe();
      io_uring_prep_connect(sqe, socket, address->get(), address->length);
      io_uring_sqe_set_data(sqe, &operation);
      // The address lies on this stack: the kernel copies it when it takes the entry.
      const int result = io_uring_submit(&ring_);
      PAKV_CHECK(result >= 0);
      return;
    }
    default:
      SubmitNow(operation);
  }
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
    case Opcode::kShutdown:
      io_uring_prep_shutdown(sqe, descriptor, SHUT_RDWR);
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
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_recv_multishot(sqe, static_cast<int>(receiver.handle), nullptr, 0, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = kBufferGroup;
  io_uring_sqe_set_data64(sqe, reinterpret_cast<uint64_t>(&receiver) | kTagReceiver);
  SetTarget(sqe, receiver.handle);
}

void UringRing::RequestCancel(Receiver& receiver) {
  if (!receiver.in_flight || receiver.cancelled) return;
  receiver.cancelled = true;
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_cancel64(sqe, reinterpret_cast<uint64_t>(&receiver) | kTagReceiver, 0);
  io_uring_sqe_set_data64(sqe, kTagIgnored);
}

void UringRing::ReturnBuffer(ReceivedBuffer& buffer) {
  PAKV_CHECK(!buffer.linked());
  io_uring_buf_ring_add(buffer_ring_, const_cast<char*>(buffer.data), buffer_bytes_, buffer.id,
                        io_uring_buf_ring_mask(buffer_count_), 0);
  io_uring_buf_ring_advance(buffer_ring_, 1);
}

void UringRing::OperationCompleted(Operation& operation, int32_t result) {
  const IoRequest& request = operation.request;
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
    case Opcode::kConnect: {
      const int socket = static_cast<int>(operation.ring_data);
      if (result < 0) {
        close(socket);
      } else {
        result = socket;
      }
      break;
    }
    case Opcode::kAccept:
      if (result >= 0) PrepareAcceptedSocket(result, *request.text);
      break;
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
    buffer.length = result > 0 ? static_cast<uint32_t>(result) : 0;
    if (result > 0) {
      receiver.received.PushBack(buffer);
    } else {
      ReturnBuffer(buffer);
    }
  }
  if ((flags & IORING_CQE_F_MORE) == 0) {
    receiver.in_flight = false;
    // A multishot receive may end after data, when the kernel could not go on: armed again like
    // one that found no buffer.
    receiver.end = IoResult(result > 0 ? -ENOBUFS : result);
  }
  if (!receiver.linked()) done_.PushBack(receiver);
}

void UringRing::CompletionArrived(uint64_t user_data, int32_t result, uint32_t flags) {
  void* object = reinterpret_cast<void*>(user_data & ~kTagMask);
  switch (user_data & kTagMask) {
    case kTagOperation:
      OperationCompleted(*static_cast<Operation*>(object), result);
      break;
    case kTagReceiver:
      ReceiverCompleted(*static_cast<Receiver*>(object), result, flags);
      break;
    case kTagWake:
      ArmWakeRead();
      break;
    default:
      break;
  }
}

void UringRing::Enter(uint64_t deadline_ns, IntrusiveList<Completion>& completed) {
  int result = 0;
  uint64_t now_ns = 0;
  const bool bounded = deadline_ns != kNever && deadline_ns != 0;
  if (bounded) now_ns = SystemClock().MonotonicNs();
  if (!done_.empty() || deadline_ns == 0 || (bounded && deadline_ns <= now_ns)) {
    result = io_uring_submit_and_get_events(&ring_);
  } else if (!bounded) {
    result = io_uring_submit_and_wait(&ring_, 1);
  } else {
    const uint64_t wait_ns = deadline_ns - now_ns;
    __kernel_timespec timeout{};
    timeout.tv_sec = static_cast<int64_t>(wait_ns / kNsPerSecond);
    timeout.tv_nsec = static_cast<long long>(wait_ns % kNsPerSecond);
    io_uring_cqe* cqe = nullptr;
    result = io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &timeout, nullptr);
  }
  // EBUSY: the completion queue has overflowed into the kernel's list; taking what is there makes
  // room. EAGAIN: no memory for requests right now; they stay queued.
  PAKV_CHECK(
      result >= 0 || result == -ETIME || result == -EINTR || result == -EBUSY || result == -EAGAIN,
      "io_uring_enter failed");

  unsigned head = 0;
  unsigned count = 0;
  io_uring_cqe* cqe = nullptr;
  io_uring_for_each_cqe(&ring_, head, cqe) {
    ++count;
    CompletionArrived(cqe->user_data, cqe->res, cqe->flags);
  }
  io_uring_cq_advance(&ring_, count);
  completed.Splice(done_);
}

}  // namespace pakv
