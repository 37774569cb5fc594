// A client of pakvd, for programs that run on a Core. Requests are started, which never waits, and
// awaited in any order; those started together leave in one send. Everything is the owning
// core's; nothing here throws or blocks, but for the look-up of host names in Connect.
//
//   Client client(core, options);
//   ClientError error = co_await client.Connect();
//   uint64_t a = client.StartGet("a");
//   uint64_t b = client.StartGet("b");
//   auto value_of_b = co_await client.AwaitGet(b);
//   auto value_of_a = co_await client.AwaitGet(a);
//   co_await client.Close();
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "net/client/client_error.h"
#include "net/client/client_types.h"
#include "net/client/connection.h"
#include "net/options/endpoint.h"
#include "runtime/core/core.h"
#include "runtime/task/stop.h"
#include "runtime/task/sync.h"
#include "runtime/task/task.h"

namespace pakv {

struct ClientOptions {
  std::vector<Endpoint> endpoints;                 // tried in turn
  uint64_t connect_timeout_ns = 5 * kNsPerSecond;  // for each address, the greeting included
  ConnectionOptions connection;
};

class Client {
 public:
  Client(Core& core, ClientOptions options);
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  // Close was awaited, or Connect never called.
  ~Client();

  // Connects to the first address that answers, of the first endpoint that has one. An error names
  // each that was tried. May be called again when a connection was lost and nothing is
  // awaited; what was started before is forgotten.
  Task<ClientError> Connect();
  Task<void> Close();

  // Namespaces: requests on keys are of the one with this id, 0 (named "0") to begin with. What was
  // started before stays where it was.
  void UseNamespace(uint64_t namespace_id) { namespace_id_ = namespace_id; }

  // Values longer than whole_value_bytes_max go and come in pieces: value_writer.h, value_reader.h.

  // Starts a request and returns its id, to be awaited once or discarded. Before Connect and after
  // a lost connection the await returns an error.
  uint64_t StartSet(const ClientSet& request);
  uint64_t StartGet(std::string_view key);
  // The same, awaited by AwaitGet, without the value's bytes.
  uint64_t StartGetVersion(std::string_view key);
  uint64_t StartDelete(std::string_view key, bool return_old);
  uint64_t StartIncrement(std::string_view key, int64_t delta);
  // Several operations as one: all or none if one of them writes, otherwise a look at all keys at
  // one moment. At most 65,536 with 16 MiB of keys and values; values up to 1 MiB.
  uint64_t StartBatch(std::span<const ClientOperation> operations);
  // At most `limit` keys (more where they cannot be told apart by a cursor).
  uint64_t StartScan(std::string_view prefix, std::string_view cursor, uint64_t limit);
  // The same with values, awaited by AwaitScanValues. A page ends at about a megabyte.
  uint64_t StartScanValues(std::string_view prefix, std::string_view cursor, uint64_t limit);
  // Removes all keys of the namespace in use, or of all namespaces.
  uint64_t StartFlush();
  uint64_t StartFlushAll();
  // The id of a namespace's name; `create`: makes it if it is not there.
  uint64_t StartOpenNamespace(std::string_view name, bool create);
  uint64_t StartNamespaces(std::string_view cursor);
  uint64_t StartPing();
  uint64_t StartStats();
  uint64_t StartCheck();
  // Without a cursor: begins a compaction, or joins the one under way. With one: asks how far it
  // is.
  uint64_t StartCompact(uint32_t gain_percent, std::string_view cursor);
  void Discard(uint64_t id);

  // The reply to a request that the function of the same name started.
  Task<ClientResult<ClientSetDone>> AwaitSet(uint64_t id);
  // Nothing: the key is not there.
  Task<ClientResult<std::optional<ClientValue>>> AwaitGet(uint64_t id);
  Task<ClientResult<std::optional<ClientDeleteDone>>> AwaitDelete(uint64_t id);
  Task<ClientResult<ClientNumber>> AwaitIncrement(uint64_t id);
  // An operation that cannot be done for another reason than its condition, such as an increment of
  // what is no number, is an error that names it.
  Task<ClientResult<ClientBatchDone>> AwaitBatch(uint64_t id);
  Task<ClientResult<ClientScanPage>> AwaitScan(uint64_t id);
  Task<ClientResult<ClientValuesPage>> AwaitScanValues(uint64_t id);
  // The LSN: what is older is gone.
  Task<ClientResult<uint64_t>> AwaitFlush(uint64_t id);
  // Nothing: it is not there.
  Task<ClientResult<std::optional<uint64_t>>> AwaitOpenNamespace(uint64_t id);
  Task<ClientResult<ClientNamespacesPage>> AwaitNamespaces(uint64_t id);
  Task<ClientResult<bool>> AwaitPing(uint64_t id);
  Task<ClientResult<std::vector<ClientCounter>>> AwaitStats(uint64_t id);
  Task<ClientResult<ClientCheck>> AwaitCheck(uint64_t id);
  Task<ClientResult<ClientCompaction>> AwaitCompact(uint64_t id);

  // Stops when the connection that Connect has made is lost, or closed.
  StopToken lost() { return connection_->lost(); }
  // The longest value that AwaitGet and StartSet are for; longer ones have ValueReader and
  // ValueWriter. After Connect.
  size_t whole_value_bytes_max() const { return connection_->whole_value_bytes_max(); }
  // The largest request that the server takes, as a frame; after Connect.
  size_t frame_bytes_max() const { return connection_->frame_bytes_max(); }

  // What the connection holds; for tests and figures.
  const ClientConnection& connection() const { return *connection_; }

 private:
  friend class ValueReader;
  friend class ValueWriter;
  // A get whose reply is taken in parts.
  uint64_t StartGetParts(std::string_view key);
  // The set whose pieces were sent before; its value is the last of them.
  void SendLastPiece(uint64_t id, const ClientSet& set);
  static ClientError RefusedError(const ClientReply& reply);

  Task<ClientError> TryAddress(std::string address);
  template <typename Fill>
  uint64_t StartHere(PakvType type, const Fill& fill, std::optional<bool> is_write = std::nullopt);

  Core& core_;
  const ClientOptions options_;
  std::unique_ptr<ClientConnection> connection_;
  uint64_t namespace_id_ = 0;
  Semaphore pieces_turn_;  // one value at a time goes in pieces
};

}  // namespace pakv
