// Why io_uring cannot be set up here, in words that say what to do: what a start-up error prints.
#pragma once

#include <string>

namespace pakv {

// What the machine says about itself.
struct UringMachine {
  std::string kernel_release;  // uname -r
  int io_uring_disabled = 0;   // sysctl kernel.io_uring_disabled (Linux 6.6); 0 where it is absent
  // What may be behind ENOMEM. Nothing more may be mapped (RLIMIT_AS); and whether memory that is
  // locked has a limit at all (RLIMIT_MEMLOCK).
  bool lacks_address_space = false;
  bool limits_memlock = true;
};
UringMachine ThisMachine();

// `error` is the errno of io_uring_setup, io_uring_register or io_uring_enter, named by `call`.
std::string UringSetUpError(int error, const char* call, const UringMachine& machine);

}  // namespace pakv
