// The pakv protocol's codec, for both ends: frames off a byte stream, fields out of a frame's
// body, and a writer for both. docs/protocol.md is the specification.
//
// Pure: no socket, no clock. A frame is taken in place: its body and the fields are views into
// the caller's bytes, nothing is copied or allocated. What is read has been checked: nothing of a
// frame is believed before its header's checksum, no field before the body's.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "net/pakv/protocol.h"
#include "net/session/buffers/output_buffer.h"
#include "runtime/base/check.h"

namespace pakv {

// Which end of a connection reads.
enum class PakvReads : uint8_t { kRequests, kReplies };

struct PakvFrame {
  PakvType type = PakvType::kNone;      // not necessarily a known one
  uint8_t flags = 0;                    // of a request
  PakvStatus status = PakvStatus::kOk;  // of a reply, not necessarily a known one
  uint64_t id = 0;
  uint32_t body_bytes = 0;
  std::string_view body;  // a view into Next's input
};

class PakvFrameReader {
 public:
  enum class Status : uint8_t {
    // A whole frame whose checksums are right.
    kFrame,
    // No whole frame is left; what is left in `input` belongs to an unfinished one: see Next.
    kPartial,
    // The frame cannot be taken, for the reason in refusal(); all of it but its body is told. A
    // server replies so under its id; the connection goes on. Its body is skipped unheld.
    kRefused,
    // The stream is not, or no longer, one of pakv frames: refusal() and error() are due under
    // the id 0, then the connection closes. Final.
    kError,
  };

  // `frame_bytes_max`: larger frames, header included, are refused; at least a header, at most
  // INT32_MAX. A batch may have kPakvBatchFrameBytesMax, unless `batch_bytes_max` says less.
  PakvFrameReader(PakvReads reads, size_t frame_bytes_max,
                  size_t batch_bytes_max = kPakvBatchFrameBytesMax);
  PakvFrameReader(const PakvFrameReader&) = delete;
  PakvFrameReader& operator=(const PakvFrameReader&) = delete;

  // Takes one frame off the front of `input`. On kPartial the bytes left in `input` have to come
  // again at the front of the next call's input with more behind them, moved or not; nothing is
  // parsed twice. The frame's views are valid while the caller keeps the bytes of `input`.
  [[nodiscard]] Status Next(std::string_view& input, PakvFrame& frame);

  // After kPartial: how many bytes, those left in `input` included, the next call needs to get
  // any further; at most what a frame may have. Calling earlier is allowed and cheap.
  size_t frame_bytes_min() const { return frame_bytes_min_; }
  // After kPartial: an end of stream now is an error (true) or clean.
  bool in_frame() const { return header_read_ || skip_bytes_ > 0 || frame_bytes_min_ > 1; }

  // After kPartial: the header of the unfinished frame, null while that is not whole itself.
  const PakvFrame* partial() const { return header_read_ ? &header_ : nullptr; }
  // Gives up the frame of partial(): takes what is left of it off `input`, and its rest as it
  // comes, unheld. Its body's checksum is not looked at.
  void SkipPartial(std::string_view& input);

  PakvStatus refusal() const { return refusal_; }
  std::string_view error() const { return error_; }

 private:
  Status ReadHeader(std::string_view input);
  Status Refuse(std::string_view& input, PakvFrame& frame, PakvStatus refusal, size_t bytes);
  void Skip(std::string_view& input, size_t bytes);
  Status Fail(PakvStatus refusal, std::string_view text);

  const PakvReads reads_;
  const size_t frame_bytes_max_;
  const size_t batch_bytes_max_;
  bool header_read_ = false;
  bool failed_ = false;
  PakvStatus refusal_ = PakvStatus::kOk;
  uint8_t version_ = 0;
  uint32_t body_crc_ = 0;
  PakvFrame header_;
  size_t skip_bytes_ = 0;
  size_t frame_bytes_min_ = 1;
  std::string_view error_;
};

// The fields of a message or of an entry in one. Views into what it was decoded from.
class PakvFields {
 public:
  // Takes `body` apart: kOk, kMalformed or kUnknownField; fault_tag() is the field it is about.
  [[nodiscard]] PakvStatus Decode(std::string_view body);

