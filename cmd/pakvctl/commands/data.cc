#include "cmd/pakvctl/commands/data.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <string_view>

#include "cmd/common/exit_codes.h"
#include "cmd/common/values.h"
#include "cmd/pakvctl/interface/output.h"
#include "runtime/base/utf8.h"

namespace pakv {
namespace {

// Keys whose requests travel together: their values are held until they are printed.
constexpr size_t kBatchKeysMax = 64;
// Keys that a page of a scan brings at most.
constexpr uint64_t kScanPageKeysMax = 1000;

constexpr std::string_view kNotFound = "Key not found";

class Runner {
 public:
  Runner(const CtlRequest& request, StoreClient& client, const CtlStreams& streams)
      : request_(request),
        client_(client),
        streams_(streams),
        out_(streams.out),
        err_(streams.err),
        values_(streams.out, streams.out_is_terminal) {}

  int Run() {
    switch (request_.command) {
      case CtlCommand::kSet:
        return Set();
      case CtlCommand::kGet:
        return Get();
      case CtlCommand::kRemove:
        return Remove();
      case CtlCommand::kIncrement:
        return Increment();
      case CtlCommand::kTtl:
        return Ttl();
      case CtlCommand::kScan:
        return Scan();
      case CtlCommand::kPing:
        return Ping();
      case CtlCommand::kStats:
        return Stats();
      default:
        break;
    }
    return kClientExitUsage;
  }

 private:
  bool json() const { return request_.output == CtlOutput::kJson; }

  int Fail(const ClientError& error) { return TellError(error, err_); }

  void TellMissing(const std::string& key) {
    std::string line(kNotFound);
    if (request_.keys.size() > 1) line += ": " + EscapeControls(key);
    line += '\n';
    if (json()) {
      behind_array_ += line;
    } else {
      err_ << line;
    }
  }

  // On a terminal what is missing would else stand in the middle of the array.
  void TellBehindArray() {
    err_ << behind_array_;
    behind_array_.clear();
  }

  int Set() {
    ClientSet set;
    set.key = request_.keys.front();
    if (!request_.value_from_stdin) set.value = request_.value;
    set.condition = request_.condition;
    set.version = request_.version;
    set.return_old = request_.return_old;
    set.ttl_ms = request_.ttl_ms;
    std::string input_fault;
    const CtlInput in{streams_.in, streams_.in_is_stdin};
    const auto done =
        request_.value_from_stdin ? client_.SetFrom(set, in, input_fault) : client_.Set(set);
    if (!input_fault.empty()) {
      err_ << "pakvctl: " << EscapeControls(input_fault) << '\n';
      return kClientExitData;
    }
    if (!done.ok()) return Fail(done.error());
    if (!done->condition_met) {
      err_ << "Condition not met\n";
      return kClientExitNotMet;
    }
    if (request_.quiet) return kClientExitOk;
    if (json()) {
      OrderedJson object;
      PutBytes(object, "key", set.key);
      PutLsn(object, done->lsn);
      if (done->old_value) PutBytes(object, "old_value", *done->old_value);
      out_ << object.dump() << '\n';
    } else {
      PrintDone(out_, values_, done->old_value);
    }
    return kClientExitOk;
  }

  // Gives `work` the keys in batches, with the first batch's place in all of them.
  template <typename Work>
  void InBatches(const Work& work) {
    const std::span<const std::string> keys = request_.keys;
    for (size_t begin = 0; begin < keys.size(); begin += kBatchKeysMax) {
      if (!work(keys.subspan(begin, std::min(kBatchKeysMax, keys.size() - begin)))) return;
    }
  }

