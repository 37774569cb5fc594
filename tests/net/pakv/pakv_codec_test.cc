// Long because: vectors, streams and the text that both are written in belong together.
// The pakv protocol's codec against the vectors of docs/protocol.md, and against streams that are
// cut anywhere, damaged anywhere, and hostile.
#include <gtest/gtest.h>

#include <charconv>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "net/pakv/codec.h"
#include "net/server/detect.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/prng.h"

namespace pakv {
namespace {

using Status = PakvFrameReader::Status;
using Lines = std::vector<std::string>;

constexpr size_t kFrameBytesMax = 4096;

// ---- Messages as text, as docs/protocol.md writes them. -----------------------------------------

std::string Quote(std::string_view bytes) {
  std::string quoted = "\"";
  for (const char c : bytes) {
    if (c >= ' ' && c <= '~' && c != '"' && c != '\\') {
      quoted += c;
      continue;
    }
    constexpr char kHex[] = "0123456789abcdef";
    quoted += "\\x";
    quoted += kHex[static_cast<unsigned char>(c) >> 4];
    quoted += kHex[static_cast<unsigned char>(c) & 15];
  }
  return quoted + "\"";
}

std::string Unquote(std::string_view quoted) {
  std::string bytes;
  for (size_t at = 1; at + 1 < quoted.size(); ++at) {
    if (quoted.substr(at, 2) == "\\x") {
      int byte = 0;
      std::from_chars(quoted.data() + at + 2, quoted.data() + at + 4, byte, 16);
      bytes += static_cast<char>(byte);
      at += 3;
    } else {
      bytes += quoted[at];
    }
  }
  return bytes;
}

void DescribeFields(const PakvFields& fields, const std::string& indent, Lines& lines) {
  for (const PakvField field : kPakvFields) {
    if (!fields.Has(field)) continue;
    const std::string name = indent + std::string(PakvName(field));
    if (field == PakvField::kEntry) {
      PakvEntryReader reader(fields.entries());
      PakvFields entry;
      while (reader.Next(entry)) {
        lines.push_back(name);
        DescribeFields(entry, indent + "  ", lines);
      }
      EXPECT_TRUE(reader.ok());
    } else if (!PakvFields::IsNumber(field)) {
      lines.push_back(name + " " + Quote(fields.Bytes(field)));
    } else if (field == PakvField::kNumber) {
      lines.push_back(name + " " + std::to_string(static_cast<int64_t>(fields.Number(field))));
    } else {
      lines.push_back(name + " " + std::to_string(fields.Number(field)));
    }
  }
}

Lines Describe(const PakvFrame& frame, bool reply, const PakvFields& fields) {
  std::string head = reply ? "reply " : "request ";
  head.append(PakvName(frame.type));
  if (reply) head.append(" ").append(PakvName(frame.status));
  const bool has_more = !reply && (frame.flags & kPakvMore) != 0;
  Lines lines{head + " id " + std::to_string(frame.id) + (has_more ? " more" : "")};
  DescribeFields(fields, "", lines);
  return lines;
}

template <typename Word, size_t kCount>
Word Named(const Word (&words)[kCount], std::string_view name) {
  for (const Word word : words) {
    if (PakvName(word) == name) return word;
  }
  ADD_FAILURE() << "no word " << name;
  return words[0];
}

PakvStatus StatusNamed(std::string_view name) {
  for (int value = 0; value < 256; ++value) {
    if (PakvName(static_cast<PakvStatus>(value)) == name) return static_cast<PakvStatus>(value);
  }
  ADD_FAILURE() << "no status " << name;
  return PakvStatus::kInternal;
}

std::string Encode(const Lines& lines) {
  std::istringstream head(lines[0]);
  std::string direction, type_name, status_name, word;
  uint64_t id = 0;
  head >> direction >> type_name;
  const PakvType type = type_name == "none" ? PakvType::kNone : Named(kPakvTypes, type_name);
  if (direction == "reply") head >> status_name;
  head >> word >> id >> word;
  OutputBuffer output;
  PakvWriter writer = direction == "reply" ? PakvWriter(output, type, id, StatusNamed(status_name))
                                           : PakvWriter(output, type, id);
  if (direction == "request" && word == "more") writer.SetMore();
  bool in_entry = false;
  for (size_t index = 1; index < lines.size(); ++index) {
    std::string_view line = lines[index];
    const bool indented = line.starts_with("  ");
    if (in_entry && !indented) writer.EndEntry();
    in_entry = in_entry && indented;
    if (line == "entry") {
      writer.BeginEntry();
      in_entry = true;
      continue;
    }
    if (indented) line.remove_prefix(2);
    const size_t blank = line.find(' ');
    const PakvField field = Named(kPakvFields, line.substr(0, blank));
    const std::string value(line.substr(blank + 1));
    if (!PakvFields::IsNumber(field)) {
      writer.Bytes(field, Unquote(value));
    } else if (value[0] == '-') {
      writer.Number(field, static_cast<uint64_t>(std::stoll(value)));
    } else {
      writer.Number(field, std::stoull(value));
    }
  }
  if (in_entry) writer.EndEntry();
  writer.Finish();
  return std::string(output.view());
}

// ---- The vectors.
// ---------------------------------------------------------------------------------

struct Vector {
  int line = 0;
  Lines text;
  std::string bytes;
};

std::vector<Vector> ReadVectors() {
  std::ifstream file(std::string(PAKV_SOURCE_ROOT) + "/docs/protocol.md");
  EXPECT_TRUE(file.is_open());
  std::vector<Vector> vectors;
  bool inside = false;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line == "```vector") {
      inside = true;
      vectors.push_back({number, {}, {}});
    } else if (line == "```") {
      inside = false;
    } else if (inside && line.starts_with("= ")) {
      std::istringstream digits(line.substr(2));
      for (std::string byte; digits >> byte;) {
        vectors.back().bytes += static_cast<char>(std::stoi(byte, nullptr, 16));
      }
    } else if (inside) {
      vectors.back().text.push_back(line);
    }
  }
  return vectors;
}

