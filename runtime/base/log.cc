#include "runtime/base/log.h"

#ifndef SPDLOG_NO_EXCEPTIONS
#define SPDLOG_NO_EXCEPTIONS
#endif
#include <fmt/format.h>
#include <spdlog/formatter.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "runtime/base/check.h"
#include "runtime/base/utf8.h"

namespace pakv {
namespace {

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kNotice:
      return spdlog::level::critical;
    case LogLevel::kError:
      break;
  }
  return spdlog::level::err;
}

LogLevel FromSpdlog(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::trace:
    case spdlog::level::debug:
      return LogLevel::kDebug;
    case spdlog::level::info:
      return LogLevel::kInfo;
    case spdlog::level::warn:
      return LogLevel::kWarning;
    case spdlog::level::critical:
      return LogLevel::kNotice;
    default:
      return LogLevel::kError;
  }
}

std::string_view LevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
    case LogLevel::kNotice:
      return "info";
    case LogLevel::kWarning:
      return "warn";
    case LogLevel::kError:
      break;
  }
  return "error";
}

// In JSON the backslash itself is escaped, so a reader sees the same text in both formats.
void AppendEscaped(LogFormat format, std::string_view text, std::string& line) {
  if (format == LogFormat::kText) {
    line += EscapeControls(text);
    return;
  }
  while (!text.empty()) {
    const size_t plain = std::min(text.find_first_of("\"\\"), text.size());
    line += EscapeControls(text.substr(0, plain), "\\\\");
    text.remove_prefix(plain);
    if (text.empty()) break;
    line += '\\';
    line += text[0];
    text.remove_prefix(1);
  }
}

// A cut may not split a character, or the escapes would show bytes that the message never held.
std::string_view CutAtCharacter(std::string_view message) {
  size_t bytes = kLogMessageBytesMax;
  while (bytes > kLogMessageBytesMax - 3 && (static_cast<uint8_t>(message[bytes]) & 0xc0) == 0x80) {
    --bytes;
  }
  return message.substr(0, bytes);
}

constexpr std::string_view kDrawingName = "drawing";
// To the line's begin, and nothing behind it (ECMA-48).
constexpr std::string_view kEraseLine = "\r\x1b[K";

class LineFormatter final : public spdlog::formatter {
 public:
  explicit LineFormatter(LogFormat format) : format_(format) {}

  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& target) override {
    if (std::string_view(message.logger_name.data(), message.logger_name.size()) == kDrawingName) {
      target.append(message.payload.begin(), message.payload.end());
      is_drawn_ = true;
      return;
    }
    if (std::exchange(is_drawn_, false)) {
      target.append(kEraseLine.data(), kEraseLine.data() + kEraseLine.size());
    }
    const auto since_epoch = message.time.time_since_epoch();
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(since_epoch).count();
    const std::string line = FormatLogLine(
        format_, FromSpdlog(message.level), static_cast<uint64_t>(us), CurrentCheckContext().core,
        std::string_view(message.payload.data(), message.payload.size()));
    target.append(line.data(), line.data() + line.size());
  }

  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<LineFormatter>(format_);
  }

 private:
  LogFormat format_;
  // Whether something stands below the last line. The sink's lock guards it, as all of this.
  static inline bool is_drawn_ = false;
};

// Never destroyed: threads may log until the process is gone.
spdlog::logger& Logger() {
  static spdlog::logger* const logger = [] {
    auto* created = new spdlog::logger("pakv", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    created->set_formatter(std::make_unique<LineFormatter>(LogFormat::kText));
    created->set_level(spdlog::level::info);
    return created;
  }();
  return *logger;
}

// Its one sink is the log's, so that one lock and one formatter are enough.
spdlog::logger& Drawing() {
  static spdlog::logger* const drawing =
      new spdlog::logger(std::string(kDrawingName), Logger().sinks().front());
  return *drawing;
}

}  // namespace

void InitLogging(const LogOptions& options) {
  Logger().set_formatter(std::make_unique<LineFormatter>(options.format));
  Logger().set_level(ToSpdlog(options.level));
}

bool IsLogged(LogLevel level) { return Logger().should_log(ToSpdlog(level)); }

void LogMessage(LogLevel level, std::string_view message) {
  Logger().log(ToSpdlog(level), spdlog::string_view_t(message.data(), message.size()));
}

void DrawBelowLog(std::string_view bytes) {
  Drawing().log(spdlog::level::critical, spdlog::string_view_t(bytes.data(), bytes.size()));
}

std::string FormatLogLine(LogFormat format, LogLevel level, uint64_t wall_us, int32_t core,
                          std::string_view message) {
  const auto seconds = static_cast<time_t>(wall_us / 1000000);
  tm utc{};
  gmtime_r(&seconds, &utc);
  const std::string time =
      fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", utc.tm_year + 1900, utc.tm_mon + 1,
                  utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, wall_us % 1000000);
  const size_t message_bytes = message.size();
  if (message_bytes > kLogMessageBytesMax) message = CutAtCharacter(message);

  std::string line;
  if (format == LogFormat::kJson) {
    line = fmt::format(R"({{"time":"{}","level":"{}",)", time, LevelName(level));
    if (core >= 0) line += fmt::format(R"("core":{},)", core);
    line += R"("message":")";
  } else {
    line = fmt::format("{} {} ", time, LevelName(level));
    if (core >= 0) line += fmt::format("[core {}] ", core);
  }
  AppendEscaped(format, message, line);
  if (message.size() < message_bytes) {
    line += fmt::format(" ({} bytes cut)", message_bytes - message.size());
  }
  line += format == LogFormat::kJson ? "\"}\n" : "\n";
  return line;
}

void LogFormatted(LogLevel level, fmt::string_view format, fmt::format_args arguments) noexcept {
  fmt::memory_buffer message;
  fmt::vformat_to(fmt::appender(message), format, arguments);
  LogMessage(level, std::string_view(message.data(), message.size()));
}

}  // namespace pakv
