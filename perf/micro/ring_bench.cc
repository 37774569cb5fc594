// What the kernel's ring costs on this machine, as pakv uses it:
//
// - nop: a request that the kernel answers at once, awaited: one pass of the loop and one system
//   call. Also with as many in flight as one pass takes along.
// - echo: 64 bytes over TCP loopback to an echo server on another core and back.
// - write: 4 KiB, direct, flushed with the write (RWF_DSYNC), from a registered buffer into a file
//   that was written with zeros: the floor of a durable commit.
//
//   ring_bench [--file PATH] [--count N] [--only nop|echo|write]
//
// PATH, by default beside the program, is made and removed; on tmpfs it is refused, since nothing
// there is durable. Each line has the CPU time of the whole process and the passes per item beside
// the wall time.
#include <sys/resource.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "perf/micro/program_folder.h"
#include "runtime/base/histogram.h"
#include "runtime/core/cores.h"
#include "runtime/io/file.h"
#include "runtime/io/receive_stream.h"
#include "runtime/io/uring_ring.h"
#include "tests/runtime/io/echo.h"

namespace pakv {
namespace {

constexpr long kTmpfsMagic = 0x01021994;  // statfs(2)
constexpr uint64_t kFileBytes = 16 << 20;
constexpr uint64_t kNopsAtOnce = 64;

struct Options {
  std::string file = ProgramFolder() + "/ring_bench.file";
  uint64_t count = 20000;
  std::string only;
};

[[noreturn]] void Fail(const std::string& message, int code) {
  std::fprintf(stderr, "ring_bench: %s\n", message.c_str());
  std::exit(code);
}

uint64_t CpuNs() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto ns = [](const timeval& time) {
    return static_cast<uint64_t>(time.tv_sec) * kNsPerSecond +
           static_cast<uint64_t>(time.tv_usec) * kNsPerUs;
  };
  return ns(usage.ru_utime) + ns(usage.ru_stime);
}

// One line: what each of `count` items took, and what they cost together.
class Measurement {
 public:
  Measurement(const char* name, Core& core)
      : name_(name),
        core_(core),
        passes_begin_(core.counters().passes),
        cpu_begin_ns_(CpuNs()),
        begin_ns_(SystemClock().MonotonicNs()) {}

  void Item(uint64_t duration_ns) { durations_.Record(duration_ns); }
  void Print(uint64_t count) const {
    const auto per_item = [count](uint64_t sum) {
      return static_cast<double>(sum) / static_cast<double>(count);
    };
    std::printf("%-10s %8" PRIu64 " items  %8.0f ns/item  cpu %8.0f ns/item  passes %5.2f/item",
                name_, count, per_item(SystemClock().MonotonicNs() - begin_ns_),
                per_item(CpuNs() - cpu_begin_ns_),
                per_item(core_.counters().passes - passes_begin_));
    if (durations_.count() > 0) {
      std::printf("  p50 %6.1f us  p99 %7.1f us",
                  static_cast<double>(durations_.Percentile(50)) / 1e3,
                  static_cast<double>(durations_.Percentile(99)) / 1e3);
    }
    std::printf("\n");
  }

 private:
  const char* name_;
  Core& core_;
  uint64_t passes_begin_;
  uint64_t cpu_begin_ns_;
  uint64_t begin_ns_;
  Histogram durations_;
};

std::unique_ptr<Cores> MakeCores(uint32_t count) {
  std::vector<std::unique_ptr<Ring>> rings;
  for (uint32_t i = 0; i < count; ++i) {
    std::string error;
    rings.push_back(UringRing::Create({}, error));
    if (rings.back() == nullptr) Fail(error, 4);
  }
  return std::make_unique<Cores>(SystemClock(), std::move(rings),
                                 CoreOptions{.buffer_count = 1, .buffer_bytes = 4096});
}

Task<void> RunAndLeave(Cores& cores, Task<void> task) {
  co_await std::move(task);
  cores.RequestLeave();
}
void Run(Cores& cores, Task<void> task) {
  cores.core(0).nursery().Spawn(RunAndLeave(cores, std::move(task)));
  if (!cores.Start()) Fail("no thread", 1);
  cores.Join();
}

Task<void> AwaitNops(Core& core, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    IoResult result = co_await IoAwaiter(core.io(), {.opcode = Opcode::kNop});
    PAKV_CHECK(result.ok());
  }
}

Task<void> MeasureNops(Core& core, uint64_t count) {
  const Measurement one("nop", core);
  co_await AwaitNops(core, count);
  one.Print(count);
  const Measurement many("nop x 64", core);
  Nursery nursery(core.ready());
  const uint64_t each = (count + kNopsAtOnce - 1) / kNopsAtOnce;
  for (uint64_t i = 0; i < kNopsAtOnce; ++i) nursery.Spawn(AwaitNops(core, each));
  co_await nursery.Join();
  many.Print(each * kNopsAtOnce);
}

