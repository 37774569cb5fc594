#include "cmd/pakvctl/transfer/load.h"

#include <fmt/format.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "cmd/common/exit_codes.h"
#include "cmd/common/progress.h"
#include "cmd/common/values.h"
#include "cmd/pakvctl/interface/output.h"
#include "cmd/pakvctl/transfer/dump_line.h"
#include "cmd/pakvctl/transfer/line_reader.h"
#include "cmd/pakvctl/transfer/loader.h"
#include "cmd/pakvctl/transfer/long_line.h"
#include "cmd/pakvctl/transfer/redis_source.h"
#include "kv/log/format/format.h"
#include "net/client/value_writer.h"
#include "runtime/base/counted.h"
#include "runtime/base/utf8.h"

namespace pakv {
namespace {

// What is held of a line: JSON makes of a byte six at most, and names the members.
size_t LineBytesMax(const Client& client) { return 6 * client.frame_bytes_max() + 4096; }

class Load {
 public:
  Load(const CtlRequest& request, Core& core, Client& client, const CtlStreams& streams)
      : request_(request),
        core_(core),
        client_(client),
        streams_(streams),
        loader_(client, request.load_if_absent),
        line_bytes_max_(LineBytesMax(client)),
        progress_(
            {.what = "loading", .is_terminal = streams.err_is_terminal, .quiet = request.quiet},
            streams.err) {}

  Task<int> FromLines() {
    LineReader lines(core_, line_bytes_max_, client_.lost());
    const std::string opened = co_await lines.Open(request_.file);
    if (!opened.empty()) co_return Tell(opened, kClientExitData);
    const int exit_code = co_await PutLines(lines);
    co_await lines.Close();
    co_return exit_code;
  }

  Task<int> FromRedis() {
    RedisSource source(core_, *request_.redis, streams_.err);
    const int exit_code = co_await PutFromRedis(source);
    co_await source.Close();
    co_return exit_code;
  }

 private:
  int Tell(const std::string& text, int exit_code) {
    progress_.End(core_.now_ns());
    streams_.err << "pakvctl: " << EscapeControls(text) << '\n';
    return exit_code;
  }

  Task<int> PutLines(LineReader& lines) {
    std::string wrong;
    bool fits = true;
    bool lost = false;
    while (fits && wrong.empty() && !lost) {
      const LineReader::Read read = co_await lines.Next();
      if (read == LineReader::Read::kEnd) break;
      if (read == LineReader::Read::kLine) {
        auto entry = ParseDumpLine(lines.line());
        wrong = WrongWith(lines, entry);
        if (!wrong.empty()) break;
        ClientSet set = SetOf(*entry);
        set.value = std::move(entry->value);
        fits = co_await EnterNamespaceOf(*entry, lines.number());
        if (!fits) break;
        fits = co_await loader_.Put(std::move(set), lines.number());
        Show(lines.read_bytes(), lines.total_bytes());
      } else if (read == LineReader::Read::kLong) {
        wrong = co_await PutLong(lines, lost);
        fits = loader_.error().ok();
      } else {
        if (read == LineReader::Read::kError) wrong = lines.error();
        lost = read == LineReader::Read::kStopped;
      }
    }
    const bool whole = co_await loader_.Finish();
    if (!whole) {
      const uint64_t line = loader_.failed_place();
      co_return TellFailed(
          fmt::format("{}, line {}, key {}", lines.name(), line, Quoted(loader_.failed_key())));
    }
    if (lost) {
      const ClientError error = co_await WhyLost();
      progress_.End(core_.now_ns());
      TellError(error, streams_.err);
      TellCount("pakvctl: the load ends: all lines that were read are loaded: ");
      TellAgain();
      co_return kClientExitConnect;  // whether or not it has said that it goes
    }
    if (!wrong.empty()) {
      const int exit_code = Tell(wrong, kClientExitData);
      TellCount("pakvctl: the load ends: all lines before that are loaded: ");
      co_return exit_code;
    }
    co_return Done({});
  }

