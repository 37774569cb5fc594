#include "cmd/pakvctl/commands/connections.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "cmd/common/exit_codes.h"
#include "cmd/pakvctl/interface/output.h"
#include "runtime/base/utf8.h"

namespace pakv {
namespace {

// The fields of a line: names, and values without blanks.
OrderedJson FieldsOf(std::string_view line) {
  OrderedJson object = OrderedJson::object();
  while (!line.empty()) {
    const std::string_view field = line.substr(0, line.find(' '));
    line.remove_prefix(std::min(line.size(), field.size() + 1));
    const size_t equals = std::min(field.find('='), field.size());
    const std::string_view value = field.substr(std::min(equals + 1, field.size()));
    PutBytes(object, std::string(field.substr(0, equals)), value);
  }
  return object;
}

}  // namespace

int RunClientList(const CtlRequest& request, StoreClient& client, const CtlStreams& streams) {
  const auto connections = client.Connections();
  if (!connections.ok()) return TellError(connections.error(), streams.err);
  OrderedJson list = OrderedJson::array();
  for (std::string_view rest = *connections; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    if (request.output == CtlOutput::kJson) {
      list.push_back(FieldsOf(line));
    } else {
      streams.out << EscapeControls(line) << '\n';
    }
  }
  if (request.output == CtlOutput::kJson) streams.out << list.dump() << '\n';
  return kClientExitOk;
}

int RunClientKill(const CtlRequest& request, StoreClient& client, const CtlStreams& streams) {
  const auto killed = client.KillConnection(request.connection);
  if (!killed.ok()) return TellError(killed.error(), streams.err);
  if (*killed == 0) {
    streams.err << "Client not found: " << EscapeControls(request.connection) << '\n';
    return kClientExitNotMet;
  }
  if (!request.quiet) streams.out << "OK\n";
  return kClientExitOk;
}

}  // namespace pakv
