// Server: a store's face to the network: addresses, connections and protocols of one pakvd. Can be
// started and stopped any number of times in a process.
//
//   Server server(cores, options, identity);
//   absl::Status status = co_await server.Listen();  // the addresses are taken
//   co_await server.Start(store);                    // from here on it serves
//   ...
//   bool drained = co_await server.Drain(timeout_ns);
//   co_await server.Stop();                           // then the store's Stop
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kv/store/store.h"
#include "net/admin/admin_protocol.h"
#include "net/options/server_options.h"
#include "net/pakv/service.h"
#include "net/resp/protocol/resp_server.h"
#include "net/server/listener.h"
#include "net/session/session_group.h"
#include "runtime/core/cores.h"
#include "runtime/task/task.h"

namespace pakv {

// What the server tells about the program that it runs in.
struct ServerIdentity {
  std::string version;      // of pakv
  std::string run_id;       // 40 hexadecimal digits, made at random for this run
  std::string config_path;  // of the configuration's file; empty: none
  std::string directory;    // of the data, an absolute path
};

class Server {
 public:
  // The cores outlive it. Everything below runs on core 0.
  Server(Cores& cores, const ServerOptions& options, ServerIdentity identity);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  // Stop was awaited, or Listen failed or was never called, or the tasks of all cores are gone (a
  // simulated crash).
  ~Server();

  // Takes all addresses; who connects waits for Start, but the admin port answers from here on. An
  // error names the address: AlreadyExists if it is taken, InvalidArgument otherwise; nothing is
  // left open then. Once.
  Task<absl::Status> Listen();
  // Begins to serve `store`, which outlives the Stop. Once, after Listen.
  Task<void> Start(Store& store);
  // Where it listens, with the ports that the system picked: in the order of the options.
  const std::vector<std::string>& data_addresses() const { return data_addresses_; }
  // Empty: no admin port.
  const std::string& admin_address() const { return admin_address_; }

  // After Start. Accepts nothing more, lets every session answer what it has received, and waits
  // until they have ended. False: some had not after `timeout_ns`.
  Task<bool> Drain(uint64_t timeout_ns);
  // Ends all sessions, drained or not, and closes everything. Also after Listen alone.
  Task<void> Stop();

  // Core 0 from Listen on, any core from Start on. Nothing is counted before Start.
  Task<ServerStats> Stats(Core& here);

 private:
  struct PerCore;
  struct CoreStats;

  Task<absl::Status> ListenAll();
  Task<absl::Status> ListenForAdmin();
  ServerPhase phase() const;
  Task<ServerStats> StatsSinceReset(Core& here);
  Task<void> ResetStats(Core& here);
  Task<CommandCalls> AllCalls(Core& here);
  Task<void> VisitSessions(Core& here, RespServer::VisitSession visit, RespServer::MayGoOn between);
  RespServer DescribeServer();
  PakvServer DescribePakv();
  SessionGroup::MakeProtocol DataProtocols(PerCore& of_core);

  Cores& cores_;
  Core& core_;  // the accepting one
  Store* store_ = nullptr;
  const ServerOptions options_;
  const ServerIdentity identity_;
  const uint64_t started_ns_;
  const uint64_t started_s_;  // since 1970
  bool serving_ = false;
  bool stopping_ = false;
  std::vector<std::unique_ptr<PerCore>> per_core_;
  AdminServer admin_;
  std::unique_ptr<SessionGroup> admin_group_;
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<Listener> admin_listener_;
  std::vector<std::string> data_addresses_;
  std::string admin_address_;
  ServerStats reset_stats_;  // core 0's: what was counted at the last CONFIG RESETSTAT
};

}  // namespace pakv
