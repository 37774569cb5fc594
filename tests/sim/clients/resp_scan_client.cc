#include "tests/sim/clients/resp_scan_client.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "tests/net/resp/resp_text.h"

namespace pakv {
namespace {

constexpr uint64_t kKeysAtOnce = 6;

}  // namespace

RespScanClient::RespScanClient(RespLoad& load, uint64_t id, uint64_t seed, uint32_t count)
    : RespLoadClient(load, id, seed, count), prefix_("scan" + std::to_string(id) + ".") {}

void RespScanClient::Wrong(const std::string& what) {
  if (load_.wrong.empty()) load_.wrong = what;
}

void RespScanClient::Send(What what, const std::vector<std::string>& words, std::string key) {
  to_send_.Append(RespRequest(words));
  under_way_.push_back({.what = what, .key = std::move(key)});
}

void RespScanClient::Replied(const RespValue& reply) {
  if (under_way_.empty()) return Wrong("a reply that nobody asked for");
  const Command command = std::move(under_way_.front());
  under_way_.pop_front();
  if (reply.IsError() && !load_.Explains(reply.text)) {
    return Wrong("an error that nothing explains: " + reply.text);
  }
  switch (command.what) {
    case What::kSet:
    case What::kDelete:
      return WriteReplied(command, reply);
    case What::kScan:
      return ScanReplied(reply);
    case What::kKeys:
      if (reply.IsError()) {
        walks_ = false;
        return;
      }
      Found(reply);
      return EndWalk();
  }
}

// What is refused, or nobody knows of, is no more looked for.
void RespScanClient::WriteReplied(const Command& command, const RespValue& reply) {
  if (reply.IsError()) return;
  if (command.what == What::kSet) {
    there_.insert(command.key);
    return;
  }
  if (reply.integer != 1) return Wrong(command.key + " was there, and is not to be deleted");
  gone_.insert(command.key);
}

void RespScanClient::ScanReplied(const RespValue& reply) {
  if (reply.IsError()) {
    walks_ = false;
    return;
  }
  if (reply.elements.size() != 2) return Wrong("SCAN answers something else");
  cursor_ = reply.elements[0].text;
  Found(reply.elements[1]);
  if (cursor_ == "0") return EndWalk();
}

void RespScanClient::Found(const RespValue& keys) {
  for (const RespValue& key : keys.elements) {
    to_find_.erase(key.text);
    if (to_miss_.contains(key.text)) Wrong("a walk finds " + key.text + ", which was gone before");
    if (by_pattern_ && !key.text.starts_with(prefix_)) Wrong(key.text + " matches no pattern");
  }
}

void RespScanClient::EndWalk() {
  walks_ = false;
  if (to_find_.empty()) return;
  Wrong("a walk does not find " + *to_find_.begin() + ", which was there all the while");
}

void RespScanClient::StartMore() {
  while (left_ > 0 && under_way_.size() < load_.pipeline_max && load_.wrong.empty()) StartOne();
  if (left_ == 0 && under_way_.empty()) End();
}

void RespScanClient::StartOne() {
  --left_;
  const uint64_t dice = prng_.Below(10);
  if (walks_) {
    const bool asked = std::any_of(under_way_.begin(), under_way_.end(), [](const Command& each) {
      return each.what == What::kScan || each.what == What::kKeys;
    });
    if (!asked && dice < 7) return Scan();
  } else if (under_way_.empty() && dice < 4) {
    return BeginWalk();
  }
  if (dice < 8 || there_.empty()) return Set();
  Delete();
}

void RespScanClient::Set() {
  for (uint64_t count = prng_.Between(1, kKeysAtOnce); count > 0; --count) {
    const std::string key = prefix_ + std::to_string(next_key_++);
    Send(What::kSet, {"SET", key, "of a walk"}, key);
  }
}

// From now on it is neither to be found nor to be missed.
void RespScanClient::Delete() {
  auto place = there_.begin();
  std::advance(place, prng_.Below(there_.size()));
  std::string key = *place;
  there_.erase(place);
  to_find_.erase(key);
  Send(What::kDelete, {"DEL", key}, key);
}

// All that it has written is answered.
void RespScanClient::BeginWalk() {
  walks_ = true;
  to_find_ = there_;
  to_miss_ = gone_;
  cursor_ = "0";
  by_pattern_ = prng_.Chance(1, 2);
  if (prng_.Chance(1, 4)) {
    Send(What::kKeys, {"KEYS", by_pattern_ ? prefix_ + "*" : "*"});
  } else {
    Scan();
  }
}

void RespScanClient::Scan() {
  std::vector<std::string> words = {"SCAN", cursor_, "COUNT", std::to_string(prng_.Between(1, 30))};
  if (by_pattern_) words.insert(words.end(), {"MATCH", prefix_ + "*"});
  Send(What::kScan, words);
}

}  // namespace pakv
