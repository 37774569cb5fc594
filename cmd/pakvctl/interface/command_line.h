// The command line of pakvctl, taken apart and checked; nothing is connected to yet.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cmd/pakvctl/interface/redis_address.h"
#include "net/client/client_types.h"
#include "net/options/endpoint.h"

namespace pakv {

enum class CtlCommand : uint8_t {
  kHelp,  // answered by ParseCommandLine
  kSet,
  kGet,
  kRemove,
  kIncrement,
  kTtl,
  kScan,
  kBatch,
  kPing,
  kStats,
  kCheck,
  kCompact,
  kNamespaceList,
  kNamespaceDrop,
  kClientList,
  kClientKill,
  kDump,
  kLoad,
  kVerify,
  kSegments
};
enum class CtlOutput : uint8_t { kText, kJson, kRaw };

// What a batch does, and on which of its lines each operation stands.
struct CtlBatch {
  std::vector<ClientOperation> operations;
  std::vector<uint64_t> lines;
};

struct CtlRequest {
  std::vector<Endpoint> endpoints;  // tried in turn
  std::string name_space;           // name of the namespace
  bool name_space_given = false;
  CtlOutput output = CtlOutput::kText;
  bool quiet = false;

  CtlCommand command = CtlCommand::kPing;
  std::vector<std::string>
      keys;           // set, incr and ttl: one, get and rm: at least one, scan: the prefix
  std::string value;  // set
  bool value_from_stdin = false;  // set: VALUE was -
  ClientCondition condition = ClientCondition::kNone;
  uint64_t version = 0;
  bool return_old = false;
  uint64_t ttl_ms = 0;  // set; 0: for ever
  int64_t delta = 1;
  std::optional<uint64_t> limit;  // scan
  uint64_t ping_count = 1;
  uint32_t gain_percent = 10;  // compact
  std::string directory;       // verify and segments
  std::string file;            // dump, load and batch; empty: stdout and stdin
  CtlBatch batch;
  std::string prefix;           // dump
  bool all_namespaces = false;  // dump and load
  std::string connection;       // client kill: its id, or the address that it comes from
  bool load_if_absent = false;
  std::optional<RedisAddress> redis;  // load: instead of a file
};

// What a line of a batch asks for: one operation per key. It ends with the batch it belongs to.
struct CtlOperations {
  std::string error;  // what is wrong with it, for people; empty: nothing
  std::string usage;  // then: what its command takes, if that is what is wrong
  std::vector<ClientOperation> operations;
};

// What to do: `request`, or print and exit.
struct CtlCommandLine {
  std::optional<int> exit_code;
  std::string stdout_text;
  std::string stderr_text;
  CtlRequest request;
};

// `arguments` without the program's name; of `environment` the variables PAKV_… are looked at.
CtlCommandLine ParseCommandLine(const std::vector<std::string>& arguments,
                                const std::map<std::string, std::string, std::less<>>& environment);

// The words of one line of a batch: set, get, rm and incr with the options that they have as
// commands.
CtlOperations ParseOperations(const std::vector<std::string>& words);

}  // namespace pakv
