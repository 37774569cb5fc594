// Request: one operation on one key, from the session that starts it to the owner core that runs it
// and back. It is the message between the cores, the entry in the log's list of those who wait for
// a flush, and the pending write, all in one: nothing is allocated or copied on the way.
//
// A Request belongs to its session's core until it is started; then to the store, until `done` is
// called on that core (or Start returned true). Its owner keeps it alive in between. What it asks
// of the shard that it has come to stands there (shard_messages.cc).
#pragma once

#include <absl/status/status.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kv/log/files/shortage.h"
#include "kv/log/format/format.h"
#include "kv/log/write/durable_entry.h"
#include "runtime/core/mailbox.h"

namespace pakv {

class Request;
class Shard;

// What a function has to know of the key's state before it. The last two may read the device;
// kValueOrFile is for functions that look at OldValue::in_file: others are not called for values
// that lie in files (Outcome::kInFile).
enum class OldState : uint8_t { kNothing, kExistence, kValue, kValueOrFile };

// A key's state as a function sees it.
struct OldValue {
  bool exists = false;             // false for kNothing, too
  Lsn lsn = kNoLsn;                // of the value; needs kExistence
  uint64_t expiry_ms = kNoExpiry;  // needs kExistence; later than the expiry clock
  uint32_t value_length = 0;       // needs kExistence
  // `value` is the reference to a file (kv/log/format/format_value_file.h). What a function does
  // with it is to answer with it (Reply::Kind::kFile), or to write it again.
  bool in_file = false;
  std::string_view value;  // needs kValue; valid during the call
};

// What a function wants done. A value is a view of the request's arguments, of its `scratch`, or
// of the old value.
struct Change {
  // kEdit: `value` takes the place of what is at Request::edit_begin, in the old value with zeros
  // behind it as far as they are needed. What comes of it may be too long for the log: it then goes
  // to a file, and the function is called once more when that has been written.
  enum class Action : uint8_t { kKeep, kWrite, kDelete, kEdit };
  Action action = Action::kKeep;
  uint64_t expiry_ms = kNoExpiry;  // of what is written: it does not stay by itself
  std::string_view value;
};

// A command on one key: a plain function that looks at the old state, fills in the request's
// reply, and says what to write. Runs on the owner core; does not suspend. A function of a read
// returns kKeep, always. It may run again if the first run's outcome could not be admitted.
using KeyFunction = Change (*)(const OldValue& old, Request& request);

// How it ended, before the command's own reply counts. What is refused for lack of space or
// descriptors may have been admitted before that lack was known (LogWriter): it has not happened
// all the same.
enum class Outcome : uint8_t {
  kDone,
  kUnknown,   // the log failed after admission: the write may appear after a restart
  kReadOnly,  // refused, never happened: the log has failed before
  kDiskFull,  // refused, never happened
  // Refused, never happened: the system opens no further file, or has no memory for that.
  kNoDescriptors,
  kOutOfMemory,  // refused, never happened: a new key beyond the memory limit
  kDamaged,      // the value on disk is not what was written, for good; `reply.bytes` says where
  kStopping,     // refused, never happened: the store is being closed
  kTooLarge,  // refused, never happened: more than a transaction may hold (kv/store/transaction.h)
  // Refused, never happened: others hold the memory for so large a transaction or reply. Of a read
  // that was put off: its version is gone, as nothing was held for it.
  kNoRoom,
  kInFile,  // refused, never happened: the command takes no value that lies in a file
  // Refused, never happened: a file could not be opened, written or read; `reply.bytes` says why.
  // The next try may do better.
  kFileError,
};

Outcome OutcomeOf(Admission refused);
Outcome OutcomeOf(Settlement settlement);
// Of a read that has failed: kDamaged if what is there is not what was written, else kFileError.
Outcome OutcomeOfRead(const absl::Status& failed);
// Whether the outcome comes with a text in `reply.bytes`.
inline bool HasText(Outcome outcome) {
  return outcome == Outcome::kDamaged || outcome == Outcome::kFileError;
}

// A command's answer, for the session's protocol to encode.
struct Reply {
  // kFile: the value is in a file, `bytes` is the reference to it. The file is pinned: whoever
  // receives the reply gives the pin back (Store::ReleaseFile), read or not. `integer` is 1 if the
  // request has written: that the file cannot be read then does not undo it.
  // kLater: no reply. That will have about `integer` bytes, for which there was no room; whoever
  // has set Request::may_be_put_off starts the request again, with Store::StartDue.
  enum class Kind : uint8_t { kOk, kNull, kInteger, kBytes, kError, kFile, kLater };
  Kind kind = Kind::kOk;
  int64_t integer = 0;
  // kBytes, kFile, kError (the text, prefix included). In `done`, and after Start returned true:
  // valid until the session calls the store again.
  std::string_view bytes;
};

// Replies with more bytes are large: they take room of their owner's (kv/shard/state/reply_room.h).
inline constexpr size_t kLargeReplyBytes = 16 << 10;

class Request : public Message, public DurableEntry {
 public:
  Request();

