#include "cmd/pakvctl/transfer/loader.h"

#include <utility>

#include "net/client/value_writer.h"

namespace pakv {

Task<bool> Loader::Put(ClientSet set, uint64_t place) {
  const size_t bytes = set.key.size() + set.value.size();
  while (error_.ok() && !in_flight_.empty() &&
         (in_flight_.size() >= kInFlightMax || in_flight_bytes_ + bytes > kInFlightBytesMax)) {
    co_await AwaitOldest();
  }
  if (!error_.ok()) co_return false;
  set.condition = if_absent_ ? ClientCondition::kIfAbsent : ClientCondition::kNone;
  if (set.value.size() > client_.whole_value_bytes_max()) {
    const std::string value = std::exchange(set.value, {});
    ValueWriter writer(client_, set, value.size());
    co_await writer.Write(value);
    ClientResult<ClientSetDone> done = co_await writer.Finish();
    Record(done, set.key, place);
    co_return error_.ok();
  }
  const uint64_t id = client_.StartSet(set);
  in_flight_bytes_ += bytes;
  in_flight_.push_back({.id = id, .place = place, .bytes = bytes, .key = std::move(set.key)});
  co_return true;
}

Task<bool> Loader::Finish() {
  while (!in_flight_.empty()) co_await AwaitOldest();
  co_return error_.ok();
}

Task<void> Loader::AwaitOldest() {
  Write write = std::move(in_flight_.front());
  in_flight_.pop_front();
  in_flight_bytes_ -= write.bytes;
  ClientResult<ClientSetDone> done = co_await client_.AwaitSet(write.id);
  Record(done, write.key, write.place);
}

void Loader::Record(const ClientResult<ClientSetDone>& done, const std::string& key,
                    uint64_t place) {
  if (done.ok()) {
    ++(done->condition_met ? written_ : present_);
    return;
  }
  if (!error_.ok()) return;
  error_ = done.error();
  failed_key_ = key;
  failed_place_ = place;
}

}  // namespace pakv
