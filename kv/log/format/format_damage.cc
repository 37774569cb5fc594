#include "kv/log/format/format_damage.h"

#include <algorithm>
#include <utility>

#include "kv/log/format/format_bytes.h"
#include "kv/log/format/format_footer.h"

namespace pakv {
namespace {

class Search {
 public:
  Search(Bytes bytes, uint32_t segment, std::optional<uint64_t> run, std::optional<uint64_t> end)
      : bytes_(bytes), segment_(segment), run_(run), end_(end) {}

  SalvagedSegment Run() {
    uint64_t offset = 0;
    while (offset + kSectorSize <= bytes_.size() && (!end_ || offset < *end_)) {
      if (const std::optional<BlockHeader> header = HeaderAt(offset)) {
        offset = TakeBlock(offset, *header);
        continue;
      }
      const std::optional<uint64_t> next = NextHeader(offset + kSectorSize);
      if (!next && (AllZero(bytes_.subspan(offset)) || FooterAt(offset))) break;
      TakeHeadless(offset, next.value_or(BlocksEnd()));
      offset = next.value_or(BlocksEnd());
    }
    const uint64_t there = std::min<uint64_t>(offset, bytes_.size());
    if (end_ && there < *end_) {
      AddPlace(there, *end_ - there, "blocks are missing up to the segment's end", "");
    }
    return std::move(found_);
  }

 private:
  uint64_t BlocksEnd() const {
    return std::min<uint64_t>(bytes_.size(), end_.value_or(UINT64_MAX));
  }

  std::optional<BlockHeader> HeaderAt(uint64_t offset) const {
    const std::optional<DecodedBlockHeader> decoded = DecodeBlockHeader(bytes_.subspan(offset));
    if (!decoded) return std::nullopt;
    const BlockHeader& header = decoded->header;
    if (header.segment != segment_ || header.offset != offset) return std::nullopt;
    if (run_ && header.run != *run_) return std::nullopt;
    return header;
  }

  std::optional<uint64_t> NextHeader(uint64_t offset) const {
    for (; offset + kSectorSize <= BlocksEnd(); offset += kSectorSize) {
      if (HeaderAt(offset)) return offset;
    }
    return std::nullopt;
  }

  // Whether the segment's own footer, and zeros, are all that follows: where nothing says where its
  // blocks end, that does.
  bool FooterAt(uint64_t offset) const {
    if (end_) return false;
    for (uint64_t at = offset; at + kSectorSize <= bytes_.size(); at += kSectorSize) {
      const auto trailer = DecodeFooterTrailer(bytes_.subspan(at, kSectorSize));
      if (!trailer || trailer->segment != segment_ || trailer->end_offset != offset) continue;
      if (run_ && trailer->run != *run_) continue;
      const uint64_t end = at + kSectorSize;
      return DecodeFooter(bytes_.subspan(offset, end - offset)).has_value() &&
             AllZero(bytes_.subspan(end));
    }
    return false;
  }

  // Where the next block begins.
  uint64_t TakeBlock(uint64_t offset, const BlockHeader& header) {
    // From here on blocks of another run are none of this segment's.
    if (!run_) run_ = header.run;
    found_.expiry_clock_ms = std::max(found_.expiry_clock_ms, header.expiry_clock_ms);
    const uint64_t end = std::min<uint64_t>(offset + header.length, bytes_.size());
    const size_t places_before = found_.places.size();
    const Bytes block = bytes_.subspan(offset, end - offset);
    const bool right = block.size() == header.length && BlockBodyRight(block, header);
    const uint64_t count = TakeRecords(offset + kBlockHeaderSize, end, header.record_count);
    if (!right && found_.places.size() == places_before) {
      // All records that were found are right: what is missing are others, or zeros behind them.
      AddPlace(offset, 0,
               count < header.record_count ? "a block without some of its records"
                                           : "a block's body is not what its header says",
               "");
    }
    return offset + header.length;
  }

  void TakeHeadless(uint64_t begin, uint64_t end) {
    if (DecodeBlockHeader(bytes_.subspan(begin))) {
      return AddPlace(begin, end - begin, "a block that does not belong here", "");
    }
    AddPlace(begin, std::min<uint64_t>(kSectorSize, end - begin), "not a block header", "");
    if (begin + kBlockHeaderSize < end) TakeRecords(begin + kBlockHeaderSize, end, UINT64_MAX);
  }

  // How many were right.
  uint64_t TakeRecords(uint64_t offset, uint64_t end, uint64_t count_max) {
    uint64_t count = 0;
    uint64_t seen = 0;
    while (seen < count_max && offset + kRecordHeaderSize <= end) {
      const Bytes rest = bytes_.subspan(offset, end - offset);
      ++seen;
      if (std::optional<Record> record = DecodeRecord(rest)) {
        offset += record->length;
        found_.records.push_back(*record);
        ++count;
        continue;
      }
      if (AllZero(rest)) break;
      const std::optional<std::string_view> key = KeyOfDamagedRecord(rest);
      const uint64_t length = key ? Get<uint32_t>(rest.data() + 4) : rest.size();
      const bool goes_on = key && length >= kRecordHeaderSize + key->size() &&
                           length <= rest.size() && FitsTogether(rest.subspan(length));
      AddPlace(offset, goes_on ? length : rest.size(), "a record is damaged",
               key ? std::string(*key) : std::string());
      if (!goes_on) break;
      offset += length;
    }
    return count;
  }

  // Records that are right, and zeros.
  static bool FitsTogether(Bytes rest) {
    while (const std::optional<Record> record = DecodeRecord(rest)) {
      rest = rest.subspan(record->length);
    }
    return AllZero(rest);
  }

  void AddPlace(uint64_t offset, uint64_t bytes, std::string what, std::string key) {
    found_.places.push_back({offset, bytes, std::move(what), std::move(key)});
  }

  const Bytes bytes_;
  const uint32_t segment_;
  std::optional<uint64_t> run_;
  const std::optional<uint64_t> end_;
  SalvagedSegment found_;
};

}  // namespace

SalvagedSegment SalvageSegment(Bytes bytes, uint32_t segment, std::optional<uint64_t> run,
                               std::optional<uint64_t> end) {
  return Search(bytes, segment, run, end).Run();
}

}  // namespace pakv
