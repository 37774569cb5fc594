#include "cmd/pakvctl/commands/run_command.h"

#include "cmd/common/exit_codes.h"
#include "cmd/pakvctl/commands/batch.h"
#include "cmd/pakvctl/commands/connections.h"
#include "cmd/pakvctl/commands/data.h"
#include "cmd/pakvctl/commands/maintenance.h"
#include "cmd/pakvctl/transfer/dump.h"

namespace pakv {
namespace {

int Run(const CtlRequest& request, StoreClient& client, const CtlStreams& streams) {
  switch (request.command) {
    case CtlCommand::kSet:
    case CtlCommand::kGet:
    case CtlCommand::kRemove:
    case CtlCommand::kIncrement:
    case CtlCommand::kTtl:
    case CtlCommand::kScan:
    case CtlCommand::kPing:
    case CtlCommand::kStats:
      return RunDataCommand(request, client, streams);
    case CtlCommand::kBatch:
      return RunBatch(request, client, streams);
    case CtlCommand::kCheck:
      return RunCheck(request, client, streams);
    case CtlCommand::kCompact:
      return RunCompact(request, client, streams);
    case CtlCommand::kNamespaceList:
      return RunNamespaceList(request, client, streams);
    case CtlCommand::kNamespaceDrop:
      return RunNamespaceDrop(request, client, streams);
    case CtlCommand::kClientList:
      return RunClientList(request, client, streams);
    case CtlCommand::kClientKill:
      return RunClientKill(request, client, streams);
    case CtlCommand::kDump:
      return RunDump(request, client, streams);
    case CtlCommand::kHelp:
    case CtlCommand::kLoad:
    case CtlCommand::kVerify:
    case CtlCommand::kSegments:
      break;
  }
  return kClientExitUsage;
}

}  // namespace

int RunCommand(const CtlRequest& request, StoreClient& client, const CtlStreams& streams) {
  const int exit_code = Run(request, client, streams);
  streams.out.flush();
  if (!streams.out) {
    streams.err << "pakvctl: stdout cannot be written\n";
    return kClientExitData;
  }
  return exit_code;
}

}  // namespace pakv