// One frame or what is wrong with it, as a vector says it.
Lines Decode(std::string_view bytes, bool replies) {
  PakvFrameReader reader(replies ? PakvReads::kReplies : PakvReads::kRequests,
                         kFrameBytesMax * 512);
  PakvFrame frame;
  const Status outcome = reader.Next(bytes, frame);
  if (outcome == Status::kPartial) return {"partial"};
  if (outcome == Status::kRefused) return {"refused " + std::string(PakvName(reader.refusal()))};
  if (outcome == Status::kError) {
    EXPECT_FALSE(reader.error().empty());
    return {"error " + std::string(PakvName(reader.refusal()))};
  }
  EXPECT_TRUE(bytes.empty());
  PakvFields fields;
  const PakvStatus status =
      replies ? DecodePakvReply(frame, fields) : DecodePakvRequest(frame, fields);
  if (status != PakvStatus::kOk) return {"invalid " + std::string(PakvName(status))};
  return Describe(frame, replies, fields);
}

TEST(PakvProtocolTest, VectorsReadAndWriteAsDocumented) {
  const std::vector<Vector> vectors = ReadVectors();
  ASSERT_GT(vectors.size(), 50u);
  for (const Vector& vector : vectors) {
    SCOPED_TRACE("docs/protocol.md, line " + std::to_string(vector.line));
    ASSERT_FALSE(vector.text.empty());
    Lines text = vector.text;
    const std::string word = text[0].substr(0, text[0].find(' '));
    if (word == "decodes") {
      text[0].erase(0, word.size() + 1);
      EXPECT_EQ(Decode(vector.bytes, false), text);
      continue;
    }
    EXPECT_EQ(Decode(vector.bytes, word == "reply"), text);
    if (word == "request" || word == "reply") {
      EXPECT_EQ(Encode(text), vector.bytes);
    }
  }
}

TEST(PakvProtocolTest, EveryTypeAndFieldStandsInTheVectors) {
  std::string all;
  for (const Vector& vector : ReadVectors()) {
    for (const std::string& line : vector.text) all += line + "\n";
  }
  for (const PakvType type : kPakvTypes) {
    EXPECT_NE(all.find("request " + std::string(PakvName(type)) + " id"), std::string::npos)
        << PakvName(type);
    EXPECT_NE(all.find("reply " + std::string(PakvName(type)) + " ok"), std::string::npos)
        << PakvName(type);
  }
  for (const PakvField field : kPakvFields) {
    EXPECT_NE(all.find(PakvName(field)), std::string::npos) << PakvName(field);
  }
}

