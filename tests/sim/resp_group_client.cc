#include "tests/sim/resp_group_client.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace pakv {
namespace {

constexpr const char* kHost = "10.0.0.9";
constexpr uint64_t kGroups = 2;
constexpr uint64_t kGroupKeys = 4;

}  // namespace

RespGroupClient::RespGroupClient(RespLoad& load, uint64_t id, uint64_t seed, uint32_t count)
    : load_(load), id_(id), prng_(seed), left_(count) {
  load_.world.net().Connect(
      /*owner=*/0, kHost, load_.address,
      [this, lives = std::weak_ptr(lives_)](int32_t error, SimNet::EndpointRef near_end) {
        if (!lives.expired()) Connected(error, std::move(near_end));
      });
}

RespGroupClient::~RespGroupClient() {
  if (end_ == nullptr) return;
  end_->changed = nullptr;
  if (!end_->closed) load_.world.net().Close(end_);
}

void RespGroupClient::Connected(int32_t error, SimNet::EndpointRef near_end) {
  if (error != 0) {
    // Only a server that has died refuses.
    done_ = true;
    ++load_.clients_done;
    return;
  }
  end_ = std::move(near_end);
  end_->changed = [this] { Poke(); };
  Poke();
}

void RespGroupClient::Poke() {
  if (poking_ || done_) return;
  poking_ = true;
  TakeReplies();
  while (!done_ && left_ > 0 && under_way_.size() < load_.pipeline_max) StartOne();
  if (!done_ && left_ == 0 && under_way_.empty()) End();
  while (!done_ && !to_send_.empty()) {
    const int32_t sent = load_.world.net().Send(end_, to_send_);
    if (sent < 0) End();
    if (sent <= 0) break;  // the window opens with a call of `changed`
    to_send_.erase(0, static_cast<size_t>(sent));
  }
  poking_ = false;
}

void RespGroupClient::TakeReplies() {
  if (!end_->received.empty()) received_ += load_.world.net().Take(end_, SIZE_MAX);
  std::string_view input = received_;
  while (load_.wrong.empty() && !under_way_.empty()) {
    RespValue reply;
    const RespReplyParser::Status status = parser_.Next(input, reply);
    if (status == RespReplyParser::Status::kPartial) break;
    if (status == RespReplyParser::Status::kError) {
      load_.wrong = "not RESP: " + std::string(parser_.error());
      break;
    }
    const What what = under_way_.front();
    under_way_.pop_front();
    Replied(what, reply);
  }
  received_.erase(0, received_.size() - input.size());
  if (end_->error != 0 || end_->end_received) End();
}

void RespGroupClient::Replied(What what, const RespValue& reply) {
  if (reply.IsError()) {
    const auto starts = [&](std::string_view prefix) { return reply.text.starts_with(prefix); };
    const bool is_limit = starts("ERR max number of clients") || starts("ERR request timeout");
    const bool may_be = (load_.disk_is_ill && starts("MISCONF ")) ||
                        (load_.limits_are_small && is_limit) ||
                        (load_.memory_is_short && starts("OOM ")) ||
                        (load_.replies_are_bounded && starts("ERR no memory for so large a reply"));
    if (!may_be) {
      load_.wrong = "an error that nothing explains: " + reply.text;
    }
    return;
  }
  switch (what) {
    case What::kWriteAll:
      if (reply.type != RespValue::Type::kSimple) load_.wrong = "MSET did not answer OK";
      return;
    case What::kWriteIfNone:
      if (reply.type != RespValue::Type::kInteger || reply.integer < 0 || reply.integer > 1) {
        load_.wrong = "MSETNX answered neither 0 nor 1";
      }
      return;
    case What::kCount:
    case What::kDeleteAll:
      if (reply.integer != 0 && reply.integer != static_cast<int64_t>(kGroupKeys)) {
        load_.wrong = "EXISTS or DEL counts a part of a group: " + std::to_string(reply.integer);
      }
      return;
    case What::kReadAll: {
      const auto differs = [&](const RespValue& other) {
        return other.type != reply.elements[0].type || other.text != reply.elements[0].text;
      };
      if (reply.elements.size() != kGroupKeys) {
        load_.wrong = "MGET answered with another number of values";
        return;
      }
      for (const RespValue& each : reply.elements) {
        if (each.IsError()) return Replied(what, each);
      }
      if (std::any_of(reply.elements.begin(), reply.elements.end(), differs)) {
        load_.wrong = "MGET sees a group half written:";
        for (const RespValue& each : reply.elements) {
          load_.wrong += " " + (each.text.empty() ? "nothing" : each.text.substr(0, 20));
        }
      }
      return;
    }
  }
}

void RespGroupClient::StartOne() {
  --left_;
  const uint64_t group = prng_.Below(kGroups);
  const uint64_t dice = prng_.Below(11);
  const What what = dice < 4    ? What::kWriteAll
                    : dice < 5  ? What::kWriteIfNone
                    : dice < 9  ? What::kReadAll
                    : dice < 10 ? What::kCount
                                : What::kDeleteAll;
  constexpr const char* kNames[] = {"MSET", "MSETNX", "MGET", "EXISTS", "DEL"};
  std::vector<std::string> words = {kNames[static_cast<size_t>(what)]};
  std::string value = std::to_string(id_) + "." + std::to_string(next_value_++) +
                      std::string(prng_.Below(load_.value_bytes_max), 'g');
  // They are no values that go to files.
  value.resize(std::min<size_t>(value.size(), load_.inline_bytes_max));
  for (uint64_t i = 0; i < kGroupKeys; ++i) {
    words.push_back("group" + std::to_string(group) + "." + std::to_string(i));
    if (what == What::kWriteAll || what == What::kWriteIfNone) words.push_back(value);
  }
  to_send_ += "*" + std::to_string(words.size()) + "\r\n";
  for (const std::string& word : words) {
    to_send_ += "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n";
  }
  under_way_.push_back(what);
}

void RespGroupClient::End() {
  if (done_) return;
  done_ = true;
  ++load_.clients_done;
  end_->changed = nullptr;
  load_.world.net().Close(end_);
}

}  // namespace pakv
