// Reads that fail: only bytes that are not what was written are damage. What may be over at the
// next try, such as too many open files or a device that reports an error, is told as what it is,
// changes nothing, and is over.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "kv/log/files/file_io.h"
#include "tests/kv/shard/values/value_file_fixture.h"

namespace pakv {
namespace {

class ReadErrorTest : public ValueFileFixture {
 protected:
  void Adjust(StoreOptions& options) override { options.cache_bytes = 0; }

  // Looks at the old value and writes, in a transaction over both keys.
  static Task<std::string> Transact(Store& store, Core& here, std::string key, std::string other,
                                    Outcome& outcome) {
    Transaction transaction(7);
    for (const std::string_view name : {std::string_view(key), std::string_view(other)}) {
      transaction.AddKey(store.Hash(kDefaultNamespace, name), kDefaultNamespace, name,
                         OldState::kValue, true);
    }
    const auto decide = [](Transaction& decided) {
      decided.Write(0, "transacted", kNoExpiry);
      return true;
    };
    outcome = co_await store.Transact(here, transaction, decide);
    co_return std::string(transaction.damage());
  }
};
INSTANTIATE_TEST_SUITE_P(Cores, ReadErrorTest, testing::Values(1, 2));

TEST_P(ReadErrorTest, APassingErrorIsNoDamage) {
  const std::string value(100, 'v');
  ASSERT_EQ(Call(false, SetFunction, OldState::kNothing, "key", value).outcome, Outcome::kDone);
  ASSERT_EQ(Call(false, SetFunction, OldState::kNothing, "other", value).outcome, Outcome::kDone);
  ASSERT_EQ(Put("file", ValueOf('a', 9000)), Outcome::kDone);
  StoreCall& in_file = Call(true, GetAny, OldState::kValueOrFile, "file");
  ASSERT_EQ(in_file.reply.kind, Reply::Kind::kFile);
  Settle();
  node_->disk().faults.read_error = 10'000;
  const std::string what = "cannot read /store/";
  const StoreCall& read = Call(true, GetFunction, OldState::kValue, "key");
  EXPECT_EQ(read.outcome, Outcome::kFileError);
  EXPECT_TRUE(read.reply.bytes.starts_with(what)) << read.reply.bytes;
  EXPECT_TRUE(read.reply.bytes.ends_with(": Input/output error")) << read.reply.bytes;
  const StoreCall& write = Call(false, AppendFunction, OldState::kValue, "key", "more");
  EXPECT_EQ(write.outcome, Outcome::kFileError);
  EXPECT_TRUE(write.reply.bytes.starts_with(what)) << write.reply.bytes;
  Outcome outcome = Outcome::kDone;
  const auto text =
      node_->Run(Transact(*store_, node_->core(0), "key", "other", outcome)).value_or("");
  EXPECT_EQ(outcome, Outcome::kFileError);
  EXPECT_TRUE(text.starts_with(what)) << text;
  const absl::StatusOr<std::string> chunks = Read(in_file);
  EXPECT_EQ(OutcomeOfRead(chunks.status()), Outcome::kFileError) << chunks.status();
  EXPECT_TRUE(MessageOf(chunks.status()).starts_with(what)) << chunks.status();

  node_->disk().faults = {};
  EXPECT_EQ(Get("key"), value);
  EXPECT_EQ(Get("other"), value);
  EXPECT_TRUE(Get("file") == ValueOf('a', 9000));
  EXPECT_EQ(Call(false, AppendFunction, OldState::kValue, "key", "more").outcome, Outcome::kDone);
  EXPECT_EQ(Get("key"), value + "more");
}

// As when this process has too many files open.
TEST_P(ReadErrorTest, NorIsAFileThatCannotBeOpenedNow) {
  const std::string value(100, 'v');
  ASSERT_EQ(Call(false, SetFunction, OldState::kNothing, "key", value).outcome, Outcome::kDone);
  Restart();
  Settle();
  node_->disk().faults.name_error = 10'000;
  for (const bool reads : {true, false}) {
    const StoreCall& call = Call(reads, reads ? GetFunction : AppendFunction, OldState::kValue,
                                 "key", reads ? "" : "more");
    EXPECT_EQ(call.outcome, Outcome::kFileError);
    EXPECT_TRUE(call.reply.bytes.starts_with("cannot open /store/0")) << call.reply.bytes;
  }
  node_->disk().faults = {};
  EXPECT_EQ(Get("key"), value);
}

TEST_P(ReadErrorTest, WhatIsNotThereOrNotTheSameIsDamage) {
  ASSERT_EQ(Call(false, SetFunction, OldState::kNothing, "key", std::string(100, 'v')).outcome,
            Outcome::kDone);
  // Whichever segment it lies in.
  std::vector<std::string> names;
  ASSERT_GE(node_->disk().List("/store", names), 0);
  for (const std::string& name : names) {
    if (name.ends_with(".seg")) {
      ASSERT_EQ(node_->disk().Unlink(("/store/" + name).c_str()), 0);
    }
  }
  const StoreCall& read = Call(true, GetFunction, OldState::kValue, "key");
  EXPECT_EQ(read.outcome, Outcome::kDamaged);
  EXPECT_TRUE(read.reply.bytes.starts_with("/store/0")) << read.reply.bytes;
  EXPECT_TRUE(read.reply.bytes.ends_with("missing, although a key refers to it"))
      << read.reply.bytes;
}

}  // namespace
}  // namespace pakv
