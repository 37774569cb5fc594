// A map in place of a server, for tests of pakvctl's commands.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "cmd/pakvctl/client/store_client.h"
#include "runtime/base/check.h"

namespace pakv {

class FakeClient : public StoreClient {
 public:
  ClientResult<ClientSetDone> Set(const ClientSet& request) override {
    if (!failure.ok()) return failure;
    const auto found = values.find(request.key);
    const bool present = found != values.end();
    ClientSetDone done;
    switch (request.condition) {
      case ClientCondition::kNone:
        break;
      case ClientCondition::kIfAbsent:
        done.condition_met = !present;
        break;
      case ClientCondition::kIfPresent:
        done.condition_met = present;
        break;
      case ClientCondition::kIfVersion:
        done.condition_met = present && found->second.lsn == request.version;
        break;
    }
    if (!done.condition_met) return done;
    if (request.return_old && present) done.old_value = found->second.bytes;
    done.lsn = ++lsn;
    values[request.key] = {request.value, lsn, std::nullopt};
    if (request.ttl_ms != 0) values[request.key].ttl_ms = request.ttl_ms;
    return done;
  }

  ClientResult<ClientSetDone> SetFrom(const ClientSet& request, const CtlInput& in,
                                      std::string& input_fault) override {
    ClientSet whole = request;
    char buffer[1000];
    while (in.stream.read(buffer, sizeof buffer), in.stream.gcount() > 0) {
      whole.value.append(buffer, static_cast<size_t>(in.stream.gcount()));
    }
    if (in.stream.bad()) input_fault = "the input cannot be read";
    return Set(whole);
  }

  // In pieces of three bytes; `failure`, if that is one, behind the first.
  ClientResult<std::optional<ClientValue>> ReadValue(const std::string& key,
                                                     TakeBytes take) override {
    const auto found = values.find(key);
    if (found == values.end()) return std::optional<ClientValue>();
    const std::string& bytes = found->second.bytes;
    for (size_t at = 0; at < bytes.size() && take(std::string_view(bytes).substr(at, 3)); at += 3) {
      if (!failure.ok()) return failure;
    }
    ClientValue about = found->second;
    about.bytes.clear();
    return std::optional<ClientValue>(std::move(about));
  }

  GetResults Get(std::span<const std::string> keys) override {
    batches.push_back(keys.size());
    GetResults results;
    for (const std::string& key : keys) {
      if (key == failing_key) {
        results.emplace_back(failing_key_error.ok() ? failure : failing_key_error);
      } else if (const auto found = values.find(key); found != values.end()) {
        results.emplace_back(found->second);
      } else {
        results.emplace_back(std::nullopt);
      }
    }
    return results;
  }

  ClientResult<std::optional<ClientValue>> GetVersion(const std::string& key) override {
    if (!failure.ok()) return failure;
    const auto found = values.find(key);
    if (found == values.end()) return std::optional<ClientValue>();
    return std::optional<ClientValue>(found->second);
  }

  DeleteResults Delete(std::span<const std::string> keys, bool return_old) override {
    DeleteResults results;
    for (const std::string& key : keys) {
      const auto found = values.find(key);
      if (found == values.end()) {
        results.emplace_back(std::nullopt);
        continue;
      }
      ClientDeleteDone done;
      done.lsn = ++lsn;
      if (return_old) done.old_value = found->second.bytes;
      values.erase(found);
      results.emplace_back(std::move(done));
    }
    return results;
  }

  ClientResult<ClientNumber> Increment(const std::string& key, int64_t delta) override {
    if (!failure.ok()) return failure;
    ClientNumber number;
    number.value = (values.contains(key) ? std::stoll(values[key].bytes) : 0) + delta;
    number.lsn = ++lsn;
    values[key] = {std::to_string(number.value), lsn, std::nullopt};
    return number;
  }

  // One after the other, on a copy that is kept if all can be done.
  ClientResult<ClientBatchDone> Batch(std::span<const ClientOperation> operations) override {
    using Kind = ClientOperation::Kind;
    if (!failure.ok()) return failure;
    const std::map<std::string, ClientValue> before = values;
    ClientBatchDone done;
    for (size_t place = 0; place < operations.size(); ++place) {
      const ClientSet& set = operations[place].set;
      ClientOperationDone& one = done.operations.emplace_back();
      switch (operations[place].kind) {
        case Kind::kGet:
          one.found = values.contains(set.key);
          if (one.found) one.value = values[set.key];
          break;
        case Kind::kSet: {
          const auto written = Set(set);
          if (!written->condition_met) {
            values = before;
            ClientBatchDone failed;
            failed.failed = place;
            return failed;
          }
          one.old_value = written->old_value;
          break;
        }
        case Kind::kDelete: {
          const auto removed = Delete(std::span(&set.key, 1), set.return_old);
          one.found = removed[0]->has_value();
          if (one.found) one.old_value = (*removed[0])->old_value;
          break;
        }
        case Kind::kIncrement:
          one.number = Increment(set.key, operations[place].delta)->value;
          break;
      }
    }
    done.lsn = lsn;
    return done;
  }

