// What a request costs in the codecs: a 16-byte key and 64 bytes of value, pipelined, in place.
// Figures are per request (items); a request at P64 costs 190 ns in all.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "net/pakv/codec.h"
#include "net/resp/wire/codec.h"
#include "net/resp/wire/reply_parser.h"
#include "net/resp/wire/reply_writer.h"
#include "runtime/base/check.h"

namespace pakv {
namespace {

constexpr int kPipelined = 128;
constexpr size_t kReceiveBufferBytes = 16384;

const std::string& Key() {
  static const std::string key = "key:000000012345";
  return key;
}
const std::string& Value() {
  static const std::string value(64, 'v');
  return value;
}

std::string Repeat(std::string_view piece) {
  std::string whole;
  for (int index = 0; index < kPipelined; ++index) whole += piece;
  return whole;
}
std::string RespSet() {
  return "*3\r\n$3\r\nSET\r\n$16\r\n" + Key() + "\r\n$64\r\n" + Value() + "\r\n";
}
std::string RespGet() { return "*2\r\n$3\r\nGET\r\n$16\r\n" + Key() + "\r\n"; }

void SetItems(benchmark::State& state) { state.SetItemsProcessed(state.iterations() * kPipelined); }

void ParseResp(benchmark::State& state, const std::string& stream) {
  RespRequestParser parser{RespLimits{}};
  for (auto _ : state) {
    std::string_view input = stream;
    int found = 0;
    while (parser.Next(input) == RespRequestParser::Status::kRequest) {
      benchmark::DoNotOptimize(parser.args().back().data());
      ++found;
    }
    PAKV_CHECK(found == kPipelined);
  }
  SetItems(state);
}
void BM_RespParseSet(benchmark::State& state) { ParseResp(state, Repeat(RespSet())); }
void BM_RespParseGet(benchmark::State& state) { ParseResp(state, Repeat(RespGet())); }
void BM_RespParseInlineGet(benchmark::State& state) {
  ParseResp(state, Repeat("GET " + Key() + "\r\n"));
}
BENCHMARK(BM_RespParseSet);
BENCHMARK(BM_RespParseGet);
BENCHMARK(BM_RespParseInlineGet);

// As a session does it: receive buffers cut the stream, the cut request moves to another buffer.
void BM_RespParseSetAcrossBuffers(benchmark::State& state) {
  RespRequestParser parser{RespLimits{}};
  const std::string stream = Repeat(Repeat(RespSet()));
  const size_t requests = size_t{kPipelined} * kPipelined;
  std::string held;
  for (auto _ : state) {
    size_t found = 0;
    for (size_t at = 0; at < stream.size(); at += kReceiveBufferBytes) {
      std::string_view input = std::string_view(stream).substr(at, kReceiveBufferBytes);
      if (!held.empty()) {
        // Of the new buffer only what completes the request is needed; a copy of it all is what
        // this costs at most.
        held += input;
        input = held;
      }
      while (parser.Next(input) == RespRequestParser::Status::kRequest) ++found;
      held = std::string(input);
    }
    PAKV_CHECK(found == requests);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(requests));
}
BENCHMARK(BM_RespParseSetAcrossBuffers);

// A value of 1 MiB that comes in pieces: the time is the same whatever their number.
void BM_RespParseLargeValueInPieces(benchmark::State& state) {
  const size_t piece_bytes = static_cast<size_t>(state.range(0));
  const std::string stream =
      "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1048576\r\n" + std::string(1048576, 'v') + "\r\n";
  RespRequestParser parser{RespLimits{}};
  for (auto _ : state) {
    size_t pieces = 0;
    for (size_t held = piece_bytes;; held += piece_bytes, ++pieces) {
      std::string_view input = std::string_view(stream).substr(0, held);
      if (parser.Next(input) == RespRequestParser::Status::kRequest) break;
    }
    benchmark::DoNotOptimize(pieces);
  }
}
BENCHMARK(BM_RespParseLargeValueInPieces)->Arg(1)->Arg(1024)->Arg(16384);

template <typename Write>
void WriteResp(benchmark::State& state, const Write& write) {
  OutputBuffer output;
  for (auto _ : state) {
    output.Clear();
    RespWriter writer(output, RespVersion::kResp2);
    for (int index = 0; index < kPipelined; ++index) write(writer, index);
    benchmark::DoNotOptimize(output.data());
  }
  SetItems(state);
}
void BM_RespWriteOk(benchmark::State& state) {
  WriteResp(state, [](RespWriter& writer, int) { writer.Ok(); });
}
void BM_RespWriteBulk64(benchmark::State& state) {
  WriteResp(state, [](RespWriter& writer, int) { writer.Bulk(Value()); });
}
void BM_RespWriteInteger(benchmark::State& state) {
  WriteResp(state, [](RespWriter& writer, int index) { writer.Integer(index * int64_t{123457}); });
}
BENCHMARK(BM_RespWriteOk);
BENCHMARK(BM_RespWriteBulk64);
BENCHMARK(BM_RespWriteInteger);

void BM_RespParseReplies(benchmark::State& state) {
  const std::string stream = Repeat("$64\r\n" + Value() + "\r\n");
  RespReplyParser parser;
  RespValue reply;
  for (auto _ : state) {
    std::string_view input = stream;
    while (parser.Next(input, reply) == RespReplyParser::Status::kReply) {
      benchmark::DoNotOptimize(reply.text.data());
    }
  }
  SetItems(state);
}
BENCHMARK(BM_RespParseReplies);

void WritePakvSet(OutputBuffer& output, uint64_t id) {
  PakvWriter writer(output, PakvType::kSet, id);
  writer.Bytes(PakvField::kKey, Key());
  writer.Bytes(PakvField::kValue, Value());
  writer.Finish();
}

void BM_PakvReadSet(benchmark::State& state) {
  OutputBuffer stream;
  for (uint64_t id = 1; id <= kPipelined; ++id) WritePakvSet(stream, id);
  PakvFrameReader reader(PakvReads::kRequests, kReceiveBufferBytes);
  for (auto _ : state) {
    std::string_view input = stream.view();
    PakvFrame frame;
    while (reader.Next(input, frame) == PakvFrameReader::Status::kFrame) {
      PakvFields fields;
      PAKV_CHECK(DecodePakvRequest(frame, fields) == PakvStatus::kOk);
      benchmark::DoNotOptimize(fields.Bytes(PakvField::kValue).data());
    }
  }
  SetItems(state);
}
BENCHMARK(BM_PakvReadSet);

void BM_PakvWriteSet(benchmark::State& state) {
  OutputBuffer output;
  for (auto _ : state) {
    output.Clear();
    for (uint64_t id = 1; id <= kPipelined; ++id) WritePakvSet(output, id);
    benchmark::DoNotOptimize(output.data());
  }
  SetItems(state);
}
BENCHMARK(BM_PakvWriteSet);

void BM_PakvWriteSetReply(benchmark::State& state) {
  OutputBuffer output;
  for (auto _ : state) {
    output.Clear();
    for (uint64_t id = 1; id <= kPipelined; ++id) {
      PakvWriter writer(output, PakvType::kSet, id, PakvStatus::kOk);
      writer.Number(PakvField::kLsn, id);
      writer.Finish();
    }
    benchmark::DoNotOptimize(output.data());
  }
  SetItems(state);
}
BENCHMARK(BM_PakvWriteSetReply);

}  // namespace
}  // namespace pakv

BENCHMARK_MAIN();
