// What a command of pakvctl prints to, and how it tells an error.
#pragma once

#include <istream>
#include <ostream>

#include "net/client/client_error.h"

namespace pakv {

struct CtlStreams {
  std::istream& in;
  std::ostream& out;  // data alone
  std::ostream& err;  // everything else
  bool err_is_terminal = false;
  bool in_is_stdin = false;
  bool out_is_terminal = false;
};

// Tells it on `err`; returns its exit code.
int TellError(const ClientError& error, std::ostream& err);

// The exit code that tells a script of this error.
int ExitCodeOf(const ClientError& error);

}  // namespace pakv
