// A store whose values of more than a few hundred bytes lie in files, on one or several simulated
// cores, and what tests do with it: write values through uploads, read them, look at the files.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kv/log/format/format_value_file.h"
#include "kv/shard/values/value_upload.h"
#include "kv/store/store.h"
#include "tests/kv/store/store_call.h"
#include "tests/sim/world/sim_node.h"

namespace pakv {

inline constexpr uint32_t kChunkBytes = 4096;
inline constexpr uint32_t kInlineBytesMax = 300;

inline Change GetAny(const OldValue& old, Request& request) {
  request.reply.kind = !old.exists   ? Reply::Kind::kNull
                       : old.in_file ? Reply::Kind::kFile
                                     : Reply::Kind::kBytes;
  request.reply.bytes = old.value;
  return {};
}
inline Change Length(const OldValue& old, Request& request) {
  request.reply.kind = Reply::Kind::kInteger;
  request.reply.integer = old.exists ? static_cast<int64_t>(old.value_length) : -1;
  return {};
}
inline Change SetIfAbsent(const OldValue& old, Request& request) {
  request.reply.kind = old.exists ? Reply::Kind::kNull : Reply::Kind::kOk;
  if (old.exists) return {};
  return {Change::Action::kWrite, kNoExpiry, request.value};
}
inline Change SetUntil(const OldValue&, Request& request) {
  request.reply.kind = Reply::Kind::kOk;
  return {Change::Action::kWrite, request.expiry_ms, request.value};
}
inline Change ExpireAt(const OldValue& old, Request& request) {
  request.reply.kind = Reply::Kind::kInteger;
  request.reply.integer = old.exists ? 1 : 0;
  if (!old.exists) return {};
  return {Change::Action::kWrite, request.expiry_ms, old.value};
}
inline Change GetAndSet(const OldValue& old, Request& request) {
  GetAny(old, request);
  return {Change::Action::kWrite, kNoExpiry, request.value};
}

inline std::string ValueOf(char first, size_t length) {
  std::string value(length, '\0');
  for (size_t i = 0; i < length; ++i) value[i] = static_cast<char>(first + i % 23 + i / 4096);
  return value;
}

class ValueFileFixture : public testing::TestWithParam<uint32_t> {
 protected:
  ValueFileFixture() { NewNode(); }
  void SetUp() override { Open(); }
  // A machine with an empty disk.
  void NewNode() {
    node_.reset();
    node_ =
        std::make_unique<SimNode>(world_, "10.0.0.1", SimDiskOptions{.capacity_bytes = 8 << 20});
  }
  // Of each start.
  virtual void Adjust(StoreOptions&) {}

  std::optional<absl::Status> TryOpen() {
    node_->Start({.core_count = GetParam(), .core = {.buffer_bytes = 1 << 16}});
    if (crash_after_) node_->CrashAfter(*crash_after_, crash_kind_);
    StoreOptions options;
    options.directory = "/store";
    options.segment_bytes = 1 << 16;
    options.cache_bytes = 1 << 16;
    options.inline_value_bytes_max = kInlineBytesMax;
    options.value_files = {.chunk_bytes = kChunkBytes, .uploads_max = 2, .chunks_max = 2};
    options.entropy = StoreEntropy{{}, 1, next_run_++};
    options.salvage = salvage_;
    Adjust(options);
    report_ = OpenReport();
    auto opened = node_->Run(Store::Open(node_->cores(), options, report_));
    if (!opened) return std::nullopt;
    if (opened->ok()) store_ = &node_->Own(std::move(**opened));
    return opened->status();
  }
  void Open() {
    const std::optional<absl::Status> opened = TryOpen();
    ASSERT_TRUE(opened) << world_.failure();
    ASSERT_TRUE(opened->ok()) << *opened;
  }
  void Restart() {
    node_->Crash(CrashKind::kPowerCut);
    Open();
  }
  // Background work ends.
  void Settle() { world_.RunFor(kNsPerSecond); }

