// Sessions over a store's public face in a simulated world: each keeps several requests under way
// and tells the oracle of all of them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "kv/shard/values/value_upload.h"
#include "kv/store/store.h"
#include "runtime/base/prng.h"
#include "runtime/core/core.h"
#include "runtime/task/nursery.h"
#include "runtime/task/sync.h"
#include "runtime/task/task.h"
#include "tests/sim/clients/random_operations.h"
#include "tests/sim/oracle/oracle.h"

namespace pakv {

// A namespace that keys lie in. The oracle knows each key as "LABEL/key".
struct LoadNamespace {
  std::string label;
  uint32_t id = kDefaultNamespace;
};

// What all sessions of one life of the store share.
struct StoreLoad {
  Oracle& oracle;
  Store& store;
  std::vector<LoadNamespace> namespaces{{"0", kDefaultNamespace}};  // keys in turn
  uint32_t key_count = 8;
  uint32_t pipeline_max = 4;
  uint32_t value_bytes_max = 64;
  uint32_t flush_per_10000 = 0;
  // Keys with an expiry: the times that they get are around this clock.
  std::function<uint64_t()> wall_ms;  // empty: none
  // Refusals and unknown outcomes may happen: the disk is not well.
  bool disk_is_ill = false;
  // So may errors that name a damaged value.
  bool values_may_be_damaged = false;
  // So may refusals of new keys.
  bool memory_is_short = false;
  // So may those for want of a file descriptor; nothing else comes of that.
  bool lacks_descriptors = false;
  // Nobody else is at work: what is there and is refused as new is wrong.
  bool alone = false;
  // Of each key's name, at least.
  size_t key_bytes = 0;

  bool may_refuse() const { return disk_is_ill || memory_is_short || lacks_descriptors; }
  bool lacks_descriptors_for(Outcome outcome) const {
    return lacks_descriptors &&
           (outcome == Outcome::kNoDescriptors || outcome == Outcome::kFileError);
  }

  // Keys whose records the medium has lost or changed: theirs may be refused as damaged, and what
  // is left of them after a restart is none of the oracle's.
  std::set<std::string> hit;

  uint64_t sessions_done = 0;
  uint64_t checks_under_way = 0;
  std::string wrong;  // what should not have been answered

  // What the oracle is asked to explain at once; with keys that may also expire at any time.
  size_t PendingPerKeyMax() const { return wall_ms ? 5 : 7; }

  // Of key `number`, below key_count.
  const LoadNamespace& NamespaceOf(uint64_t number) const {
    return namespaces[number % namespaces.size()];
  }
  // The same in each namespace.
  std::string KeyName(uint64_t number) const {
    std::string name = "key" + std::to_string(number / namespaces.size());
    if (name.size() < key_bytes) name.resize(key_bytes, '-');
    return name;
  }
  std::string OracleName(uint64_t number) const {
    return NamespaceOf(number).label + "/" + KeyName(number);
  }
};

// What the store runs for an oracle's command, and what it answered.
struct OracleRow {
  KeyFunction function;
  OldState needs;
};
OracleRow RowOf(const OracleOperation& what);
OracleReply ReplyOf(const Reply& reply);

// Takes the whole value to a file, in pieces, now and then without its turn in between.
Task<Outcome> UploadInPieces(ValueUpload& upload, std::string_view value, Prng& prng);

class StoreSession {
 public:
  StoreSession(StoreLoad& load, Core& core, uint64_t id, uint64_t seed);
  StoreSession(const StoreSession&) = delete;
  StoreSession& operator=(const StoreSession&) = delete;

  // `count` random operations, then the end.
  Task<void> Run(uint32_t count);
  // One read of each key, one after the other.
  Task<void> ReadAll();
  // A write to each key that has to be done.
  Task<void> WriteAll();
  // A deletion of each key.
  Task<void> DeleteAll();
  // One write, as often as it takes: until there is memory for it.
  Task<void> WriteUntilDone();
  // The same of each key: until there are file descriptors.
  Task<void> WriteEachUntilDone();

 private:
  struct Call : Request {
    StoreSession* owner = nullptr;
    Oracle::OperationId id = 0;
    OracleOperation what;
    std::string name;  // the oracle's
    bool finished = false;
    bool is_there = false;                // for certain, as it began
    std::unique_ptr<ValueUpload> upload;  // of its value, if that is in a file
    bool is_admitted = false;
    OracleReply reply_kept;
  };

  Call& FreeCall();
  void StartCall(uint64_t number, OracleOperation what,
                 std::unique_ptr<ValueUpload> upload = nullptr);
  // Writes the value to a file first, in pieces.
  Task<void> StartLargeCall(uint64_t number, OracleOperation what);
  static Task<void> CloseUpload(std::unique_ptr<ValueUpload> upload, bool kept);
  void Returned(Call& call);
  Task<void> ReadFile(Call& call);
  void Finished(Call& call);
  void ReportInOrder();
  void Report(Call& call);
  Task<void> WaitUntilBelow(size_t count);
  Task<void> Flush();

  StoreLoad& load_;
  Core& core_;
  const uint64_t id_;
  Prng prng_;
  RandomOperations operations_;
  Event changed_;
  size_t under_way_ = 0;
  size_t writes_under_way_ = 0;
  std::vector<Call*> started_;  // in their order, until they are reported
  std::vector<Call*> free_;
  std::vector<std::unique_ptr<Call>> calls_;
  Nursery nursery_;  // last: its tasks use all of the above
};

// Looks at a namespace of a store at rest: a scan finds what has to be there, and nothing that
// cannot be. `expires`: keys may do so meanwhile, and are counted until they are taken out.
Task<std::string> CheckKeys(Core& core, Store& store, Oracle& oracle, LoadNamespace in,
                            uint64_t step, bool expires);

}  // namespace pakv
