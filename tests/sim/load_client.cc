#include "tests/sim/load_client.h"

#include <utility>

namespace pakv {

LoadClient::LoadClient(RespLoad& load, uint64_t id, uint64_t seed, uint32_t left)
    : load_(load), id_(id), prng_(seed), left_(left) {
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
  while (!to_send_.empty()) {
    const int32_t sent = load_.world.net().Send(end_, to_send_.view().substr(sent_bytes_));
    if (sent < 0) return End();
    if (sent == 0) return;  // the window opens with a call of `changed`
    sent_bytes_ += static_cast<size_t>(sent);
    if (sent_bytes_ < to_send_.size()) continue;
    to_send_.Clear();
    sent_bytes_ = 0;
  }
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
