// The bytes of a segment's footer: what the segment's records say, without their values, so that a
// start reads a fraction of it. docs/format.md, "Footer". Part of kv/log/format: pure, and nothing
// decoded is trusted before it is checked.
//
//   entries | key filter | zeros | trailer, one sector
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "kv/log/format/format.h"

namespace pakv {

struct FooterTrailer {
  uint64_t run = 0;
  uint32_t log = 0;
  uint32_t segment = 0;
  uint64_t end_offset = 0;     // of the segment's blocks: where the footer begins
  Lsn plain_lsn_min = kNoLsn;  // of records that are neither delete nor drop; kNoLsn: none
  Lsn lsn_max = kNoLsn;        // of all
  uint64_t expiry_clock_ms = 0;
  uint32_t record_count = 0;
  uint32_t block_count = 0;
  uint32_t entries_bytes = 0;
  uint32_t entries_checksum = 0;
  uint32_t filter_bytes = 0;  // over the keys of plain records
  uint32_t filter_checksum = 0;
  friend bool operator==(const FooterTrailer&, const FooterTrailer&) = default;
};

// Writes one sector.
void EncodeFooterTrailer(uint8_t* out, const FooterTrailer& trailer);
// `bytes` is one sector; nothing if it is damaged or holds what no trailer can.
std::optional<FooterTrailer> DecodeFooterTrailer(Bytes bytes);

// Bytes of a footer with these parts; `alignment` is the device's for direct I/O.
size_t FooterBytes(size_t entries_bytes, size_t filter_bytes, size_t alignment);

// Keys longer than this have no entry: their segment has no footer.
inline constexpr size_t kFooterKeyBytesMax = 64 << 10;

// Appends entries, each relative to the one before.
class FooterEntries {
 public:
  // `offset` is the record's in the segment; records come in the order of their offsets. False,
  // with nothing done, if the key is too long. Of a value nothing but its length is taken, of a
  // reference to a value file its head too.
  bool Append(const RecordFields& fields, uint32_t offset);
  const std::vector<uint8_t>& bytes() const { return bytes_; }
  // Lets go of what was appended so far: the next entry is still relative to the last.
  void Clear() { bytes_.clear(); }

 private:
  std::vector<uint8_t> bytes_;
  Lsn lsn_ = kNoLsn;
  uint32_t end_ = 0;
};

// Reads them back.
class FooterEntriesReader {
 public:
  // `end_offset` is the segment's: no record lies behind it.
  FooterEntriesReader(Bytes entries, uint64_t end_offset)
      : rest_(entries), end_offset_(end_offset) {}

  struct Found {
    // Without the value, but for the head of a reference to a value file. Borrowed.
    RecordFields fields;
    uint32_t offset = 0;
    uint32_t length = 0;  // of the whole record
  };
  // Nothing at the end, or at what no entry can be (then `damaged()`).
  std::optional<Found> Next();
  bool damaged() const { return damaged_; }

 private:
  std::optional<Found> Damaged();
  bool TakeVarint(uint64_t& value);

  Bytes rest_;
  const uint64_t end_offset_;
  Lsn lsn_ = kNoLsn;
  uint32_t end_ = 0;
  bool damaged_ = false;
};

// The parts of a whole footer, as MANIFEST lists it; nothing if trailer, lengths or checksums are
// wrong. The parts point into `bytes`.
struct DecodedFooter {
  FooterTrailer trailer;
  Bytes entries;
  Bytes filter;
};
std::optional<DecodedFooter> DecodeFooter(Bytes bytes);

// Whether its entries are right, each by itself and all together; in steps, so that a core can do
// something else in between. The footer's bytes outlive it.
class FooterCheck {
 public:
  explicit FooterCheck(const DecodedFooter& footer)
      : trailer_(footer.trailer), reader_(footer.entries, footer.trailer.end_offset) {}
  // Looks at so many entries; true when all have been looked at.
  bool Advance(uint32_t entries_max);
  // After that.
  bool right() const;

 private:
  const FooterTrailer trailer_;
  FooterEntriesReader reader_;
  uint32_t count_ = 0;
  Lsn plain_lsn_min_ = kNoLsn;
  Lsn lsn_max_ = kNoLsn;
};

}  // namespace pakv