Task<bool> EchoRoundTrips(Core& core, std::string address, uint64_t count) {
  IoResult connected = co_await Socket::Connect(core.io(), address.c_str());
  PAKV_CHECK(connected.ok());
  Socket socket(core.io(), core.ring().Adopt(Handle{connected.value()}));
  ReceiveStream stream(core.io(), socket.handle());
  const std::string bytes(64, 'x');
  Measurement measurement("echo", core);
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t begin_ns = SystemClock().MonotonicNs();
    IoResult sent = co_await socket.SendAll(bytes);
    PAKV_CHECK(sent.ok());
    for (size_t echoed = 0; echoed < bytes.size();) {
      const std::string received = co_await stream.Next();
      PAKV_CHECK(!received.empty(), "the connection was lost");
      echoed += received.size();
    }
    measurement.Item(SystemClock().MonotonicNs() - begin_ns);
  }
  measurement.Print(count);
  co_await stream.Stop();
  IoResult closed = co_await socket.Close();
  co_return closed.ok();
}

Task<void> MeasureEcho(Cores& cores, uint64_t count) {
  Core& core = cores.core(0);
  EchoServer server(cores, 1);
  std::string bound;
  IoResult listening = co_await Socket::Listen(core.io(), "127.0.0.1:0", 16, bound);
  PAKV_CHECK(listening.ok());
  Socket listener(core.io(), Handle{listening.value()});
  Nursery serving(core.ready());
  serving.Spawn(server.Serve(core, listener, serving.token()));
  auto client = [&bound, count](Core& there) { return EchoRoundTrips(there, bound, count); };
  const bool closed = co_await core.CallTaskOn(1, client);
  PAKV_CHECK(closed);
  serving.RequestStop();
  co_await serving.Join();
  static_cast<void>(co_await listener.Close());
}

Task<void> MeasureWrites(Core& core, const Options& options, bool& direct) {
  IoResult opened =
      co_await File::Open(core.io(), options.file.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_DIRECT);
  direct = opened.ok();
  if (!direct) co_return;
  File file(core.io(), Handle{opened.value()});
  AlignedBuffer buffer = core.buffers().Take(4096);
  std::memset(buffer.data(), 0, buffer.size());
  const auto length = static_cast<uint32_t>(buffer.size());
  for (uint64_t offset = 0; offset < kFileBytes; offset += length) {
    IoResult written = co_await file.Write(buffer.data(), length, offset, false, buffer.index());
    PAKV_CHECK(written.ok() && written.count() == length, "a zero was not written");
  }
  IoResult synced = co_await file.SyncData();
  PAKV_CHECK(synced.ok());
  std::memset(buffer.data(), 'x', buffer.size());
  Measurement measurement("write", core);
  for (uint64_t i = 0; i < options.count; ++i) {
    const uint64_t begin_ns = SystemClock().MonotonicNs();
    IoResult written = co_await file.Write(buffer.data(), length, i * length % kFileBytes,
                                           /*sync=*/true, buffer.index());
    PAKV_CHECK(written.ok() && written.count() == length, "a block was not written");
    measurement.Item(SystemClock().MonotonicNs() - begin_ns);
  }
  measurement.Print(options.count);
  static_cast<void>(co_await file.Close());
}

void RunWrites(const Options& options) {
  const size_t slash = options.file.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : options.file.substr(0, slash + 1);
  struct statfs system{};
  if (statfs(folder.c_str(), &system) != 0) Fail("no folder " + folder, 2);
  if (system.f_type == kTmpfsMagic) Fail(folder + " is a tmpfs: name another --file", 2);
  const auto cores = MakeCores(1);
  bool direct = false;
  Run(*cores, MeasureWrites(cores->core(0), options, direct));
  unlink(options.file.c_str());
  if (!direct) Fail("no direct I/O with " + options.file, 2);
}

Options ParseArguments(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (i + 1 == argc) Fail(name + " wants a value", 2);
    const std::string value = argv[i + 1];
    if (name == "--file") {
      options.file = value;
    } else if (name == "--count") {
      options.count = std::strtoull(value.c_str(), nullptr, 10);
    } else if (name == "--only") {
      options.only = value;
    } else {
      Fail("no option " + name, 2);
    }
  }
  if (options.count == 0) Fail("--count wants a number above 0", 2);
  return options;
}

}  // namespace
}  // namespace pakv

int main(int argc, char** argv) {
  using namespace pakv;
  const Options options = ParseArguments(argc, argv);
  const auto wanted = [&options](const char* name) {
    return options.only.empty() || options.only == name;
  };
  if (wanted("nop")) {
    const auto cores = MakeCores(1);
    Run(*cores, MeasureNops(cores->core(0), options.count));
  }
  if (wanted("echo")) {
    const auto cores = MakeCores(2);
    Run(*cores, MeasureEcho(*cores, options.count));
  }
  if (wanted("write")) RunWrites(options);
  return 0;
}
