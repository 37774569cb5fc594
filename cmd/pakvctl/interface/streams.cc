#include "cmd/pakvctl/interface/streams.h"

#include "cmd/common/exit_codes.h"
#include "runtime/base/utf8.h"

namespace pakv {

int TellError(const ClientError& error, std::ostream& err) {
  err << "pakvctl: " << EscapeControls(error.text) << '\n';
  if (error.outcome_unknown) err << "pakvctl: the write may have taken effect\n";
  return ExitCodeOf(error);
}

int ExitCodeOf(const ClientError& error) {
  switch (error.fault) {
    case ClientFault::kNone:
      return kClientExitOk;
    case ClientFault::kConnect:
    case ClientFault::kTimeout:
    case ClientFault::kConnectionLost:
      return kClientExitConnect;
    case ClientFault::kRefused:
      return PakvExitCode(error.status);
    case ClientFault::kHeldTooMuch:
    case ClientFault::kProtocol:
      break;
  }
  return kClientExitData;
}

}  // namespace pakv
