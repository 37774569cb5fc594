// Relocation: what RENAME, RENAMENX, COPY and MOVE do, alone or within an EXEC: the value of one
// key, with its time to live, becomes that of another.
//
// A value in a file gets another file for its new key: a second name for the same bytes, where the
// file system has such (ValueUpload::CopyFrom). That takes time, which a transaction that decides
// has not: the first one finds the file and pins it, the copy is made, and a second one writes the
// reference to it, if the key still has that value. So nothing is held meanwhile, and each file
// belongs to one key, whose owner alone says when it goes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "kv/store/store.h"
#include "net/resp/table/command_table.h"
#include "net/resp/wire/reply_writer.h"

namespace pakv {

struct Relocation {
  enum class Result : uint8_t {
    kNoSource,
    kTargetExists,  // and is not to be replaced
    kWantsCopy,     // of the file in `wanted`; nothing was written
    kDone,
  };

  // ---- As the command says it; views of its arguments ----
  uint32_t source_namespace = 0;
  uint32_t target_namespace = 0;
  std::string_view source;
  std::string_view target;
  bool keeps_source = false;
  bool replaces = false;
  bool needs_source = false;  // that there is none is an error
  bool answers_ok = false;    // in place of 1

  // ---- Its course ----
  // What a copy has to be made of, and the copy, both as references; none as a rule.
  std::string wanted;
  std::string_view copy;
  bool copy_admitted = false;  // Request::file_admitted
  Result result = Result::kNoSource;

  // `takes_files`: it may end with kWantsCopy; else a value in a file ends the whole (kInFile).
  void AddKeys(const Store& store, Transaction& transaction, bool takes_files);
  // Within the transaction's decision, on whatever core decides.
  void Decide(Transaction& transaction);
  void Reply(RespWriter& writer) const;
  // Of the transaction's keys.
  size_t source_index() const { return source_index_; }
  size_t target_index() const { return target_index_; }

 private:
  size_t source_index_ = 0;
  size_t target_index_ = 0;
};

}  // namespace pakv