  // Prints what the batches' results hold; `print` is called for each key that was there, `refused`
  // for each that the server refuses: that one does not hide what became of the others of its
  // batch.
  template <typename Ask, typename PrintOne, typename Refused>
  int AskAndPrint(const Ask& ask, const PrintOne& print, const Refused& refused) {
    int exit_code = kClientExitOk;
    bool failed = false;
    InBatches([&](std::span<const std::string> keys) {
      const auto results = ask(keys);
      for (size_t i = 0; i < keys.size(); ++i) {
        if (!results[i].ok()) {
          const ClientError& error = results[i].error();
          const int code = refused(keys[i], error);
          if (code == kClientExitOk) continue;
          if (!failed) exit_code = code;
          failed = failed || code != kClientExitNotMet;
          if (error.fault != ClientFault::kRefused) break;  // the same goes for those behind it
        } else if (results[i]->has_value()) {
          print(keys[i], **results[i]);
        } else {
          TellMissing(keys[i]);
          if (!failed) exit_code = kClientExitNotMet;
        }
      }
      return !failed && out_;
    });
    return exit_code;
  }

  int Get() {
    if (request_.output == CtlOutput::kRaw) return GetRaw(request_.keys.front());
    JsonArrayPrinter array(out_);
    const auto add = [&](const std::string& key, const ClientValue& value) {
      OrderedJson object;
      PutBytes(object, "key", key);
      PutBytes(object, "value", value.bytes);
      PutLsn(object, value.lsn);
      array.Add(object);
    };
    const auto ask = [&](std::span<const std::string> keys) { return client_.Get(keys); };
    const auto print = [&](const std::string& key, const ClientValue& value) {
      if (json()) return add(key, value);
      values_.Put(value.bytes);
      values_.End();
      out_ << '\n';
    };
    // One that no frame holds is asked for again, by itself.
    const auto ask_again = [&](const std::string& key, const ClientError& error) {
      if (error.status != PakvStatus::kValueTooLong) return Fail(error);
      return json() ? AddLong(key, add) : GetLong(key);
    };
    const int exit_code = AskAndPrint(ask, print, ask_again);
    if (json()) array.Finish();
    TellBehindArray();
    return exit_code;
  }

  // The bytes as they are, also on a terminal.
  int GetRaw(const std::string& key) {
    return ReadLong(key, [this](std::string_view piece) {
      out_ << piece;
      return bool{out_};
    });
  }

  // Prints a value as it comes.
  int GetLong(const std::string& key) {
    const int exit_code = ReadLong(key, [this](std::string_view piece) {
      values_.Put(piece);
      return bool{out_};
    });
    values_.End();
    if (exit_code == kClientExitOk) out_ << '\n';
    return exit_code;
  }

  int ReadLong(const std::string& key, StoreClient::TakeBytes take) {
    const auto value = client_.ReadValue(key, take);
    if (!value.ok()) return Fail(value.error());
    if (*value) return kClientExitOk;
    TellMissing(key);
    return kClientExitNotMet;
  }

  // A JSON string is made of the whole of it.
  template <typename Add>
  int AddLong(const std::string& key, const Add& add) {
    std::string bytes;
    auto value = client_.ReadValue(key, [&bytes](std::string_view piece) {
      bytes.append(piece);
      return true;
    });
    if (!value.ok()) return Fail(value.error());
    if (!*value) {
      TellMissing(key);
      return kClientExitNotMet;
    }
    (*value)->bytes = std::move(bytes);
    add(key, **value);
    return kClientExitOk;
  }

  int Remove() {
    JsonArrayPrinter array(out_);
    const bool print_json = json() && !request_.quiet;
    const int exit_code = AskAndPrint(
        [&](std::span<const std::string> keys) {
          return client_.Delete(keys, request_.return_old);
        },
        [&](const std::string& key, const ClientDeleteDone& done) {
          if (request_.quiet) return;
          if (!json()) return PrintDone(out_, values_, done.old_value);
          OrderedJson object;
          PutBytes(object, "key", key);
          PutLsn(object, done.lsn);
          if (done.old_value) PutBytes(object, "old_value", *done.old_value);
          array.Add(object);
        },
        [&](const std::string&, const ClientError& error) { return Fail(error); });
    if (print_json) array.Finish();
    TellBehindArray();
    return exit_code;
  }

