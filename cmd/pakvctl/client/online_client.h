// A StoreClient with a server behind it: each call runs the client's core until the answer is
// there. One thread, which is the caller's.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cmd/pakvctl/client/store_client.h"
#include "net/client/client.h"
#include "net/options/endpoint.h"
#include "runtime/core/core.h"

namespace pakv {

class OnlineClient : public StoreClient {
 public:
  // nullptr if none of the endpoints can be connected to, or this machine has no ring for us;
  // `error` says why. Keys are those of the namespace with this name until another is used; the
  // first write makes it.
  static std::unique_ptr<OnlineClient> Connect(const std::vector<Endpoint>& endpoints,
                                               const std::string& name_space, ClientError& error);
  OnlineClient(const OnlineClient&) = delete;
  OnlineClient& operator=(const OnlineClient&) = delete;
  ~OnlineClient() override;

  ClientResult<ClientSetDone> Set(const ClientSet& request) override;
  ClientResult<ClientSetDone> SetFrom(const ClientSet& request, const CtlInput& in,
                                      std::string& input_fault) override;
  GetResults Get(std::span<const std::string> keys) override;
  ClientResult<std::optional<ClientValue>> ReadValue(const std::string& key,
                                                     TakeBytes take) override;
  ClientResult<std::optional<ClientValue>> GetVersion(const std::string& key) override;
  DeleteResults Delete(std::span<const std::string> keys, bool return_old) override;
  ClientResult<ClientNumber> Increment(const std::string& key, int64_t delta) override;
  ClientResult<ClientBatchDone> Batch(std::span<const ClientOperation> operations) override;
  ClientResult<ClientScanPage> Scan(const std::string& prefix, const std::string& cursor,
                                    uint64_t limit) override;
  // The next page is asked for before this one is returned.
  ClientResult<ClientValuesPage> ScanValues(const std::string& prefix, const std::string& cursor,
                                            uint64_t limit) override;
  ClientResult<uint64_t> Ping() override;
  ClientResult<std::vector<ClientCounter>> Stats() override;
  ClientResult<ClientCheck> Check() override;
  ClientResult<ClientCompaction> Compact(uint32_t gain_percent, const std::string& cursor) override;
  void UseNamespace(const std::string& name) override;
  ClientResult<ClientNamespacesPage> Namespaces(const std::string& cursor) override;
  ClientResult<bool> DropNamespace() override;
  ClientResult<std::string> Connections() override;
  ClientResult<uint64_t> KillConnection(const std::string& which) override;
  uint64_t NowNs() override;
  void Pause(uint64_t ns) override;

  // For commands that are more than a call: what they need, and the way to run them.
  Core& core() { return core_; }
  Client& client() { return client_; }
  int RunTask(Task<int> task);
  // Whether the namespace is there; asked once, and again as long as it is not.
  ClientResult<bool> EnterNamespace(bool create);

 private:
  OnlineClient(std::unique_ptr<Ring> ring, const std::vector<Endpoint>& endpoints,
               const std::string& name_space);

  // Runs the core's loop until `task` has ended.
  template <typename Result>
  Result Run(Task<Result> task);

  Core core_;
  Client client_;
  // A page of values on its way.
  struct NextPage {
    std::string cursor;
    uint64_t id = 0;
  };
  std::optional<NextPage> next_page_;
  const std::vector<Endpoint> endpoints_;
  std::string name_space_;
  bool entered_;
};

}  // namespace pakv