  // ---- Set by whoever starts it ----
  uint64_t hash = 0;  // Store::Hash(namespace_id, key)
  uint32_t namespace_id = 0;
  bool is_read = false;  // judged on what is published; otherwise on the newest pending state
  OldState needs = OldState::kNothing;
  // The session has writes that are not answered yet, so a read has to look for them.
  bool session_has_writes = false;
  uint64_t session = 0;
  KeyFunction function = nullptr;
  // Called on the core that started it, unless Start returned true.
  void (*done)(Request&) = nullptr;
  // The function's arguments. The bytes of key and value stay valid during Start only: what has to
  // wait or travel is copied into `storage` (see KeepArguments).
  std::string_view key;
  std::string_view value;
  int64_t number = 0;
  uint64_t expiry_ms = kNoExpiry;
  Lsn if_lsn = kNoLsn;
  uint32_t options = 0;  // bits of the command's own
  // Given if `value` is the reference to a file that was written for it (ValueUpload); valid until
  // the request is complete. Becomes true when the log has taken a record that refers to the file:
  // it then belongs to the store, whatever the outcome.
  bool* file_admitted = nullptr;
  bool value_in_file() const { return file_admitted != nullptr; }

  // ---- Filled in on the way ----
  Outcome outcome = Outcome::kDone;
  Reply reply;
  Lsn lsn = kNoLsn;  // of the write, or of the value that was read
  // A function's own memory for a value that it makes.
  std::string scratch;

  // For functions: the owner's expiry clock, milliseconds since 1970.
  uint64_t ExpiryClockMs() const;

  // Copies key and value into this request's own memory, if they are not there yet.
  void KeepArguments();
  // Copies the reply's bytes likewise.
  void KeepReply();
  // Gives back what room the reply has taken: its bytes are not needed any more. Any core.
  void ReleaseRoom() {
    if (room_bytes_ > 0) GiveRoom();
  }
  // Bytes of its owner's room that the reply has, and that count as its owner's memory.
  size_t room_bytes() const { return room_bytes_; }
  // Bytes held in this request's own memory.
  size_t memory_bytes() const {
    return arguments_.capacity() + reply_bytes_.capacity() + scratch.capacity();
  }
  // Ready for another use; keeps small memory, gives large memory back.
  void Reset();

 private:
  friend class Shard;
  friend class PendingTable;
  friend class Store;
  friend class Transaction;
  friend class TransactionKey;

  // What starting it, or starting it again, is about.
  enum class Kind : uint8_t {
    kOne,
    kGroup,  // the first of a group
    kPart,   // the first key of a transaction's part, which is to be decided
    kLock,   // a transaction's key, which is to be held
    kLook,   // a snapshot's key
    kDue,    // a read that was put off
  };

  // What it waits for in the log's queue.
  enum class Role : uint8_t {
    kWrite,       // its own record
    kAnswer,      // the newest pending write that its answer depends on
    kReadBehind,  // its session's own write, to be read then
  };

  void GiveRoom();
  void AddDependent(uint64_t dependent) {
    if (dependents_ == Dependents::kNone) {
      dependents_ = Dependents::kOneSession;
      dependent_session_ = dependent;
    } else if (dependent_session_ != dependent) {
      dependents_ = Dependents::kSeveral;
    }
  }
  // Whether an answer of `reader` may wait for this pending write. Of several sessions it does not
  // know which: then a read waits that need not.
  bool HasDependent(uint64_t reader) const {
    return dependents_ == Dependents::kSeveral ||
           (dependents_ == Dependents::kOneSession && dependent_session_ == reader);
  }

  std::string arguments_;
  std::string reply_bytes_;
  Shard* shard_ = nullptr;  // the owner's
  uint32_t source_core_ = 0;
  Kind kind_ = Kind::kOne;
  Role role_ = Role::kWrite;
  uint32_t room_bytes_ = 0;  // see room_bytes; here, as each Reset looks at it

  // As the first of a group: all of them.
  std::unique_ptr<std::vector<Request*>> group_;

  // As a pending write: the record in the block, and its neighbours of the same key.
  std::string_view pending_key_;
  std::string_view pending_value_;
  uint64_t pending_expiry_ms_ = kNoExpiry;
  bool pending_delete_ = false;
  uint64_t pinned_file_ = 0;      // stays until the reply was received, at least
  bool pending_in_file_ = false;  // pending_value_ is the reference to a file
  // Sessions whose answers wait for this write although they wrote nothing (Role::kAnswer).
  enum class Dependents : uint8_t { kNone, kOneSession, kSeveral };
  Dependents dependents_ = Dependents::kNone;
  uint64_t dependent_session_ = 0;
  Request* older_ = nullptr;
  Request* newer_ = nullptr;

 public:
  // ---- Filled in on the way, of rare ones: last, so that others do not reach for them ----
  // With a reply of the kind kFile: which bytes of the value are meant, at least one. All of them
  // when the function is called.
  struct FileRange {
    uint64_t begin = 0;
    uint64_t length = 0;
  };
  FileRange file_range;
  uint64_t edit_begin = 0;  // with Change::Action::kEdit
  // Set by whoever starts it: it is given large replies as there is room, see Reply::Kind::kLater.
  bool may_be_put_off = false;

 private:
  // What it had found when it was put off.
  struct FoundVersion {
    Lsn lsn = kNoLsn;
    uint64_t releases = 0;  // of segments, until then
    Location location;      // segment 0: not known
    uint64_t expiry_ms = kNoExpiry;
  };
  FoundVersion found_;
};

}  // namespace pakv