  // Takes the line on, whose beginning was read, while it is written. What is wrong with it, if
  // anything is.
  Task<std::string> PutLong(LineReader& lines, bool& lost) {
    LongLine line;
    ValueWriter writer(client_, ClientSet());
    std::string value;
    LineReader::Read read = LineReader::Read::kLong;
    bool goes_on = true;
    while (true) {
      value.clear();
      if (!line.Put(lines.line(), value)) co_return Where(lines) + line.error();
      if (goes_on) goes_on = co_await writer.Write(value);
      Show(lines.read_bytes(), lines.total_bytes());
      if (read == LineReader::Read::kLine) break;
      read = co_await lines.More();
      if (read == LineReader::Read::kError) co_return lines.error();
      lost = read == LineReader::Read::kStopped;
      if (lost) co_return std::string();
    }
    absl::StatusOr<DumpEntry> entry = line.End();
    std::string wrong = WrongWith(lines, entry);
    if (!wrong.empty()) co_return wrong;
    const bool entered = co_await EnterNamespaceOf(*entry, lines.number());
    if (!entered) co_return std::string();
    ClientSet set = SetOf(*entry);
    set.condition = loader_.if_absent() ? ClientCondition::kIfAbsent : ClientCondition::kNone;
    writer.Describe(std::move(set));
    ClientResult<ClientSetDone> done = co_await writer.Finish();
    loader_.Record(done, entry->key, lines.number());
    co_return std::string();
  }

  static std::string Where(const LineReader& lines) {
    return fmt::format("{}, line {}: ", lines.name(), lines.number());
  }

  std::string WrongWith(const LineReader& lines, const absl::StatusOr<DumpEntry>& entry) const {
    if (!entry.ok()) return Where(lines) + std::string(entry.status().message());
    if (request_.all_namespaces) {
      if (IsNamespaceName(entry->name_space)) return {};
      return Where(lines) + fmt::format("its namespace is {}: a name is 1 to {} bytes of UTF-8",
                                        Quoted(entry->name_space), kNamespaceNameBytesMax);
    }
    if (request_.name_space_given || entry->name_space == request_.name_space) return {};
    return Where(lines) +
           fmt::format(
               "its namespace is {}: -n says which one to load into, or --all that each line does",
               Quoted(entry->name_space));
  }

  // With --all: what is put next belongs into the namespace that the line names, and it is made if
  // it is not there. False: that failed, and the loader knows why.
  Task<bool> EnterNamespaceOf(const DumpEntry& entry, uint64_t line) {
    if (!request_.all_namespaces || entry.name_space == name_space_) co_return true;
    auto known = namespace_ids_.find(entry.name_space);
    if (known == namespace_ids_.end()) {
      const uint64_t id = client_.StartOpenNamespace(entry.name_space, /*create=*/true);
      ClientResult<std::optional<uint64_t>> opened = co_await client_.AwaitOpenNamespace(id);
      ClientError error = opened.error();
      if (error.ok() && !*opened) {
        error.fault = ClientFault::kProtocol;
        error.text = "the server has not made the namespace that it was asked for";
      }
      if (!error.ok()) {
        loader_.Record(std::move(error), entry.key, line);
        co_return false;
      }
      known = namespace_ids_.emplace(entry.name_space, **opened).first;
    }
    client_.UseNamespace(known->second);
    name_space_ = entry.name_space;
    co_return true;
  }

  static ClientSet SetOf(const DumpEntry& entry) {
    ClientSet set;
    set.key = entry.key;
    set.expires_at_ms = entry.expires_at_ms;
    return set;
  }

  // Of a connection that was lost while nothing was awaited.
  Task<ClientError> WhyLost() {
    const uint64_t id = client_.StartPing();
    ClientResult<bool> pong = co_await client_.AwaitPing(id);
    co_return pong.error();
  }

