#include "cmd/pakvctl/client/online_client.h"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <span>
#include <utility>

#include "cmd/pakvctl/client/connection_requests.h"
#include "cmd/pakvctl/client/input_file.h"
#include "net/client/value_reader.h"
#include "net/client/value_writer.h"
#include "runtime/base/clock.h"
#include "runtime/core/mailbox.h"
#include "runtime/io/uring_ring.h"

namespace pakv {
namespace {

// One connection's worth.
constexpr UringOptions kRingOptions = {.entries = 64,
                                       .registered_files = 16,
                                       .receive_buffer_count = 64,
                                       .receive_buffer_bytes = 16384};
constexpr CoreOptions kCoreOptions = {.buffer_count = 0, .buffer_bytes = 4096, .seed = 0};

// Read from stdin at once.
constexpr uint32_t kInputBytes = 64 << 10;

// The one that requests are of unless they say another: it need not be asked for.
constexpr std::string_view kFirstNamespace = "0";

ClientOptions OptionsFor(const std::vector<Endpoint>& endpoints) {
  ClientOptions options;
  options.endpoints = endpoints;
  options.connection.software = "pakvctl " PAKV_VERSION;
  return options;
}

// Begins a task inside of a pass: its deadlines count from a clock that has just been read, and a
// loop that found nothing to do is woken.
struct BeginMessage : Message {
  explicit BeginMessage(Task<void> task_in)
      : Message([](Message& self, Core& here) {
          here.nursery().Spawn(std::move(static_cast<BeginMessage&>(self).task));
        }),
        task(std::move(task_in)) {}
  Task<void> task;
};

template <typename Result>
Task<void> Collect(Task<Result> task, std::optional<Result>& result) {
  Result value = co_await std::move(task);
  result.emplace(std::move(value));
}

Task<bool> CloseClient(Client& client) {
  co_await client.Close();
  co_return true;
}

Task<ClientResult<bool>> OpenNamespace(Client& client, const std::string& name, bool create) {
  const uint64_t id = client.StartOpenNamespace(name, create);
  ClientResult<std::optional<uint64_t>> found = co_await client.AwaitOpenNamespace(id);
  if (!found.ok()) co_return found.error();
  if (*found) client.UseNamespace(**found);
  co_return found->has_value();
}

Task<ClientResult<ClientSetDone>> SetOne(Client& client, const ClientSet& request) {
  const uint64_t id = client.StartSet(request);
  co_return co_await client.AwaitSet(id);
}

Task<ClientResult<ClientSetDone>> SetFromStdin(Core& core, Client& client, const ClientSet& request,
                                               std::string& fault) {
  InputFile input(core, client.lost());
  fault = co_await input.Open({});
  if (!fault.empty()) co_return ClientSetDone();
  ValueWriter writer(client, request);
  std::string buffer(kInputBytes, '\0');
  bool goes_on = true;
  while (goes_on) {
    const IoResult read = co_await input.Read(buffer.data(), kInputBytes);
    // Of a server that is lost Finish tells.
    if (!read.ok() && read.error() != ECANCELED) {
      fault = input.name() + " cannot be read: " + read.text();
      co_await input.Close();
      co_return ClientSetDone();
    }
    if (!read.ok() || read.count() == 0) break;
    goes_on = co_await writer.Write(std::string_view(buffer).substr(0, read.count()));
  }
  co_await input.Close();
  co_return co_await writer.Finish();
}

Task<ClientResult<ClientSetDone>> SetFromStream(Client& client, const ClientSet& request,
                                                std::istream& in, std::string& fault) {
  ValueWriter writer(client, request);
  std::string buffer(kInputBytes, '\0');
  bool goes_on = true;
  while (goes_on && (in.read(buffer.data(), kInputBytes), in.gcount() > 0)) {
    const auto bytes = static_cast<size_t>(in.gcount());
    goes_on = co_await writer.Write(std::string_view(buffer).substr(0, bytes));
  }
  if (in.bad()) {
    fault = "the input cannot be read";
    co_return ClientSetDone();
  }
  co_return co_await writer.Finish();
}

Task<ClientResult<std::optional<ClientValue>>> ReadPieces(Client& client, const std::string& key,
                                                          StoreClient::TakeBytes take) {
  ValueReader reader(client);
  ClientResult<bool> found = co_await reader.Open(key);
  if (!found.ok()) co_return found.error();
  std::optional<ClientValue> value;
  if (!*found) co_return value;
  while (true) {
    ClientResult<std::string> piece = co_await reader.Next();
    if (!piece.ok()) co_return piece.error();
    if (piece->empty() || !take(*piece)) break;
  }
  value.emplace();
  value->lsn = reader.lsn();
  value->ttl_ms = reader.ttl_ms();
  value->expires_at_ms = reader.expires_at_ms();
  co_return value;
}

Task<StoreClient::GetResults> GetAll(Client& client, std::span<const std::string> keys) {
  std::vector<uint64_t> ids;
  for (const std::string& key : keys) ids.push_back(client.StartGet(key));
  StoreClient::GetResults results;
  for (const uint64_t id : ids) {
    auto result = co_await client.AwaitGet(id);
    results.push_back(std::move(result));
  }
  co_return results;
}

Task<ClientResult<std::optional<ClientValue>>> VersionOf(Client& client, const std::string& key) {
  const uint64_t id = client.StartGetVersion(key);
  co_return co_await client.AwaitGet(id);
}

Task<StoreClient::DeleteResults> DeleteAll(Client& client, std::span<const std::string> keys,
                                           bool return_old) {
  std::vector<uint64_t> ids;
  for (const std::string& key : keys) ids.push_back(client.StartDelete(key, return_old));
  StoreClient::DeleteResults results;
  for (const uint64_t id : ids) {
    auto result = co_await client.AwaitDelete(id);
    results.push_back(std::move(result));
  }
  co_return results;
}

Task<ClientResult<ClientNumber>> IncrementOne(Client& client, const std::string& key,
                                              int64_t delta) {
  const uint64_t id = client.StartIncrement(key, delta);
  co_return co_await client.AwaitIncrement(id);
}

Task<ClientResult<ClientBatchDone>> BatchOne(Client& client,
                                             std::span<const ClientOperation> operations) {
  const uint64_t id = client.StartBatch(operations);
  co_return co_await client.AwaitBatch(id);
}

Task<ClientResult<ClientScanPage>> ScanOne(Client& client, const std::string& prefix,
                                           const std::string& cursor, uint64_t limit) {
  const uint64_t id = client.StartScan(prefix, cursor, limit);
  co_return co_await client.AwaitScan(id);
}

// Awaits the page and starts the one behind it, whose id is 0 if there is none.
Task<ClientResult<ClientValuesPage>> ScanValuesOne(Client& client, const std::string& prefix,
                                                   const std::string& cursor, uint64_t limit,
                                                   uint64_t id, uint64_t& next_id) {
  next_id = 0;
  if (id == 0) id = client.StartScanValues(prefix, cursor, limit);
  ClientResult<ClientValuesPage> page = co_await client.AwaitScanValues(id);
  if (page.ok() && !page->cursor.empty()) {
    next_id = client.StartScanValues(prefix, page->cursor, limit);
  }
  co_return page;
}

Task<ClientResult<uint64_t>> PingOne(Client& client) {
  const uint64_t begin_ns = SystemClock().MonotonicNs();
  const uint64_t id = client.StartPing();
  ClientResult<bool> pong = co_await client.AwaitPing(id);
  const uint64_t end_ns = SystemClock().MonotonicNs();
  if (!pong.ok()) co_return pong.error();
  co_return end_ns - begin_ns;
}

Task<ClientResult<std::vector<ClientCounter>>> StatsOne(Client& client) {
  const uint64_t id = client.StartStats();
  co_return co_await client.AwaitStats(id);
}

Task<ClientResult<ClientCheck>> CheckOne(Client& client) {
  const uint64_t id = client.StartCheck();
  co_return co_await client.AwaitCheck(id);
}

Task<ClientResult<ClientCompaction>> CompactOne(Client& client, uint32_t gain_percent,
                                                const std::string& cursor) {
  const uint64_t id = client.StartCompact(gain_percent, cursor);
  co_return co_await client.AwaitCompact(id);
}

Task<ClientResult<ClientNamespacesPage>> NamespacesOne(Client& client, const std::string& cursor) {
  const uint64_t id = client.StartNamespaces(cursor);
  co_return co_await client.AwaitNamespaces(id);
}

Task<ClientResult<uint64_t>> FlushOne(Client& client) {
  const uint64_t id = client.StartFlush();
  co_return co_await client.AwaitFlush(id);
}

Task<bool> SleepFor(Core& core, uint64_t ns) {
  co_await core.timers().SleepUntil(core.now_ns() + ns);
  co_return true;
}

}  // namespace

std::unique_ptr<OnlineClient> OnlineClient::Connect(const std::vector<Endpoint>& endpoints,
                                                    const std::string& name_space,
                                                    ClientError& error) {
  std::unique_ptr<Ring> ring = UringRing::Create(kRingOptions, error.text);
  if (ring == nullptr) {
    error.fault = ClientFault::kConnect;
    return nullptr;
  }
  std::unique_ptr<OnlineClient> online(new OnlineClient(std::move(ring), endpoints, name_space));
  error = online->Run(online->client_.Connect());
  if (!error.ok()) return nullptr;
  return online;
}

OnlineClient::OnlineClient(std::unique_ptr<Ring> ring, const std::vector<Endpoint>& endpoints,
                           const std::string& name_space)
    : core_(0, 1, SystemClock(), std::move(ring), kCoreOptions),
      client_(core_, OptionsFor(endpoints)),
      endpoints_(endpoints),
      name_space_(name_space),
      entered_(name_space == kFirstNamespace) {
  core_.ring().Start();
}

OnlineClient::~OnlineClient() { Run(CloseClient(client_)); }

template <typename Result>
Result OnlineClient::Run(Task<Result> task) {
  std::optional<Result> result;
  BeginMessage begin(Collect(std::move(task), result));
  core_.Post(begin);
  while (!result) core_.RunPass();
  return std::move(*result);
}

ClientResult<bool> OnlineClient::EnterNamespace(bool create) {
  if (entered_) return true;
  ClientResult<bool> entered = Run(OpenNamespace(client_, name_space_, create));
  entered_ = entered.ok() && *entered;
  return entered;
}

ClientResult<ClientSetDone> OnlineClient::Set(const ClientSet& request) {
  const ClientResult<bool> entered = EnterNamespace(/*create=*/true);
  if (!entered.ok()) return entered.error();
  return Run(SetOne(client_, request));
}

ClientResult<ClientSetDone> OnlineClient::SetFrom(const ClientSet& request, const CtlInput& in,
                                                  std::string& input_fault) {
  const ClientResult<bool> entered = EnterNamespace(/*create=*/true);
  if (!entered.ok()) return entered.error();
  if (in.is_stdin) return Run(SetFromStdin(core_, client_, request, input_fault));
  return Run(SetFromStream(client_, request, in.stream, input_fault));
}

ClientResult<std::optional<ClientValue>> OnlineClient::ReadValue(const std::string& key,
                                                                 TakeBytes take) {
  const ClientResult<bool> entered = EnterNamespace(/*create=*/false);
  if (!entered.ok()) return entered.error();
  if (!*entered) return std::optional<ClientValue>();
  return Run(ReadPieces(client_, key, take));
}

StoreClient::GetResults OnlineClient::Get(std::span<const std::string> keys) {
  const ClientResult<bool> entered = EnterNamespace(/*create=*/false);
  if (!entered.ok()) return GetResults(keys.size(), entered.error());
  if (!*entered) return GetResults(keys.size(), std::optional<ClientValue>());
  return Run(GetAll(client_, keys));
}

ClientResult<std::optional<ClientValue>> OnlineClient::GetVersion(const std::string& key) {
  const ClientResult<bool> entered = EnterNamespace(/*create=*/false);
  if (!entered.ok()) return entered.error();
  if (!*entered) return std::optional<ClientValue>();
  return Run(VersionOf(client_, key));
}

StoreClient::DeleteResults OnlineClient::Delete(std::span<const std::string> keys,
                                                bool return_old) {
  const ClientResult<bool> entered = EnterNamespace(/*create=*/false);
  if (!entered.ok()) return DeleteResults(keys.size(), entered.error());
  if (!*entered) return DeleteResults(keys.size(), std::optional<ClientDeleteDone>());
  return Run(DeleteAll(client_, keys, return_old));
}

ClientResult<ClientNumber> OnlineClient::Increment(const std::string& key, int64_t delta) {
  const ClientResult<bool> entered = EnterNamespace(/*create=*/true);
  if (!entered.ok()) return entered.error();
  return Run(IncrementOne(client_, key, delta));
}

// In a namespace that is not there, what only reads finds nothing.
ClientResult<ClientBatchDone> OnlineClient::Batch(std::span<const ClientOperation> operations) {
  const bool writes = std::any_of(
      operations.begin(), operations.end(),
      [](const ClientOperation& each) { return each.kind != ClientOperation::Kind::kGet; });
  const ClientResult<bool> entered = EnterNamespace(/*create=*/writes);
  if (!entered.ok()) return entered.error();
  if (*entered) return Run(BatchOne(client_, operations));
  ClientBatchDone done;
  done.operations.resize(operations.size());
  for (ClientOperationDone& operation : done.operations) operation.found = false;
  return done;
}

ClientResult<ClientScanPage> OnlineClient::Scan(const std::string& prefix,
                                                const std::string& cursor, uint64_t limit) {
  const ClientResult<bool> entered = EnterNamespace(/*create=*/false);
  if (!entered.ok()) return entered.error();
  if (!*entered) return ClientScanPage();
  return Run(ScanOne(client_, prefix, cursor, limit));
}

ClientResult<ClientValuesPage> OnlineClient::ScanValues(const std::string& prefix,
                                                        const std::string& cursor, uint64_t limit) {
  const ClientResult<bool> entered = EnterNamespace(/*create=*/false);
  if (!entered.ok()) return entered.error();
  if (!*entered) return ClientValuesPage();
  uint64_t id = 0;
  if (next_page_ && next_page_->cursor == cursor) {
    id = next_page_->id;
  } else if (next_page_) {
    client_.Discard(next_page_->id);
  }
  next_page_.reset();
  uint64_t next_id = 0;
  auto page = Run(ScanValuesOne(client_, prefix, cursor, limit, id, next_id));
  if (next_id != 0) next_page_ = NextPage{page->cursor, next_id};
  return page;
}

int OnlineClient::RunTask(Task<int> task) { return Run(std::move(task)); }

ClientResult<uint64_t> OnlineClient::Ping() { return Run(PingOne(client_)); }

ClientResult<std::vector<ClientCounter>> OnlineClient::Stats() { return Run(StatsOne(client_)); }

ClientResult<ClientCheck> OnlineClient::Check() { return Run(CheckOne(client_)); }

ClientResult<ClientCompaction> OnlineClient::Compact(uint32_t gain_percent,
                                                     const std::string& cursor) {
  return Run(CompactOne(client_, gain_percent, cursor));
}

void OnlineClient::UseNamespace(const std::string& name) {
  if (next_page_) client_.Discard(next_page_->id);
  next_page_.reset();
  name_space_ = name;
  entered_ = false;
}

ClientResult<ClientNamespacesPage> OnlineClient::Namespaces(const std::string& cursor) {
  return Run(NamespacesOne(client_, cursor));
}

ClientResult<bool> OnlineClient::DropNamespace() {
  ClientResult<bool> entered = EnterNamespace(/*create=*/false);
  if (!entered.ok() || !*entered) return entered;
  const ClientResult<uint64_t> flushed = Run(FlushOne(client_));
  if (!flushed.ok()) return flushed.error();
  return true;
}

ClientResult<std::string> OnlineClient::Connections() {
  return Run(AskConnections(core_, endpoints_));
}

ClientResult<uint64_t> OnlineClient::KillConnection(const std::string& which) {
  return Run(AskToKill(core_, endpoints_, which));
}

uint64_t OnlineClient::NowNs() { return SystemClock().MonotonicNs(); }

void OnlineClient::Pause(uint64_t ns) { Run(SleepFor(core_, ns)); }

}  // namespace pakv
