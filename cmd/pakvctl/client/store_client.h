// The server as pakvctl's commands see it: calls that return when the answer is there. main.cc puts
// a connection behind it, tests a map.
#pragma once

#include <absl/functional/function_ref.h>

#include <cstdint>
#include <istream>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "net/client/client_error.h"
#include "net/client/client_types.h"

namespace pakv {

// stdin, or what stands in its place.
struct CtlInput {
  std::istream& stream;
  bool is_stdin = false;  // it may be read by its descriptor instead
};

class StoreClient {
 public:
  virtual ~StoreClient() = default;

  virtual ClientResult<ClientSetDone> Set(const ClientSet& request) = 0;

  // The same with all that `in` holds for its value, read as it goes. `input_fault` becomes what is
  // wrong with `in`, if anything is: then nothing is set.
  virtual ClientResult<ClientSetDone> SetFrom(const ClientSet& request, const CtlInput& in,
                                              std::string& input_fault) = 0;

  // One result per key, in order; nothing: the key is not there. The requests travel together.
  using GetResults = std::vector<ClientResult<std::optional<ClientValue>>>;
  virtual GetResults Get(std::span<const std::string> keys) = 0;

  // A value of any length: gives its bytes to `take` as they come, until that returns false. The
  // result has none; nothing: the key is not there. An error may come behind some of the bytes.
  using TakeBytes = absl::FunctionRef<bool(std::string_view)>;
  virtual ClientResult<std::optional<ClientValue>> ReadValue(const std::string& key,
                                                             TakeBytes take) = 0;

  // Without the value's bytes; nothing: the key is not there.
  virtual ClientResult<std::optional<ClientValue>> GetVersion(const std::string& key) = 0;

  using DeleteResults = std::vector<ClientResult<std::optional<ClientDeleteDone>>>;
  virtual DeleteResults Delete(std::span<const std::string> keys, bool return_old) = 0;

  virtual ClientResult<ClientNumber> Increment(const std::string& key, int64_t delta) = 0;
  // All operations as one: all or none.
  virtual ClientResult<ClientBatchDone> Batch(std::span<const ClientOperation> operations) = 0;
  // At most `limit` keys; `cursor` as the page before gave it, empty at first.
  virtual ClientResult<ClientScanPage> Scan(const std::string& prefix, const std::string& cursor,
                                            uint64_t limit) = 0;
  // The same with values.
  virtual ClientResult<ClientValuesPage> ScanValues(const std::string& prefix,
                                                    const std::string& cursor, uint64_t limit) = 0;
  // The round trip in nanoseconds on this end's monotonic clock.
  virtual ClientResult<uint64_t> Ping() = 0;
  virtual ClientResult<std::vector<ClientCounter>> Stats() = 0;
  virtual ClientResult<ClientCheck> Check() = 0;
  // Begins or joins a compaction; with a cursor, asks how far it is.
  virtual ClientResult<ClientCompaction> Compact(uint32_t gain_percent,
                                                 const std::string& cursor) = 0;
  // Calls from here on are for the namespace of this name.
  virtual void UseNamespace(const std::string& name) = 0;
  virtual ClientResult<ClientNamespacesPage> Namespaces(const std::string& cursor) = 0;
  // Removes all keys of the namespace that the client is for. False: there is no such namespace.
  virtual ClientResult<bool> DropNamespace() = 0;
  // A line per connection of the server, as CLIENT LIST has it.
  virtual ClientResult<std::string> Connections() = 0;
  // Ends those of that id, or from that address; how many there were.
  virtual ClientResult<uint64_t> KillConnection(const std::string& which) = 0;
  // This end's monotonic clock, and a pause on it during which the connection is served.
  virtual uint64_t NowNs() = 0;
  virtual void Pause(uint64_t ns) = 0;
};

}  // namespace pakv
