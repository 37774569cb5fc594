// Exit codes of the programs: scripts rely on them. pakvd's are in docs/running.md, pakvctl's in
// docs/pakvctl.md.
#pragma once

namespace pakv {

// pakvd: 0 stopped as asked, 1 anything that is not below.
inline constexpr int kServerExitOk = 0;
inline constexpr int kServerExitFailed = 1;
inline constexpr int kServerExitUsage = 2;        // options, a taken port, a bad address
inline constexpr int kServerExitDirectory = 3;    // data directory unusable
inline constexpr int kServerExitUnsupported = 4;  // this kernel or sandbox cannot run it

inline constexpr int kClientExitOk = 0;
inline constexpr int kClientExitNotMet = 1;  // key not found, condition not met
inline constexpr int kClientExitUsage = 2;
inline constexpr int kClientExitConnect = 3;  // cannot connect, timeout
inline constexpr int kClientExitRefused = 4;  // by the server: rights, limits, read-only
inline constexpr int kClientExitData = 5;     // data or protocol error

}  // namespace pakv
