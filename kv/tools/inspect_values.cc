#include "kv/tools/inspect_values.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <set>
#include <vector>

#include "kv/log/format/format_value_file.h"
#include "runtime/base/crc32c.h"

namespace pakv {

void ValueFileInspector::See(const RecordFields& record) {
  if ((record.flags & kRecordDrop) != 0) {
    static_cast<void>(drops_.Note(record.namespace_id, record.lsn));
  }
  if (record.flags != kRecordFile) return;
  Reference& reference = references_[{record.namespace_id, std::string(record.key)}];
  if (reference.lsn > record.lsn) return;
  reference.lsn = record.lsn;
  reference.expiry_ms = record.expiry_ms;
  reference.bytes = record.value;
}

void ValueFileInspector::SeeClock(uint64_t expiry_clock_ms) {
  expiry_clock_ms_ = std::max(expiry_clock_ms_, expiry_clock_ms);
}

void ValueFileInspector::SeeAgain(const RecordFields& record) {
  const auto found = references_.find({record.namespace_id, std::string(record.key)});
  if (found != references_.end() && record.lsn > found->second.lsn) found->second.is_void = true;
}

uint64_t ValueFileInspector::Verify(bool log_is_damaged) {
  uint64_t bytes_read = 0;
  std::set<uint64_t> referred;
  for (const auto& [key, reference] : references_) {
    const bool is_dropped = reference.lsn <= drops_.Of(key.first);
    const bool is_over =
        reference.expiry_ms != kNoExpiry && reference.expiry_ms <= expiry_clock_ms_;
    if (reference.is_void || is_dropped || is_over) continue;
    bytes_read += VerifyFile(key.second, reference.bytes, log_is_damaged);
    if (const auto head = DecodeValueFileHead(reference.bytes)) referred.insert(head->file);
  }
  DIR* const directory = opendir(directory_.c_str());
  if (directory == nullptr) return bytes_read;
  std::vector<std::string> orphans;
  while (const dirent* entry = readdir(directory)) {
    const uint64_t file = ValueFileOfName(entry->d_name);
    if (file != 0 && !referred.contains(file)) orphans.emplace_back(entry->d_name);
  }
  closedir(directory);
  std::sort(orphans.begin(), orphans.end());
  const char* const what = log_is_damaged
                               ? "no key that is left refers to this value file; --salvage keeps it"
                               : "no key refers to this value file; a start removes it";
  for (const std::string& name : orphans) {
    report_(directory_ + "/" + name, 0, what, nullptr, /*is_damage=*/false);
  }
  return bytes_read;
}

uint64_t ValueFileInspector::VerifyFile(const std::string& key, std::string_view bytes,
                                        bool log_is_damaged) {
  const std::optional<ValueReference> reference = ValueReference::Decode(bytes);
  if (!reference) {
    report_(directory_, 0, "a reference to a value file that does not agree with itself", &key,
            /*is_damage=*/true);
    return 0;
  }
  const std::string path = directory_ + "/" + ValueFileName(reference->file());
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    std::string what = std::string("cannot open it: ") + std::strerror(errno);
    if (errno == ENOENT) {
      what = "missing, although the key's value lies in it";
      if (log_is_damaged) what += ", unless a newer one was in what is damaged";
    }
    report_(path, 0, what, &key, /*is_damage=*/true);
    return 0;
  }
  uint64_t offset = 0;
  std::vector<uint8_t> chunk(reference->chunk_bytes());
  for (uint32_t index = 0; index < reference->chunk_count(); ++index) {
    const uint32_t length = reference->ChunkLength(index);
    uint32_t done = 0;
    while (done < length) {
      const ssize_t got =
          pread(file, chunk.data() + done, length - done, static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) break;
      done += static_cast<uint32_t>(got);
    }
    if (done < length) {
      report_(path, offset + done, "shorter than its value, or not to be read", &key,
              /*is_damage=*/true);
      break;
    }
    if (Crc32c(0, chunk.data(), length) != reference->ChunkChecksum(index)) {
      report_(path, offset, "a chunk's checksum is wrong", &key, /*is_damage=*/true);
    }
    offset += length;
  }
  close(file);
  return offset;
}

}  // namespace pakv