TEST(PakvProtocolTest, StatusesHaveNamesAndExitCodes) {
  EXPECT_EQ(PakvExitCode(PakvStatus::kOk), 0);
  EXPECT_EQ(PakvExitCode(PakvStatus::kNotFound), 1);
  EXPECT_EQ(PakvExitCode(PakvStatus::kConditionFailed), 1);
  EXPECT_EQ(PakvExitCode(PakvStatus::kNotAnInteger), 4);
  EXPECT_EQ(PakvExitCode(PakvStatus::kReadOnly), 4);
  EXPECT_EQ(PakvExitCode(PakvStatus::kNoDescriptors), 4);
  EXPECT_EQ(PakvExitCode(PakvStatus::kValueTooLong), 4);
  EXPECT_EQ(PakvExitCode(PakvStatus::kUnknownOutcome), 5);
  EXPECT_EQ(PakvExitCode(PakvStatus::kMalformed), 5);
  EXPECT_EQ(PakvExitCode(static_cast<PakvStatus>(0x6f)), 4) << "by its category";
  EXPECT_EQ(PakvExitCode(static_cast<PakvStatus>(0xaf)), 5);
  EXPECT_EQ(PakvName(static_cast<PakvStatus>(0xaf)), "");
  EXPECT_EQ(PakvFaultText(PakvStatus::kUnknownField, 0x3f), "unknown field: field 0x3f");
  EXPECT_EQ(PakvFaultText(PakvStatus::kFieldMissing, 0x41), "field missing: field 0x41 (key)");
  EXPECT_EQ(PakvFaultText(PakvStatus::kUnknownType, 0), "unknown type");
}

// ---- Streams.
// ---------------------------------------------------------------------------------------

// Feeds pieces as a session does: unfinished bytes move to a buffer of exactly their size.
class Feeder {
 public:
  explicit Feeder(size_t frame_bytes_max = kFrameBytesMax)
      : reader_(PakvReads::kRequests, frame_bytes_max) {}

  void Feed(std::string_view piece) {
    if (failed_) return;
    held_ = std::string(held_).append(piece);
    held_bytes_max_ = std::max(held_bytes_max_, held_.size());
    std::string_view input = held_;
    for (;;) {
      PakvFrame frame;
      const Status outcome = reader_.Next(input, frame);
      if (outcome == Status::kPartial) break;
      if (outcome == Status::kError) {
        failed_ = true;
        events_.push_back("error " + std::string(PakvName(reader_.refusal())));
        break;
      }
      if (outcome == Status::kRefused) {
        events_.push_back("refused " + std::string(PakvName(reader_.refusal())) + " id " +
                          std::to_string(frame.id));
        continue;
      }
      PakvFields fields;
      const PakvStatus status = DecodePakvRequest(frame, fields);
      if (status != PakvStatus::kOk) {
        events_.push_back("invalid " + std::string(PakvName(status)));
        continue;
      }
      for (std::string& line : Describe(frame, false, fields)) events_.push_back(std::move(line));
    }
    held_ = std::string(input);
  }
  Lines Finish() {
    if (!failed_) events_.push_back(reader_.in_frame() ? "within" : "between");
    return events_;
  }
  size_t held_bytes_max() const { return held_bytes_max_; }

 private:
  PakvFrameReader reader_;
  std::string held_;
  size_t held_bytes_max_ = 0;
  bool failed_ = false;
  Lines events_;
};

Lines ReadAllWays(std::string_view stream, size_t frame_bytes_max = kFrameBytesMax) {
  Feeder at_once(frame_bytes_max);
  at_once.Feed(stream);
  const Lines whole = at_once.Finish();
  Feeder dripping(frame_bytes_max);
  for (size_t at = 0; at < stream.size(); ++at) dripping.Feed(stream.substr(at, 1));
  EXPECT_EQ(dripping.Finish(), whole);
  for (size_t first = 0; first <= stream.size(); ++first) {
    for (size_t second = first; second <= stream.size(); ++second) {
      Feeder cut(frame_bytes_max);
      cut.Feed(stream.substr(0, first));
      cut.Feed(stream.substr(first, second - first));
      cut.Feed(stream.substr(second));
      const Lines events = cut.Finish();
      if (events != whole) {
        EXPECT_EQ(events, whole) << "cut at " << first << " and " << second;
        return whole;
      }
    }
  }
  return whole;
}