  int Increment() {
    const auto number = client_.Increment(request_.keys.front(), request_.delta);
    if (!number.ok()) return Fail(number.error());
    if (json()) {
      OrderedJson object;
      PutBytes(object, "key", request_.keys.front());
      object["value"] = std::to_string(number->value);
      PutLsn(object, number->lsn);
      out_ << object.dump() << '\n';
    } else {
      out_ << number->value << '\n';
    }
    return kClientExitOk;
  }

  // Whole seconds, rounded as Redis' TTL rounds them.
  int Ttl() {
    const std::string& key = request_.keys.front();
    const auto version = client_.GetVersion(key);
    if (!version.ok()) return Fail(version.error());
    if (!version->has_value()) {
      TellMissing(key);
      TellBehindArray();
      return kClientExitNotMet;
    }
    const std::optional<uint64_t> ttl_ms = (*version)->ttl_ms;
    if (json()) {
      OrderedJson object;
      PutBytes(object, "key", key);
      object["ttl_ms"] = ttl_ms ? OrderedJson(*ttl_ms) : OrderedJson(nullptr);
      out_ << object.dump() << '\n';
    } else {
      out_ << (ttl_ms ? static_cast<int64_t>((*ttl_ms / 500 + 1) / 2) : -1) << '\n';
    }
    return kClientExitOk;
  }

  int Scan() {
    JsonArrayPrinter array(out_);
    const std::string prefix = request_.keys.empty() ? std::string() : request_.keys.front();
    uint64_t left = request_.limit.value_or(UINT64_MAX);
    std::string cursor;
    while (left > 0) {
      const auto page = client_.Scan(prefix, cursor, std::min(left, kScanPageKeysMax));
      if (!page.ok()) {
        if (json()) array.Finish();
        return Fail(page.error());
      }
      // Keys that share a cursor come in one page, also beyond the limit.
      for (const std::string& key : page->keys) {
        if (left == 0) break;
        --left;
        if (json()) {
          OrderedJson object;
          PutBytes(object, "key", key);
          array.Add(object);
        } else {
          out_ << (streams_.out_is_terminal ? EscapeControls(key) : key) << '\n';
        }
      }
      cursor = page->cursor;
      if (cursor.empty() || !out_) break;
    }
    if (json()) array.Finish();
    return kClientExitOk;
  }

  int Ping() {
    JsonArrayPrinter array(out_);
    for (uint64_t i = 0; i < request_.ping_count && out_; ++i) {
      const auto round_trip_ns = client_.Ping();
      if (!round_trip_ns.ok()) {
        if (json()) array.Finish();
        return Fail(round_trip_ns.error());
      }
      if (json()) {
        OrderedJson object;
        object["round_trip_us"] = static_cast<double>(*round_trip_ns) / 1e3;
        array.Add(object);
      } else {
        out_ << fmt::format("PONG {:.3f} ms\n", static_cast<double>(*round_trip_ns) / 1e6)
             << std::flush;
      }
    }
    if (json()) array.Finish();
    return kClientExitOk;
  }

  int Stats() {
    const auto counters = client_.Stats();
    if (!counters.ok()) return Fail(counters.error());
    OrderedJson object = OrderedJson::object();
    for (const ClientCounter& counter : *counters) {
      if (json()) {
        object[counter.name] = counter.value;
      } else {
        out_ << EscapeControls(counter.name) << ' ' << counter.value << '\n';
      }
    }
    if (json()) {
      out_ << object.dump(2, ' ', false, OrderedJson::error_handler_t::replace) << '\n';
    }
    return kClientExitOk;
  }

  const CtlRequest& request_;
  StoreClient& client_;
  const CtlStreams& streams_;
  std::ostream& out_;
  std::ostream& err_;
  ValuePrinter values_;
  std::string behind_array_;  // of get and rm, with -o json
};

}  // namespace

int RunDataCommand(const CtlRequest& request, StoreClient& client, const CtlStreams& streams) {
  return Runner(request, client, streams).Run();
}

}  // namespace pakv
