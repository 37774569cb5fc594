#include "cmd/pakvctl/commands/offline.h"

#include <fmt/format.h>

#include <string>

#include "cmd/common/exit_codes.h"
#include "cmd/common/values.h"
#include "cmd/pakvctl/interface/output.h"
#include "kv/log/files/store_directory.h"
#include "kv/tools/inspect.h"
#include "runtime/base/counted.h"
#include "runtime/base/utf8.h"

namespace pakv {
namespace {

void PrintFindings(const CtlRequest& request, const Inspection& found, std::ostream& out) {
  if (request.output == CtlOutput::kJson) {
    JsonArrayPrinter array(out);
    for (const InspectFinding& finding : found.findings) {
      OrderedJson object;
      PutBytes(object, "file", finding.file);
      object["offset"] = finding.offset;
      object["damage"] = finding.is_damage;
      object["what"] = finding.what;
      if (finding.key) PutBytes(object, "key", *finding.key);
      array.Add(object);
    }
    array.Finish();
    return;
  }
  for (const InspectFinding& finding : found.findings) {
    out << EscapeControls(finding.file) << ':' << finding.offset << ": "
        << (finding.is_damage ? "damage: " : "note: ") << finding.what;
    if (finding.key) out << ", key " << Quoted(*finding.key);
    out << '\n';
  }
}

void PrintSegments(const CtlRequest& request, const Inspection& found, std::ostream& out) {
  const bool json = request.output == CtlOutput::kJson;
  JsonArrayPrinter array(out);
  for (const InspectedSegment& segment : found.segments) {
    const SegmentInfo& info = segment.info;
    const char* kind = info.kind == SegmentKind::kCompaction ? "compaction" : "commit";
    if (json) {
      OrderedJson object;
      object["file"] = SegmentName(info.segment);
      object["kind"] = kind;
      object["run"] = fmt::format("{:016x}", info.run);
      object["log"] = info.log;
      object["size"] = info.size;
      object["first_sequence"] = info.first_sequence;
      if (info.sealed_end) object["end"] = *info.sealed_end;
      if (info.footer_bytes != 0) object["footer"] = info.footer_bytes;
      if (segment.records) object["records"] = *segment.records;
      if (segment.file_bytes) object["file_size"] = *segment.file_bytes;
      array.Add(object);
      continue;
    }
    std::string line = fmt::format("{} {} run {:016x} log {} size {}", SegmentName(info.segment),
                                   kind, info.run, info.log, info.size);
    line += info.sealed_end ? fmt::format(" end {}", *info.sealed_end) : std::string(" open");
    if (info.footer_bytes != 0) {
      line +=
          fmt::format(" footer {}{}", info.footer_bytes, segment.footer_is_right ? "" : " damaged");
    }
    if (segment.records) line += fmt::format(" records {}", *segment.records);
    if (!segment.file_bytes) line += " missing";
    out << line << '\n';
  }
  if (json) array.Finish();
}

}  // namespace

bool IsOffline(CtlCommand command) {
  return command == CtlCommand::kVerify || command == CtlCommand::kSegments;
}

int RunOffline(const CtlRequest& request, const CtlStreams& streams) {
  const bool verify = request.command == CtlCommand::kVerify;
  const absl::StatusOr<Inspection> found =
      InspectDirectory(request.directory, verify ? InspectDepth::kVerify : InspectDepth::kList);
  if (!found.ok()) {
    streams.err << "pakvctl: " << EscapeControls(std::string(found.status().message())) << '\n';
    return kClientExitData;
  }
  if (!verify) {
    PrintSegments(request, *found, streams.out);
  } else {
    PrintFindings(request, *found, streams.out);
    if (!request.quiet) {
      streams.err << fmt::format("pakvctl: {}, {} read: {}\n",
                                 Counted(found->segments.size(), "segment"),
                                 Counted(found->bytes_read, "byte"),
                                 found->damaged() ? "damage found" : "no damage found");
    }
  }
  return found->damaged() ? kClientExitData : kClientExitOk;
}

}  // namespace pakv
