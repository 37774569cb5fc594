#include "cmd/pakvctl/transfer/dump.h"

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
#include <vector>

#include "cmd/common/exit_codes.h"
#include "cmd/common/progress.h"
#include "cmd/common/values.h"
#include "cmd/pakvctl/transfer/dump_line.h"
#include "runtime/base/counted.h"
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

class Dump {
 public:
  Dump(const CtlRequest& request, StoreClient& client, const CtlStreams& streams)
      : request_(request),
        client_(client),
        streams_(streams),
        target_(request.file, streams.out),
        name_space_(request.name_space),
        progress_(
            {.what = "dumping", .is_terminal = streams.err_is_terminal, .quiet = request.quiet},
            streams.err) {}

  int Run() {
    if (!target_.Open()) return TellTarget();
    const ClientError error = request_.all_namespaces ? DumpAll() : DumpOne();
    if (!error.ok()) return TellBroken(error);
    progress_.End(client_.NowNs());
    if (!target_.Finish()) return TellTarget();
    if (!request_.quiet) streams_.err << "pakvctl: " << Told() << " dumped\n";
    return kClientExitOk;
  }

 private:
  ClientError DumpOne() {
    // How many keys begin with a prefix nobody knows, nor how many there are in a namespace.
    const bool knows = request_.prefix.empty() && !request_.name_space_given;
    key_count_ = knows ? KeysOf(client_) : 0;
    return DumpNamespace();
  }

  ClientError DumpAll() {
    std::vector<std::string> names;
    uint64_t key_count = 0;
    std::string cursor;
    do {
      auto page = client_.Namespaces(cursor);
      if (!page.ok()) return page.error();
      for (ClientNamespacesPage::Entry& entry : page->entries) {
        key_count += entry.keys;
        names.push_back(std::move(entry.name));
      }
      cursor = page->cursor;
    } while (!cursor.empty());
    key_count_ = request_.prefix.empty() ? key_count : 0;
    for (std::string& name : names) {
      client_.UseNamespace(name);
      name_space_ = std::move(name);
      ClientError error = DumpNamespace();
      if (!error.ok() || !target_.out()) return error;
    }
    return {};
  }

  // The one in use.
  ClientError DumpNamespace() {
    std::string cursor;
    do {
      auto page = client_.ScanValues(request_.prefix, cursor, kPageKeysMax);
      if (!page.ok()) return page.error();
      for (ClientValuesPage::Entry& entry : page->entries) {
        ClientError error = Put(std::move(entry));
        if (!error.ok()) return error;
      }
      Show();
      cursor = page->cursor;
    } while (!cursor.empty() && target_.out());
    return {};
  }

  std::string Told() const { return Counted(keys_, "key") + ", " + Counted(bytes_, "byte"); }
  void Show() {
    const uint64_t now_ns = client_.NowNs();
    if (progress_.IsDue(now_ns)) progress_.Show(now_ns, keys_, key_count_, Told());
  }
  int TellTarget() {
    streams_.err << "pakvctl: " << target_.error() << '\n';
    return kClientExitData;
  }
  int TellBroken(const ClientError& error) {
    progress_.End(client_.NowNs());
    streams_.err << fmt::format("pakvctl: the dump ends after {}; it is not whole\n", Told());
    return TellError(error, streams_.err);
  }
  void Write(std::string_view text) {
    target_.out() << text;
    bytes_ += text.size();
  }

  ClientError Put(ClientValuesPage::Entry entry) {
    DumpEntry dumped;
    dumped.name_space = name_space_;
    dumped.key = std::move(entry.key);
    if (entry.total_bytes != 0) return PutLong(std::move(dumped));
    dumped.value = std::move(entry.value);
    dumped.expires_at_ms = entry.expires_at_ms;
    dumped.lsn = entry.lsn;
    Write(FormatDumpLine(dumped));
    ++keys_;
    return {};
  }

  // As it is when it is read: the page is older.
  ClientError PutLong(DumpEntry dumped) {
    bool begun = false;
    Base64Encoder encoder;
    const auto begin = [&] {
      if (!begun) Write(DumpLineHead(dumped));
      begun = true;
    };
    const auto value = client_.ReadValue(dumped.key, [&](std::string_view piece) {
      begin();
      Write(encoder.Put(piece));
      Show();
      return bool{target_.out()};
    });
    if (!value.ok()) return value.error();
    if (!*value) return {};  // it is gone
    begin();
    Write(encoder.End());
    dumped.expires_at_ms = (*value)->expires_at_ms;
    dumped.lsn = (*value)->lsn;
    Write(DumpLineTail(dumped));
    ++keys_;
    return {};
  }

  const CtlRequest& request_;
  StoreClient& client_;
  const CtlStreams& streams_;
  Target target_;
  std::string name_space_;  // of what is dumped now
  Progress progress_;
  uint64_t key_count_ = 0;  // 0: not known
  uint64_t keys_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace

int RunDump(const CtlRequest& request, StoreClient& client, const CtlStreams& streams) {
  return Dump(request, client, streams).Run();
}

}  // namespace pakv
