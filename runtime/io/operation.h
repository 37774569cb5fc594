// Operation: one request to a Ring, plain data that lives in its awaiter, so in the coroutine's
// frame: no allocation per I/O and a stable address, which is what the kernel gives back.
//
// An operation in flight, and the memory that it points to, stay where they are until its
// completion arrives. Cancelling is a request: it too ends in a completion.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/intrusive_list.h"
#include "runtime/base/io_result.h"

namespace pakv {

// A file or socket of a Ring. What the number means is the ring's business.
enum class Handle : int32_t { kNone = -1 };

enum class Opcode : uint8_t {
  kNop,
  // Files. Paths are NUL-terminated and stay alive until completion.
  kOpen,           // path, open_flags, mode -> handle
  kClose,          // handle
  kRead,           // handle, buffer, length, offset -> bytes
  kWrite,          // handle, buffer, length, offset, sync -> bytes; sync: durable when it completes
  kSyncData,       // handle: fdatasync
  kTruncate,       // handle, offset = the new size
  kRename,         // path, path2
  kUnlink,         // path
  kLink,           // path, path2 = another name for the file
  kMakeDirectory,  // path, mode; an existing one is -EEXIST
  kSyncDirectory,  // path: the names in it are durable
  kStat,           // path or handle, stat
  kList,           // path, names: the names in a directory, sorted, without . and ..
  kLock,           // handle: an exclusive lock of this open file, -EWOULDBLOCK if taken
  kSpace,          // path, space: what SpaceStat has; see AskSpace
  // Sockets. Addresses are texts: "127.0.0.1:7379", "[::1]:7379", "unix:/path".
  kResolve,  // path = address -> count; names: the addresses that its host has, with its port
  kListen,   // path = address, length = backlog -> handle; text receives the address bound to
  kAccept,   // handle -> plain handle (see Ring::Adopt); text receives the peer's address
  kConnect,  // path = address -> plain handle
  kSend,     // handle, buffer, length -> bytes, may be fewer
  // Beside a Receiver, while that is not armed: into the caller's own memory, which no wait pins.
  kReadable,  // handle: there are bytes, the peer has ended its stream, or it is broken
  kReceive,   // handle, buffer, length -> bytes that are there; 0 the end, -EAGAIN none
  kShutdown,  // handle, length: 0 both directions, 1 sending alone (the peer sees the end)
};

struct FileStat {
  uint64_t size_bytes = 0;
  bool is_directory = false;
  // What a direct transfer has to be a multiple of, in memory and in the file; 0: direct I/O is
  // refused here. 4096 where the system does not tell.
  uint32_t direct_alignment = 0;
};

struct SpaceStat {
  uint64_t total_bytes = 0;
  uint64_t free_bytes = 0;               // for this user
  uint64_t file_bytes_max = UINT64_MAX;  // that a file may grow to, by this process (ulimit -f)
};

// What a Ring hands back: an operation that has ended, or a multishot one with news.
class Completion : public ListHook {
 public:
  using Function = void (*)(Completion&);
  // Called by the core from its loop, never by the ring inside Enter.
  void Complete() { complete_(*this); }

 protected:
  explicit Completion(Function complete) : complete_(complete) {}

 private:
  Function complete_;
};

// What is asked for: plain data, every field that the opcode does not name left alone.
struct IoRequest {
  Opcode opcode = Opcode::kNop;
  bool sync = false;          // kWrite: a flush is part of the write (RWF_DSYNC)
  int16_t buffer_index = -1;  // of the registered buffer that `buffer` lies in, -1: none
  Handle handle = Handle::kNone;
  uint32_t length = 0;
  uint32_t mode = 0;
  int32_t open_flags = 0;
  uint64_t offset = 0;
  void* buffer = nullptr;              // kRead, kReceive
  const void* const_buffer = nullptr;  // kWrite, kSend
  const char* path = nullptr;
  const char* path2 = nullptr;
  FileStat* stat = nullptr;
  SpaceStat* space = nullptr;
  std::vector<std::string>* names = nullptr;
  std::string* text = nullptr;
};

struct Operation : Completion {
  explicit Operation(Function complete) : Completion(complete) {}
  Operation(Function complete, const IoRequest& what) : Completion(complete), request(what) {}
  ~Operation() { PAKV_CHECK(!in_flight, "an operation died before its completion"); }

  IoRequest request;
  IoResult result;
  bool in_flight = false;  // the ring's: from Submit until Enter hands it back
  bool cancelled = false;  // the ring's: RequestCancel was called
  uint64_t ring_data = 0;  // the ring's own
};

// A buffer that the ring filled, lent to whoever received it until Ring::ReturnBuffer.
struct ReceivedBuffer : ListHook {
  const char* data = nullptr;
  uint32_t length = 0;
  uint16_t id = 0;
  std::string_view view() const { return {data, length}; }
};

// Receives from one socket until it ends: many completions, each a buffer of the ring's. It is
// cancelled, and its end awaited, before it is freed. How much has come before a cancellation takes
// effect is up to the system: as much as there is, and the ring has buffers for. `once` is for
// those who may not take so much.
struct Receiver : Completion {
  explicit Receiver(Function complete) : Completion(complete) {}
  ~Receiver() {
    PAKV_CHECK(!in_flight, "a receiver died before its last completion");
    PAKV_CHECK(received.empty(), "a receiver died with buffers that were not returned");
  }

  Handle handle = Handle::kNone;
  bool once = false;       // set before it is submitted: it ends after one buffer
  bool in_flight = false;  // armed: more completions will come
  bool cancelled = false;
  // Why it is no longer armed: 0 the peer closed its end, -ENOBUFS the ring had no free buffer
  // (submit it again), -ECANCELED, or another error; of one that was to receive once, the bytes.
  IoResult end;
  IntrusiveList<ReceivedBuffer> received;  // in the order of the stream
  uint64_t ring_data = 0;
};

}  // namespace pakv
