#include "cmd/pakvctl/commands/maintenance.h"

#include <fmt/format.h>

#include <string>

#include "cmd/common/exit_codes.h"
#include "cmd/common/progress.h"
#include "cmd/pakvctl/interface/output.h"
#include "runtime/base/clock.h"
#include "runtime/base/counted.h"
#include "runtime/base/utf8.h"

namespace pakv {
namespace {

// How often the server is asked how far it is.
constexpr uint64_t kAskNs = 100 * kNsPerMs;

std::string Megabytes(uint64_t bytes) {
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
}

}  // namespace

int RunCheck(const CtlRequest& request, StoreClient& client, const CtlStreams& streams) {
  const auto check = client.Check();
  if (!check.ok()) return TellError(check.error(), streams.err);
  if (request.output == CtlOutput::kJson) {
    OrderedJson object;
    object["segments"] = check->segments;
    object["live_bytes"] = check->live_bytes;
    object["finding_count"] = check->finding_count;
    object["findings"] = OrderedJson::array();
    for (const ClientCheck::Finding& finding : check->findings) {
      OrderedJson& added = object["findings"].emplace_back();
      PutBytes(added, "file", finding.file);
      PutBytes(added, "what", finding.what);
    }
    streams.out << object.dump() << '\n';
  } else {
    for (const ClientCheck::Finding& finding : check->findings) {
      streams.out << EscapeControls(finding.file) << ": " << EscapeControls(finding.what) << '\n';
    }
  }
  if (check->finding_count > 0) {
    streams.err << fmt::format(
        "pakvctl: {}, {}: {}{}\n"
        "pakvctl: stop the server and run pakvctl verify on its directory\n",
        Counted(check->segments, "segment"), Counted(check->live_bytes, "live byte"),
        Counted(check->finding_count, "finding"),
        check->finding_count > check->findings.size() ? ", of which the first are shown" : "");
    return kClientExitData;
  }
  if (!request.quiet) {
    streams.err << fmt::format("pakvctl: {}, {}: no findings\n",
                               Counted(check->segments, "segment"),
                               Counted(check->live_bytes, "live byte"));
  }
  return kClientExitOk;
}

int RunCompact(const CtlRequest& request, StoreClient& client, const CtlStreams& streams) {
  Progress progress(
      {.what = "compacting", .is_terminal = streams.err_is_terminal, .quiet = request.quiet},
      streams.err);
  std::string cursor;
  while (true) {
    const auto asked = client.Compact(request.gain_percent, cursor);
    if (!asked.ok()) {
      progress.End(client.NowNs());
      return TellError(asked.error(), streams.err);
    }
    const ClientCompaction& state = *asked;
    if (!state.cursor.empty()) {
      const uint64_t total = state.segments + state.segments_left;
      progress.Show(client.NowNs(), state.segments, total,
                    total == 0
                        ? "looking for what is dead"
                        : fmt::format("{} of {}, {} to gain", state.segments,
                                      Counted(total, "segment"), Megabytes(state.gain_bytes)));
      cursor = state.cursor;
      client.Pause(kAskNs);
      continue;
    }
    progress.End(client.NowNs());
    if (request.output == CtlOutput::kJson) {
      OrderedJson object;
      object["segments"] = state.segments;
      object["removed_bytes"] = state.removed_bytes;
      object["copied_bytes"] = state.copied_bytes;
      object["set_aside"] = state.set_aside;
      streams.out << object.dump() << '\n';
    } else if (!request.quiet) {
      streams.out << "OK\n";
    }
    if (!request.quiet && state.segments == 0) {
      streams.err << fmt::format(
          "pakvctl: nothing to compact: no closed segment has {} % or more to give back\n",
          request.gain_percent);
    } else if (!request.quiet) {
      streams.err << fmt::format("pakvctl: {} compacted: {} removed, {} of it copied\n",
                                 Counted(state.segments, "segment"), Megabytes(state.removed_bytes),
                                 Megabytes(state.copied_bytes));
    }
    if (state.set_aside == 0) return kClientExitOk;
    streams.err << fmt::format(
        "pakvctl: {} left alone, as damaged or with a record longer than a segment: the server's "
        "log names each\n",
        Counted(state.set_aside, "segment"));
    return kClientExitData;
  }
}

int RunNamespaceList(const CtlRequest& request, StoreClient& client, const CtlStreams& streams) {
  OrderedJson list = OrderedJson::array();
  std::string cursor;
  do {
    const auto page = client.Namespaces(cursor);
    if (!page.ok()) return TellError(page.error(), streams.err);
    for (const ClientNamespacesPage::Entry& entry : page->entries) {
      if (request.output == CtlOutput::kJson) {
        OrderedJson& added = list.emplace_back();
        PutBytes(added, "namespace", entry.name);
        added["keys"] = entry.keys;
      } else if (request.quiet) {
        streams.out << EscapeControls(entry.name) << '\n';
      } else {
        streams.out << entry.keys << '\t' << EscapeControls(entry.name) << '\n';
      }
    }
    cursor = page->cursor;
  } while (!cursor.empty());
  if (request.output == CtlOutput::kJson) streams.out << list.dump() << '\n';
  return kClientExitOk;
}

int RunNamespaceDrop(const CtlRequest& request, StoreClient& client, const CtlStreams& streams) {
  const auto dropped = client.DropNamespace();
  if (!dropped.ok()) return TellError(dropped.error(), streams.err);
  if (!*dropped) {
    streams.err << "Namespace not found: " << EscapeControls(request.name_space) << '\n';
    return kClientExitNotMet;
  }
  if (!request.quiet) streams.out << "OK\n";
  return kClientExitOk;
}

}  // namespace pakv
