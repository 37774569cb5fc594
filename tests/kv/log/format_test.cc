// kv/log/format against docs/format.md, whose vectors are read from the text itself: document and
// code cannot part. Then the same bytes are cut at every byte and have every bit flipped: whatever
// is not exactly right is not read.
//
// Long because: each structure on disk has its vectors and its mutations, which share their making.
#include "kv/log/format/format.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kv/log/files/manifest.h"
#include "kv/log/format/block_builder.h"
#include "kv/log/format/format_footer.h"
#include "kv/log/format/format_value_file.h"
#include "kv/log/format/key_filter.h"
#include "kv/log/format/key_hash.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/prng.h"

namespace pakv {
namespace {

using Buffer = std::vector<uint8_t>;

constexpr uint64_t kRun = 0x0123456789abcdef;
constexpr uint64_t kTick = 1'011'916'800'000'000;

// The vectors of docs/format.md by name.
const std::map<std::string, Buffer>& Vectors() {
  static const std::map<std::string, Buffer> vectors = [] {
    std::map<std::string, Buffer> all;
    std::ifstream file(std::string(PAKV_SOURCE_ROOT) + "/docs/format.md");
    std::string line;
    std::string name;
    while (std::getline(file, line)) {
      if (line.starts_with("```hex ")) {
        name = line.substr(7);
      } else if (line == "```") {
        name.clear();
      } else if (!name.empty() && line.starts_with("zeros ")) {
        Buffer& bytes = all[name];
        bytes.resize(bytes.size() + std::stoul(line.substr(6)));
      } else if (!name.empty()) {
        for (size_t i = 0; i + 1 < line.size(); i += 2) {
          all[name].push_back(static_cast<uint8_t>(std::stoul(line.substr(i, 2), nullptr, 16)));
        }
      }
    }
    return all;
  }();
  return vectors;
}

const Buffer& Vector(const std::string& name) {
  const auto found = Vectors().find(name);
  EXPECT_NE(found, Vectors().end()) << name;
  static const Buffer none;
  return found == Vectors().end() ? none : found->second;
}

Buffer Encoded(const RecordFields& fields) {
  Buffer bytes(EncodedRecordSize(fields.key, fields.value));
  EncodeRecord(bytes.data(), fields);
  return bytes;
}

std::vector<RecordFields> FourRecords() {
  return {
      {.lsn = MakeLsn(kTick, 0), .key = "key", .value = "value"},
      {.lsn = MakeLsn(kTick + 1, 3),
       .expiry_ms = 1'767'225'600'000,
       .namespace_id = 7,
       .value = std::string_view("\x00\xff\r\n", 4)},
      {.lsn = MakeLsn(kTick + 2, 255), .flags = kRecordDelete, .key = "key"},
      {.lsn = MakeLsn(kTick + 3, 0), .namespace_id = 7, .flags = kRecordDrop},
  };
}

void ExpectSame(const RecordFields& read, const RecordFields& written) {
  EXPECT_EQ(read.lsn, written.lsn);
  EXPECT_EQ(read.expiry_ms, written.expiry_ms);
  EXPECT_EQ(read.namespace_id, written.namespace_id);
  EXPECT_EQ(read.flags, written.flags);
  EXPECT_EQ(read.key, written.key);
  EXPECT_EQ(read.value, written.value);
}

// Memory for a block, 512-aligned like a real one, filled with rubbish first.
struct BlockMemory {
  explicit BlockMemory(size_t bytes) : data(bytes, 0xa5) {}
  std::span<uint8_t> span() { return data; }
  Buffer data;
};

Buffer FirstBlock() {
  BlockMemory memory(1024);
  BlockBuilder builder(memory.span(), 512);
  for (const RecordFields& fields : FourRecords()) builder.Append(fields);
  const auto sealed = builder.Seal(
      {.run = kRun, .log = 2, .segment = 5, .sequence = 1, .expiry_clock_ms = 1'735'689'600'000});
  return Buffer(sealed.bytes.begin(), sealed.bytes.end());
}

TEST(FormatVectorTest, RecordsMatchTheDocument) {
  const char* names[] = {"record-plain", "record-expiry", "record-delete", "record-drop"};
  const std::vector<RecordFields> records = FourRecords();
  for (size_t i = 0; i < records.size(); ++i) {
    EXPECT_EQ(Encoded(records[i]), Vector(names[i])) << names[i];
    const auto decoded = DecodeRecord(Vector(names[i]));
    ASSERT_TRUE(decoded) << names[i];
    ExpectSame(decoded->fields, records[i]);
    EXPECT_EQ(decoded->length, Vector(names[i]).size());
  }
}

TEST(FormatVectorTest, ADropOfAllMatchesTheDocument) {
  const RecordFields drop{
      .lsn = MakeLsn(kTick + 4, 1), .namespace_id = kEveryNamespace, .flags = kRecordDrop};
  EXPECT_EQ(Encoded(drop), Vector("record-drop-all"));
  const auto decoded = DecodeRecord(Vector("record-drop-all"));
  ASSERT_TRUE(decoded);
  ExpectSame(decoded->fields, drop);
}

TEST(FormatVectorTest, ReferenceToAValueFileMatchesTheDocument) {
  std::string value;
  for (int i = 0; i < 512; ++i) value.push_back(static_cast<char>(i));
  value += "tail";
  const uint32_t checksums[] = {Crc32c(0, value.data(), 512), Crc32c(0, value.data() + 512, 4)};
  const std::string reference =
      EncodeValueReference({.file = 0x300000007, .length = value.size()}, 512, checksums);
  const Buffer record = Encoded(
      {.lsn = MakeLsn(kTick + 5, 1), .flags = kRecordFile, .key = "big", .value = reference});
  EXPECT_EQ(record, Vector("record-value-file"));
  const auto decoded = DecodeRecord(Vector("record-value-file"));
  ASSERT_TRUE(decoded);
  const auto read = ValueReference::Decode(decoded->fields.value);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->file(), 0x300000007u);
  EXPECT_EQ(read->length(), 516u);
  EXPECT_EQ(read->ChunkLength(1), 4u);
  EXPECT_EQ(read->ChunkChecksum(0), checksums[0]);
}

TEST(FormatVectorTest, BlocksMatchTheDocument) {
  EXPECT_EQ(FirstBlock(), Vector("block-1"));
  const auto first = DecodeBlockHeader(Vector("block-1"));
  ASSERT_TRUE(first);

  BlockMemory memory(8192);
  const std::string zeros(1500, '\0');
  BlockBuilder second(memory.span(), 4096);
  second.Append({.lsn = MakeLsn(kTick + 4, 2), .key = "zeros", .value = zeros});
  const auto sealed = second.Seal({.run = kRun,
                                   .log = 2,
                                   .segment = 5,
                                   .offset = 512,
                                   .sequence = 2,
                                   .known_durable = 1,
                                   .expiry_clock_ms = 1'735'689'600'001,
                                   .chain = first->checksum});
  EXPECT_EQ(Buffer(sealed.bytes.begin(), sealed.bytes.end()), Vector("block-2"));
  const auto header = DecodeBlockHeader(Vector("block-2"));
  ASSERT_TRUE(header);
  EXPECT_EQ(header->header.zero_sectors, 7u);
  EXPECT_EQ(header->header.record_count, 1u);
  EXPECT_TRUE(BlockBodyRight(Vector("block-2"), header->header));

  BlockMemory mark_memory(512);
  BlockBuilder mark(mark_memory.span(), 512);
  const auto sealed_mark = mark.Seal({.run = kRun,
                                      .log = 2,
                                      .segment = 6,
                                      .sequence = 3,
                                      .known_durable = 2,
                                      .expiry_clock_ms = 1'735'689'600'002,
                                      .chain = sealed.checksum});
  EXPECT_EQ(Buffer(sealed_mark.bytes.begin(), sealed_mark.bytes.end()), Vector("block-mark"));
}

TEST(FormatVectorTest, IdentityMatchesTheDocument) {
  Identity identity;
  for (uint8_t i = 0; i < 16; ++i) identity.store_id[i] = i;
  identity.hash_seed = 0xfeedfacecafebeef;
  Buffer bytes(kIdentitySize);
  EncodeIdentity(bytes.data(), identity);
  EXPECT_EQ(bytes, Vector("identity"));
  const DecodedIdentity decoded = DecodeIdentity(bytes);
  EXPECT_EQ(decoded.verdict, IdentityVerdict::kGood);
  EXPECT_EQ(decoded.identity, identity);
}

// Of the segment that block-1 and block-2 make.
TEST(FormatVectorTest, FooterMatchesTheDocument) {
  Buffer segment = Vector("block-1");
  const Buffer& second = Vector("block-2");
  segment.insert(segment.end(), second.begin(), second.end());
  FooterTrailer trailer{.run = kRun, .log = 2, .segment = 5, .end_offset = segment.size()};
  FooterEntries entries;
  KeyHashes hashes;
  size_t at = 0;
  while (at < segment.size()) {
    const BlockHeader header = DecodeBlockHeader(Bytes(segment).subspan(at))->header;
    BlockRecords records(Bytes(segment).subspan(at, header.length), header.record_count);
    while (const auto record = records.Next()) {
      const RecordFields& fields = record->fields;
      ASSERT_TRUE(entries.Append(fields, static_cast<uint32_t>(at + records.offset())));
      ++trailer.record_count;
      trailer.lsn_max = std::max(trailer.lsn_max, fields.lsn);
      if (fields.flags != kRecordPlain) continue;
      if (trailer.plain_lsn_min == kNoLsn) trailer.plain_lsn_min = fields.lsn;
      hashes.Add(KeyHash(0xfeedfacecafebeef, fields.namespace_id, fields.key));
    }
    ++trailer.block_count;
    trailer.expiry_clock_ms = header.expiry_clock_ms;
    at += header.length;
  }
  const std::vector<uint8_t> filter = hashes.BuildFilter();
  trailer.entries_bytes = static_cast<uint32_t>(entries.bytes().size());
  trailer.entries_checksum = Crc32c(0, entries.bytes().data(), entries.bytes().size());
  trailer.filter_bytes = static_cast<uint32_t>(filter.size());
  trailer.filter_checksum = Crc32c(0, filter.data(), filter.size());
  Buffer bytes(FooterBytes(entries.bytes().size(), filter.size(), 512));
  std::copy(entries.bytes().begin(), entries.bytes().end(), bytes.begin());
  std::copy(filter.begin(), filter.end(), bytes.begin() + trailer.entries_bytes);
  EncodeFooterTrailer(bytes.data() + bytes.size() - kSectorSize, trailer);
  EXPECT_EQ(bytes, Vector("footer"));
  const auto decoded = DecodeFooter(Vector("footer"));
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ(decoded->trailer, trailer);
  FooterCheck check(*decoded);
  EXPECT_TRUE(check.Advance(100));
  EXPECT_TRUE(check.right());
}

TEST(FormatVectorTest, FooterWithAnyBitFlippedIsNotRead) {
  const Buffer good = Vector("footer");
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    Buffer bytes = good;
    bytes[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    ASSERT_FALSE(DecodeFooter(bytes).has_value()) << bit;
  }
  for (size_t length = 0; length < good.size(); ++length) {
    ASSERT_FALSE(DecodeFooter(Bytes(good).first(length)).has_value()) << length;
  }
}

TEST(FormatVectorTest, ManifestMatchesTheDocument) {
  using Type = ManifestEntry::Type;
  const uint32_t chain_2 = DecodeBlockHeader(Vector("block-2"))->checksum;
  const std::vector<std::vector<ManifestEntry>> sectors = {
      {{.type = Type::kStart,
        .run_counter = 2,
        .next_segment = 7,
        .fresh_sectors = 1,
        .lsn_max = MakeLsn(kTick + 2, 255),
        .expiry_clock_ms = 1'735'689'600'000}},
      {{.type = Type::kCreated,
        .segment = 5,
        .log = 2,
        .run = kRun,
        .size = 4 << 20,
        .first_sequence = 1}},
      {{.type = Type::kSealed, .segment = 5, .end_offset = 4608},
       {.type = Type::kCreated,
        .segment = 6,
        .log = 2,
        .run = kRun,
        .size = 4 << 20,
        .first_sequence = 3,
        .first_chain = chain_2}},
      {{.type = Type::kFooter, .segment = 5, .footer_bytes = 1024}},
      {{.type = Type::kDropped, .segment = 5}},
      {{.type = Type::kNamespace, .namespace_id = 16, .name = "orders"}},
  };
  Buffer bytes(sectors.size() * kSectorSize);
  uint32_t chain = 0;
  for (uint32_t i = 0; i < sectors.size(); ++i) {
    ManifestSector sector;
    for (const ManifestEntry& entry : sectors[i]) ASSERT_TRUE(sector.Add(entry));
    const uint32_t previous = chain;
    chain = sector.Encode(bytes.data() + i * kSectorSize, kRun, i, previous);
    const auto decoded =
        DecodeManifestSector(Bytes(Vector("manifest")).subspan(i * kSectorSize, kSectorSize));
    ASSERT_TRUE(decoded);
    EXPECT_EQ(decoded->run, kRun);
    EXPECT_EQ(decoded->index, i);
    EXPECT_EQ(decoded->chain, previous);
    EXPECT_EQ(decoded->checksum, chain);
    ASSERT_EQ(decoded->entry_count, sectors[i].size());
    for (size_t j = 0; j < sectors[i].size(); ++j) EXPECT_EQ(decoded->entries[j], sectors[i][j]);
  }
  EXPECT_EQ(bytes, Vector("manifest"));
}

TEST(RecordTest, CutAtEveryByteIsNotRead) {
  for (const RecordFields& fields : FourRecords()) {
    const Buffer bytes = Encoded(fields);
    for (size_t length = 0; length < bytes.size(); ++length) {
      // A copy of its own, so that a read beyond it is seen by the sanitizer.
      const Buffer cut(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(length));
      EXPECT_FALSE(DecodeRecord(cut)) << length;
    }
  }
}

TEST(RecordTest, EveryFlippedBitIsFound) {
  for (const RecordFields& fields : FourRecords()) {
    Buffer bytes = Encoded(fields);
    for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
      EXPECT_FALSE(DecodeRecord(bytes)) << bit;
      bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    }
    EXPECT_TRUE(DecodeRecord(bytes));
  }
}

