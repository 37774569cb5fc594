// Long because: what the files of a directory say of each other is checked by one object, which
// reads each of them once.
#include "kv/tools/inspect.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "kv/log/files/file_io.h"
#include "kv/log/files/store_directory.h"
#include "kv/log/format/format_damage.h"
#include "kv/log/format/format_footer.h"
#include "kv/log/format/key_filter.h"
#include "kv/log/format/key_hash.h"
#include "kv/log/read/judge.h"
#include "kv/tools/inspect_values.h"

namespace pakv {
namespace {

using Buffer = std::vector<uint8_t>;

class OpenDescriptor {
 public:
  OpenDescriptor(const std::string& path, int flags) : number_(open(path.c_str(), flags)) {}
  OpenDescriptor(const OpenDescriptor&) = delete;
  OpenDescriptor& operator=(const OpenDescriptor&) = delete;
  ~OpenDescriptor() {
    if (number_ >= 0) close(number_);
  }
  int number() const { return number_; }

 private:
  const int number_;
};

absl::Status SystemError(std::string_view operation, const std::string& path) {
  return IoError(operation, path, IoResult(-errno));
}

// `length` bytes from `offset` on, fewer at the file's end. kNotFound: there is no such file.
absl::StatusOr<Buffer> ReadPart(const std::string& path, uint64_t offset, uint64_t length) {
  const OpenDescriptor file(path, O_RDONLY | O_CLOEXEC);
  if (file.number() < 0) return SystemError("open", path);
  Buffer bytes(length);
  uint64_t done = 0;
  while (done < length) {
    const ssize_t got =
        pread(file.number(), bytes.data() + done, length - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SystemError("read", path);
    if (got == 0) break;
    done += static_cast<uint64_t>(got);
  }
  bytes.resize(done);
  return bytes;
}

absl::StatusOr<Buffer> ReadFile(const std::string& path) {
  struct stat facts{};
  if (stat(path.c_str(), &facts) != 0) return SystemError("stat", path);
  return ReadPart(path, 0, static_cast<uint64_t>(facts.st_size));
}

std::optional<uint64_t> SizeOf(const std::string& path) {
  struct stat facts{};
  if (stat(path.c_str(), &facts) != 0) return std::nullopt;
  return static_cast<uint64_t>(facts.st_size);
}

class Inspector {
 public:
  Inspector(std::string path, InspectDepth depth)
      : path_(std::move(path)),
        depth_(depth),
        values_(path_, [this](const std::string& file, uint64_t offset, const std::string& what,
                              const std::string* key, bool is_damage) {
          Find(file, offset, what, key == nullptr ? std::nullopt : std::optional(*key));
          found_.findings.back().is_damage = is_damage;
        }) {}

  absl::StatusOr<Inspection> Run() {
    const OpenDescriptor lock(PathOf("LOCK"), O_RDONLY | O_CLOEXEC);
    if (lock.number() >= 0 && flock(lock.number(), LOCK_SH | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return SystemError("lock", PathOf("LOCK"));
      return absl::UnavailableError(path_ + ": locked; a pakvd uses this directory, stop it first");
    }
    absl::Status status = ReadIdentity();
    if (status.ok()) status = ReadManifest();
    if (status.ok()) status = ReadSegments();
    for (const uint32_t id : nameless_) {
      Find(PathOf("MANIFEST"), 0,
           "has no name for namespace " + std::to_string(id) + ", in which there are keys");
    }
    if (status.ok() && depth_ == InspectDepth::kVerify) status = VerifyValueFiles();
    if (!status.ok()) return status;
    return std::move(found_);
  }

 private:
  std::string PathOf(const std::string& name) const { return path_ + "/" + name; }
  std::string SegmentPath(uint32_t segment) const { return PathOf(SegmentName(segment)); }

  void Find(const std::string& file, uint64_t offset, std::string what,
            std::optional<std::string> key = std::nullopt) {
    found_.findings.push_back(
        {.file = file, .offset = offset, .key = std::move(key), .what = std::move(what)});
  }
  void Note(const std::string& file, uint64_t offset, std::string what) {
    Find(file, offset, std::move(what));
    found_.findings.back().is_damage = false;
  }

  absl::Status ReadIdentity() {
    const std::string path = PathOf("IDENTITY");
    const absl::StatusOr<Buffer> bytes = ReadFile(path);
    if (absl::IsNotFound(bytes.status())) {
      return absl::FailedPreconditionError(path_ + ": no pakv data directory (it has no IDENTITY)");
    }
    if (!bytes.ok()) return bytes.status();
    const DecodedIdentity decoded = DecodeIdentity(*bytes);
    if (decoded.verdict == IdentityVerdict::kDamaged) {
      return Damaged(path, 0, "not an IDENTITY of pakv, or its checksum is wrong");
    }
    if (decoded.verdict == IdentityVerdict::kNewer) {
      return absl::FailedPreconditionError(path + ": written by a newer pakvd (format " +
                                           std::to_string(decoded.format) + ")");
    }
    found_.identity = decoded.identity;
    return absl::OkStatus();
  }

  absl::Status ReadManifest() {
    const std::string path = PathOf("MANIFEST");
    const absl::StatusOr<Buffer> bytes = ReadFile(path);
    if (absl::IsNotFound(bytes.status())) {
      return CheckUnlisted();  // a first start that died early
    }
    if (!bytes.ok()) return bytes.status();
    ManifestState state;
    if (const std::optional<ManifestDamage> damage = DecodeManifest(*bytes, state)) {
      Find(path, damage->offset, std::string(damage->what));
      return CheckUnlisted();
    }
    state_ = std::move(state);
    found_.run_counter = state_.run_counter;
    found_.lsn_max = state_.lsn_max;
    if (state_.ignored_tail_bytes != 0) {
      Note(path, bytes->size() - state_.ignored_tail_bytes, "an append that never finished");
    }
    return CheckUnlisted();
  }

  absl::Status CheckUnlisted() {
    DIR* directory = opendir(path_.c_str());
    if (directory == nullptr) return SystemError("list directory", path_);
    std::vector<uint32_t> unlisted;
    while (const dirent* entry = readdir(directory)) {
      const uint32_t segment = SegmentOfName(entry->d_name);
      if (segment == 0 || state_.segments.contains(segment)) continue;
      if (!state_.dropped.contains(segment)) unlisted.push_back(segment);
    }
    closedir(directory);
    std::sort(unlisted.begin(), unlisted.end());
    if (state_.run == 0) {
      if (!unlisted.empty() && found_.findings.empty()) {
        Find(PathOf("MANIFEST"), 0, "missing, although there are segments");
      }
      loose_ = std::move(unlisted);
      return absl::OkStatus();
    }
    for (const uint32_t segment : unlisted) {
      const absl::StatusOr<Buffer> sector = ReadPart(SegmentPath(segment), 0, kSectorSize);
      if (!sector.ok()) return sector.status();
      if (StartsWithBlockOf(*sector, state_.run, segment)) {
        Find(SegmentPath(segment), 0, "a segment that is in use and not in MANIFEST");
      }
    }
    return absl::OkStatus();
  }

  absl::Status ReadSegments() {
    std::vector<const SegmentInfo*> infos;
    infos.reserve(state_.segments.size());
    for (const auto& [segment, info] : state_.segments) infos.push_back(&info);
    std::sort(infos.begin(), infos.end(), [](const SegmentInfo* left, const SegmentInfo* right) {
      return std::tuple(left->run, left->log, left->first_sequence, left->place) <
             std::tuple(right->run, right->log, right->first_sequence, right->place);
    });
    size_t begin = 0;
    while (begin < infos.size()) {
      size_t end = begin + 1;
      const SegmentInfo& first = *infos[begin];
      while (!first.sealed_end && end < infos.size() && infos[end]->run == first.run &&
             infos[end]->log == first.log) {
        ++end;
      }
      for (size_t i = begin; i < end; ++i) List(*infos[i]);
      if (depth_ == InspectDepth::kVerify) {
        const std::vector<const SegmentInfo*> unit(infos.begin() + static_cast<ptrdiff_t>(begin),
                                                   infos.begin() + static_cast<ptrdiff_t>(end));
        absl::Status status;
        if (first.sealed_end) {
          status = VerifySealed(first, found_.segments.back());
        } else {
          status = VerifyTail(unit);
        }
        if (!status.ok()) return status;
      }
      begin = end;
    }
    for (const uint32_t segment : loose_) {
      absl::Status status = ReadLoose(segment);
      if (!status.ok()) return status;
    }
    std::sort(found_.segments.begin(), found_.segments.end(),
              [](const InspectedSegment& left, const InspectedSegment& right) {
                return left.info.segment < right.info.segment;
              });
    return absl::OkStatus();
  }

  void List(const SegmentInfo& info) {
    InspectedSegment& segment = found_.segments.emplace_back();
    segment.info = info;
    segment.file_bytes = SizeOf(SegmentPath(info.segment));
    if (!info.sealed_end || info.footer_bytes == 0) return;
    const absl::StatusOr<Buffer> bytes =
        ReadPart(SegmentPath(info.segment), *info.sealed_end, info.footer_bytes);
    if (!bytes.ok() || bytes->size() != info.footer_bytes) return;
    const std::optional<DecodedFooter> footer = DecodeFooter(*bytes);
    if (!footer || !Belongs(footer->trailer, info)) return;
    FooterCheck check(*footer);
    while (!check.Advance(UINT32_MAX)) {
    }
    segment.footer_is_right = check.right();
    if (!check.right()) return;
    segment.records = footer->trailer.record_count;
    segment.blocks = footer->trailer.block_count;
  }

  static bool Belongs(const FooterTrailer& trailer, const SegmentInfo& info) {
    return trailer.run == info.run && trailer.log == info.log && trailer.segment == info.segment &&
           trailer.end_offset == *info.sealed_end;
  }

  // Nothing, with a finding, if the file is absent or too short.
  absl::StatusOr<std::optional<Buffer>> ReadBlocks(const SegmentInfo& info) {
    const std::string path = SegmentPath(info.segment);
    const uint64_t wanted = info.sealed_end.value_or(info.size);
    absl::StatusOr<Buffer> bytes = ReadPart(path, 0, wanted);
    if (absl::IsNotFound(bytes.status())) {
      Find(path, 0, "missing, although MANIFEST lists it");
      return std::optional<Buffer>();
    }
    if (!bytes.ok()) return bytes.status();
    found_.bytes_read += bytes->size();
    if (bytes->size() < wanted) {
      Find(path, bytes->size(), "shorter than MANIFEST says");
      return std::optional<Buffer>();
    }
    return std::optional<Buffer>(std::move(*bytes));
  }

  // ---- Not listed, as MANIFEST is lost: what a start with --salvage makes of it ----

  absl::Status ReadLoose(uint32_t segment) {
    const std::string path = SegmentPath(segment);
    const absl::StatusOr<Buffer> read =
        depth_ == InspectDepth::kVerify ? ReadFile(path) : ReadPart(path, 0, kSectorSize);
    if (!read.ok()) return read.status();
    const Bytes bytes = *read;
    InspectedSegment& listed = found_.segments.emplace_back();
    listed.is_listed = false;
    listed.info.segment = segment;
    listed.file_bytes = SizeOf(path);
    listed.info.size = listed.file_bytes.value_or(0);
    if (const std::optional<DecodedBlockHeader> first = DecodeBlockHeader(bytes)) {
      listed.info.run = first->header.run;
      listed.info.log = first->header.log;
      listed.info.first_sequence = first->header.sequence;
    }
    if (depth_ != InspectDepth::kVerify) return absl::OkStatus();
    found_.bytes_read += bytes.size();
    const SalvagedSegment salvaged = SalvageSegment(bytes, segment, std::nullopt, std::nullopt);
    listed.records = salvaged.records.size();
    for (const DamagedPlace& place : salvaged.places) FindPlace(path, place);
    SeeSalvaged(salvaged);
    return absl::OkStatus();
  }

  void FindPlace(const std::string& path, const DamagedPlace& place) {
    Find(path, place.offset, place.what,
         place.key.empty() ? std::nullopt : std::optional(place.key));
  }

  // ---- Sealed: every block up to the end, and what lies behind damage too ----

  absl::Status VerifySealed(const SegmentInfo& info, InspectedSegment& segment) {
    const absl::StatusOr<std::optional<Buffer>> read = ReadBlocks(info);
    if (!read.ok()) return read.status();
    if (!*read) return SeeWhatIsLeft(info);
    const Bytes bytes = **read;
    const std::string path = SegmentPath(info.segment);
    const size_t findings_before = found_.findings.size();
    segment.blocks = 0;
    segment.records = 0;
    bool follows = true;  // sequence and chain of the block expected next are known
    uint64_t sequence = info.first_sequence;
    uint32_t chain = info.first_chain;
    std::vector<std::pair<uint64_t, BlockHeader>> blocks;
    uint64_t offset = 0;
    while (offset < bytes.size()) {
      const std::optional<DecodedBlockHeader> decoded = HeaderAt(info, bytes, offset);
      const char* wrong = nullptr;
      if (!decoded) {
        wrong = "no block header where one has to be";
      } else if (follows && decoded->header.sequence != sequence) {
        wrong = "a block out of sequence";
      } else if (follows && decoded->header.chain != chain) {
        wrong = "a block that does not continue the chain";
      }
      if (wrong != nullptr) Find(path, offset, wrong);
      if (!decoded) {
        // On with the next block that can be told: what comes before it is lost.
        follows = false;
        do {
          offset += kSectorSize;
        } while (offset < bytes.size() && !HeaderAt(info, bytes, offset));
        continue;
      }
      const Bytes block = bytes.subspan(offset, decoded->header.length);
      ++*segment.blocks;
      if (BlockBodyRight(block, decoded->header)) {
        blocks.emplace_back(offset, decoded->header);
        SeeRecords(block, decoded->header);
        *segment.records += decoded->header.record_count;
      } else {
        FindInBody(path, offset, block, decoded->header);
      }
      follows = true;
      sequence = decoded->header.sequence + 1;
      chain = decoded->checksum;
      offset += block.size();
    }
    // Of damaged blocks, too: what refers to value files, and what replaces that.
    if (found_.findings.size() > findings_before) {
      SeeSalvaged(SalvageSegment(bytes, info.segment, info.run, info.sealed_end));
    }
    return VerifyFooter(info, bytes, blocks, segment);
  }

  static std::optional<DecodedBlockHeader> HeaderAt(const SegmentInfo& info, Bytes bytes,
                                                    uint64_t offset) {
    const std::optional<DecodedBlockHeader> decoded = DecodeBlockHeader(bytes.subspan(offset));
    if (!decoded) return std::nullopt;
    const BlockHeader& header = decoded->header;
    if (header.run != info.run || header.log != info.log || header.segment != info.segment ||
        header.offset != offset || header.length > bytes.size() - offset) {
      return std::nullopt;
    }
    return decoded;
  }

  // Which record of the block it is.
  void FindInBody(const std::string& path, uint64_t offset, Bytes block,
                  const BlockHeader& header) {
    BlockRecords records(block, header.record_count);
    uint64_t end = kBlockHeaderSize;
    while (const std::optional<Record> record = records.Next()) {
      end = records.offset() + record->length;
    }
    if (!records.damaged()) {
      Find(path, offset, "a block's body is damaged");
      return;
    }
    std::optional<std::string> key;
    if (const auto guess = KeyOfDamagedRecord(block.subspan(end))) key = std::string(*guess);
    Find(path, offset + end, "a record is damaged", std::move(key));
  }

  absl::Status VerifyFooter(const SegmentInfo& info, Bytes bytes,
                            const std::vector<std::pair<uint64_t, BlockHeader>>& blocks,
                            InspectedSegment& segment) {
    if (info.footer_bytes == 0) return absl::OkStatus();
    const std::string path = SegmentPath(info.segment);
    if (!segment.footer_is_right) {
      Find(path, *info.sealed_end,
           "the segment's footer is damaged; a start reads the whole segment");
      return absl::OkStatus();
    }
    const absl::StatusOr<Buffer> read = ReadPart(path, *info.sealed_end, info.footer_bytes);
    if (!read.ok()) return read.status();
    found_.bytes_read += read->size();
    const std::optional<DecodedFooter> footer = DecodeFooter(*read);
    if (!footer) return Damaged(path, *info.sealed_end, "the footer changed while it was read");
    FooterEntriesReader entries(footer->entries, *info.sealed_end);
    std::optional<FooterEntriesReader::Found> entry = entries.Next();
    for (const auto& [offset, header] : blocks) {
      BlockRecords records(bytes.subspan(offset, header.length), header.record_count);
      while (const std::optional<Record> record = records.Next()) {
        const uint64_t at = offset + records.offset();
        while (entry && entry->offset < at) entry = entries.Next();
        const RecordFields& fields = record->fields;
        const bool same = entry && entry->offset == at && entry->length == record->length &&
                          entry->fields.lsn == fields.lsn && entry->fields.key == fields.key &&
                          entry->fields.flags == fields.flags &&
                          entry->fields.expiry_ms == fields.expiry_ms &&
                          entry->fields.namespace_id == fields.namespace_id;
        if (!same) {
          Find(path, at, "the segment's footer does not say what this record says",
               std::string(fields.key));
        } else if (HoldsValue(fields.flags) &&
                   !KeyFilterMayContain(footer->filter, KeyHash(found_.identity.hash_seed,
                                                                fields.namespace_id, fields.key))) {
          Find(path, at, "the footer's filter does not know this key", std::string(fields.key));
        }
      }
    }
    return absl::OkStatus();
  }

  // ---- Not sealed: judged as a start would ----

  absl::Status VerifyTail(const std::vector<const SegmentInfo*>& infos) {
    std::vector<Buffer> contents;
    for (const SegmentInfo* info : infos) {
      absl::StatusOr<std::optional<Buffer>> read = ReadBlocks(*info);
      if (!read.ok()) return read.status();
      if (!*read) {
        for (const SegmentInfo* each : infos) {
          absl::Status status = SeeWhatIsLeft(*each);
          if (!status.ok()) return status;
        }
        return absl::OkStatus();
      }
      contents.push_back(std::move(**read));
    }
    std::vector<JudgedSegment> segments;
    segments.reserve(infos.size());
    for (size_t i = 0; i < infos.size(); ++i) {
      segments.push_back({.segment = infos[i]->segment,
                          .first_sequence = infos[i]->first_sequence,
                          .first_chain = infos[i]->first_chain,
                          .sealed_end = infos[i]->sealed_end,
                          .bytes = contents[i]});
    }
    struct Visitor : BlockVisitor {
      explicit Visitor(Inspector& inspector_in) : inspector(inspector_in) {}
      void OnBlock(const JudgedSegment&, const BlockHeader& header, Bytes block) override {
        inspector.SeeRecords(block, header);
      }
      Inspector& inspector;
    } visitor(*this);
    const Judgement judgement =
        JudgeLog({.run = infos[0]->run, .log = infos[0]->log, .segments = segments}, &visitor);
    const std::string path = SegmentPath(judgement.segment);
    if (judgement.outcome == Judgement::Outcome::kCorrupt) {
      Find(path, judgement.offset, std::string(judgement.reason));
      FindBehind(judgement, infos, contents);
    } else if (judgement.outcome == Judgement::Outcome::kTorn) {
      Note(path, judgement.offset,
           std::string(judgement.reason) +
               ": the log is torn here; a start cuts it off, nothing behind was acknowledged");
    }
    for (size_t i = 0; i < judgement.ends.size(); ++i) {
      ends_[infos[i]->segment] = judgement.ends[i].end;
    }
    return absl::OkStatus();
  }

  // A start with --salvage gets back what is right of the rest of such a log: what is not.
  void FindBehind(const Judgement& judgement, const std::vector<const SegmentInfo*>& infos,
                  const std::vector<Buffer>& contents) {
    size_t i = 0;
    while (infos[i]->segment != judgement.segment) ++i;
    for (const size_t first = i; i < infos.size(); ++i) {
      const uint32_t segment = infos[i]->segment;
      const SalvagedSegment salvaged =
          SalvageSegment(contents[i], segment, infos[i]->run, std::nullopt);
      for (const DamagedPlace& place : salvaged.places) {
        if (i == first && place.offset == judgement.offset) continue;  // it stands there already
        FindPlace(SegmentPath(segment), place);
      }
      SeeSalvaged(salvaged);
    }
  }

  // ---- Value files ----

  void SeeRecords(Bytes block, const BlockHeader& header) {
    values_.SeeClock(header.expiry_clock_ms);
    BlockRecords records(block, header.record_count);
    while (const std::optional<Record> record = records.Next()) See(record->fields);
  }

  void SeeSalvaged(const SalvagedSegment& salvaged) {
    values_.SeeClock(salvaged.expiry_clock_ms);
    for (const Record& record : salvaged.records) See(record.fields);
  }

  void See(const RecordFields& fields) {
    if (seen_) return values_.SeeAgain(fields);
    values_.See(fields);
    const uint32_t id = fields.namespace_id;
    if (state_.run != 0 && id >= state_.next_namespace && id != kEveryNamespace) {
      nameless_.insert(id);
    }
  }

  // The records of a listed segment, whatever is wrong with it, but none that a start cuts off.
  absl::Status SeeWhatIsLeft(const SegmentInfo& info) {
    const auto end = ends_.find(info.segment);
    const uint64_t length = end != ends_.end() ? end->second : info.sealed_end.value_or(info.size);
    const absl::StatusOr<Buffer> bytes = ReadPart(SegmentPath(info.segment), 0, length);
    if (absl::IsNotFound(bytes.status())) return absl::OkStatus();
    if (!bytes.ok()) return bytes.status();
    found_.bytes_read += bytes->size();
    SeeSalvaged(SalvageSegment(*bytes, info.segment, info.run, std::nullopt));
    return absl::OkStatus();
  }

  absl::Status VerifyValueFiles() {
    const bool log_is_damaged = found_.damaged();
    values_.SeeClock(state_.expiry_clock_ms);
    seen_ = true;
    if (values_.needs_second_pass()) {
      for (const auto& [segment, info] : state_.segments) {
        absl::Status status = SeeWhatIsLeft(info);
        if (!status.ok()) return status;
      }
      for (const uint32_t segment : loose_) {
        const absl::StatusOr<Buffer> bytes = ReadFile(SegmentPath(segment));
        if (!bytes.ok()) return bytes.status();
        found_.bytes_read += bytes->size();
        SeeSalvaged(SalvageSegment(*bytes, segment, std::nullopt, std::nullopt));
      }
    }
    found_.bytes_read += values_.Verify(log_is_damaged);
    return absl::OkStatus();
  }

  const std::string path_;
  const InspectDepth depth_;
  ValueFileInspector values_;
  bool seen_ = false;  // all records once
  ManifestState state_;
  std::vector<uint32_t> loose_;        // segments, where no MANIFEST says which count
  std::map<uint32_t, uint64_t> ends_;  // where a start cuts off segments that are not sealed
  std::set<uint32_t> nameless_;        // namespaces of records
  Inspection found_;
};

}  // namespace

bool Inspection::damaged() const {
  return std::any_of(findings.begin(), findings.end(),
                     [](const InspectFinding& finding) { return finding.is_damage; });
}

absl::StatusOr<Inspection> InspectDirectory(const std::string& path, InspectDepth depth) {
  struct stat facts{};
  if (stat(path.c_str(), &facts) != 0) return SystemError("open directory", path);
  return Inspector(path, depth).Run();
}

}  // namespace pakv
