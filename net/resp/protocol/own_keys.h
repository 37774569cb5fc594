// OwnKeys: the keys of one EXEC and which of them exist as each of its commands sees it, for those
// that look at all keys of a database (DBSIZE, KEYS, SCAN, RANDOMKEY). These run in their places
// while EXEC's replies are written, so when all that it writes is published. What others have is
// found as outside of EXEC: while they run, and core by core. EXEC's own keys are left out of that
// and counted from here: as the commands before this one have left them, whatever those behind it,
// or other clients since, have made of them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "kv/store/store.h"
#include "net/resp/table/command_table.h"
#include "runtime/task/task.h"

namespace pakv {

class OwnKeys {
 public:
  OwnKeys() = default;
  OwnKeys(const OwnKeys&) = delete;
  OwnKeys& operator=(const OwnKeys&) = delete;

  // Whether the command looks at all keys of a database.
  static bool LooksAtAll(const CommandRow& row);

  // The transaction's key of that index; as often as it is named.
  void Add(size_t index, uint64_t hash, uint32_t namespace_id, std::string_view key);
  // A FLUSH has emptied the database before anything has looked, and nothing is written behind it.
  void SetEmptied() { is_emptied_ = true; }
  size_t memory_bytes() const;

  // ---- While it is decided, on whatever core does so ----
  void Begin(const Transaction& transaction);
  // Command `command` has run, and `index` is one of its keys.
  void Note(const Transaction& transaction, size_t command, size_t index);

  // ---- While its replies are written, on the core of its session ----
  // First of all. In many passes, if there are many keys.
  Task<void> Rewind(RespProtocol& protocol);
  // What is asked for below is as of `command`, until the next call. Never backwards.
  void AdvanceTo(size_t command);
  Task<uint64_t> Count(RespProtocol& protocol);
  // Makes of a step from `cursor` what it would have found then.
  Task<void> Correct(RespProtocol& protocol, uint64_t cursor, const Store::KeyFilter& accept,
                     ScanStep& step);
  // Whether the key is one that does not exist then.
  bool Hides(RespProtocol& protocol, std::string_view key);
  bool is_emptied() const { return is_emptied_; }

 private:
  struct Key {
    uint64_t hash;
    uint32_t namespace_id;
    std::string_view key;
    bool exists = false;
    bool existed_first = false;  // before the first command
  };
  // A key that a command has made or deleted.
  struct Turn {
    uint32_t command;
    uint32_t index;
  };
  using Places = std::vector<uint32_t>;

  Places::const_iterator PlaceOf(uint32_t namespace_id, uint64_t hash) const;
  const Key* Find(RespProtocol& protocol, std::string_view key) const;

  bool is_emptied_ = false;
  std::vector<Key> keys_;  // by the transaction's indexes
  std::vector<Turn> turns_;
  size_t next_turn_ = 0;
  Places by_hash_;  // indexes, by namespace and hash
  std::array<uint64_t, kNumberedNamespaces> existing_{};
  // What others have, counted once: all of an EXEC's DBSIZE tell of one moment.
  std::array<std::optional<uint64_t>, kNumberedNamespaces> others_;
};

// What the store's CountKeys, Scan and RandomKey tell of the selected database; within EXEC as of
// the command that asks.
Task<uint64_t> CountKeys(RespProtocol& protocol);
Task<ScanStep> ScanKeys(RespProtocol& protocol, uint64_t cursor, size_t count,
                        const Store::KeyFilter& accept);
Task<RandomDraw> DrawKey(RespProtocol& protocol);

}  // namespace pakv
