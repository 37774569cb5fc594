// Input: whatever the pieces in which a stream arrives, the parser sees every byte once and in
// order, and few bytes move.
#include "net/session/buffers/input.h"

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/prng.h"

namespace pakv {
namespace {

// Counts the buffers that it gets back; does nothing else.
class BufferRing final : public Ring {
 public:
  void Start() override {}
  void Submit(Operation&) override {}
  void RequestCancel(Operation&) override {}
  void SubmitReceive(Receiver&) override {}
  void RequestCancel(Receiver&) override {}
  void ReturnBuffer(ReceivedBuffer&) override { ++returned; }
  void Enter(uint64_t, IntrusiveList<Completion>&) override {}
  void Wake() override {}
  Handle Adopt(Handle plain) override { return plain; }
  IoResult RegisterBuffers(std::span<const std::span<std::byte>>) override { return IoResult(0); }
  size_t returned = 0;
};

class InputTest : public testing::Test {
 protected:
  ~InputTest() override { input_.Discard(); }

  void Arrive(std::string_view bytes) {
    texts_.emplace_back(bytes);
    buffers_.push_back(std::make_unique<ReceivedBuffer>());
    buffers_.back()->data = texts_.back().data();
    buffers_.back()->length = static_cast<uint32_t>(bytes.size());
    received_.PushBack(*buffers_.back());
  }
  size_t held_by_ring() const { return buffers_.size() - ring_.returned; }

  BufferRing ring_;
  std::deque<std::string> texts_;
  std::vector<std::unique_ptr<ReceivedBuffer>> buffers_;
  IntrusiveList<ReceivedBuffer> received_;
  Input input_{ring_, received_};
};

// Takes frames of the form "<digit><that many bytes>" off `input`.
bool TakeFrames(std::string_view& input, std::vector<std::string>& frames, size_t& need) {
  while (!input.empty()) {
    const size_t length = 1 + static_cast<size_t>(input[0] - '0');
    if (input.size() < length) {
      need = length;
      return false;
    }
    frames.emplace_back(input.substr(0, length));
    input.remove_prefix(length);
  }
  need = 1;
  return true;
}

TEST_F(InputTest, WholeFramesAreParsedWhereTheyWereReceived) {
  Arrive("3abc2xy");
  const std::string_view front = input_.Front(1);
  EXPECT_EQ(front.data(), texts_[0].data());
  input_.Left(front.substr(4), /*unfinished=*/false);
  EXPECT_EQ(input_.Front(1), "2xy");
  EXPECT_EQ(input_.Front(1).data(), texts_[0].data() + 4);
  input_.Left({}, true);
  EXPECT_TRUE(input_.empty());
  EXPECT_EQ(held_by_ring(), 0u);
}

TEST_F(InputTest, OnlyACutFrameMovesAndWhatFollowsIsParsedInPlace) {
  Arrive("1a5bc");
  Arrive(
      "def"
      "2xy");
  std::string_view front = input_.Front(1);
  input_.Left(front.substr(2), /*unfinished=*/true);
  EXPECT_EQ(input_.held_bytes(), 3u);
  EXPECT_EQ(held_by_ring(), 1u);
  front = input_.Front(6);
  ASSERT_TRUE(front.starts_with("5bcdef"));
  input_.Left(front.substr(6), false);
  EXPECT_EQ(input_.held_bytes(), 0u);
  EXPECT_EQ(input_.Front(1).data(), texts_[1].data() + 3);
  EXPECT_EQ(input_.Front(1), "2xy");
}

TEST_F(InputTest, ALargeFrameIsCollectedInMemoryThatWasReservedOnce) {
  std::string large(100'000, 'x');
  Arrive("1a" + large.substr(0, 8190));
  input_.Left(input_.Front(1).substr(2), true);
  input_.Reserve(large.size());
  const char* const memory = input_.Front(large.size()).data();
  for (size_t at = 8190; at < large.size(); at += 8192) {
    Arrive(large.substr(at, 8192));
    EXPECT_EQ(input_.Front(large.size()).data(), memory);
  }
  EXPECT_EQ(input_.Front(large.size()), large);
  input_.Left({}, true);
  EXPECT_TRUE(input_.empty());
}

TEST_F(InputTest, SettleGivesAllBuffersBackAndKeepsTheStream) {
  Arrive("3abc");
  Arrive("2xy");
  Arrive("0");
  input_.Left(input_.Front(1).substr(4), false);
  input_.Settle();
  EXPECT_EQ(held_by_ring(), 0u);
  EXPECT_EQ(input_.Front(0), "2xy0");
  Arrive("1z");
  std::vector<std::string> frames;
  size_t need = 1;
  std::string_view front = input_.Front(0);
  EXPECT_TRUE(TakeFrames(front, frames, need));
  input_.Left(front, true);
  front = input_.Front(need);
  EXPECT_TRUE(TakeFrames(front, frames, need));
  EXPECT_EQ(frames, (std::vector<std::string>{"2xy", "0", "1z"}));
}

TEST_F(InputTest, RandomPiecesAndRandomPausesLoseNothing) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    Prng prng(seed);
    std::vector<std::string> sent;
    std::string stream;
    for (int i = 0; i < 200; ++i) {
      const size_t length = prng.Below(10);
      std::string frame(1, static_cast<char>('0' + length));
      for (size_t k = 0; k < length; ++k) frame += static_cast<char>('a' + prng.Below(26));
      stream += frame;
      sent.push_back(frame);
    }
    std::vector<std::string> frames;
    size_t need = 1;
    bool unfinished = true;
    size_t at = 0;
    while (at < stream.size() || !input_.empty()) {
      if (at < stream.size() && prng.Below(2) == 0) {
        const size_t piece = 1 + prng.Below(prng.Below(4) == 0 ? 700 : 12);
        Arrive(std::string_view(stream).substr(at, piece));
        at += piece;
      }
      if (prng.Below(8) == 0) input_.Settle();
      std::string_view front = input_.Front(unfinished ? need : 0);
      if (front.empty() || (unfinished && front.size() < need)) continue;
      if (prng.Below(4) == 0) {
        // The session stops after one frame.
        const size_t length = 1 + static_cast<size_t>(front[0] - '0');
        if (front.size() >= length) {
          frames.emplace_back(front.substr(0, length));
          input_.Left(front.substr(length), false);
          unfinished = false;
          continue;
        }
      }
      TakeFrames(front, frames, need);
      unfinished = true;
      input_.Left(front, true);
    }
    ASSERT_EQ(frames, sent) << "seed " << seed;
    ASSERT_EQ(held_by_ring(), 0u);
  }
}

}  // namespace
}  // namespace pakv
