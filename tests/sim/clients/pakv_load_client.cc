#include "tests/sim/clients/pakv_load_client.h"

#include <charconv>
#include <utility>

namespace pakv {
namespace {

constexpr std::string_view kCounter = "compared";

}  // namespace

// ---- PakvLoadClient ----

void PakvLoadClient::Wrong(const std::string& what) {
  if (load_.wrong.empty()) load_.wrong = "pakv: " + what;
}

bool PakvLoadClient::Explains(PakvStatus status) const {
  switch (status) {
    case PakvStatus::kReadOnly:
    case PakvStatus::kDiskFull:
      return load_.disk_is_ill;
    case PakvStatus::kFileError:
      return load_.disk_is_ill || load_.lacks_descriptors;
    case PakvStatus::kNoDescriptors:
      return load_.lacks_descriptors;
    case PakvStatus::kOutOfMemory:
      return load_.memory_is_short || load_.replies_are_bounded;
    case PakvStatus::kStopping:
      return true;
    default:
      return IsUnknown(status) && load_.disk_is_ill;
  }
}

void PakvLoadClient::Greet() {
  hello_ = NextId();
  PakvWriter hello(to_send_, PakvType::kHello, hello_);
  hello.Number(PakvField::kVersionMin, kPakvVersion);
  hello.Number(PakvField::kVersionMax, kPakvVersion);
  hello.Finish();
}

void PakvLoadClient::TakeReplies(std::string_view& input) {
  while (load_.wrong.empty() && !done()) {
    // Who is turned away before he has said what he speaks is told so in RESP.
    constexpr std::string_view kTurnedAway = "-ERR max number of clients reached\r\n";
    if (load_.limits_are_small && !input.empty() && input[0] == '-') {
      if (input == kTurnedAway) NobodyHasRead();
      if (!kTurnedAway.starts_with(input)) Wrong("turned away, but not so: " + std::string(input));
      break;
    }
    PakvFrame frame;
    const PakvFrameReader::Status status = reader_.Next(input, frame);
    if (status == PakvFrameReader::Status::kPartial) break;
    if (status != PakvFrameReader::Status::kFrame) {
      Wrong("no reply: " + std::string(reader_.error()));
      break;
    }
    TakeReply(frame);
  }
}

void PakvLoadClient::TakeReply(const PakvFrame& frame) {
  PakvFields fields;
  if (DecodePakvReply(frame, fields) != PakvStatus::kOk) {
    return Wrong("a reply that cannot be read");
  }
  const std::string text(fields.Bytes(PakvField::kText));
  if (frame.id == 0) {
    const bool may_be = frame.status == PakvStatus::kStopping ||
                        (frame.status == PakvStatus::kTimeout && load_.limits_are_small);
    if (!may_be) return Wrong("the end of the connection: " + text);
    return NobodyHasRead();
  }
  if (frame.id == hello_) {
    if (frame.status != PakvStatus::kOk) Wrong("hello was refused: " + text);
    return;
  }
  Replied(frame, fields);
}

// ---- PakvCounterClient ----

PakvCounterClient::PakvCounterClient(RespLoad& load, PakvCounterState& state, uint64_t id,
                                     uint64_t seed, uint32_t count)
    : PakvLoadClient(load, id, seed, count), state_(state) {}

void PakvCounterClient::StartMore() {
  if (under_way_ != 0) return;
  if (left_ == 0) return End();
  --left_;
  Look();
}

void PakvCounterClient::Look() {
  under_way_ = NextId();
  writes_ = false;
  least_ = state_.counted;
  PakvWriter get(to_send_, PakvType::kGet, under_way_);
  get.Bytes(PakvField::kKey, kCounter);
  get.Finish();
}

void PakvCounterClient::Increment(uint64_t found, uint64_t version) {
  ++state_.begun;
  under_way_ = NextId();
  writes_ = true;
  version_ = version;
  PakvWriter set(to_send_, PakvType::kSet, under_way_);
  if (version == 0) {
    set.Number(PakvField::kCondition, static_cast<uint64_t>(PakvCondition::kIfAbsent));
  } else {
    set.Number(PakvField::kIfVersion, version);
  }
  set.Bytes(PakvField::kKey, kCounter);
  set.Bytes(PakvField::kValue, std::to_string(found + 1));
  set.Finish();
}

void PakvCounterClient::Replied(const PakvFrame& frame, const PakvFields& fields) {
  if (frame.id != under_way_) return Wrong("a reply that nobody asked for");
  under_way_ = 0;
  if (writes_) return Incremented(frame, fields);
  uint64_t found = 0;
  switch (frame.status) {
    case PakvStatus::kOk: {
      const std::string_view value = fields.Bytes(PakvField::kValue);
      std::from_chars(value.data(), value.data() + value.size(), found);
      break;
    }
    case PakvStatus::kNotFound:
      break;
    default:
      if (!Explains(frame.status)) Wrong("a get ends as " + std::string(PakvName(frame.status)));
      return;
  }
  if (found < least_) {
    return Wrong("an increment is lost: " + std::to_string(found) + " of at least " +
                 std::to_string(least_));
  }
  if (found > state_.begun) return Wrong("the counter counts what was never begun");
  Increment(found, frame.status == PakvStatus::kOk ? fields.Number(PakvField::kLsn) : 0);
}

void PakvCounterClient::Incremented(const PakvFrame& frame, const PakvFields& fields) {
  const uint64_t lsn = fields.Number(PakvField::kLsn, 0);
  switch (frame.status) {
    case PakvStatus::kOk:
      ++state_.counted;
      if (lsn <= version_) Wrong("a write has made an older version");
      return;
    case PakvStatus::kConditionFailed:
      --state_.begun;
      if (lsn == version_) Wrong("a condition failed that was met");
      return;
    default:
      if (!Explains(frame.status)) Wrong("a set ends as " + std::string(PakvName(frame.status)));
      if (!IsUnknown(frame.status)) --state_.begun;
  }
}

void PakvCounterClient::NobodyHasRead() {
  if (under_way_ != 0 && writes_) --state_.begun;
  under_way_ = 0;
  left_ = 0;
}

}  // namespace pakv
