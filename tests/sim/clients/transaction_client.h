// Sessions whose operations span several keys. Some are on the oracle's keys, each key's part an
// operation of its own there; the others keep what no oracle of single keys can tell:
//   - the keys of a group are always written together: whoever reads them as one sees one
//     generation, or none of them; whoever reads them one by one sees none that is older than
//     what was seen before;
//   - what is in the accounts is only moved between them: their sum is 0;
//   - a watch notices what has happened to its key, and nothing else.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kv/store/store.h"
#include "runtime/base/prng.h"
#include "runtime/core/core.h"
#include "runtime/task/task.h"
#include "tests/sim/clients/store_client.h"

namespace pakv {

class TransactionSession {
 public:
  TransactionSession(StoreLoad& load, Core& core, uint64_t id, uint64_t seed)
      : load_(load), core_(core), id_(id), prng_(seed) {}
  TransactionSession(const TransactionSession&) = delete;
  TransactionSession& operator=(const TransactionSession&) = delete;

  // `count` random operations, then the end.
  Task<void> Run(uint32_t count);
  // Looks at all groups and accounts once.
  Task<void> CheckAll();

 private:
  Task<void> RunOne();
  Task<void> WriteGroup();
  Task<void> CheckGroup(const std::vector<std::string>& keys);
  Task<void> ReadGroup(uint64_t group);
  Task<void> Move();
  Task<void> CheckAccounts();
  Task<void> RunOnOracleKeys();
  Task<void> RunParts(const std::string& file_value, std::string_view reference, bool& file_kept);
  Task<void> WatchOwnKey();
  Task<bool> WriteOwnKey(bool deletes);
  Task<bool> WriteOwnFile();

  size_t Add(Transaction& transaction, const std::string& key, OldState needs, bool may_write);
  std::vector<std::string> GroupKeys(uint64_t group) const;
  std::vector<std::string> SomeGroupKeys(uint64_t group, uint64_t count);
  std::vector<std::string> Accounts() const;
  // Whether what the outcome stands for has happened and can be looked at.
  bool IsDone(Outcome outcome, const char* what);
  void Wrong(std::string what);

  StoreLoad& load_;
  Core& core_;
  const uint64_t id_;
  Prng prng_;
  uint64_t next_value_ = 0;
};

}  // namespace pakv
