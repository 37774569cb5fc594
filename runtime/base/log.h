// The log: one line per event on stderr, as text or as JSON. A line stays one line whatever bytes
// the message holds: control characters and what is no UTF-8 are escaped, so that a client's key
// can neither forge a line nor break a JSON reader. Nothing here throws; a stderr that cannot be
// written loses the line. Any thread may log; a line is written whole. Not for hot paths: a line
// is a write(2) under a lock.
#pragma once

#include <fmt/core.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace pakv {

// kNotice is for the few lines that are written whatever the level, such as that a server is ready;
// they say info.
enum class LogLevel : uint8_t { kDebug, kInfo, kWarning, kError, kNotice };
enum class LogFormat : uint8_t { kText, kJson };

struct LogOptions {
  LogLevel level = LogLevel::kInfo;  // lines below it are dropped
  LogFormat format = LogFormat::kText;
};

// A longer message is cut there, and the line says so.
inline constexpr size_t kLogMessageBytesMax = 8192;

// Replaces level and format from the next line on. Without a call: info, text.
void InitLogging(const LogOptions& options);

// Whether a line of this level would be written: for messages that cost something to build.
bool IsLogged(LogLevel level);

// Writes bytes as they are, below the log: a bar on a terminal, which draws over itself. They are
// never in the middle of a line, and the next line erases what stands there first. For a stderr
// that is a terminal, and lines of text.
void DrawBelowLog(std::string_view bytes);

// Writes one line. The message's bytes are copied before it returns.
void LogMessage(LogLevel level, std::string_view message);

// The line with its newline, as LogMessage would write it at `wall_us` (microseconds since 1970,
// UTC). core < 0: none is named.
std::string FormatLogLine(LogFormat format, LogLevel level, uint64_t wall_us, int32_t core,
                          std::string_view message);

// For the templates below: the format string was checked when it was compiled.
void LogFormatted(LogLevel level, fmt::string_view format, fmt::format_args arguments) noexcept;

template <typename... Arguments>
void LogDebug(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  if (!IsLogged(LogLevel::kDebug)) return;
  LogFormatted(LogLevel::kDebug, format, fmt::make_format_args(arguments...));
}

template <typename... Arguments>
void LogInfo(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  if (!IsLogged(LogLevel::kInfo)) return;
  LogFormatted(LogLevel::kInfo, format, fmt::make_format_args(arguments...));
}

template <typename... Arguments>
void LogWarning(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  if (!IsLogged(LogLevel::kWarning)) return;
  LogFormatted(LogLevel::kWarning, format, fmt::make_format_args(arguments...));
}

template <typename... Arguments>
void LogError(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  if (!IsLogged(LogLevel::kError)) return;
  LogFormatted(LogLevel::kError, format, fmt::make_format_args(arguments...));
}

template <typename... Arguments>
void LogNotice(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  LogFormatted(LogLevel::kNotice, format, fmt::make_format_args(arguments...));
}

}  // namespace pakv
