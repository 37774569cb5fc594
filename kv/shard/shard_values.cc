// The parts of Shard that are about values in files: who reads them, and when they go.
//
// A file is removed once what refers to it is replaced, deleted, dropped or expired, durably; all
// of these come through Publish, Drop and the sweep of what has expired, which happen after that.
// Who is to read it has pinned it before: a request as soon as its function has seen the reference,
// or it was put behind the write that holds it; a read from the device, for all who wait for it.
#include <memory>
#include <utility>

#include "kv/log/files/file_io.h"
#include "kv/shard/shard.h"
#include "runtime/base/check.h"
#include "runtime/base/coverage.h"
#include "runtime/base/seeded_bug.h"
#include "runtime/io/file.h"

namespace pakv {
namespace {

// Index entries that one step of background work touches.
constexpr uint32_t kBackgroundStep = 256;

uint64_t FileOf(std::string_view reference) {
  const std::optional<ValueFileHead> head = DecodeValueFileHead(reference);
  PAKV_CHECK(head.has_value(), "a reference was checked when it came in");
  return head->file;
}

}  // namespace

uint32_t Shard::LengthOf(const OldValue& old) {
  if (!old.in_file) return static_cast<uint32_t>(old.value.size());
  return static_cast<uint32_t>(DecodeValueFileHead(old.value)->length);
}

void Shard::NoteFile(std::string_view reference, Version& version) {
  const std::optional<ValueFileHead> head = DecodeValueFileHead(reference);
  PAKV_CHECK(head.has_value(), "a reference was checked when it came in");
  version.file = head->file;
  version.file_bytes = head->length;
}

// ---- Requests ----

Change Shard::CallOnFile(const OldValue& old, Request& request) {
  if (request.needs == OldState::kValue) {
    request.outcome = Outcome::kInFile;
    return Change();
  }
  if (request.needs != OldState::kValueOrFile) return request.function(old, request);
  PinFile(request, old.value);
  request.file_range = {.begin = 0, .length = old.value_length};
  const Change change = request.function(old, request);
  if (request.reply.kind != Reply::Kind::kFile) {
    DropPin(request);
  } else {
    request.reply.integer = change.action != Change::Action::kKeep ? 1 : 0;
  }
  return change;
}

// What is written is the reference to a file: the request's own, or the one that was there.
bool Shard::WritesReference(const OldValue& old, const Request& request, const Change& change) {
  // A reference has bytes. A deletion has none, nor has an old value of which only the existence
  // was asked for: they are not the same for that.
  if (change.value.empty()) return false;
  return (request.value_in_file() && change.value.data() == request.value.data()) ||
         (old.in_file && change.value.data() == old.value.data());
}

void Shard::PinFile(Request& request, std::string_view reference) {
  if (request.pinned_file_ != 0) return;
  request.pinned_file_ = FileOf(reference);
  files_->Pin(request.pinned_file_);
}

void Shard::DropPin(Request& request) {
  const uint64_t file = std::exchange(request.pinned_file_, 0);
  if (file == 0) return;
  if (request.reply.kind == Reply::Kind::kFile) request.reply = Reply();
  files_->Unpin(file);
}

// A write that a FLUSH has overtaken: nobody was ever shown its file, but whoever is to read it.
void Shard::RemoveUnpublished(const Request& request) {
  if (request.pending_in_file_ && !request.pending_delete_) {
    files_->Remove(FileOf(request.pending_value_));
  }
}

// A write that was refused behind its admission: its file is its maker's again; or, if nobody has
// it in hand any more, as it came of an edit, it goes. A write that has changed no more than the
// expiry refers to the file that the key has.
void Shard::TakeFileBack(const Request& request) {
  if (!request.pending_in_file_ || request.pending_delete_) return;
  PAKV_COVERED(kRefusedFileTakenBack);
  if (request.value_in_file()) {
    *request.file_admitted = false;
    return;
  }
  const Entry entry = table_->Find(
      {.hash = request.hash, .namespace_id = request.namespace_id, .key = request.pending_key_});
  const uint64_t file = FileOf(request.pending_value_);
  if (!entry || entry.file() != file) files_->Remove(file);
}

// What kValueFileRemovedEarly does: the file goes although the write that replaces it can be lost.
void Shard::RemovePublishedEarly(const Request& request) {
  const Entry entry = table_->Find(
      {.hash = request.hash, .namespace_id = request.namespace_id, .key = request.pending_key_});
  if (entry && entry.file() != 0 && !request.pending_in_file_) files_->Remove(entry.file());
}

// ---- Edits ----

// While the file is made the key is blocked: later writes, and reads of their sessions, go behind
// the request, which is at the head of its queue, plain reads on. It begins when no write of the
// key is pending any more, so that what it is made of is there to stay, but for a FLUSH and the end
// of the key's time: the request is then decided anew, as it is when all is well.
bool Shard::Edit(Request& request, const OldValue& old, const Change& change) {
  if (EditsInMemory(old, request, change)) {
    request.scratch = EditedValue(old.value, request.edit_begin, change.value);
    const Change whole{Change::Action::kWrite, change.expiry_ms, request.scratch};
    return AppendWrite(request, whole, /*in_file=*/false);
  }
  if (at_hand_.edit != nullptr && at_hand_.edit->Is(request, old.lsn)) {
    const Change whole{Change::Action::kWrite, change.expiry_ms, at_hand_.edit->reference()};
    request.file_admitted = at_hand_.edit->admitted();
    const bool done = AppendWrite(request, whole, /*in_file=*/true);
    request.file_admitted = nullptr;
    if (PAKV_BUG(kEditRemovesOldEarly) && old.in_file) files_->Remove(FileOf(old.value));
    return done;
  }
  const bool by_pending = pending_.Find(request.hash, request.namespace_id, request.key) != nullptr;
  const std::string_view bytes = change.value;
  const bool is_argument = bytes.data() == request.value.data();
  request.KeepArguments();
  PAKV_CHECK(is_argument, "an edit's bytes are the request's");
  BlockedKey& blocked = pending_.Block(request);
  if (by_pending) {
    PAKV_COVERED(kEditWaitedForWrites);
    return false;
  }
  PAKV_COVERED(kValueEdited);
  nursery_.Spawn(RunEdit(
      blocked, request,
      std::make_unique<ValueEdit>(*files_, request, old, request.edit_begin, request.value)));
  return false;
}

Task<void> Shard::RunEdit(BlockedKey& blocked, Request& request, std::unique_ptr<ValueEdit> edit) {
  const Outcome outcome = co_await edit->Make();
  if (outcome == Outcome::kDone) {
    co_await WritesMayGo(/*also_slowed=*/true);
    // What it was made of, for a function that looks at it once more.
    const Entry entry = table_->Find(
        {.hash = request.hash, .namespace_id = request.namespace_id, .key = request.key});
    if (entry && entry.lsn() == edit->lsn()) at_hand_.location = entry.location();
    at_hand_.value = edit->old();
    at_hand_.edit = edit.get();
    Release(blocked);
    at_hand_ = AtHand();
  } else {
    blocked.waiting.PopFront();
    Release(blocked);
    request.outcome = outcome;
    request.reply.bytes = edit->error();
    request.KeepReply();
    Complete(request);
  }
  co_await edit->Close();
}

// ---- Many ----

Task<void> Shard::RemoveFilesOf(const Table& table) {
  if (table.files() == 0) co_return;
  std::optional<uint64_t> begin = options_.range.first;
  while (begin) {
    begin = table.VisitFrom(*begin, kBackgroundStep, [this](Entry entry) {
      if (entry.file() != 0) files_->Remove(entry.file());
    });
    co_await core_.WhenIdle();
  }
}

Task<absl::StatusOr<ValueFileList>> Shard::ListValueFiles(const StoreDirectory& directory,
                                                          const std::set<uint64_t>& present,
                                                          uint64_t clock_ms) {
  ValueFileList list;
  if (table_->files() == 0) co_return list;
  struct Reference {
    uint64_t file = 0;
    uint64_t bytes = 0;
    uint32_t namespace_id = 0;
    std::string key;
  };
  std::vector<Reference> step;
  std::optional<uint64_t> begin = options_.range.first;
  while (begin) {
    step.clear();
    begin = table_->VisitFrom(*begin, kBackgroundStep, [&](Entry entry) {
      if (entry.file() == 0) return;
      // It may have been removed as expired before: its record is no news to anybody.
      const bool over = entry.expiry_ms() != kNoExpiry && entry.expiry_ms() <= clock_ms;
      if (over && !present.contains(entry.file())) return;
      step.push_back(
          {entry.file(), entry.file_bytes(), entry.namespace_id(), std::string(entry.key())});
    });
    for (Reference& found : step) {
      const std::string path = directory.PathOf(ValueFileName(found.file));
      const std::string whose = "the value of key \"" + found.key + "\"";
      absl::Status wrong;
      if (!present.contains(found.file)) {
        wrong = Damaged(path, 0, "missing: " + whose);
      } else {
        FileStat stat;
        const IoResult stated = co_await StatPath(core_.io(), path.c_str(), stat);
        if (!stated.ok()) co_return IoError("stat", path, stated);
        if (stat.size_bytes < found.bytes) {
          wrong = Damaged(
              path, stat.size_bytes,
              "shorter than " + whose + ", which has " + std::to_string(found.bytes) + " bytes");
        }
      }
      if (wrong.ok()) {
        list.files.push_back(found.file);
      } else {
        list.lost.push_back({found.namespace_id, std::move(found.key), MessageOf(wrong)});
      }
    }
    co_await core_.ready().Yield();
  }
  co_return list;
}

}  // namespace pakv
