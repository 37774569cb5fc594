// Requests of the pakv protocol, and its replies as text: what tests of the protocol are made of.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/pakv/codec.h"

namespace pakv {

struct PakvTestField {
  PakvField field;
  uint64_t number = 0;
  std::string bytes;
};
inline PakvTestField NumberIn(PakvField field, uint64_t number) { return {field, number, {}}; }
inline PakvTestField BytesIn(PakvField field, std::string bytes) {
  return {field, 0, std::move(bytes)};
}
inline PakvTestField Key(std::string key) { return BytesIn(PakvField::kKey, std::move(key)); }
inline PakvTestField Value(std::string value) {
  return BytesIn(PakvField::kValue, std::move(value));
}
inline PakvTestField Option(PakvOption option) {
  return NumberIn(PakvField::kOptions, static_cast<uint8_t>(option));
}
inline PakvTestField Condition(PakvCondition condition) {
  return NumberIn(PakvField::kCondition, static_cast<uint8_t>(condition));
}

// In any order.
inline void WriteTestFields(std::vector<PakvTestField> fields, PakvWriter& writer) {
  std::sort(fields.begin(), fields.end(),
            [](const PakvTestField& left, const PakvTestField& right) {
              return left.field < right.field;
            });
  for (const PakvTestField& field : fields) {
    if (PakvFields::IsNumber(field.field)) {
      writer.Number(field.field, field.number);
    } else {
      writer.Bytes(field.field, field.bytes);
    }
  }
}

// A request's frame; the fields in any order.
inline std::string PakvRequest(PakvType type, uint64_t id, std::vector<PakvTestField> fields = {}) {
  OutputBuffer output;
  PakvWriter writer(output, type, id);
  WriteTestFields(std::move(fields), writer);
  writer.Finish();
  return std::string(output.view());
}

// A piece of a set's value, before the last.
inline std::string PakvPiece(uint64_t id, std::string_view bytes, uint64_t total_bytes = 0) {
  OutputBuffer output;
  PakvWriter writer(output, PakvType::kSet, id);
  writer.SetMore();
  if (total_bytes != 0) writer.Number(PakvField::kTotalBytes, total_bytes);
  writer.Bytes(PakvField::kValue, bytes);
  writer.Finish();
  return std::string(output.view());
}

// A set whose value goes in pieces of so many bytes.
inline std::string PakvSetInPieces(uint64_t id, std::string_view value, size_t piece_bytes,
                                   std::vector<PakvTestField> more = {}) {
  std::string frames;
  while (value.size() > piece_bytes) {
    frames += PakvPiece(id, value.substr(0, piece_bytes));
    value.remove_prefix(piece_bytes);
  }
  more.push_back(Value(std::string(value)));
  return frames + PakvRequest(PakvType::kSet, id, std::move(more));
}

struct PakvTestOperation {
  PakvType type = PakvType::kNone;
  std::vector<PakvTestField> fields;
};

// A batch of these; `fields` are its own.
inline std::string PakvBatch(uint64_t id, const std::vector<PakvTestOperation>& operations,
                             std::vector<PakvTestField> fields = {}) {
  OutputBuffer output;
  PakvWriter writer(output, PakvType::kBatch, id);
  WriteTestFields(std::move(fields), writer);
  for (const PakvTestOperation& operation : operations) {
    std::vector<PakvTestField> of_entry = operation.fields;
    of_entry.push_back(NumberIn(PakvField::kOperation, static_cast<uint64_t>(operation.type)));
    writer.BeginEntry();
    WriteTestFields(std::move(of_entry), writer);
    writer.EndEntry();
  }
  writer.Finish();
  return std::string(output.view());
}

inline std::string PakvHello(uint64_t id = 1) {
  return PakvRequest(PakvType::kHello, id,
                     {NumberIn(PakvField::kVersionMin, 1), NumberIn(PakvField::kVersionMax, 1)});
}

struct PakvTestReply {
  PakvType type = PakvType::kNone;
  uint64_t id = 0;
  PakvStatus status = PakvStatus::kOk;
  uint64_t lsn = 0;
  std::string cursor;
  // "set 3 condition-failed lsn=#1 old-value=\"v\"": LSNs are numbered as they come; a text for
  // people is left out, but that there is one is shown.
  std::string text;
};

// The replies in a server's stream, and whether it is one.
class PakvReplyReader {
 public:
  // All whole replies among `bytes`, behind what was given before.
  std::vector<PakvTestReply> Read(std::string_view bytes) {
    input_.append(bytes);
    std::string_view rest = input_;
    std::vector<PakvTestReply> replies;
    PakvFrame frame;
    while (true) {
      const PakvFrameReader::Status status = reader_.Next(rest, frame);
      if (status == PakvFrameReader::Status::kFrame) {
        replies.push_back(Take(frame));
        continue;
      }
      EXPECT_EQ(status, PakvFrameReader::Status::kPartial) << reader_.error();
      break;
    }
    input_.erase(0, input_.size() - rest.size());
    return replies;
  }
  bool at_end_of_reply() const { return input_.empty(); }

 private:
  PakvTestReply Take(const PakvFrame& frame) {
    PakvTestReply reply;
    reply.type = frame.type;
    reply.id = frame.id;
    reply.status = frame.status;
    reply.text = std::string(PakvName(frame.type)) + " " + std::to_string(frame.id) + " " +
                 std::string(PakvName(frame.status));
    PakvFields fields;
    EXPECT_EQ(DecodePakvReply(frame, fields), PakvStatus::kOk);
    reply.lsn = fields.Number(PakvField::kLsn);
    reply.cursor = fields.Bytes(PakvField::kCursor);
    Append(fields, reply.text);
    PakvEntryReader entries(fields.entries());
    PakvFields entry;
    while (entries.Next(entry)) {
      reply.text += " {";
      Append(entry, reply.text);
      reply.text += " }";
    }
    EXPECT_TRUE(entries.ok());
    const PakvCategory category = PakvCategoryOf(frame.status);
    const bool needs_text = category != PakvCategory::kDone && category != PakvCategory::kMissing &&
                            category != PakvCategory::kCondition;
    EXPECT_EQ(fields.Has(PakvField::kText), needs_text) << reply.text;
    return reply;
  }

  void Append(const PakvFields& fields, std::string& text) {
    for (const PakvField field : kPakvFields) {
      if (!fields.Has(field) || field == PakvField::kEntry || field == PakvField::kText) continue;
      text += " " + std::string(PakvName(field)) + "=";
      if (field == PakvField::kLsn) {
        const auto [place, is_new] = lsns_.emplace(fields.Number(field), lsns_.size() + 1);
        text += "#" + std::to_string(place->second);
      } else if (field == PakvField::kCursor) {
        text += "...";
      } else if (PakvFields::IsNumber(field)) {
        text += std::to_string(static_cast<int64_t>(fields.Number(field)));
      } else {
        text += '"' + std::string(fields.Bytes(field)) + '"';
      }
    }
  }

  PakvFrameReader reader_{PakvReads::kReplies, size_t{64} << 20};
  std::string input_;
  std::map<uint64_t, size_t> lsns_;
};

}  // namespace pakv
