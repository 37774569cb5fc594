// The pakv protocol's reader and decoder on any bytes: what comes of a stream must not depend on
// where it is cut, no more than a frame is held, nothing is read beyond an input's end (ASan), and
// a message that was understood, batches among them, is written again byte for byte.
//
// A fuzzer does not guess checksums, so the input is not the stream: it tells how to build one,
// frame by frame, mostly with right checksums.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "net/pakv/codec.h"
#include "net/server/detect.h"
#include "runtime/base/check.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/prng.h"
#include "tests/fuzz/pieces.h"

namespace pakv {
namespace {

constexpr size_t kFrameBytesMax = 256;
constexpr size_t kBatchBytesMax = 700;

// Takes {how, type, flags, length} and so many bytes off the input, and makes a frame of them.
std::string BuildStream(std::string_view input, PakvReads reads) {
  std::string stream;
  while (input.size() >= 4) {
    const uint8_t how = static_cast<uint8_t>(input[0]);
    if (how == 0xff) return stream.append(input.substr(1));  // the rest as it is
    uint8_t header[kPakvHeaderBytes] = {kPakvMagic, kPakvVersion};
    header[2] = static_cast<uint8_t>(input[1]);
    if ((how & 1) == 0) {
      header[2] = static_cast<uint8_t>((header[2] & ~kPakvReplyBit) |
                                       (reads == PakvReads::kReplies ? kPakvReplyBit : 0));
    }
    header[3] = (how & 2) != 0 || reads == PakvReads::kReplies ? static_cast<uint8_t>(input[2]) : 0;
    if ((how & 0x0c) == 0x0c) header[1] = header[3];
    const size_t length = static_cast<uint8_t>(input[3]) * ((how & 0x10) != 0 ? size_t{3} : 1);
    const std::string_view body = input.substr(4, length);
    input.remove_prefix(4 + body.size());
    const uint32_t told = static_cast<uint32_t>((how & 0x60) == 0x60 ? length * 1000 : body.size());
    const uint64_t id = how == 0x80 ? 0 : stream.size() + 1;
    const uint32_t body_crc =
        Crc32c(0, body.data(), body.size()) ^ ((how & 0xa0) == 0xa0 ? 1u : 0u);
    std::memcpy(header + 4, &told, sizeof(told));
    std::memcpy(header + 8, &id, sizeof(id));
    std::memcpy(header + 16, &body_crc, sizeof(body_crc));
    const uint32_t header_crc = Crc32c(0, header, 20) ^ (how == 0x81 ? 1u : 0u);
    std::memcpy(header + 20, &header_crc, sizeof(header_crc));
    stream.append(reinterpret_cast<const char*>(header), sizeof(header)).append(body);
  }
  return stream;
}

void WriteFields(const PakvFields& fields, PakvWriter& writer) {
  for (const PakvField field : kPakvFields) {
    if (!fields.Has(field)) continue;
    if (field == PakvField::kEntry) {
      PakvEntryReader reader(fields.entries());
      PakvFields entry;
      while (reader.Next(entry)) {
        writer.BeginEntry();
        WriteFields(entry, writer);
        writer.EndEntry();
      }
    } else if (PakvFields::IsNumber(field)) {
      writer.Number(field, fields.Number(field));
    } else {
      writer.Bytes(field, fields.Bytes(field));
    }
  }
}

bool EntriesAreWhole(const PakvFields& fields) {
  PakvEntryReader reader(fields.entries());
  PakvFields entry;
  while (reader.Next(entry)) continue;
  return reader.ok();
}

// The message written again; fields that this version does not know are gone.
std::string Rewrite(const PakvFrame& frame, const PakvFields& fields, PakvReads reads) {
  OutputBuffer output;
  PakvWriter writer = reads == PakvReads::kReplies
                          ? PakvWriter(output, frame.type, frame.id, frame.status)
                          : PakvWriter(output, frame.type, frame.id);
  if ((frame.flags & kPakvMore) != 0) writer.SetMore();
  WriteFields(fields, writer);
  writer.Finish();
  return std::string(output.view());
}

PakvStatus Decode(const PakvFrame& frame, PakvFields& fields, PakvReads reads) {
  return reads == PakvReads::kReplies ? DecodePakvReply(frame, fields)
                                      : DecodePakvRequest(frame, fields);
}

void CheckRewritten(const PakvFrame& frame, const PakvFields& fields, PakvReads reads) {
  const std::string rewritten = Rewrite(frame, fields, reads);
  PAKV_CHECK(rewritten.size() <= kPakvHeaderBytes + frame.body.size());
  PakvFrameReader reader(reads, kFrameBytesMax, kBatchBytesMax);
  std::string_view input = rewritten;
  PakvFrame again;
  PAKV_CHECK(reader.Next(input, again) == PakvFrameReader::Status::kFrame && input.empty());
  PakvFields fields_again;
  PAKV_CHECK(Decode(again, fields_again, reads) == PakvStatus::kOk);
  PAKV_CHECK(fields_again.present() == fields.present());
  PAKV_CHECK(Rewrite(again, fields_again, reads) == rewritten);
}

std::string Read(std::string_view stream, PakvReads reads, size_t piece_bytes_max, Prng& prng) {
  PakvFrameReader reader(reads, kFrameBytesMax, kBatchBytesMax);
  std::string events;
  Pieces pieces(stream, piece_bytes_max, prng);
  while (!pieces.at_end()) {
    std::string_view input = pieces.Next();
    for (;;) {
      PakvFrame frame;
      const PakvFrameReader::Status status = reader.Next(input, frame);
      if (status == PakvFrameReader::Status::kPartial) break;
      if (status == PakvFrameReader::Status::kError) {
        return events + "error " + std::string(PakvName(reader.refusal()));
      }
      events += std::to_string(frame.id) + " " + std::to_string(static_cast<int>(frame.type));
      if (status == PakvFrameReader::Status::kRefused) {
        events += " refused " + std::string(PakvName(reader.refusal())) + "\n";
        continue;
      }
      PAKV_CHECK(frame.body.size() == frame.body_bytes);
      PakvFields fields;
      const PakvStatus decoded = Decode(frame, fields, reads);
      events += " " + PakvFaultText(decoded, fields.fault_tag(), fields.fault_entry()) + "\n";
      if (decoded == PakvStatus::kOk && EntriesAreWhole(fields)) {
        CheckRewritten(frame, fields, reads);
      }
    }
    PAKV_CHECK(reader.frame_bytes_min() > input.size(), "else it would have got further");
    PAKV_CHECK(reader.frame_bytes_min() <= kBatchBytesMax);
    pieces.Keep(input);
  }
  return events + (reader.in_frame() ? "within" : "between");
}

void CheckOnce(std::string_view data) {
  if (data.size() < 2) return;
  const uint8_t seed = static_cast<uint8_t>(data[0]);
  const PakvReads reads = (data[1] & 1) != 0 ? PakvReads::kReplies : PakvReads::kRequests;
  Prng prng(seed);
  const std::string stream = BuildStream(data.substr(2), reads);
  const std::string whole = Read(stream, reads, SIZE_MAX, prng);
  PAKV_CHECK(Read(stream, reads, 1 + seed % 64, prng) == whole);
  PAKV_CHECK(Read(stream, reads, 1, prng) == whole);

  // Which protocol it is does not change as more arrives.
  const std::string_view raw = data.substr(2);
  const WireProtocol protocol = DetectWireProtocol(raw);
  const WireProtocol begun = DetectWireProtocol(raw.substr(0, prng.Below(raw.size() + 1)));
  PAKV_CHECK(begun == WireProtocol::kUndecided || begun == protocol);
}

}  // namespace
}  // namespace pakv

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  pakv::CheckOnce({reinterpret_cast<const char*>(data), size});
  return 0;
}
