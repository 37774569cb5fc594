#include "kv/log/files/manifest.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "kv/log/files/file_io.h"
#include "kv/log/files/shortage.h"
#include "runtime/base/check.h"
#include "runtime/base/counted.h"
#include "runtime/base/coverage.h"
#include "runtime/base/log.h"
#include "runtime/base/seeded_bug.h"
#include "runtime/core/space.h"

namespace pakv {
namespace {

constexpr std::string_view kManifestName = "MANIFEST";
// Zero-written ahead, in units of one append: so an append changes no metadata, and a full disk
// does not stop the log from saying that it drops something, which is what gives space back. Hence
// it is made more again as soon as half of it is used up. Where there is no room for that, a start
// does without, and an append makes room for itself.
constexpr uint64_t kAheadUnits = 64;
// A larger file is no MANIFEST: at a sector per segment this is more than 10^6 of them.
constexpr uint64_t kManifestBytesMax = uint64_t{4} << 30;

ManifestEntry CreatedEntry(const SegmentInfo& info) {
  return {.type = ManifestEntry::Type::kCreated,
          .segment = info.segment,
          .log = info.log,
          .run = info.run,
          .kind = info.kind,
          .size = info.size,
          .first_sequence = info.first_sequence,
          .first_chain = info.first_chain};
}

// Applies one entry; why it contradicts what is there, "" if it does not.
std::string_view Apply(ManifestState& state, const ManifestEntry& entry) {
  switch (entry.type) {
    case ManifestEntry::Type::kStart:
      return "a second start";
    case ManifestEntry::Type::kCreated: {
      SegmentInfo info{
          .segment = entry.segment,
          .log = entry.log,
          .run = entry.run,
          .kind = entry.kind,
          .size = entry.size,
          .first_sequence = entry.first_sequence,
          .first_chain = entry.first_chain,
          .sealed_end = {},
          .footer_bytes = 0,
          .lsn_floor = entry.lsn_floor,
          .place = static_cast<uint32_t>(state.segments.size() + state.dropped.size())};
      if (state.dropped.contains(entry.segment)) return "a segment created after it was dropped";
      if (!state.segments.emplace(entry.segment, info).second) return "a segment created twice";
      state.next_segment = std::max(state.next_segment, entry.segment + 1);
      return "";
    }
    case ManifestEntry::Type::kSealed: {
      const auto found = state.segments.find(entry.segment);
      if (found == state.segments.end()) return "a sealed segment that does not exist";
      if (found->second.sealed_end) return "a segment sealed twice";
      if (entry.end_offset > found->second.size) return "a segment sealed beyond its size";
      found->second.sealed_end = entry.end_offset;
      return "";
    }
    case ManifestEntry::Type::kDropped:
      if (state.segments.erase(entry.segment) == 0) return "a dropped segment that does not exist";
      state.dropped.insert(entry.segment);
      return "";
    case ManifestEntry::Type::kFooter: {
      // Whoever writes a footer may learn too late that the segment is gone.
      if (state.dropped.contains(entry.segment)) return "";
      const auto found = state.segments.find(entry.segment);
      if (found == state.segments.end()) return "a footer of a segment that does not exist";
      if (!found->second.sealed_end) return "a footer of a segment that is not sealed";
      if (found->second.footer_bytes != 0) return "a second footer of a segment";
      found->second.footer_bytes = entry.footer_bytes;
      return "";
    }
    case ManifestEntry::Type::kNamespace:
      if (entry.namespace_id < state.next_namespace) return "a namespace's id given twice";
      if (!state.namespaces.emplace(entry.name, entry.namespace_id).second) {
        return "a namespace's name given twice";
      }
      state.next_namespace = entry.namespace_id + 1;
      return "";
  }
  return "an entry of no known type";
}

}  // namespace

std::optional<ManifestDamage> DecodeManifest(Bytes file, ManifestState& state) {
  uint32_t sectors = 0;
  uint32_t fresh_sectors = 1;
  uint32_t chain = 0;
  uint64_t offset = 0;
  // The first zero sector behind the last one that was read, or in front of all. Between those that
  // were appended it is filling, between the fresh ones, which were written as a whole, none is.
  std::optional<uint64_t> zero;
  for (; offset + kSectorSize <= file.size(); offset += kSectorSize) {
    const Bytes bytes = file.subspan(offset, kSectorSize);
    if (AllZero(bytes)) {
      if (!zero) zero = offset;
      continue;
    }
    const auto sector = DecodeManifestSector(bytes);
    if (!sector) return ManifestDamage{offset, "not a sector of a MANIFEST, and not zero"};
    if (zero && sectors < fresh_sectors && sector->index > sectors) {
      return ManifestDamage{*zero, "a zero sector among those that were written as a whole"};
    }
    zero.reset();
    if (sector->index != sectors || sector->chain != chain) {
      return ManifestDamage{offset, "a sector that does not continue the one before"};
    }
    const bool first = sectors == 0;
    if (!first && sector->run != state.run) {
      return ManifestDamage{offset, "a sector of another run"};
    }
    uint32_t next = 0;
    if (first) {
      const ManifestEntry& start = sector->entries[0];
      if (start.type != ManifestEntry::Type::kStart) {
        return ManifestDamage{offset, "the first entry is no start"};
      }
      state.run = sector->run;
      state.run_counter = start.run_counter;
      state.next_segment = start.next_segment;
      state.lsn_max = start.lsn_max;
      state.expiry_clock_ms = start.expiry_clock_ms;
      fresh_sectors = start.fresh_sectors;
      next = 1;
    }
    for (; next < sector->entry_count; ++next) {
      const std::string_view contradiction = Apply(state, sector->entries[next]);
      if (!contradiction.empty()) return ManifestDamage{offset, contradiction};
    }
    chain = sector->checksum;
    ++sectors;
  }
  if (sectors < fresh_sectors) {
    return ManifestDamage{offset, "sectors are missing at its end"};
  }
  state.ignored_tail_bytes = file.size() - offset;
  return std::nullopt;
}

absl::StatusOr<ManifestState> ParseManifest(Bytes file) {
  ManifestState state;
  const std::optional<ManifestDamage> damage = DecodeManifest(file, state);
  if (damage) return Damaged(kManifestName, damage->offset, damage->what);
  return state;
}

std::vector<uint8_t> EncodeManifest(const ManifestState& state) {
  std::vector<ManifestSector> sectors(1);
  const auto add = [&sectors](const ManifestEntry& entry) {
    if (sectors.back().Add(entry)) return;
    sectors.emplace_back();
    PAKV_CHECK(sectors.back().Add(entry));
  };
  ManifestEntry start{.type = ManifestEntry::Type::kStart,
                      .run_counter = state.run_counter,
                      .next_segment = state.next_segment,
                      .fresh_sectors = 1,
                      .lsn_max = state.lsn_max,
                      .expiry_clock_ms = state.expiry_clock_ms};
  // In the order of their ids, in which they were given.
  std::map<uint32_t, std::string_view> names;
  for (const auto& [name, id] : state.namespaces) names.emplace(id, name);
  // In the order in which they were created, which their numbers do not tell.
  std::vector<const SegmentInfo*> in_order;
  in_order.reserve(state.segments.size());
  for (const auto& [segment, info] : state.segments) in_order.push_back(&info);
  std::stable_sort(in_order.begin(), in_order.end(),
                   [](const auto* left, const auto* right) { return left->place < right->place; });
  const auto fill = [&] {
    add(start);
    for (const auto& [id, name] : names) {
      add({.type = ManifestEntry::Type::kNamespace, .namespace_id = id, .name = name});
    }
    // Of those that are gone but for their files no more is known, and no more matters.
    for (const uint32_t segment : state.dropped) {
      add({.type = ManifestEntry::Type::kCreated,
           .segment = segment,
           .run = state.run,
           .size = kSectorSize,
           .first_sequence = 1});
      add({.type = ManifestEntry::Type::kDropped, .segment = segment});
    }
    for (const SegmentInfo* info : in_order) {
      add(CreatedEntry(*info));
      if (info->sealed_end) {
        add({.type = ManifestEntry::Type::kSealed,
             .segment = info->segment,
             .end_offset = *info->sealed_end});
      }
      if (info->footer_bytes != 0) {
        add({.type = ManifestEntry::Type::kFooter,
             .segment = info->segment,
             .footer_bytes = info->footer_bytes});
      }
    }
  };
  // Twice: how many sectors there are is known only when they are filled.
  fill();
  start.fresh_sectors = static_cast<uint32_t>(sectors.size());
  sectors.assign(1, ManifestSector());
  fill();

  std::vector<uint8_t> bytes(sectors.size() * kSectorSize);
  uint32_t chain = 0;
  for (uint32_t i = 0; i < sectors.size(); ++i) {
    chain = sectors[i].Encode(bytes.data() + i * kSectorSize, state.run, i, chain);
  }
  return bytes;
}

Manifest::Manifest(Core& owner, const StoreDirectory& directory, const ManifestState& state)
    : owner_(owner),
      directory_(directory),
      run_(state.run),
      run_counter_(state.run_counter),
      next_segment_(state.next_segment),
      listed_(state),
      one_at_a_time_(owner.ready(), 1),
      unit_(directory.alignment()) {}

Task<absl::StatusOr<ManifestState>> Manifest::Read(Core& core, const StoreDirectory& directory) {
  const std::string path = directory.PathOf(kManifestName);
  const absl::StatusOr<std::vector<uint8_t>> bytes =
      co_await ReadWholeFile(core, path, kManifestBytesMax);
  if (absl::IsNotFound(bytes.status())) co_return ManifestState{};
  if (!bytes.ok()) co_return bytes.status();
  absl::StatusOr<ManifestState> state = ParseManifest(*bytes);
  if (!state.ok()) {
    co_return absl::Status(state.status().code(), directory.PathOf("") + MessageOf(state.status()));
  }
  if (state->ignored_tail_bytes != 0) {
    LogInfo("{}: ignored {} of an append that never finished", path,
            Counted(state->ignored_tail_bytes, "byte"));
  }
  co_return std::move(state);
}

Task<absl::StatusOr<std::unique_ptr<Manifest>>> Manifest::WriteFresh(
    Core& core, const StoreDirectory& directory, ManifestState state) {
  std::unique_ptr<Manifest> manifest(new Manifest(core, directory, state));
  std::vector<uint8_t> bytes = EncodeManifest(state);
  manifest->GoOnBehind(bytes);
  bytes.resize(manifest->size_bytes_);
  const std::string name(kManifestName);
  absl::Status status = co_await WriteWholeFile(core, directory.path(), name, bytes);
  if (ShortageOf(status) == Shortage::kSpace) {
    manifest->size_bytes_ = manifest->offset_bytes_;
    bytes.resize(manifest->size_bytes_);
    status = co_await WriteWholeFile(core, directory.path(), name, bytes);
  }
  if (status.ok()) {
    status = co_await manifest->OpenForAppends(directory.PathOf(name), manifest->file_);
  }
  if (!status.ok()) co_return status;
  co_return std::move(manifest);
}

// The next append is the first behind these sectors.
void Manifest::GoOnBehind(Bytes sectors) {
  index_ = static_cast<uint32_t>(sectors.size() / kSectorSize);
  const auto last = DecodeManifestSector(sectors.last(kSectorSize));
  PAKV_CHECK(last.has_value() && last->index + 1 == index_);
  chain_ = last->checksum;
  offset_bytes_ = RoundUp(sectors.size(), directory_.alignment());
  size_bytes_ = offset_bytes_ + kAheadUnits * directory_.alignment();
  rewrite_bytes_ = std::max(2 * offset_bytes_, offset_bytes_ + AppendsMaxBytes());
}

Task<absl::Status> Manifest::OpenForAppends(std::string path, File& file) {
  absl::StatusOr<File> opened = co_await OpenFile(owner_, path, O_RDWR | directory_.direct_flag());
  if (!opened.ok()) co_return opened.status();
  file = std::move(*opened);
  co_return absl::OkStatus();
}

// What the file says, in a new one. As long as that has not got the file's name the old one goes
// on; from there on an error leaves open which of them a restart finds, so nothing more is written,
// but for the shortage of a descriptor, see MakeNameLast.
Task<void> Manifest::Rewrite() {
  ManifestState state = InOrder();
  const std::string path = directory_.PathOf(kManifestName);
  const std::string tmp = path + ".tmp";
  std::vector<uint8_t> bytes;
  size_t length = 0;
  File fresh;
  absl::Status prepared = co_await WriteAfresh(state, bytes, length, fresh);
  if (prepared.ok()) {
    const IoResult renamed = co_await RenameFile(owner_.io(), tmp.c_str(), path.c_str());
    if (!renamed.ok()) prepared = IoError("rename", tmp, renamed);
    failed_ = !renamed.ok();
  }
  if (!prepared.ok()) {
    if (fresh.valid()) {
      const IoResult closed = co_await fresh.Close();
      if (!closed.ok()) LogDebug("{}", MessageOf(IoError("close", tmp, closed)));
    }
    if (failed_) {
      LogError("{}", MessageOf(prepared));
      co_return;
    }
    LogWarning("MANIFEST goes on growing: {}", MessageOf(prepared));
    // The next one overwrites what cannot be removed.
    const IoResult unlinked = co_await UnlinkFile(owner_.io(), tmp.c_str());
    if (!unlinked.ok()) LogDebug("{}", MessageOf(IoError("remove", tmp, unlinked)));
    rewrite_bytes_ = offset_bytes_ + AppendsMaxBytes();
    co_return;
  }
  File old = std::exchange(file_, std::move(fresh));
  listed_ = std::move(state);
  GoOnBehind(Bytes(bytes).first(length));
  size_bytes_ = bytes.size();
  name_is_new_ = true;
  PAKV_COVERED(kManifestRewritten);
  const IoResult closed = co_await old.Close();
  if (!closed.ok()) LogWarning("{}", MessageOf(IoError("close", path, closed)));
}

// The file that is to take MANIFEST's place, under another name, and open: what comes after the
// rename needs no further descriptor but the directory's.
Task<absl::Status> Manifest::WriteAfresh(ManifestState& state, std::vector<uint8_t>& bytes,
                                         size_t& length, File& fresh) {
  const std::string tmp = directory_.PathOf(kManifestName) + ".tmp";
  const absl::Status forgotten = co_await ForgetRemoved(state);
  if (!forgotten.ok()) co_return forgotten;
  bytes = EncodeManifest(state);
  length = bytes.size();
  bytes.resize(RoundUp(length, directory_.alignment()) + kAheadUnits * directory_.alignment());
  absl::Status written = co_await WriteSynced(owner_, tmp, bytes);
  if (ShortageOf(written) == Shortage::kSpace) {
    bytes.resize(RoundUp(length, directory_.alignment()));
    written = co_await WriteSynced(owner_, tmp, bytes);
  }
  if (!written.ok()) co_return written;
  co_return co_await OpenForAppends(tmp, fresh);
}

// Before the first append to a fresh file: a crash before this finds it or the old one, which say
// the same. If the directory cannot be opened that is so for a while longer: the append is refused,
// and tried again by whoever has asked for it.
Task<absl::Status> Manifest::MakeNameLast() {
  if (!name_is_new_ || PAKV_BUG(kManifestNameNotSynced)) co_return absl::OkStatus();
  const absl::Status status = co_await SyncNames(owner_, directory_.path());
  if (status.ok()) {
    name_is_new_ = false;
  } else if (ShortageOf(status) == Shortage::kDescriptors) {
    PAKV_COVERED(kManifestNameWaited);
  } else {
    failed_ = true;
  }
  co_return status;
}

// What is listed, in the order of creation; a number that was given away is not given again.
ManifestState Manifest::InOrder() const {
  ManifestState state = listed_;
  state.next_segment = next_segment_.load(std::memory_order_relaxed);
  std::vector<SegmentInfo*> in_order;
  in_order.reserve(state.segments.size());
  for (auto& [segment, info] : state.segments) in_order.push_back(&info);
  std::sort(in_order.begin(), in_order.end(),
            [](const auto* left, const auto* right) { return left->place < right->place; });
  auto place = static_cast<uint32_t>(state.dropped.size());
  for (SegmentInfo* info : in_order) info->place = place++;
  return state;
}

// A file that was dropped, and would come back at a crash, has to be known as such. Those that are
// gone stay away once the directory is synced.
Task<absl::Status> Manifest::ForgetRemoved(ManifestState& state) {
  const std::vector<uint32_t> dropped(state.dropped.begin(), state.dropped.end());
  for (const uint32_t segment : dropped) {
    FileStat stat;
    const std::string path = directory_.PathOf(SegmentName(segment));
    const IoResult found = co_await StatPath(owner_.io(), path.c_str(), stat);
    if (!found.ok() && found.error() == ENOENT) state.dropped.erase(segment);
  }
  co_return co_await SyncNames(owner_, directory_.path());
}

Task<absl::Status> Manifest::Append(Core& here, std::vector<ManifestEntry> entries) {
  if (&here == &owner_) co_return co_await AppendHere(std::move(entries));
  auto call = [this, moved = std::move(entries)](Core&) mutable {
    return AppendHere(std::move(moved));
  };
  co_return co_await here.CallTaskOn(owner_.id(), std::move(call));
}

Task<absl::Status> Manifest::AppendHere(std::vector<ManifestEntry> entries) {
  if (PAKV_BUG(kSegmentNotListed)) {
    std::erase_if(entries, [](const ManifestEntry& entry) {
      return entry.segment != 0 && entry.segment % 2 == 0;
    });
  }
  const bool acquired = co_await one_at_a_time_.Acquire();
  PAKV_CHECK(acquired);
  // Whoever writes a footer may learn too late that the segment is gone.
  std::erase_if(entries, [this](const ManifestEntry& entry) {
    return entry.type == ManifestEntry::Type::kFooter && !listed_.segments.contains(entry.segment);
  });
  absl::Status status;
  if (!entries.empty()) {
    if (!failed_ && offset_bytes_ >= rewrite_bytes_) co_await Rewrite();
    if (!failed_) status = co_await MakeNameLast();
    if (status.ok()) status = co_await AppendSector(entries);
    // What has begun is not tried again, whatever the system has called it.
    if (failed_ && ShortageOf(status) != Shortage::kNone) {
      status = absl::InternalError(MessageOf(status));
    }
  }
  one_at_a_time_.Release();
  co_return status;
}

Task<absl::Status> Manifest::AppendSector(const std::vector<ManifestEntry>& entries) {
  ManifestSector sector;
  for (const ManifestEntry& entry : entries) {
    PAKV_CHECK(sector.Add(entry), "the entries of one append fit one sector");
  }
  const std::string path = directory_.PathOf(kManifestName);
  if (failed_) co_return absl::InternalError(path + ": an earlier write failed");
  if (size_bytes_ - offset_bytes_ <= kAheadUnits / 2 * directory_.alignment()) {
    const absl::Status extended = co_await Extend();
    if (!extended.ok() && (failed_ || offset_bytes_ == size_bytes_)) co_return extended;
  }
  std::memset(unit_.data(), 0, directory_.alignment());
  const uint32_t checksum = sector.Encode(unit_.data(), run_, index_, chain_);
  const Bytes unit(unit_.data(), directory_.alignment());
  const absl::Status status =
      co_await WriteAll(file_, unit, offset_bytes_, directory_.transfer_unit(), true, path);
  if (!status.ok()) {
    failed_ = true;
    co_return status;
  }
  chain_ = checksum;
  ++index_;
  offset_bytes_ += unit.size();
  for (const ManifestEntry& entry : entries) {
    PAKV_CHECK(Apply(listed_, entry).empty(), "entries follow from one another");
  }
  if (changed_ != nullptr) changed_(changed_whom_);
  co_return status;
}

// On a full disk by one unit alone; if not even that has room nothing has begun: the append may be
// tried again. Asked before, as a write at the limit may be cut to what is no multiple of the unit.
Task<absl::Status> Manifest::Extend() {
  const uint64_t unit = directory_.alignment();
  const std::string path = directory_.PathOf(kManifestName);
  SpaceStat space;
  const IoResult asked = co_await AskSpace(owner_, directory_.path(), space);
  if (!asked.ok()) co_return IoError("ask for the space of", directory_.path(), asked);
  const uint64_t below_limit = space.file_bytes_max - std::min(space.file_bytes_max, size_bytes_);
  AlignedBuffer zeros(kAheadUnits * unit);
  std::memset(zeros.data(), 0, zeros.size());
  absl::Status written = IoError("extend", path, IoResult(below_limit < unit ? -EFBIG : -ENOSPC));
  for (const uint64_t bytes : {kAheadUnits * unit, unit}) {
    if (bytes > space.free_bytes || bytes > below_limit) continue;
    written = co_await WriteAll(file_, Bytes(zeros.data(), bytes), size_bytes_,
                                directory_.transfer_unit(), true, path);
    if (written.ok()) size_bytes_ += bytes;
    if (ShortageOf(written) != Shortage::kSpace) break;
  }
  failed_ = !written.ok() && ShortageOf(written) == Shortage::kNone;
  co_return written;
}

Task<void> Manifest::Close() {
  const bool acquired = co_await one_at_a_time_.Acquire();
  PAKV_CHECK(acquired);
  if (file_.valid()) {
    const IoResult closed = co_await file_.Close();
    if (!closed.ok()) {
      LogWarning("{}", MessageOf(IoError("close", directory_.PathOf(kManifestName), closed)));
    }
  }
  one_at_a_time_.Release();
}

}  // namespace pakv
