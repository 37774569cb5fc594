#include "cmd/pakvctl/commands/batch.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <istream>
#include <utility>

#include "cmd/common/exit_codes.h"
#include "cmd/common/values.h"
#include "cmd/pakvctl/interface/output.h"
#include "net/pakv/protocol.h"
#include "runtime/base/utf8.h"

namespace pakv {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Takes what follows a backslash off `rest`. False: it is no escape.
bool TakeEscape(std::string_view& rest, std::string& word) {
  constexpr std::string_view kLetters = "\"\\nrt";
  constexpr std::string_view kBytes = "\"\\\n\r\t";
  if (rest.empty()) return false;
  if (const size_t at = kLetters.find(rest[0]); at != std::string_view::npos) {
    word += kBytes[at];
    rest.remove_prefix(1);
    return true;
  }
  if (rest.size() < 3 || rest[0] != 'x') return false;
  const int high = HexDigit(rest[1]);
  const int low = HexDigit(rest[2]);
  if (high < 0 || low < 0) return false;
  word += static_cast<char>(high << 4 | low);
  rest.remove_prefix(3);
  return true;
}

class BatchRunner {
 public:
  BatchRunner(const CtlRequest& request, StoreClient& client, const CtlStreams& streams)
      : request_(request),
        client_(client),
        out_(streams.out),
        err_(streams.err),
        values_(streams.out, streams.out_is_terminal) {}

  int Run() {
    if (batch().operations.empty()) {
      if (json()) JsonArrayPrinter(out_).Finish();
      return kClientExitOk;
    }
    const auto done = client_.Batch(batch().operations);
    if (!done.ok()) return Fail(done.error());
    if (done->failed) {
      err_ << fmt::format("line {}: Condition not met; nothing was done\n",
                          batch().lines[std::min(*done->failed, batch().lines.size() - 1)]);
      return kClientExitNotMet;
    }
    if (done->operations.size() != batch().operations.size()) {
      err_ << "pakvctl: the reply is not one to this batch\n";
      return kClientExitData;
    }
    const bool only_reads = OnlyReads();
    int exit_code = kClientExitOk;
    JsonArrayPrinter array(out_);
    std::string behind_array;  // on a terminal it would else stand in the middle
    for (size_t i = 0; i < done->operations.size(); ++i) {
      const ClientOperation& asked = batch().operations[i];
      if (!done->operations[i].found) {
        const std::string line = "Key not found: " + EscapeControls(asked.set.key) + '\n';
        if (json()) {
          behind_array += line;
        } else {
          err_ << line;
        }
        if (only_reads) exit_code = kClientExitNotMet;
      }
      if (json()) {
        array.Add(ToJson(asked, done->operations[i], done->lsn));
      } else if (done->operations[i].found) {
        Print(asked, done->operations[i]);
      }
    }
    if (json()) array.Finish();
    err_ << behind_array;
    return exit_code;
  }

 private:
  using Kind = ClientOperation::Kind;
  const CtlBatch& batch() const { return request_.batch; }
  bool json() const { return request_.output == CtlOutput::kJson; }
  // Then nothing is changed, whatever is found.
  bool OnlyReads() const {
    return std::all_of(batch().operations.begin(), batch().operations.end(),
                       [](const ClientOperation& each) { return each.kind == Kind::kGet; });
  }

  // Of the operation that it is about the line is told, which the server does not know.
  int Fail(ClientError error) {
    if (error.operation && *error.operation < batch().lines.size()) {
      std::string_view why = error.text;
      const std::string number = fmt::format("operation {}: ", *error.operation + 1);
      if (why.starts_with(number)) why.remove_prefix(number.size());
      error.text = fmt::format("line {}: {}", batch().lines[*error.operation], why);
    }
    if (error.fault == ClientFault::kRefused && !error.outcome_unknown) {
      error.text += "; nothing was done";
    }
    return TellError(error, err_);
  }

  void Print(const ClientOperation& asked, const ClientOperationDone& done) {
    switch (asked.kind) {
      case Kind::kGet:
        values_.Put(done.value->bytes);
        values_.End();
        out_ << '\n';
        return;
      case Kind::kIncrement:
        out_ << done.number << '\n';
        return;
      case Kind::kSet:
      case Kind::kDelete:
        if (!request_.quiet) PrintDone(out_, values_, done.old_value);
        return;
    }
  }

  // All operations in their order, also those that found nothing.
  static OrderedJson ToJson(const ClientOperation& asked, const ClientOperationDone& done,
                            uint64_t lsn) {
    OrderedJson object;
    PutBytes(object, "key", asked.set.key);
    if (!done.found) {
      object["found"] = false;
      return object;
    }
    if (asked.kind == Kind::kGet) {
      PutBytes(object, "value", done.value->bytes);
      PutLsn(object, done.value->lsn);
      return object;
    }
    if (asked.kind == Kind::kIncrement) object["value"] = std::to_string(done.number);
    PutLsn(object, lsn);
    if (done.old_value) PutBytes(object, "old_value", *done.old_value);
    return object;
  }

