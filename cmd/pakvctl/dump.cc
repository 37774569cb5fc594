#include "cmd/pakvctl/dump.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>

#include "cmd/common/exit_codes.h"
#include "cmd/common/values.h"
#include "cmd/pakvctl/dump_line.h"
#include "cmd/pakvctl/progress.h"
#include "runtime/base/utf8.h"

namespace pakv {
namespace {

constexpr uint64_t kPageKeysMax = 1000;

// Where a dump goes: stdout, or a file that gets its name when it is whole.
class Target {
 public:
  // An empty path: `out`.
  Target(std::string path, std::ostream& out) : path_(std::move(path)), out_(&out) {}
  ~Target() {
    if (is_partial_) unlink(partial_.c_str());
  }

  // False: error() says why.
  bool Open() {
    if (path_.empty()) return true;
    struct stat found{};
    // A pipe or a device is written to as it is.
    const bool is_special = stat(path_.c_str(), &found) == 0 && !S_ISREG(found.st_mode);
    partial_ = is_special ? path_ : path_ + ".part";
    file_.open(partial_, std::ios::binary | std::ios::trunc);
    if (!file_) return Fail("written", errno);
    is_partial_ = !is_special;
    out_ = &file_;
    return true;
  }
  std::ostream& out() { return *out_; }
  bool Finish() {
    out_->flush();
    if (!*out_) return Fail("written", errno);
    if (!is_partial_) return true;
    file_.close();
    const int file = open(partial_.c_str(), O_RDONLY | O_CLOEXEC);
    const bool is_durable = file >= 0 && fsync(file) == 0;
    if (!is_durable) return Fail("synced", errno);
    close(file);
    if (rename(partial_.c_str(), path_.c_str()) != 0) return Fail("renamed", errno);
    is_partial_ = false;
    SyncFolder();
    return true;
  }
  const std::string& error() const { return error_; }

 private:
  bool Fail(const char* what, int number) {
    error_ = fmt::format("{} cannot be {}: {}",
                         path_.empty() ? "stdout" : Quoted(partial_.empty() ? path_ : partial_),
                         what, std::strerror(number == 0 ? EIO : number));
    return false;
  }
  // So that the name stays too. A file system that cannot says nothing that matters here.
  void SyncFolder() const {
    const size_t slash = path_.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path_.substr(0, slash + 1);
    const int opened = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (opened < 0) return;
    static_cast<void>(fsync(opened));
    close(opened);
  }

  const std::string path_;
  std::string partial_;
  std::ofstream file_;
  std::ostream* out_;
  bool is_partial_ = false;
  std::string error_;
};

uint64_t KeysOf(StoreClient& client) {
  const auto counters = client.Stats();
  if (!counters.ok()) return 0;  // the scan says what is wrong
  for (const ClientCounter& counter : *counters) {
    if (counter.name == "keys") return static_cast<uint64_t>(counter.value);
  }
  return 0;
}

}  // namespace

int RunDump(const CtlRequest& request, StoreClient& client, const CtlStreams& streams) {
  Target target(request.file, streams.out);
  if (!target.Open()) {
    streams.err << "pakvctl: " << target.error() << '\n';
    return kClientExitData;
  }
  // How many keys begin with a prefix nobody knows.
  const uint64_t key_count = request.prefix.empty() ? KeysOf(client) : 0;
  Progress progress(
      {.what = "dumping", .is_terminal = streams.err_is_terminal, .quiet = request.quiet},
      streams.err);
  uint64_t keys = 0;
  uint64_t bytes = 0;
  const auto told = [&] { return fmt::format("{} keys, {} bytes", keys, bytes); };
  std::string cursor;
  do {
    auto page = client.ScanValues(request.prefix, cursor, kPageKeysMax);
    if (!page.ok()) {
      progress.End(client.NowNs());
      streams.err << fmt::format("pakvctl: the dump ends after {}; it is not whole\n", told());
      return TellError(page.error(), streams.err);
    }
    for (ClientValuesPage::Entry& entry : page->entries) {
      DumpEntry dumped;
      dumped.name_space = request.name_space;
      dumped.key = std::move(entry.key);
      dumped.value = std::move(entry.value);
      dumped.expires_at_ms = entry.expires_at_ms;
      dumped.lsn = entry.lsn;
      const std::string line = FormatDumpLine(dumped);
      target.out() << line;
      ++keys;
      bytes += line.size();
    }
    const uint64_t now_ns = client.NowNs();
    if (progress.IsDue(now_ns)) progress.Show(now_ns, keys, key_count, told());
    cursor = page->cursor;
  } while (!cursor.empty() && target.out());
  progress.End(client.NowNs());
  if (!target.Finish()) {
    streams.err << "pakvctl: " << target.error() << '\n';
    return kClientExitData;
  }
  if (!request.quiet) streams.err << "pakvctl: " << told() << " dumped\n";
  return kClientExitOk;
}

}  // namespace pakv