TEST(RecordTest, LengthsThatWrapAroundAreRefused) {
  Buffer bytes = Encoded({.lsn = 1, .key = "k", .value = "v"});
  const uint32_t huge = 0xffffffff;
  std::memcpy(bytes.data() + 32, &huge, 4);  // key length + value length = 2 in 32 bits
  const uint32_t three = 3;
  std::memcpy(bytes.data() + 36, &three, 4);
  EXPECT_FALSE(DecodeRecord(bytes));
}

TEST(RecordTest, MovedRecordStaysValid) {
  const Buffer record = Encoded({.lsn = MakeLsn(9, 1), .key = "a", .value = "b"});
  Buffer moved(3);
  moved.insert(moved.end(), record.begin(), record.end());
  EXPECT_TRUE(DecodeRecord(Bytes(moved).subspan(3)));
}

TEST(RecordTest, RandomRecordsComeBackAsWritten) {
  Prng prng(1);
  for (int round = 0; round < 500; ++round) {
    std::string key(prng.Below(70), '\0');
    std::string value(prng.Below(3000), '\0');
    for (char& c : key) c = static_cast<char>(prng.Below(256));
    for (char& c : value) c = static_cast<char>(prng.Below(256));
    const RecordFields fields{.lsn = 1 + prng.Below(kLsnMax),
                              .expiry_ms = prng.Below(1000),
                              .namespace_id = static_cast<uint32_t>(prng.Next()),
                              .key = key,
                              .value = value};
    const Buffer bytes = Encoded(fields);
    const auto decoded = DecodeRecord(bytes);
    ASSERT_TRUE(decoded);
    ExpectSame(decoded->fields, fields);
  }
}

