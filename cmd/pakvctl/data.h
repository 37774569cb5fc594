// The commands that work on data: set, get, rm, incr, ttl, scan, ping, stats; and the way to those
// that work on the server (maintenance.h).
#pragma once

#include <istream>
#include <ostream>
#include <string>

#include "cmd/pakvctl/command_line.h"
#include "cmd/pakvctl/store_client.h"

namespace pakv {

struct CtlStreams {
  std::istream& in;
  std::ostream& out;  // data alone
  std::ostream& err;  // everything else
  bool err_is_terminal = false;
  bool in_is_stdin = false;
  bool out_is_terminal = false;
};

// Runs the command and prints; returns the exit code.
int RunCommand(const CtlRequest& request, StoreClient& client, const CtlStreams& streams);

// Tells it on `err`; returns its exit code.
int TellError(const ClientError& error, std::ostream& err);

// The exit code that tells a script of this error.
int ExitCodeOf(const ClientError& error);

}  // namespace pakv