  static Task<Outcome> WriteFile(ValueUpload& upload, StoreCall& call, KeyFunction what,
                                 OldState needs, std::string key, std::string value,
                                 uint64_t said_bytes) {
    std::string_view rest = value;
    Outcome outcome = co_await upload.Begin(said_bytes);
    while (outcome == Outcome::kDone && !rest.empty()) {
      const size_t piece = std::min<size_t>({rest.size(), upload.room(), 1000});
      upload.Add(rest.substr(0, piece));
      rest.remove_prefix(piece);
      if (upload.room() == 0) outcome = co_await upload.MakeRoom();
    }
    if (outcome == Outcome::kDone) outcome = co_await upload.Finish();
    bool kept = false;
    if (outcome == Outcome::kDone) {
      call.file_admitted = &kept;
      co_await call.Update(what, needs, key, std::string(upload.reference()));
      outcome = call.outcome;
    }
    co_await upload.Close(kept);
    co_return outcome;
  }
  Outcome Put(const std::string& key, const std::string& value, KeyFunction what = SetFunction,
              OldState needs = OldState::kNothing, uint64_t expiry_ms = kNoExpiry) {
    call_ = &node_->Own(std::make_unique<StoreCall>(*store_, node_->core(0)));
    call_->expiry_ms = expiry_ms;
    upload_ = &node_->Own(std::make_unique<ValueUpload>(store_->value_files(node_->core(0))));
    const auto outcome = node_->Run(
        WriteFile(*upload_, *call_, what, needs, key, value, said_bytes_.value_or(value.size())));
    EXPECT_TRUE(outcome) << world_.failure();
    return outcome.value_or(Outcome::kUnknown);
  }
  StoreCall& Call(bool reads, KeyFunction what, OldState needs, const std::string& key,
                  const std::string& value = {}, uint64_t expiry_ms = kNoExpiry) {
    StoreCall& call = node_->Own(std::make_unique<StoreCall>(*store_, node_->core(0)));
    call.expiry_ms = expiry_ms;
    EXPECT_TRUE(
        node_->Run(reads ? call.Read(what, needs, key) : call.Update(what, needs, key, value)))
        << world_.failure();
    return call;
  }
  static Task<absl::StatusOr<std::string>> ReadAll(Store& store, Core& core, StoreCall& call) {
    const ValueReference reference = *ValueReference::Decode(call.reply.bytes);
    std::string bytes;
    absl::Status status;
    for (uint32_t i = 0; i < reference.chunk_count() && status.ok(); ++i) {
      const absl::StatusOr<ValueChunk> chunk =
          co_await store.value_files(core).ReadChunk(reference, i);
      status = chunk.status();
      if (chunk.ok()) bytes.append(chunk->view());
    }
    store.ReleaseFile(core, call);
    if (!status.ok()) co_return status;
    co_return std::move(bytes);
  }
  absl::StatusOr<std::string> Read(StoreCall& call) {
    auto read = node_->Run(ReadAll(*store_, node_->core(0), call));
    EXPECT_TRUE(read) << world_.failure();
    return read ? *read : absl::InternalError("hangs");
  }
  // "missing", or the value.
  std::string Get(const std::string& key) {
    StoreCall& call = Call(true, GetAny, OldState::kValueOrFile, key);
    EXPECT_EQ(call.outcome, Outcome::kDone);
    if (call.reply.kind == Reply::Kind::kNull) return "missing";
    if (call.reply.kind == Reply::Kind::kBytes) return std::string(call.reply.bytes);
    const absl::StatusOr<std::string> read = Read(call);
    EXPECT_TRUE(read.ok()) << read.status();
    return read.value_or("damaged");
  }
  std::vector<std::string> Files() {
    std::vector<std::string> names;
    EXPECT_GE(node_->disk().List("/store", names), 0);
    std::erase_if(names, [](const std::string& name) { return ValueFileOfName(name) == 0; });
    return names;
  }
  std::string OnlyFile() {
    const std::vector<std::string> files = Files();
    EXPECT_EQ(files.size(), 1u);
    return files.empty() ? "" : "/store/" + files[0];
  }

  SimWorld world_{1};
  std::unique_ptr<SimNode> node_;
  Store* store_ = nullptr;
  StoreCall* call_ = nullptr;
  ValueUpload* upload_ = nullptr;
  OpenReport report_;
  std::optional<uint64_t> crash_after_;  // so many operations of a start
  CrashKind crash_kind_ = CrashKind::kPowerCut;
  bool salvage_ = false;  // the next starts go on without what is damaged
  uint64_t next_run_ = 1;
  std::optional<uint64_t> said_bytes_;  // of a value, before it is written
};

}  // namespace pakv