TEST(BlockTest, RecordsLieWhereAppendSaid) {
  BlockMemory memory(1024);
  BlockBuilder builder(memory.span(), 512);
  std::vector<uint32_t> offsets;
  for (const RecordFields& fields : FourRecords()) offsets.push_back(builder.Append(fields));
  const auto sealed = builder.Seal({.run = kRun, .sequence = 1});
  const auto header = DecodeBlockHeader(sealed.bytes);
  ASSERT_TRUE(header);
  BlockRecords records(sealed.bytes, header->header.record_count);
  for (size_t i = 0; i < offsets.size(); ++i) {
    const auto record = records.Next();
    ASSERT_TRUE(record);
    EXPECT_EQ(records.offset(), offsets[i]);
    ExpectSame(record->fields, FourRecords()[i]);
  }
  EXPECT_FALSE(records.Next());
  EXPECT_FALSE(records.damaged());
}

// Compaction's copies: a block made of another one's records is that block.
TEST(BlockTest, CopiedRecordsMakeTheSameBlock) {
  const Buffer first = FirstBlock();
  const auto header = DecodeBlockHeader(first);
  ASSERT_TRUE(header);
  BlockMemory memory(4096);
  BlockBuilder builder(memory.span(), 512);
  BlockRecords records(first, header->header.record_count);
  while (const auto record = records.Next()) {
    EXPECT_EQ(builder.AppendCopy(Bytes(first).subspan(records.offset(), record->length)),
              records.offset());
  }
  EXPECT_TRUE(records.BodyRight(header->header));
  const auto sealed = builder.Seal(
      {.run = kRun, .log = 2, .segment = 5, .sequence = 1, .expiry_clock_ms = 1'735'689'600'000});
  EXPECT_EQ(Buffer(sealed.bytes.begin(), sealed.bytes.end()), first);
}