std::string Get(uint64_t id) {
  return Encode({"request get id " + std::to_string(id), "key \"k\""});
}

TEST(PakvFrameReaderTest, ReadsTheSameHoweverCut) {
  const std::string stream =
      Get(1) + Encode({"request set id 2", "options 1", "key \"\"", "value \"abc\""}) +
      Encode({"request ping id 3"}) + Get(4);
  EXPECT_EQ(
      ReadAllWays(stream),
      (Lines{"request get id 1", "key \"k\"", "request set id 2", "options 1", "key \"\"",
             "value \"abc\"", "request ping id 3", "request get id 4", "key \"k\"", "between"}));
  EXPECT_EQ(ReadAllWays(stream.substr(0, stream.size() - 1)).back(), "within");
}

TEST(PakvFrameReaderTest, ABatchReadsTheSameHoweverCut) {
  const std::string stream =
      Get(1) +
      Encode({"request batch id 2", "namespace 7", "entry", "  operation 17", "  key \"\"",
              "  value \"abc\"", "entry", "  operation 16", "  key \"k\""}) +
      // Its second operation lacks its value.
      Encode({"request batch id 3", "entry", "  operation 16", "  key \"k\"", "entry",
              "  operation 17", "  key \"k\""}) +
      Encode({"request ping id 4"});
  EXPECT_EQ(ReadAllWays(stream),
            (Lines{"request get id 1", "key \"k\"", "request batch id 2", "namespace 7", "entry",
                   "  operation 17", "  key \"\"", "  value \"abc\"", "entry", "  operation 16",
                   "  key \"k\"", "invalid field-missing", "request ping id 4", "between"}));
}

TEST(PakvFrameReaderTest, PiecesReadTheSameHoweverCut) {
  const std::string stream = Encode({"request set id 2 more", "total-bytes 300", "value \"abc\""}) +
                             Get(1) + Encode({"request set id 2 more", "value \"\""}) +
                             // What is the set's stands with the last piece alone.
                             Encode({"request set id 2 more", "key \"k\"", "value \"d\""}) +
                             Encode({"request set id 2", "ttl-ms 5", "key \"k\"", "value \"e\""}) +
                             Encode({"request get id 3 more", "key \"k\""});
  EXPECT_EQ(ReadAllWays(stream),
            (Lines{"request set id 2 more", "total-bytes 300", "value \"abc\"", "request get id 1",
                   "key \"k\"", "request set id 2 more", "value \"\"", "invalid field-not-allowed",
                   "request set id 2", "ttl-ms 5", "key \"k\"", "value \"e\"",
                   "refused unsupported id 3", "between"}));
}

TEST(PakvFrameReaderTest, ABatchMayBeLongerThanOtherFrames) {
  const auto batch = [](size_t value_bytes) {
    return Encode({"request batch id 2", "entry", "  operation 17", "  key \"k\"",
                   "  value \"" + std::string(value_bytes, 'v') + "\""});
  };
  const auto read = [](const std::string& frame, size_t batch_bytes_max) {
    PakvFrameReader reader(PakvReads::kRequests, 64, batch_bytes_max);
    std::string_view input = frame;
    PakvFrame taken;
    return reader.Next(input, taken);
  };
  EXPECT_EQ(read(batch(60), batch(60).size()), Status::kFrame);
  EXPECT_EQ(read(batch(61), batch(60).size()), Status::kRefused);
  EXPECT_EQ(
      read(Encode({"request set id 2", "key \"k\"", "value \"" + std::string(60, 'v') + "\""}),
           4096),
      Status::kRefused);
  PakvFrameReader reader(PakvReads::kRequests, 64);
  const std::string largest = batch(kPakvBatchBytesMax);
  std::string_view input = largest;
  PakvFrame taken;
  EXPECT_EQ(reader.Next(input, taken), Status::kFrame);
}

TEST(PakvFrameReaderTest, AFaultInABatchNamesItsOperation) {
  const std::string frame = Encode({"request batch id 3", "entry", "  operation 16", "  key \"k\"",
                                    "entry", "  operation 17", "  key \"k\""});
  PakvFrameReader reader(PakvReads::kRequests, kFrameBytesMax);
  std::string_view input = frame;
  PakvFrame taken;
  ASSERT_EQ(reader.Next(input, taken), Status::kFrame);
  PakvFields fields;
  const PakvStatus status = DecodePakvRequest(taken, fields);
  EXPECT_EQ(PakvFaultText(status, fields.fault_tag(), fields.fault_entry()),
            "operation 2: field missing: field 0x42 (value)");
}

