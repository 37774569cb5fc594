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

void PrintLine(const InspectFinding& finding, std::ostream& out) {
  out << EscapeControls(finding.file) << ':' << finding.offset << ": "
      << (finding.is_damage ? "damage: " : "note: ") << finding.what;
  if (finding.key) out << ", key " << Quoted(*finding.key);
  out << '\n';
}

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
  for (const InspectFinding& finding : found.findings) PrintLine(finding, out);
}

void PrintSegments(const CtlRequest& request, const Inspection& found, std::ostream& out) {
  const bool json = request.output == CtlOutput::kJson;
  JsonArrayPrinter array(out);
  for (const InspectedSegment& segment : found.segments) {
    const SegmentInfo& info = segment.info;
    const char* kind = info.kind == SegmentKind::kCompaction ? "compaction" : "commit";
    if (!segment.is_listed) kind = "unlisted";
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
    if (info.sealed_end) line += fmt::format(" end {}", *info.sealed_end);
    if (!info.sealed_end && segment.is_listed) line += " open";
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

// Where MANIFEST is lost: what --salvage would begin with. Else nothing.
std::string WhatCanBeRead(const Inspection& found) {
  uint64_t records = 0;
  bool all_are_listed = true;
  for (const InspectedSegment& segment : found.segments) {
    if (segment.is_listed) continue;
    all_are_listed = false;
    records += segment.records.value_or(0);
  }
  if (all_are_listed) return "";
  return fmt::format("; without MANIFEST, {} can be read", Counted(records, "record"));
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
    // Such as that MANIFEST is missing, so that these may not be all.
    for (const InspectFinding& finding : found->findings) {
      if (!finding.is_damage) continue;
      streams.err << "pakvctl: ";
      PrintLine(finding, streams.err);
    }
  } else {
    PrintFindings(request, *found, streams.out);
    if (!request.quiet) {
      streams.err << fmt::format(
          "pakvctl: {}, {} read: {}{}\n", Counted(found->segments.size(), "segment"),
          Counted(found->bytes_read, "byte"), found->damaged() ? "damage found" : "no damage found",
          WhatCanBeRead(*found));
    }
  }
  return found->damaged() ? kClientExitData : kClientExitOk;
}

}  // namespace pakv
