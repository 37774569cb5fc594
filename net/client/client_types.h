// What a client asks for and gets: owned bytes, no wire in sight.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pakv {

struct ClientValue {
  std::string bytes;
  uint64_t lsn = 0;                // the value's version
  std::optional<uint64_t> ttl_ms;  // how long it still lives, if it does not for ever
  // The same as a time, milliseconds since 1970, where it is told; else 0.
  uint64_t expires_at_ms = 0;
};

enum class ClientCondition : uint8_t { kNone, kIfAbsent, kIfPresent, kIfVersion };

struct ClientSet {
  std::string key;
  std::string value;
  ClientCondition condition = ClientCondition::kNone;
  uint64_t version = 0;  // of kIfVersion: the LSN that the key must have
  bool return_old = false;
  uint64_t ttl_ms = 0;  // how long it lives; 0: for ever
  // Or until when, in milliseconds since 1970; 0: not given. Not together with ttl_ms.
  uint64_t expires_at_ms = 0;
};

struct ClientSetDone {
  bool condition_met = true;  // false: nothing was changed
  uint64_t lsn = 0;           // of the write
  std::optional<std::string> old_value;
};

struct ClientDeleteDone {
  uint64_t lsn = 0;
  std::optional<std::string> old_value;  // if it was asked for
};

struct ClientNumber {
  int64_t value = 0;
  uint64_t lsn = 0;
};

// One operation of a batch.
struct ClientOperation {
  enum class Kind : uint8_t { kGet, kSet, kDelete, kIncrement };
  Kind kind = Kind::kGet;
  // Its key is that of every kind; kDelete takes kIfVersion and return_old as well, kSet all.
  ClientSet set;
  int64_t delta = 1;  // kIncrement
};

// What became of it: what the reply to that request alone would tell.
struct ClientOperationDone {
  bool found = true;                     // kGet, kDelete: false: the key was not there
  std::optional<ClientValue> value;      // kGet, if it was
  std::optional<std::string> old_value;  // if it was asked for
  int64_t number = 0;                    // kIncrement
};

struct ClientBatchDone {
  // The place of an operation whose condition was not met: nothing was changed.
  std::optional<size_t> failed;
  uint64_t lsn = 0;                             // of all that was written
  std::vector<ClientOperationDone> operations;  // in their order, unless one has failed
};

struct ClientScanPage {
  std::vector<std::string> keys;
  std::string cursor;  // where the next page begins; empty: this was the last
};

// A page of a scan that brings the values: each key's is of one moment, with its version and
// expiry.
struct ClientValuesPage {
  struct Entry {
    std::string key;
    std::string value;
    uint64_t lsn = 0;
    uint64_t expires_at_ms = 0;  // since 1970; 0: it lives for ever
    // Not 0: the value has so many bytes, more than a page brings; a ValueReader does.
    uint64_t total_bytes = 0;
  };
  std::vector<Entry> entries;
  std::string cursor;  // as ClientScanPage's
};

struct ClientCounter {
  std::string name;
  int64_t value = 0;
};

// What a server found when it compared its books with what is there.
struct ClientCheck {
  struct Finding {
    std::string file;
    std::string what;
  };
  uint64_t segments = 0;
  uint64_t live_bytes = 0;
  uint64_t finding_count = 0;  // the reply holds at most the first thousand
  std::vector<Finding> findings;
};

// Namespaces, in the order of their ids; those named "0" to "15" only if there are keys in them.
struct ClientNamespacesPage {
  struct Entry {
    std::string name;
    uint64_t keys = 0;
  };
  std::vector<Entry> entries;
  std::string cursor;  // to go on with; empty: this was the last page
};

// How far a compaction on request is; docs/protocol.md explains the numbers.
struct ClientCompaction {
  std::string cursor;  // to ask again with; empty: it is done
  uint64_t segments = 0;
  uint64_t removed_bytes = 0;
  uint64_t copied_bytes = 0;
  uint64_t segments_left = 0;
  uint64_t gain_bytes = 0;
  uint64_t set_aside = 0;
};

}  // namespace pakv
