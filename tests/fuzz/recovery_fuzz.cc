// Recovery against hostile directories: a good one is damaged as the input says, byte by byte or
// field by field with checksums made right again, and opened in the simulated world. Opening ends,
// with a store or with an error that says what to do; a store serves only values that were written,
// and never for another key; and it opens once more.
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kv/log/format/format.h"
#include "kv/log/format/format_footer.h"
#include "kv/log/format/format_value_file.h"
#include "kv/shard/values/value_upload.h"
#include "kv/store/store.h"
#include "runtime/base/check.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/log.h"
#include "tests/kv/store/store_call.h"
#include "tests/sim/world/sim_node.h"
#include "tests/sim/world/sim_world.h"

namespace pakv {
namespace {

constexpr const char* kDirectory = "/data";
constexpr int kKeys = 12;
constexpr uint64_t kSegmentBytes = 16 << 10;
// Longer values lie in files of their own.
constexpr uint32_t kInlineBytesMax = 350;

using Files = std::vector<std::pair<std::string, std::string>>;

std::string KeyOf(int number) { return "key" + std::to_string(number); }
// Every value names its key, so that one that is served for another key shows.
std::string ValueOf(int number, int version) {
  return KeyOf(number) + "=" + std::string(static_cast<size_t>(version % 7) * 100, 'v');
}

StoreOptions Options(uint64_t run) {
  StoreOptions options;
  options.directory = kDirectory;
  options.segment_bytes = kSegmentBytes;
  options.accept_clock = true;
  options.footer_segment_bytes_min = 1;
  options.footers_of_any_size = true;
  options.inline_value_bytes_max = kInlineBytesMax;
  options.value_files.chunk_bytes = 4096;
  options.entropy.emplace();
  options.entropy->hash_seed = 7;
  options.entropy->run = run;
  return options;
}

Change LookFunction(const OldValue& old, Request& request) {
  request.reply.kind = !old.exists   ? Reply::Kind::kNull
                       : old.in_file ? Reply::Kind::kFile
                                     : Reply::Kind::kBytes;
  request.reply.bytes = old.value;
  return {};
}

Task<void> SetLarge(Store& store, Core& here, StoreCall& call, int number, std::string value) {
  ValueUpload upload(store.value_files(here));
  const Outcome begun = co_await upload.Begin(value.size());
  PAKV_CHECK(begun == Outcome::kDone);
  upload.Add(value);
  const Outcome finished = co_await upload.Finish();
  PAKV_CHECK(finished == Outcome::kDone);
  bool admitted = false;
  call.file_admitted = &admitted;
  co_await call.Update(SetFunction, OldState::kNothing, KeyOf(number),
                       std::string(upload.reference()));
  PAKV_CHECK(admitted);
  co_await upload.Close(admitted);
}

Task<void> Fill(Cores& cores, uint64_t run) {
  OpenReport report;
  auto opened = co_await Store::Open(cores, Options(run), report);
  PAKV_CHECK(opened.ok());
  std::unique_ptr<Store> store = std::move(*opened);
  Core& here = cores.core(0);
  for (int round = 0; round < 6; ++round) {
    for (int number = 0; number < kKeys; ++number) {
      StoreCall call(*store, here);
      const bool remove = (number + round) % 5 == 0;
      if (remove) {
        co_await call.Update(DeleteFunction, OldState::kExistence, KeyOf(number));
      } else if (ValueOf(number, round).size() > kInlineBytesMax) {
        co_await SetLarge(*store, here, call, number, ValueOf(number, round));
      } else {
        co_await call.Update(SetFunction, OldState::kNothing, KeyOf(number),
                             ValueOf(number, round));
      }
    }
  }
  if (run == 1) {
    const Outcome flushed = co_await store->Flush(here, kDefaultNamespace);
    PAKV_CHECK(flushed == Outcome::kDone);
  }
  const absl::Status stopped = co_await store->Stop();
  PAKV_CHECK(stopped.ok());
}

// The value of a key, read out of its file if it is in one; what is damaged is nothing.
Task<std::string> ReadValue(Store& store, Core& here, int number) {
  StoreCall call(store, here);
  co_await call.Read(LookFunction, OldState::kValueOrFile, KeyOf(number));
  if (call.outcome != Outcome::kDone || call.reply.kind == Reply::Kind::kNull) {
    co_return std::string();
  }
  std::string value(call.reply.bytes);
  if (call.reply.kind == Reply::Kind::kBytes) co_return value;
  const std::optional<ValueReference> reference = ValueReference::Decode(call.reply.bytes);
  PAKV_CHECK(reference.has_value(), "a reply that refers to nothing");
  value.clear();
  for (uint32_t index = 0; index < reference->chunk_count(); ++index) {
    const absl::StatusOr<ValueChunk> chunk =
        co_await store.value_files(here).ReadChunk(*reference, index);
    if (!chunk.ok()) {
      value.clear();
      break;
    }
    value.append(chunk->view());
  }
  store.ReleaseFile(here, call);
  co_return value;
}

// Whatever opens is sound: each key holds nothing or a value of its own, or says that it is
// damaged.
Task<void> OpenAndLook(Cores& cores, uint64_t run, bool& opened_well) {
  OpenReport report;
  auto opened = co_await Store::Open(cores, Options(run), report);
  opened_well = opened.ok();
  if (!opened.ok()) {
    PAKV_CHECK(!opened.status().message().empty(), "an error without a word");
    co_return;
  }
  std::unique_ptr<Store> store = std::move(*opened);
  Core& here = cores.core(0);
  for (int number = 0; number < kKeys; ++number) {
    const std::string value = co_await ReadValue(*store, here, number);
    if (value.empty()) continue;
    PAKV_CHECK(value.starts_with(KeyOf(number) + "="), "a value of another key");
  }
  const absl::Status stopped = co_await store->Stop();
  PAKV_CHECK(stopped.ok(), "a store that opened does not close");
}

// A directory that two runs, one with two cores, have filled.
const Files& GoodDirectory() {
  static const Files files = [] {
    LogOptions quiet;
    quiet.level = LogLevel::kError;
    InitLogging(quiet);
    SimWorld world(1);
    SimNode node(world, "10.0.0.1");
    for (uint64_t run = 1; run <= 2; ++run) {
      SimNodeOptions options;
      options.core_count = static_cast<uint32_t>(run);
      node.Start(options);
      PAKV_CHECK(node.Run(Fill(node.cores(), run)));
      node.Stop();
    }
    Files found;
    std::vector<std::string> names;
    PAKV_CHECK(node.disk().List(kDirectory, names) >= 0);
    for (const std::string& name : names) {
      const std::string path = std::string(kDirectory) + "/" + name;
      if (auto contents = node.disk().Contents(path.c_str())) found.emplace_back(path, *contents);
    }
    PAKV_CHECK(found.size() >= 4);
    return found;
  }();
  return files;
}

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  bool empty() const { return size_ == 0; }
  uint64_t Take(size_t bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes && size_ > 0; ++i, ++data_, --size_) value = value << 8 | *data_;
    return value;
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

// Changes one field of a block's header and makes its checksum right.
void ForgeHeader(std::string& file, uint64_t offset, uint64_t field, uint64_t value) {
  auto* bytes = reinterpret_cast<uint8_t*>(file.data());
  const auto decoded = DecodeBlockHeader(Bytes(bytes + offset, file.size() - offset));
  if (!decoded) return;
  BlockHeader header = decoded->header;
  const auto small = static_cast<uint32_t>(value);
  switch (field % 11) {
    case 0:
      header.run ^= value;
      break;
    case 1:
      header.log ^= small;
      break;
    case 2:
      header.sequence += value;
      break;
    case 3:
      header.known_durable += value;
      break;
    case 4:
      header.expiry_clock_ms += value;
      break;
    case 5:
      header.chain ^= small;
      break;
    case 6:
      header.body_checksum ^= small;
      break;
    case 7:
      header.record_count += small;
      break;
    case 8:
      header.zero_sectors += small;
      break;
    case 9:
      header.segment += small;
      break;
    case 10:
      header.length += (small % 64) * 512;
      break;
  }
  uint8_t forged[kBlockHeaderSize];
  // What no encoder writes is damage of the other kinds.
  if (header.run == 0 || header.known_durable >= header.sequence || header.length == 0 ||
      header.length % kSectorSize != 0) {
    return;
  }
  EncodeBlockHeader(forged, header);
  std::memcpy(bytes + offset, forged, sizeof(forged));
}

// Changes what a record says of itself, or refers to, and makes all checksums right.
void ForgeRecord(std::string& file, uint64_t offset, Input& input) {
  auto* bytes = reinterpret_cast<uint8_t*>(file.data());
  const auto decoded = DecodeBlockHeader(Bytes(bytes + offset, file.size() - offset));
  if (!decoded || decoded->header.length > file.size() - offset) return;
  BlockHeader header = decoded->header;
  BlockRecords records(Bytes(bytes + offset, header.length), header.record_count);
  const uint64_t wanted = input.Take(1) % 8;
  uint32_t body_checksum = 0;
  for (uint64_t index = 0; auto record = records.Next(); ++index) {
    uint8_t* at = bytes + offset + records.offset();
    uint32_t checksum = record->checksum;
    if (index == wanted) {
      // Expiry, namespace and flags lie behind checksum, length and LSN; a reference behind the
      // key.
      const bool refers = record->fields.flags == kRecordFile && input.Take(1) % 2 == 0;
      const uint64_t place =
          refers ? kRecordHeaderSize + record->fields.key.size() + input.Take(1) % 24
                 : 16 + input.Take(1) % 16;
      if (place >= record->length) return;
      at[place] ^= static_cast<uint8_t>(input.Take(1));
      checksum = Crc32c(0, at + 4, record->length - 4);
      std::memcpy(at, &checksum, sizeof(checksum));
    }
    body_checksum = BodyChecksum(body_checksum, checksum);
  }
  header.body_checksum = body_checksum;
  EncodeBlockHeader(bytes + offset, header);
}

// Changes a byte of a footer, wherever in the file it is, and makes its checksums right.
void ForgeFooter(std::string& file, Input& input) {
  auto* bytes = reinterpret_cast<uint8_t*>(file.data());
  for (size_t at = 0; at + kSectorSize <= file.size(); at += kSectorSize) {
    std::optional<FooterTrailer> trailer = DecodeFooterTrailer(Bytes(bytes + at, kSectorSize));
    if (!trailer || trailer->end_offset > at) continue;
    uint8_t* body = bytes + trailer->end_offset;
    const uint64_t body_bytes = at - trailer->end_offset;
    const uint64_t entries_bytes = trailer->entries_bytes;
    if (entries_bytes + trailer->filter_bytes > body_bytes) return;
    const uint64_t place = input.Take(2) % (body_bytes + 8 + 1);
    const auto change = static_cast<uint8_t>(input.Take(1));
    if (place < body_bytes) {
      body[place] ^= change;
    } else if (place % 2 == 0) {
      trailer->record_count += change;
    } else {
      trailer->entries_bytes -= std::min<uint32_t>(change, trailer->entries_bytes);
    }
    trailer->entries_checksum = Crc32c(0, body, trailer->entries_bytes);
    trailer->filter_checksum = Crc32c(0, body + trailer->entries_bytes, trailer->filter_bytes);
    EncodeFooterTrailer(bytes + at, *trailer);
    return;
  }
}

void Damage(Files& files, Input& input) {
  auto& [path, contents] = files[input.Take(1) % files.size()];
  if (contents.empty()) return;
  const uint64_t kind = input.Take(1) % 8;
  const uint64_t offset = input.Take(3) % contents.size();
  const uint64_t sector = offset / kSectorSize * kSectorSize;
  switch (kind) {
    case 0:
      contents[offset] = static_cast<char>(contents[offset] ^ static_cast<char>(input.Take(1)));
      break;
    case 1:
      contents.resize(offset);
      break;
    case 2:
      std::memset(contents.data() + sector, 0, std::min(kSectorSize, contents.size() - sector));
      break;
    case 3:
      ForgeHeader(contents, sector, input.Take(1), input.Take(2));
      break;
    case 4: {
      // A block in the place of another: right in itself, wrong where it lies.
      const uint64_t source = input.Take(3) % contents.size() / kSectorSize * kSectorSize;
      const uint64_t length =
          std::min<uint64_t>(kSectorSize, contents.size() - std::max(sector, source));
      std::memmove(contents.data() + sector, contents.data() + source, length);
      break;
    }
    case 6:
      ForgeFooter(contents, input);
      break;
    case 7:
      ForgeRecord(contents, sector, input);
      break;
    case 5:
      files.erase(files.begin() + static_cast<ptrdiff_t>(offset % files.size()));
      break;
  }
}

}  // namespace
}  // namespace pakv

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  pakv::Files files = pakv::GoodDirectory();
  pakv::Input input(data, size);
  const auto cores = static_cast<uint32_t>(1 + input.Take(1) % 3);
  while (!input.empty() && !files.empty()) pakv::Damage(files, input);

  pakv::SimWorld world(2);
  pakv::SimNode node(world, "10.0.0.1");
  node.disk().MakeDirectories(pakv::kDirectory);
  for (const auto& [path, contents] : files) node.disk().Put(path.c_str(), contents);
  bool opened_before = false;
  for (uint64_t run = 3; run <= 4; ++run) {
    pakv::SimNodeOptions options;
    options.core_count = cores;
    node.Start(options);
    bool opened = false;
    PAKV_CHECK(node.Run(pakv::OpenAndLook(node.cores(), run, opened)), "opening does not end");
    PAKV_CHECK(opened || !opened_before, "a store that opened does not open again");
    opened_before = opened;
    // What a refused start leaves open, its process takes along.
    node.Crash(pakv::CrashKind::kProcessKill);
  }
  return 0;
}