  Task<int> PutFromRedis(RedisSource& source) {
    std::optional<RedisFault> fault = co_await source.Connect();
    bool fits = true;
    while (!fault && fits) {
      RedisSource::Page page;
      fault = co_await source.NextPage(page);
      if (fault) break;
      while (fits && !fault && page.keys_left() > 0) {
        std::optional<ClientSet> set;
        fault = co_await source.NextKey(page, set);
        if (!set) continue;
        fits = co_await loader_.Put(*std::move(set), 0);
        Show(source.seen(), source.key_count());
      }
      if (page.is_last) break;
    }
    const bool whole = co_await loader_.Finish();
    if (!whole) co_return TellFailed("key " + Quoted(loader_.failed_key()));
    if (fault) {
      const int exit_code = Tell(fault->text, fault->exit_code);
      TellCount("pakvctl: the load ends: loaded ");
      co_return exit_code;
    }
    co_return Done(source.DescribeLeft());
  }

  void Show(uint64_t done, uint64_t total) {
    if (!progress_.IsDue(core_.now_ns())) return;
    progress_.Show(core_.now_ns(), done, total, Counted(loader_.written(), "key"));
  }

  void TellCount(const std::string& before) {
    progress_.End(core_.now_ns());
    streams_.err << before << Counted(loader_.written(), "key");
    if (loader_.present() > 0) {
      const bool is_one = loader_.present() == 1;
      streams_.err << fmt::format(", and {} that {} there already {}", loader_.present(),
                                  is_one ? "was" : "were", is_one ? "stays" : "stay");
    }
    streams_.err << '\n';
  }

  int TellFailed(const std::string& where) {
    progress_.End(core_.now_ns());
    const int exit_code = TellError(loader_.error(), streams_.err);
    streams_.err << "pakvctl: that was " << where << '\n';
    TellCount("pakvctl: the load ends: the server has acknowledged ");
    if (exit_code == kClientExitConnect) TellAgain();
    return exit_code;
  }

  void TellAgain() {
    streams_.err << "pakvctl: load again: what is loaded already does not matter\n";
  }

  // `left`: what the source keeps, for people; empty if nothing.
  int Done(const std::string& left) {
    if (request_.output == CtlOutput::kJson) {
      OrderedJson object;
      object["loaded"] = loader_.written();
      object["present"] = loader_.present();
      if (!left.empty()) object["left"] = left;
      streams_.out << object.dump() << '\n';
    } else if (!request_.quiet && left.empty()) {
      streams_.out << "OK\n";
    }
    progress_.End(core_.now_ns());
    if (!request_.quiet) TellCount("pakvctl: loaded ");
    if (left.empty()) return kClientExitOk;
    streams_.err << "pakvctl: left where they are, as pakv has no such type: " << left << '\n';
    return kClientExitNotMet;
  }

  const CtlRequest& request_;
  Core& core_;
  Client& client_;
  const CtlStreams& streams_;
  Loader loader_;
  const size_t line_bytes_max_;
  Progress progress_;
  std::string name_space_;                         // in use; with --all the last line's
  std::map<std::string, uint64_t> namespace_ids_;  // of --all: as many as the server lets be made
};

Task<int> RunTask(const CtlRequest& request, Core& core, Client& client,
                  const CtlStreams& streams) {
  const auto load = std::make_unique<Load>(request, core, client, streams);
  if (request.redis) co_return co_await load->FromRedis();
  co_return co_await load->FromLines();
}

}  // namespace

int RunLoad(const CtlRequest& request, OnlineClient& client, const CtlStreams& streams) {
  const ClientResult<bool> entered = client.EnterNamespace(/*create=*/true);
  if (!entered.ok()) return TellError(entered.error(), streams.err);
  return client.RunTask(RunTask(request, client.core(), client.client(), streams));
}

}  // namespace pakv
