#include "tests/sim/clients/load_client.h"

#include <string_view>
#include <utility>

namespace pakv {

bool RespLoad::Explains(std::string_view error) const {
  const auto starts = [error](std::string_view prefix) { return error.starts_with(prefix); };
  const bool is_limit = starts("ERR max number of clients") || starts("ERR request timeout");
  const bool is_disk = starts("MISCONF ") || starts("ERR file error: ");
  return (disk_is_ill && is_disk) || (limits_are_small && is_limit) ||
         (memory_is_short && starts("OOM ")) ||
         (replies_are_bounded && starts("ERR no memory for so large a reply")) ||
         LacksDescriptorsFor(error);
}

bool RespLoad::LacksDescriptorsFor(std::string_view error) const {
  return lacks_descriptors && (error.starts_with("MISCONF out of file descriptors: ") ||
                               error.starts_with("ERR file error: "));
}

LoadClient::LoadClient(RespLoad& load, uint64_t id, uint64_t seed, uint32_t left)
    : load_(load), id_(id), prng_(seed), left_(left) {
  if (load.some_are_slow && prng_.Chance(1, 2)) bit_bytes_max_ = prng_.Between(100, 5000);
  load_.world.net().Connect(
      /*owner=*/0, kLoadHost, load_.address,
      [this, lives = std::weak_ptr(lives_)](int32_t error, SimNet::EndpointRef near_end) {
        if (!lives.expired()) Connected(error, std::move(near_end));
      });
}

LoadClient::~LoadClient() {
  if (end_ == nullptr) return;
  end_->changed = nullptr;
  if (!end_->closed) load_.world.net().Close(end_);
}

void LoadClient::Connected(int32_t error, SimNet::EndpointRef near_end) {
  if (error != 0) {
    // Only a server that has died refuses.
    done_ = true;
    ++load_.clients_done;
    return;
  }
  end_ = std::move(near_end);
  end_->changed = [this] { Poke(); };
  Greet();
  Poke();
}

void LoadClient::Poke() {
  if (poking_ || done_) return;
  poking_ = true;
  Receive();
  if (!done_) StartMore();
  if (!done_) SendRest();
  poking_ = false;
}

void LoadClient::Receive() {
  if (!end_->received.empty()) received_ += load_.world.net().Take(end_, SIZE_MAX);
  std::string_view input = received_;
  TakeReplies(input);
  received_.erase(0, received_.size() - input.size());
  if (end_->error != 0 || end_->end_received) End();
}

void LoadClient::SendRest() {
  while (!to_send_.empty() && !pauses_) {
    if (!SendSome()) return;
    if (sent_bytes_ < to_send_.size()) continue;
    to_send_.Clear();
    sent_bytes_ = 0;
  }
}

bool LoadClient::SendSome() {
  std::string_view bytes = to_send_.view().substr(sent_bytes_);
  if (bit_bytes_max_ > 0) bytes = bytes.substr(0, prng_.Between(1, bit_bytes_max_));
  const int32_t sent = load_.world.net().Send(end_, bytes);
  if (sent < 0) End();
  if (sent <= 0) return false;  // the window opens with a call of `changed`
  sent_bytes_ += static_cast<size_t>(sent);
  if (bit_bytes_max_ == 0) return true;
  pauses_ = true;
  load_.world.agenda().After(prng_.Below(10 * kNsPerMs), /*owner=*/0,
                             [this, lives = std::weak_ptr(lives_)] {
                               if (lives.expired()) return;
                               pauses_ = false;
                               Poke();
                             });
  return true;
}

void LoadClient::End() {
  if (done_) return;
  done_ = true;
  ++load_.clients_done;
  end_->changed = nullptr;
  load_.world.net().Close(end_);
}

void RespLoadClient::TakeReplies(std::string_view& input) {
  while (load_.wrong.empty()) {
    RespValue reply;
    const RespReplyParser::Status status = parser_.Next(input, reply);
    if (status == RespReplyParser::Status::kPartial) return;
    if (status == RespReplyParser::Status::kError) {
      load_.wrong = "not RESP: " + std::string(parser_.error());
      return;
    }
    Replied(reply);
  }
}

}  // namespace pakv
