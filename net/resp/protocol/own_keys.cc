#include "net/resp/protocol/own_keys.h"

#include <algorithm>
#include <string>
#include <tuple>
#include <utility>

#include "net/resp/protocol/resp_protocol.h"
#include "net/resp/table/command_functions.h"
#include "runtime/base/seeded_bug.h"
#include "runtime/core/next_pass.h"

namespace pakv {
namespace {

// What a session spends on keys of its own before others have their turn; one costs at least so
// much of it.
constexpr uint64_t kStepWork = 32 << 10;
constexpr uint64_t kWorkPerKey = 32;
// So often RANDOMKEY draws another one before it takes the first that there is.
constexpr int kDrawsMax = 8;
constexpr size_t kWalkStep = 1000;
constexpr size_t kSortedPerPass = 4096;

}  // namespace

bool OwnKeys::LooksAtAll(const CommandRow& row) {
  return row.alone != nullptr && (row.alone == &RunDbSize || row.alone == &RunKeys ||
                                  row.alone == &RunScan || row.alone == &RunRandomKey);
}

void OwnKeys::Add(size_t index, uint64_t hash, uint32_t namespace_id, std::string_view key) {
  if (index != keys_.size()) return;
  keys_.push_back({.hash = hash, .namespace_id = namespace_id, .key = key});
}

size_t OwnKeys::memory_bytes() const {
  return keys_.capacity() * (sizeof(Key) + sizeof(uint32_t)) + turns_.capacity() * sizeof(Turn);
}

void OwnKeys::Begin(const Transaction& transaction) {
  for (size_t index = 0; index < keys_.size(); ++index) {
    keys_[index].exists = keys_[index].existed_first = transaction.Old(index).exists;
  }
}

void OwnKeys::Note(const Transaction& transaction, size_t command, size_t index) {
  Key& key = keys_[index];
  const bool exists = transaction.Old(index).exists;
  if (std::exchange(key.exists, exists) == exists) return;
  turns_.push_back({static_cast<uint32_t>(command), static_cast<uint32_t>(index)});
}

// To before the first command. Their order by hash is made piece by piece: hashes are spread
// evenly, so by their first bits they fall into pieces of a few hundred.
Task<void> OwnKeys::Rewind(RespProtocol& protocol) {
  constexpr uint32_t kPieceBits = 8;
  const auto piece_of = [](const Key& key) {
    return size_t{key.namespace_id} << kPieceBits | key.hash >> (64 - kPieceBits);
  };
  std::vector<uint32_t> ends((size_t{kNumberedNamespaces} << kPieceBits) + 1);
  for (Key& key : keys_) {
    key.exists = key.existed_first;
    if (key.exists) ++existing_[key.namespace_id];
    ++ends[piece_of(key) + 1];
  }
  for (size_t piece = 1; piece < ends.size(); ++piece) ends[piece] += ends[piece - 1];
  by_hash_.resize(keys_.size());
  for (uint32_t index = 0; index < keys_.size(); ++index) {
    by_hash_[ends[piece_of(keys_[index])]++] = index;
  }
  const auto is_before = [this](uint32_t left, uint32_t right) {
    const Key& one = keys_[left];
    const Key& other = keys_[right];
    return std::tie(one.hash, one.key) < std::tie(other.hash, other.key);
  };
  size_t sorted = 0;
  size_t in_pass = 0;
  for (const uint32_t end : ends) {
    const auto begin = by_hash_.begin();
    std::sort(begin + static_cast<ptrdiff_t>(sorted), begin + static_cast<ptrdiff_t>(end),
              is_before);
    in_pass += end - sorted;
    sorted = end;
    if (in_pass < kSortedPerPass) continue;
    in_pass = 0;
    co_await NextPass(protocol.core());
  }
}

void OwnKeys::AdvanceTo(size_t command) {
  if (PAKV_BUG(kOwnKeysAsPublished)) command = SIZE_MAX;
  for (; next_turn_ < turns_.size() && turns_[next_turn_].command < command; ++next_turn_) {
    Key& key = keys_[turns_[next_turn_].index];
    key.exists = !key.exists;
    uint64_t& existing = existing_[key.namespace_id];
    existing = key.exists ? existing + 1 : existing - 1;
  }
}

// The first of that hash, or of a larger one.
OwnKeys::Places::const_iterator OwnKeys::PlaceOf(uint32_t namespace_id, uint64_t hash) const {
  return std::partition_point(by_hash_.begin(), by_hash_.end(), [&](uint32_t index) {
    const Key& key = keys_[index];
    return std::tie(key.namespace_id, key.hash) < std::tie(namespace_id, hash);
  });
}

const OwnKeys::Key* OwnKeys::Find(RespProtocol& protocol, std::string_view key) const {
  const uint32_t namespace_id = protocol.namespace_id();
  const uint64_t hash = protocol.store().Hash(namespace_id, key);
  for (auto at = PlaceOf(namespace_id, hash); at != by_hash_.end(); ++at) {
    const Key& own = keys_[*at];
    if (own.namespace_id != namespace_id || own.hash != hash) return nullptr;
    if (own.key == key) return &own;
  }
  return nullptr;
}

Task<uint64_t> OwnKeys::Count(RespProtocol& protocol) {
  if (is_emptied_) co_return 0;
  const uint32_t namespace_id = protocol.namespace_id();
  std::optional<uint64_t>& others = others_[namespace_id];
  if (!others) {
    std::vector<Store::KeyName> own;
    for (auto at = PlaceOf(namespace_id, 0); at != by_hash_.end(); ++at) {
      const Key& key = keys_[*at];
      if (key.namespace_id != namespace_id) break;
      if (!PAKV_BUG(kOwnKeysCountedTwice)) own.push_back({key.hash, key.key});
      if (own.size() % kSortedPerPass == kSortedPerPass - 1) co_await NextPass(protocol.core());
    }
    others = co_await protocol.store().CountKeys(protocol.core(), namespace_id, own);
  }
  co_return *others + existing_[namespace_id];
}

Task<void> OwnKeys::Correct(RespProtocol& protocol, uint64_t cursor, const Store::KeyFilter& accept,
                            ScanStep& step) {
  std::erase_if(step.keys, [&](const std::string& key) { return Find(protocol, key) != nullptr; });
  const uint32_t namespace_id = protocol.namespace_id();
  uint64_t work = 0;
  for (auto at = PlaceOf(namespace_id, Store::FirstHashOf(cursor)); at != by_hash_.end(); ++at) {
    const Key& own = keys_[*at];
    if (own.namespace_id != namespace_id) break;
    if (step.cursor != 0 && own.hash >= Store::FirstHashOf(step.cursor)) break;
    const bool is_lost = PAKV_BUG(kScanLosesOwnKeys) && next_turn_ < turns_.size();
    if (own.exists && !is_lost && accept(own.key, work)) step.keys.emplace_back(own.key);
    work += kWorkPerKey;
    if (work < kStepWork) continue;
    work = 0;
    co_await protocol.core().ready().Yield();
    if (protocol.session().broken()) co_return;
  }
}

bool OwnKeys::Hides(RespProtocol& protocol, std::string_view key) {
  const Key* const own = Find(protocol, key);
  return own != nullptr && !own->exists;
}

Task<uint64_t> CountKeys(RespProtocol& protocol) {
  OwnKeys* const own = protocol.own_keys();
  uint64_t count = 0;
  if (own != nullptr) {
    count = co_await own->Count(protocol);
  } else {
    count = co_await protocol.store().CountKeys(protocol.core(), protocol.namespace_id());
  }
  co_return count;
}

Task<ScanStep> ScanKeys(RespProtocol& protocol, uint64_t cursor, size_t count,
                        const Store::KeyFilter& accept) {
  OwnKeys* const own = protocol.own_keys();
  if (own != nullptr && own->is_emptied()) co_return ScanStep();
  ScanStep step = co_await protocol.store().Scan(protocol.core(), protocol.namespace_id(), cursor,
                                                 count, accept);
  if (own != nullptr && step.outcome == Outcome::kDone) {
    co_await own->Correct(protocol, cursor, accept, step);
  }
  co_return step;
}

Task<RandomDraw> DrawKey(RespProtocol& protocol) {
  OwnKeys* const own = protocol.own_keys();
  if (own != nullptr && own->is_emptied()) co_return RandomDraw();
  for (int draws = 0; draws < kDrawsMax; ++draws) {
    RandomDraw draw = co_await protocol.store().RandomKey(protocol.core(), protocol.namespace_id());
    if (own == nullptr || draw.outcome != Outcome::kDone) co_return draw;
    if (!draw.key) break;
    if (!own->Hides(protocol, *draw.key)) co_return draw;
  }
  const Store::KeyFilter any = [](std::string_view, uint64_t&) { return true; };
  RandomDraw first;
  uint64_t cursor = 0;
  do {
    ScanStep step = co_await ScanKeys(protocol, cursor, kWalkStep, any);
    first.outcome = step.outcome;
    if (!step.keys.empty()) first.key = std::move(step.keys.front());
    cursor = step.cursor;
  } while (!first.key && first.outcome == Outcome::kDone && cursor != 0);
  co_return first;
}

}  // namespace pakv