  // Pages of two keys, whatever is asked for; the last may be one too long, as it may on the wire.
  ClientResult<ClientScanPage> Scan(const std::string& prefix, const std::string& cursor,
                                    uint64_t limit) override {
    limits.push_back(limit);
    ClientScanPage page;
    for (const auto& [key, value] : values) {
      if (!key.starts_with(prefix) || (!cursor.empty() && key <= cursor)) continue;
      if (page.keys.size() == 2) {
        page.cursor = page.keys.back();
        break;
      }
      page.keys.push_back(key);
    }
    return page;
  }

  // Pages of two keys; no duplicates.
  ClientResult<ClientValuesPage> ScanValues(const std::string& prefix, const std::string& cursor,
                                            uint64_t) override {
    ClientValuesPage page;
    if (cursor == failing_cursor) return failure;
    for (const auto& [key, value] : values) {
      if (!key.starts_with(prefix) || (!cursor.empty() && key <= cursor)) continue;
      if (page.entries.size() == 2) {
        page.cursor = page.entries.back().key;
        break;
      }
      const bool is_long = value.bytes.size() > page_value_bytes_max;
      page.entries.push_back({.key = key,
                              .value = is_long ? std::string() : value.bytes,
                              .lsn = value.lsn,
                              .expires_at_ms = value.ttl_ms.value_or(0),
                              .total_bytes = is_long ? value.bytes.size() : 0});
    }
    return page;
  }

  ClientResult<uint64_t> Ping() override {
    if (!failure.ok()) return failure;
    return 1234567;
  }

  ClientResult<std::vector<ClientCounter>> Stats() override {
    return std::vector<ClientCounter>{{"keys", 3}, {"writes", -1}};
  }

  ClientResult<ClientCheck> Check() override {
    if (!failure.ok()) return failure;
    return check;
  }

  ClientResult<ClientCompaction> Compact(uint32_t gain_percent,
                                         const std::string& cursor) override {
    if (!failure.ok()) return failure;
    asked.push_back(std::to_string(gain_percent) + " " + cursor);
    PAKV_CHECK(!compactions.empty(), "the test asks for more than it has laid out");
    ClientCompaction state = compactions.front();
    compactions.pop_front();
    return state;
  }

  // The values of each are apart; to begin with they are those of "0".
  void UseNamespace(const std::string& name) override {
    others[name_space].swap(values);
    name_space = name;
    values.swap(others[name]);
  }
  ClientResult<ClientNamespacesPage> Namespaces(const std::string& cursor) override {
    if (!failure.ok()) return failure;
    const size_t index = cursor.empty() ? 0 : std::stoull(cursor);
    ClientNamespacesPage page;
    page.entries.push_back(namespaces[index]);
    if (index + 1 < namespaces.size()) page.cursor = std::to_string(index + 1);
    return page;
  }
  ClientResult<bool> DropNamespace() override {
    if (!failure.ok()) return failure;
    return has_namespace;
  }

  ClientResult<std::string> Connections() override {
    if (!failure.ok()) return failure;
    return connections;
  }
  ClientResult<uint64_t> KillConnection(const std::string& which) override {
    if (!failure.ok()) return failure;
    asked.push_back(which);
    return killed;
  }

  uint64_t NowNs() override { return now_ns; }
  void Pause(uint64_t ns) override { now_ns += ns; }

  std::map<std::string, ClientValue> values;
  std::string name_space = "0";  // whose those are
  std::map<std::string, std::map<std::string, ClientValue>> others;
  uint64_t lsn = (uint64_t{1} << 60) - 1;
  ClientError failure;
  std::string failing_key = "no key fails";
  size_t page_value_bytes_max = SIZE_MAX;  // longer ones ScanValues tells the length of
  ClientError failing_key_error;           // if not `failure`
  std::string failing_cursor = "no cursor fails";
  std::vector<size_t> batches;
  std::vector<uint64_t> limits;
  ClientCheck check;
  std::deque<ClientCompaction> compactions;  // what Compact answers, one after the other
  std::vector<std::string> asked;            // of Compact and KillConnection
  std::string connections;
  uint64_t killed = 1;
  std::vector<ClientNamespacesPage::Entry> namespaces = {{"0", 2}, {"orders", 3}};
  bool has_namespace = true;
  uint64_t now_ns = 0;
};

}  // namespace pakv