TEST(PakvFrameReaderTest, RefusedFramesCostNoConnection) {
  const std::string large =
      Encode({"request set id 2", "key \"k\"", "value \"" + std::string(60, 'v') + "\""});
  std::string damaged = Get(3);
  damaged.back() = 'K';
  EXPECT_EQ(ReadAllWays(Get(1) + large + damaged + Get(4), 64),
            (Lines{"request get id 1", "key \"k\"", "refused frame-too-large id 2",
                   "refused bad-checksum id 3", "request get id 4", "key \"k\"", "between"}));
}

TEST(PakvFrameReaderTest, AnyFlippedBitIsFound) {
  const std::string frame = Encode({"request set id 7", "condition 1", "key \"k\"", "value \"v\""});
  for (size_t bit = 0; bit < frame.size() * 8; ++bit) {
    std::string damaged = frame;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    Feeder feeder;
    feeder.Feed(damaged);
    const std::string event = feeder.Finish().front();
    const std::string expected = bit < 8                      ? "error malformed"
                                 : bit < kPakvHeaderBytes * 8 ? "error bad-checksum"
                                                              : "refused bad-checksum id 7";
    EXPECT_EQ(event, expected) << "bit " << bit;
  }
}

TEST(PakvFrameReaderTest, WrongFirstByteFailsAtOnce) {
  for (int byte = 0; byte < 256; ++byte) {
    if (byte == kPakvMagic) continue;
    PakvFrameReader reader(PakvReads::kRequests, kFrameBytesMax);
    PakvFrame frame;
    const char c = static_cast<char>(byte);
    std::string_view input(&c, 1);
    EXPECT_EQ(reader.Next(input, frame), Status::kError);
  }
}

TEST(PakvFrameReaderTest, OverLimitBodiesAreNotHeld) {
  const std::string large =
      Encode({"request set id 2", "key \"k\"", "value \"" + std::string(1000000, 'v') + "\""});
  Feeder feeder(1024);
  for (size_t at = 0; at < large.size(); at += 1000) feeder.Feed(large.substr(at, 1000));
  feeder.Feed(Get(3));
  EXPECT_LE(feeder.held_bytes_max(), 1024u);
  EXPECT_EQ(feeder.Finish(),
            (Lines{"refused frame-too-large id 2", "request get id 3", "key \"k\"", "between"}));
}

TEST(PakvFrameReaderTest, TellsHowManyBytesAFrameNeeds) {
  PakvFrameReader reader(PakvReads::kRequests, kFrameBytesMax);
  PakvFrame frame;
  const std::string stream =
      Encode({"request ping id 1", "value \"" + std::string(100, 'v') + "\""});
  std::string_view input;
  EXPECT_EQ(reader.Next(input, frame), Status::kPartial);
  EXPECT_EQ(reader.frame_bytes_min(), 1u);
  EXPECT_FALSE(reader.in_frame());
  input = std::string_view(stream).substr(0, 1);
  EXPECT_EQ(reader.Next(input, frame), Status::kPartial);
  EXPECT_EQ(reader.frame_bytes_min(), kPakvHeaderBytes);
  EXPECT_TRUE(reader.in_frame());
  input = std::string_view(stream).substr(0, kPakvHeaderBytes);
  EXPECT_EQ(reader.Next(input, frame), Status::kPartial);
  EXPECT_EQ(reader.frame_bytes_min(), stream.size());
  input = stream;
  EXPECT_EQ(reader.Next(input, frame), Status::kFrame);
  EXPECT_EQ(frame.body.data(), stream.data() + kPakvHeaderBytes) << "in place";
}