  const CtlRequest& request_;
  StoreClient& client_;
  std::ostream& out_;
  std::ostream& err_;
  ValuePrinter values_;
};

// A line takes no more than all keys and values of a batch, each byte written as \xHH and each word
// in quotes, with the words beside them.
constexpr size_t kWordsMax = kPakvBatchOperationsMax + 16;
constexpr size_t kLineBytesMax = 4 * kPakvBatchBytesMax + (size_t{2} << 20);
static_assert(kWordsMax * 16 <= size_t{2} << 20);

std::string BoundsOfBatch() {
  return fmt::format("a batch has at most {} operations and {} of keys and values",
                     kPakvBatchOperationsMax, FormatSize(kPakvBatchBytesMax));
}

enum class LineRead : uint8_t { kLine, kEnd, kLong };

// As std::getline, but for one that is too long, of which the beginning is read.
LineRead ReadLine(std::istream& in, std::string& line) {
  line.clear();
  for (char byte = 0; in.get(byte);) {
    if (byte == '\n') return LineRead::kLine;
    if (line.size() == kLineBytesMax) return LineRead::kLong;
    line += byte;
  }
  return line.empty() || in.bad() ? LineRead::kEnd : LineRead::kLine;
}

// Reads the lines of one input, which may have no end, up to the batch's bounds.
class BatchReader {
 public:
  BatchReader(std::istream& in, std::string name, CtlBatch& batch, std::ostream& err)
      : in_(in), name_(std::move(name)), batch_(batch), err_(err) {}

  std::optional<int> Run() {
    std::string line;
    while (true) {
      ++number_;
      const LineRead read = ReadLine(in_, line);
      if (read == LineRead::kEnd) break;
      if (read == LineRead::kLong) {
        return Fail(kClientExitRefused,
                    fmt::format("it is longer than {}, and {}; nothing was done",
                                FormatSize(kLineBytesMax), BoundsOfBatch()));
      }
      if (const auto failed = TakeLine(line)) return failed;
    }
    if (!in_.bad()) return std::nullopt;
    err_ << fmt::format("pakvctl: {} cannot be read\n", name_);
    return kClientExitData;
  }

 private:
  std::optional<int> TakeLine(std::string_view line) {
    std::string error;
    const auto words = SplitWords(line, error);
    if (!words) return Fail(kClientExitUsage, error);
    if (words->empty()) return std::nullopt;
    if (words->size() > kWordsMax) return FailForBounds();
    CtlOperations parsed = ParseOperations(*words);
    if (!parsed.error.empty()) {
      const int exit_code = Fail(kClientExitUsage, parsed.error);
      if (!parsed.usage.empty()) err_ << "usage: " << parsed.usage << '\n';
      return exit_code;
    }
    for (ClientOperation& operation : parsed.operations) {
      bytes_ += operation.set.key.size() + operation.set.value.size();
      batch_.operations.push_back(std::move(operation));
      batch_.lines.push_back(number_);
    }
    const bool fits =
        batch_.operations.size() <= kPakvBatchOperationsMax && bytes_ <= kPakvBatchBytesMax;
    return fits ? std::nullopt : std::optional<int>(FailForBounds());
  }

  int FailForBounds() {
    return Fail(kClientExitRefused,
                fmt::format("{}, and with this line there are more; nothing was done. pakvctl load "
                            "takes any number of keys, not as one",
                            BoundsOfBatch()));
  }
  int Fail(int exit_code, std::string_view why) {
    err_ << fmt::format("pakvctl: {}, line {}: {}\n", name_, number_, EscapeControls(why));
    return exit_code;
  }

  std::istream& in_;
  const std::string name_;
  CtlBatch& batch_;
  std::ostream& err_;
  uint64_t number_ = 0;  // of the line
  size_t bytes_ = 0;     // of keys and values
};

}  // namespace

std::optional<std::vector<std::string>> SplitWords(std::string_view line, std::string& error) {
  constexpr std::string_view kBlanks = " \t\r";
  std::vector<std::string> words;
  while (true) {
    line.remove_prefix(std::min(line.find_first_not_of(kBlanks), line.size()));
    if (line.empty() || (words.empty() && line[0] == '#')) return words;
    if (words.size() > kWordsMax) return words;
    std::string& word = words.emplace_back();
    while (!line.empty() && kBlanks.find(line[0]) == std::string_view::npos) {
      const char quote = line[0];
      if (quote != '"' && quote != '\'') {
        word += quote;
        line.remove_prefix(1);
        continue;
      }
      line.remove_prefix(1);
      while (!line.empty() && line[0] != quote) {
        const char c = line[0];
        line.remove_prefix(1);
        if (c != '\\' || quote == '\'') {
          word += c;
        } else if (!TakeEscape(line, word)) {
          error = R"(within "…" a backslash is followed by one of: " \ n r t xHH)";
          return std::nullopt;
        }
      }
      if (line.empty()) {
        error = fmt::format("a quote {} is not closed", quote);
        return std::nullopt;
      }
      line.remove_prefix(1);
    }
  }
}

std::optional<int> ReadBatch(CtlRequest& request, const CtlStreams& streams) {
  if (request.command != CtlCommand::kBatch) return std::nullopt;
  if (request.file.empty())
    return BatchReader(streams.in, "stdin", request.batch, streams.err).Run();
  std::ifstream file(request.file, std::ios::binary);
  if (!file) {
    streams.err << fmt::format("pakvctl: {}: {}\n", Quoted(request.file), std::strerror(errno));
    return kClientExitData;
  }
  return BatchReader(file, Quoted(request.file), request.batch, streams.err).Run();
}

int RunBatch(const CtlRequest& request, StoreClient& client, const CtlStreams& streams) {
  return BatchRunner(request, client, streams).Run();
}

}  // namespace pakv
