// What is to be said of the value files of a directory that is read offline (kv/tools/inspect.h):
// which records refer to them and count, and whether the bytes are those that were written.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "kv/index/drops.h"
#include "kv/log/format/format.h"

namespace pakv {

class ValueFileInspector {
 public:
  // `offset` in `file`; `key` as far as there is one; `is_damage` false: a start puts it right.
  using Report =
      std::function<void(const std::string& file, uint64_t offset, const std::string& what,
                         const std::string* key, bool is_damage)>;
  ValueFileInspector(std::string directory, Report report)
      : directory_(std::move(directory)), report_(std::move(report)) {}

  // Every sound record of the directory, in any order; and then, if needs_second_pass(), all of
  // them once more: only then is it known whose newer records make a reference void.
  void See(const RecordFields& record);
  void SeeClock(uint64_t expiry_clock_ms);
  bool needs_second_pass() const { return !references_.empty(); }
  void SeeAgain(const RecordFields& record);

  // Reads the files. How many bytes that were. `log_is_damaged`: records may be lost, so that what
  // is missing may have been replaced, and what nobody refers to may be somebody's.
  uint64_t Verify(bool log_is_damaged);

 private:
  using Key = std::pair<uint32_t, std::string>;  // namespace and key
  struct Reference {
    Lsn lsn = kNoLsn;
    uint64_t expiry_ms = kNoExpiry;
    std::string bytes;
    bool is_void = false;
  };
  uint64_t VerifyFile(const std::string& key, std::string_view reference, bool log_is_damaged);

  const std::string directory_;
  const Report report_;
  std::map<Key, Reference> references_;  // the newest of each key
  Drops drops_;
  uint64_t expiry_clock_ms_ = 0;
};

}  // namespace pakv