TEST(PakvFieldsTest, RandomBodiesNeverReadBeyondTheirEnd) {
  // Bodies of plausible tags and lengths, in memory of exactly their size (ASan sees the rest).
  Prng prng(1);
  int whole = 0;
  for (int round = 0; round < 200000; ++round) {
    std::string body;
    uint8_t tag = 0;
    while (prng.Chance(3, 4)) {
      tag = prng.Chance(1, 8)
                ? static_cast<uint8_t>(prng.Next())
                : static_cast<uint8_t>(kPakvFields[prng.Below(std::size(kPakvFields))]);
      body += static_cast<char>(tag);
      const uint64_t number = prng.Chance(1, 4) ? prng.Next() : prng.Below(12);
      const size_t width = (tag & kPakvBytesBit) != 0 ? 4 : 8;
      body.append(reinterpret_cast<const char*>(&number), width);
      if (width == 4) body.append(prng.Below(12), 'x');
    }
    body.resize(body.size() - prng.Below(std::min<size_t>(body.size(), 2) + 1));
    const std::vector<char> exact(body.begin(), body.end());
    PakvFields fields;
    const PakvStatus status = fields.Decode({exact.data(), exact.size()});
    if (status != PakvStatus::kOk) continue;
    ++whole;
    Lines lines;
    PakvEntryReader reader(fields.entries());
    PakvFields entry;
    while (reader.Next(entry)) DescribeFields(entry, "", lines);
  }
  EXPECT_GT(whole, 1000);
}

TEST(PakvWriterTest, AbandonedFrameLeavesNothing) {
  OutputBuffer output;
  output.Append("before");
  PakvWriter writer(output, PakvType::kGet, 1, PakvStatus::kOk);
  writer.Bytes(PakvField::kValue, "v");
  EXPECT_GT(writer.frame_bytes(), kPakvHeaderBytes);
  writer.Abandon();
  EXPECT_EQ(output.view(), "before");
  WritePakvError(output, PakvType::kSet, 12, PakvStatus::kDiskFull, "no space");
  EXPECT_EQ(Decode(output.view().substr(6), true),
            (Lines{"reply set disk-full id 12", "text \"no space\""}));
}

TEST(PakvWriterDeathTest, FieldsOutOfOrderAreABug) {
  OutputBuffer output;
  PakvWriter writer(output, PakvType::kSet, 1);
  writer.Bytes(PakvField::kValue, "v");
  EXPECT_DEATH(writer.Bytes(PakvField::kKey, "k"), "ascending order");
}

// ---- Which protocol is it?
// --------------------------------------------------------------------------

TEST(DetectTest, FirstByteOrFirstLineDecides) {
  const auto detect = DetectWireProtocol;
  EXPECT_EQ(detect(""), WireProtocol::kUndecided);
  EXPECT_EQ(detect(Get(1).substr(0, 1)), WireProtocol::kPakv);
  EXPECT_EQ(detect("*"), WireProtocol::kResp);
  EXPECT_EQ(detect("\r\n"), WireProtocol::kResp);
  EXPECT_EQ(detect("\x16"), WireProtocol::kUndecided);
  EXPECT_EQ(detect("\x16\x03\x01"), WireProtocol::kTls);
  EXPECT_EQ(detect("\x16\x04"), WireProtocol::kResp);
  EXPECT_EQ(detect("PING\r\n"), WireProtocol::kResp);
  EXPECT_EQ(detect("GET / HTTP/1.1\r\n"), WireProtocol::kHttp);
  EXPECT_EQ(detect("POST /x HTTP/1.0\nHost: x"), WireProtocol::kHttp);
  EXPECT_EQ(detect("GET / HTTP/2\r\n"), WireProtocol::kResp);
  EXPECT_EQ(detect("SET key HTTP/1.1\r\n"), WireProtocol::kHttp);
  EXPECT_EQ(detect("SET key \"x HTTP/1.1\"\r\n"), WireProtocol::kResp);
  EXPECT_EQ(detect(std::string(kDetectLineBytesMax, 'a')), WireProtocol::kUndecided);
  EXPECT_EQ(detect(std::string(kDetectLineBytesMax + 1, 'a')), WireProtocol::kResp);
}

TEST(DetectTest, DecisionStandsWhenMoreArrives) {
  for (const std::string_view stream :
       {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "PING\r\nGET / HTTP/1.1\r\n", "*1\r\n$4\r\nPING\r\n",
        "\x16\x03\x01 x HTTP/1.1\r\n", "\xf7\x01\n"}) {
    const WireProtocol whole = DetectWireProtocol(stream);
    for (size_t length = 1; length <= stream.size(); ++length) {
      const WireProtocol part = DetectWireProtocol(stream.substr(0, length));
      EXPECT_TRUE(part == whole || part == WireProtocol::kUndecided) << stream << length;
    }
  }
}

}  // namespace
}  // namespace pakv