TEST(BlockTest, EveryFlippedBitIsFound) {
  Buffer block = FirstBlock();
  for (size_t bit = 0; bit < block.size() * 8; ++bit) {
    block[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    const auto decoded = DecodeBlockHeader(block);
    EXPECT_EQ(decoded.has_value(), bit >= kBlockHeaderSize * 8) << bit;
    if (decoded) {
      EXPECT_FALSE(BlockBodyRight(block, decoded->header)) << bit;
    }
    block[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
  }
}

// Of what is stepped over, length and checksum count, and nothing else; of the rest each bit does.
TEST(BlockTest, DamageInASkippedRecordHidesNoOther) {
  constexpr size_t kCounts = 8;  // bytes of a record's checksum and length
  Buffer block = FirstBlock();
  const auto header = DecodeBlockHeader(block);
  ASSERT_TRUE(header);
  BlockRecords whole(block, header->header.record_count);
  ASSERT_TRUE(whole.Next());
  ASSERT_TRUE(whole.Next());
  const size_t skipped = whole.offset();
  const size_t skipped_end = whole.next_offset();
  const auto is_right = [&] {
    BlockRecords records(block, header->header.record_count);
    while (records.next_offset() == skipped ? records.Skip() : records.Next().has_value()) {
    }
    return records.BodyRight(header->header);
  };
  ASSERT_TRUE(is_right());
  for (size_t bit = kBlockHeaderSize * 8; bit < block.size() * 8; ++bit) {
    block[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    const bool counts = bit / 8 < skipped + kCounts || bit / 8 >= skipped_end;
    EXPECT_EQ(is_right(), !counts) << bit;
    block[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
  }
}

TEST(BlockTest, NothingIsSkippedBehindTheLastRecordOrTheBlock) {
  const Buffer block = FirstBlock();
  const auto header = DecodeBlockHeader(block);
  ASSERT_TRUE(header);
  BlockRecords records(block, header->header.record_count);
  for (uint32_t i = 0; i < header->header.record_count; ++i) EXPECT_TRUE(records.Skip()) << i;
  EXPECT_FALSE(records.Skip());
  EXPECT_TRUE(records.BodyRight(header->header));
  // One that says it is longer than what is left, and one whose beginning is cut off.
  BlockRecords more(block, UINT32_MAX);
  while (more.Skip()) {
  }
  EXPECT_TRUE(more.damaged());
  BlockRecords cut(Bytes(block).first(kBlockHeaderSize + kRecordHeaderSize - 1), 1);
  EXPECT_FALSE(cut.Skip());
  EXPECT_TRUE(cut.damaged());
}

TEST(BlockTest, HeaderCutAtEveryByteIsNotRead) {
  const Buffer block = FirstBlock();
  for (size_t length = 0; length < kBlockHeaderSize; ++length) {
    const Buffer cut(block.begin(), block.begin() + static_cast<ptrdiff_t>(length));
    EXPECT_FALSE(DecodeBlockHeader(cut)) << length;
  }
}

TEST(BlockTest, ReplacedValidRecordIsFound) {
  // A whole record of another version in a record's place: each record is right, the block not.
  Buffer block = FirstBlock();
  const auto header = DecodeBlockHeader(block);
  ASSERT_TRUE(header);
  EncodeRecord(block.data() + kBlockHeaderSize,
               {.lsn = MakeLsn(kTick, 0), .key = "key", .value = "VALUE"});
  EXPECT_FALSE(BlockBodyRight(block, header->header));
}

TEST(BlockTest, LargestBlockFillsItsBufferExactly) {
  BlockMemory memory(4096);
  BlockBuilder builder(memory.span(), 4096);
  const std::string value(4096 - kBlockHeaderSize - kRecordHeaderSize - 1, 'v');
  EXPECT_FALSE(builder.Fits(EncodedRecordSize(2, value.size())));
  EXPECT_TRUE(builder.Fits(EncodedRecordSize(1, value.size())));
  builder.Append({.lsn = 1, .key = "k", .value = value});
  EXPECT_EQ(builder.padded_length(), 4096u);
  EXPECT_EQ(builder.padded_length(1), 8192u);
  const auto sealed = builder.Seal({.run = kRun, .sequence = 1});
  EXPECT_EQ(sealed.bytes.size(), 4096u);
  EXPECT_TRUE(BlockBodyRight(sealed.bytes, DecodeBlockHeader(sealed.bytes)->header));
}

TEST(IdentityTest, EveryFlippedBitAndEveryLengthIsFound) {
  Buffer bytes = Vector("identity");
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    EXPECT_EQ(DecodeIdentity(bytes).verdict, IdentityVerdict::kDamaged) << bit;
    bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
  }
  for (size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_EQ(DecodeIdentity(Bytes(bytes).first(length)).verdict, IdentityVerdict::kDamaged);
  }
}

TEST(IdentityTest, NewerFormatIsToldFromDamage) {
  Buffer bytes = Vector("identity");
  bytes[8] = 9;
  const uint32_t checksum = Crc32c(0, bytes.data() + 4, kIdentitySize - 4);
  std::memcpy(bytes.data(), &checksum, 4);
  EXPECT_EQ(DecodeIdentity(bytes).verdict, IdentityVerdict::kNewer);
  EXPECT_EQ(DecodeIdentity(bytes).format, 9u);
}

TEST(ManifestSectorTest, EveryFlippedBitIsFound) {
  Buffer bytes = Vector("manifest");
  for (size_t at = 0; at < bytes.size(); at += kSectorSize) {
    for (size_t bit = at * 8; bit < (at + kSectorSize) * 8; ++bit) {
      bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
      EXPECT_FALSE(DecodeManifestSector(Bytes(bytes).subspan(at, kSectorSize))) << bit;
      bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    }
  }
}

TEST(ManifestSectorTest, TakesWhatFitsAndRefusesTheRest) {
  ManifestSector sector;
  uint32_t count = 0;
  while (sector.Add({.type = ManifestEntry::Type::kDropped, .segment = count + 1})) ++count;
  EXPECT_EQ(count, DecodedManifestSector::kEntriesMax);
  Buffer bytes(kSectorSize);
  sector.Encode(bytes.data(), kRun, 0, 0);
  const auto decoded = DecodeManifestSector(bytes);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->entry_count, count);
  EXPECT_EQ(decoded->entries[count - 1].segment, count);
}

// A sector with a right checksum over entries that cannot be: bytes `at` on are replaced.
bool SectorIsReadWith(size_t at, const Buffer& replacement) {
  Buffer bytes(Vector("manifest").begin() + kSectorSize,
               Vector("manifest").begin() + 2 * kSectorSize);
  std::copy(replacement.begin(), replacement.end(), bytes.begin() + static_cast<ptrdiff_t>(at));
  const uint32_t checksum = Crc32c(0, bytes.data() + 4, kSectorSize - 4);
  std::memcpy(bytes.data(), &checksum, 4);
  return DecodeManifestSector(bytes).has_value();
}

TEST(ManifestSectorTest, ImpossibleEntriesAreRefusedWhateverTheChecksum) {
  EXPECT_TRUE(SectorIsReadWith(28, {2, 0, 44, 0}));
  EXPECT_FALSE(SectorIsReadWith(24, {0, 0, 0, 0}));              // no entry
  EXPECT_FALSE(SectorIsReadWith(24, {255, 255, 255, 255}));      // too many
  EXPECT_FALSE(SectorIsReadWith(24, {2, 0, 0, 0}));              // more than there are
  EXPECT_FALSE(SectorIsReadWith(28, {9, 0, 44, 0}));             // unknown type
  EXPECT_FALSE(SectorIsReadWith(28, {2, 0, 45, 0}));             // not the type's length
  EXPECT_FALSE(SectorIsReadWith(28, {2, 0, 0, 0}));              // no length
  EXPECT_FALSE(SectorIsReadWith(32, {0, 0, 0, 0}));              // segment 0
  EXPECT_FALSE(SectorIsReadWith(40, {0, 0, 0, 0, 0, 0, 0, 0}));  // run 0
  EXPECT_FALSE(SectorIsReadWith(48, {3, 0, 0, 0}));              // unknown kind
  EXPECT_FALSE(SectorIsReadWith(52, {1}));                       // size no multiple of 512
  EXPECT_FALSE(SectorIsReadWith(72, {1}));                       // rubbish behind the entries
}

TEST(ManifestSectorTest, ImpossibleNamespacesAreRefusedWhateverTheChecksum) {
  const auto is_read = [](uint32_t id, const std::string& name) {
    Buffer bytes(Vector("manifest").end() - kSectorSize, Vector("manifest").end());
    const auto length = static_cast<uint16_t>(8 + name.size());
    std::memcpy(bytes.data() + 30, &length, 2);
    std::memcpy(bytes.data() + 32, &id, 4);
    std::fill(bytes.begin() + 36, bytes.end(), uint8_t{0});
    std::copy(name.begin(), name.end(), bytes.begin() + 36);
    const uint32_t checksum = Crc32c(0, bytes.data() + 4, kSectorSize - 4);
    std::memcpy(bytes.data(), &checksum, 4);
    const auto sector = DecodeManifestSector(bytes);
    return sector && sector->entries[0].name == name && sector->entries[0].namespace_id == id;
  };
  EXPECT_TRUE(is_read(16, "orders"));
  EXPECT_TRUE(is_read(kNamespacesMax - 1, std::string(kNamespaceNameBytesMax, 'n')));
  EXPECT_TRUE(is_read(16, "16"));
  EXPECT_FALSE(is_read(15, "orders"));
  EXPECT_FALSE(is_read(kNamespacesMax, "orders"));
  EXPECT_FALSE(is_read(16, ""));
  EXPECT_FALSE(is_read(16, std::string(kNamespaceNameBytesMax + 1, 'n')));
  EXPECT_FALSE(is_read(16, "15")) << "its id is 15";
  EXPECT_FALSE(is_read(16, "\xff")) << "no UTF-8";
}

// Names and ids follow from one another, over the whole file.
TEST(ManifestTest, ANameOrAnIdGivenTwiceIsDamage) {
  const auto parsed = [](std::vector<ManifestEntry> entries) {
    ManifestSector sector;
    EXPECT_TRUE(sector.Add({.run_counter = 1, .next_segment = 1, .fresh_sectors = 1}));
    for (const ManifestEntry& entry : entries) EXPECT_TRUE(sector.Add(entry));
    Buffer bytes(kSectorSize);
    sector.Encode(bytes.data(), kRun, 0, 0);
    return ParseManifest(bytes);
  };
  const auto named = [](uint32_t id, std::string_view name) {
    return ManifestEntry{.type = ManifestEntry::Type::kNamespace, .namespace_id = id, .name = name};
  };
  const auto good = parsed({named(16, "a"), named(20, "b")});
  ASSERT_TRUE(good.ok());
  EXPECT_EQ(good->namespaces.at("b"), 20u);
  EXPECT_EQ(good->next_namespace, 21u);
  EXPECT_EQ(ParseManifest(EncodeManifest(*good))->namespaces, good->namespaces);
  EXPECT_FALSE(parsed({named(16, "a"), named(16, "b")}).ok());
  EXPECT_FALSE(parsed({named(17, "a"), named(16, "b")}).ok());
  EXPECT_FALSE(parsed({named(16, "a"), named(17, "a")}).ok());
}

// Where a sector is that is zero and must not be, not where the next one is missed.
TEST(ManifestTest, AZeroSectorIsToldByItsOwnPlace) {
  ManifestState state;
  state.run = kRun;
  state.run_counter = 1;
  state.next_segment = 1;
  for (; state.next_namespace < 60; ++state.next_namespace) {
    state.namespaces.emplace(std::to_string(state.next_namespace) + std::string(60, 'n'),
                             state.next_namespace);
  }
  std::vector<uint8_t> bytes = EncodeManifest(state);
  ASSERT_GE(bytes.size(), 4 * kSectorSize);
  const auto place = [&bytes](size_t length) -> std::optional<uint64_t> {
    ManifestState read;
    const auto damage = DecodeManifest(Bytes(bytes).first(length), read);
    return damage ? std::optional(damage->offset) : std::nullopt;
  };
  EXPECT_EQ(place(bytes.size()), std::nullopt);
  for (size_t at = 0; at + kSectorSize < bytes.size(); at += kSectorSize) {
    const std::vector<uint8_t> good = bytes;
    std::fill_n(bytes.begin() + static_cast<ptrdiff_t>(at), kSectorSize, uint8_t{0});
    EXPECT_EQ(place(bytes.size()), at);
    bytes = good;
  }
  // Of the last one there is nothing but that it is missing.
  const size_t last = bytes.size() - kSectorSize;
  EXPECT_EQ(place(last), last);
}

TEST(LsnTest, TickFollowsTheClockAndNeverRepeats) {
  LsnClock clock(3, kNoLsn);
  const uint64_t now_us = 1'735'689'600'000'000;
  EXPECT_EQ(clock.Next(now_us), MakeLsn(kTick, 3));
  EXPECT_EQ(clock.Next(now_us), MakeLsn(kTick + 1, 3));
  EXPECT_EQ(clock.Next(now_us - 1'000'000), MakeLsn(kTick + 2, 3));  // the clock steps back
  EXPECT_EQ(clock.Next(now_us + 1), MakeLsn(kTick + 32, 3));
}

TEST(LsnTest, NextIsAboveAllThatWasSeenOrRecovered) {
  LsnClock clock(0, MakeLsn(kTick + 1000, 255));
  EXPECT_EQ(clock.Next(1'735'689'600'000'000), MakeLsn(kTick + 1001, 0));
  clock.Observe(MakeLsn(kTick + 5000, 9));
  EXPECT_EQ(clock.Next(1'735'689'600'000'000), MakeLsn(kTick + 5001, 0));
  clock.Observe(MakeLsn(5, 9));
  EXPECT_EQ(clock.Next(1'735'689'600'000'000), MakeLsn(kTick + 5002, 0));
}

TEST(LsnTest, OneDayAheadIsTheBound) {
  const uint64_t now_us = 1'735'689'600'000'000;
  const uint64_t day_us = 86'400'000'000;
  EXPECT_FALSE(LsnFarAhead(MakeLsn(LsnTickOfWallUs(now_us + day_us), 7), now_us));
  EXPECT_TRUE(LsnFarAhead(MakeLsn(LsnTickOfWallUs(now_us + day_us + 1), 7), now_us));
  EXPECT_FALSE(LsnFarAhead(kNoLsn, 0));
  EXPECT_TRUE(LsnFarAhead(MakeLsn(kTick, 0), 0));
}

TEST(LsnTest, ClockBeyondItsRangeSticksAtTheLargestTick) {
  EXPECT_EQ(LsnTickOfWallUs(UINT64_MAX), kLsnTickMax / kLsnTicksPerUs * kLsnTicksPerUs);
  EXPECT_EQ(LsnTickOfWallUs(0), 0u);
}

}  // namespace
}  // namespace pakv