  bool Has(PakvField field) const { return (present_ & Bit(field)) != 0; }
  uint64_t Number(PakvField field, uint64_t absent = 0) const {
    PAKV_DCHECK(IsNumber(field));
    return Has(field) ? numbers_[Index(field)] : absent;
  }
  // Empty if absent.
  std::string_view Bytes(PakvField field) const {
    PAKV_DCHECK(!IsNumber(field));
    return Has(field) ? bytes_[Index(field)] : std::string_view();
  }
  bool HasOption(PakvOption option) const {
    return (Number(PakvField::kOptions) & static_cast<uint8_t>(option)) != 0;
  }
  // All fields with the tag kEntry, for PakvEntryReader.
  std::string_view entries() const { return Bytes(PakvField::kEntry); }
  uint64_t present() const { return present_; }
  uint8_t fault_tag() const { return fault_tag_; }
  // A fault of the fields of an entry: which one, from 1; 0: of the message's own.
  uint32_t fault_entry() const { return fault_entry_; }
  PakvStatus Fault(PakvField field, PakvStatus status) {
    fault_tag_ = static_cast<uint8_t>(field);
    return status;
  }
  void FaultOfEntry(uint8_t tag, uint32_t entry) {
    fault_tag_ = tag;
    fault_entry_ = entry;
  }

  static constexpr bool IsNumber(PakvField field) {
    return (static_cast<uint8_t>(field) & kPakvBytesBit) == 0;
  }
  // The field's place in a set of fields.
  static constexpr uint64_t Bit(PakvField field) {
    return uint64_t{1} << (Index(field) + (IsNumber(field) ? 0 : 32));
  }

 private:
  static constexpr size_t kNumbers = 0x17;
  static constexpr size_t kBytes = 0x12;
  static constexpr size_t Index(PakvField field) { return static_cast<uint8_t>(field) & 0x1f; }
  static constexpr bool IndexesFit();

  uint64_t present_ = 0;
  uint8_t fault_tag_ = 0;
  uint32_t fault_entry_ = 0;
  const char* entries_begin_ = nullptr;
  std::array<uint64_t, kNumbers> numbers_;  // those present are set
  std::array<std::string_view, kBytes> bytes_;
};

// Walks entries: `while (reader.Next(entry)) …`, then status() tells whether all of them were
// whole (and held no entries themselves), or what was wrong with `entry`.
class PakvEntryReader {
 public:
  explicit PakvEntryReader(std::string_view entries) : rest_(entries) {}
  [[nodiscard]] bool Next(PakvFields& entry);
  PakvStatus status() const { return status_; }
  bool ok() const { return status_ == PakvStatus::kOk; }

 private:
  std::string_view rest_;
  PakvStatus status_ = PakvStatus::kOk;
};

// A request's fields, checked: the type is known, has all fields that it needs and none that it
// does not take, and their values are possible; likewise each operation of a batch. Anything but
// kOk is the reply's status, and PakvFaultText its text; the connection goes on. With kPakvMore it
// is a piece of a value: those fields alone. Lengths of key and
// value are the server's to check: what it allows is its configuration.
[[nodiscard]] PakvStatus DecodePakvRequest(const PakvFrame& frame, PakvFields& fields);

// A reply's fields, checked for a client: with frame.status kOk, a known type and all fields that
// it promises. Anything but kOk returned: the server does not speak this protocol.
[[nodiscard]] PakvStatus DecodePakvReply(const PakvFrame& frame, PakvFields& fields);

// "unknown field: field 0x23", for an error reply's kText.
std::string PakvFaultText(PakvStatus status, uint8_t fault_tag, uint32_t fault_entry = 0);

// Appends one frame: fields in ascending order of their tags, then Finish. Until Finish nothing
// else may be appended to the output; Abandon takes back what was written.
class PakvWriter {
 public:
  // A request; `id` is not 0.
  PakvWriter(OutputBuffer& output, PakvType type, uint64_t id);
  // A reply.
  PakvWriter(OutputBuffer& output, PakvType type, uint64_t id, PakvStatus status);

  void Number(PakvField field, uint64_t value);
  void Bytes(PakvField field, std::string_view value);
  // The fields until EndEntry belong to an entry; entries do not nest.
  void BeginEntry();
  void EndEntry();
  // A request of which this is a piece: further frames follow.
  void SetMore() { flags_ |= kPakvMore; }
  // How many bytes the frame has so far: a scan's reply stops at its bound.
  size_t frame_bytes() const { return output_.size() - begin_; }
  void Finish();
  void Abandon() { output_.Truncate(begin_); }

 private:
  PakvWriter(OutputBuffer& output, int type, uint8_t flags, uint64_t id);
  void Ascend(PakvField field);

  OutputBuffer& output_;
  const size_t begin_;
  const uint8_t type_;
  uint8_t flags_;
  const uint64_t id_;
  size_t entry_begin_ = 0;  // of the open entry's length, 0: none
  uint8_t tag_ = 0;         // the last one written, within the entry if one is open
};

// An error reply in one call.
void WritePakvError(OutputBuffer& output, PakvType type, uint64_t id, PakvStatus status,
                    std::string_view text);

}  // namespace pakv
