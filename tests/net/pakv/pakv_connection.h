// A client's end of the pakv protocol in a simulated world.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/net/pakv/pakv_frames.h"
#include "tests/net/server/sim_server.h"

namespace pakv {

// A greeted connection.
class PakvConnection {
 public:
  explicit PakvConnection(SimServer& server, const std::string& host = "10.0.0.9")
      : server_(server), raw(server, server.data_address(), host) {
    Ask(PakvHello(1));
  }

  // The reply to one request.
  PakvTestReply Ask(std::string_view request) {
    raw.Send(request);
    std::vector<PakvTestReply> replies = Replies(1);
    return replies.empty() ? PakvTestReply() : replies[0];
  }
  std::string AskText(std::string_view request) { return Ask(request).text; }

  // So many replies, or fewer if the stream ends.
  std::vector<PakvTestReply> Replies(size_t count) {
    std::vector<PakvTestReply> replies;
    const bool came = server_.world.RunUntil([&] {
      for (PakvTestReply& reply : reader_.Read(raw.ReceiveNow())) {
        replies.push_back(std::move(reply));
      }
      return replies.size() >= count || raw.ended();
    });
    EXPECT_TRUE(came) << server_.world.failure();
    return replies;
  }
  bool Ended() {
    return server_.world.RunUntil([&] { return raw.ended(); });
  }

 private:
  SimServer& server_;
  PakvReplyReader reader_;

 public:
  SimConnection raw;
};

inline std::vector<std::string> KeysIn(const std::string& text) {
  std::vector<std::string> keys;
  const std::string_view mark = " key=\"";
  for (size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at)) {
    at += mark.size();
    keys.push_back(text.substr(at, text.find('"', at) - at));
  }
  return keys;
}

}  // namespace pakv
