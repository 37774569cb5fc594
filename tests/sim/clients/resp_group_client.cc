#include "tests/sim/clients/resp_group_client.h"

#include <algorithm>
#include <string>
#include <vector>

#include "tests/net/resp/resp_text.h"

namespace pakv {
namespace {

constexpr uint64_t kGroups = 2;
constexpr uint64_t kGroupKeys = 4;

}  // namespace

RespGroupClient::RespGroupClient(RespLoad& load, uint64_t id, uint64_t seed, uint32_t count)
    : RespLoadClient(load, id, seed, count) {}

void RespGroupClient::StartMore() {
  while (left_ > 0 && under_way_.size() < load_.pipeline_max) StartOne();
  if (left_ == 0 && under_way_.empty()) End();
}

void RespGroupClient::Replied(const RespValue& reply) {
  if (under_way_.empty()) {
    load_.wrong = "a reply that nobody asked for";
    return;
  }
  const What what = under_way_.front();
  under_way_.pop_front();
  RepliedTo(what, reply);
}

void RespGroupClient::RepliedTo(What what, const RespValue& reply) {
  if (reply.IsError()) {
    if (!load_.Explains(reply.text)) {
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
        if (each.IsError()) return RepliedTo(what, each);
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
  to_send_.Append(RespRequest(words));
  under_way_.push_back(what);
}

}  // namespace pakv
