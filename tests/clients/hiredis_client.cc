// hiredis, unmodified, against pakvd: what a C client does on one connection.
// hiredis_client PORT; exit 0 if every reply is as expected.
#include <hiredis/hiredis.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

void Expect(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "hiredis_client: %s\n", what);
  std::exit(1);
}

redisReply* Call(redisContext* context, const char* format, const char* key, const void* value,
                 size_t length) {
  auto* reply = static_cast<redisReply*>(redisCommand(context, format, key, value, length));
  Expect(reply != nullptr, context->errstr);
  return reply;
}

}  // namespace

int main(int argc, char** argv) {
  Expect(argc == 2, "usage: hiredis_client PORT");
  redisContext* context = redisConnect("127.0.0.1", std::atoi(argv[1]));
  Expect(context != nullptr && context->err == 0, "cannot connect");

  static constexpr char kBinary[] = {0, 1, '\r', '\n', static_cast<char>(0xff), 'x'};
  redisReply* reply = Call(context, "SET %s %b", "hiredis", kBinary, sizeof(kBinary));
  Expect(reply->type == REDIS_REPLY_STATUS && std::strcmp(reply->str, "OK") == 0, "SET");
  freeReplyObject(reply);
  reply = Call(context, "GET %s", "hiredis", nullptr, 0);
  Expect(reply->type == REDIS_REPLY_STRING && reply->len == sizeof(kBinary) &&
             std::memcmp(reply->str, kBinary, sizeof(kBinary)) == 0,
         "GET");
  freeReplyObject(reply);
  reply = Call(context, "GET %s", "missing", nullptr, 0);
  Expect(reply->type == REDIS_REPLY_NIL, "GET of a missing key");
  freeReplyObject(reply);

  constexpr int kPipeline = 1000;
  for (int i = 0; i < kPipeline; ++i) {
    Expect(redisAppendCommand(context, "INCR hiredis:counter") == REDIS_OK, "append");
  }
  for (int i = 0; i < kPipeline; ++i) {
    void* one = nullptr;
    Expect(redisGetReply(context, &one) == REDIS_OK, "pipeline");
    reply = static_cast<redisReply*>(one);
    Expect(reply->type == REDIS_REPLY_INTEGER && reply->integer == i + 1, "INCR");
    freeReplyObject(reply);
  }
  reply = Call(context, "INCR %s", "hiredis", nullptr, 0);
  Expect(reply->type == REDIS_REPLY_ERROR &&
             std::strcmp(reply->str, "ERR value is not an integer or out of range") == 0,
         "INCR of a text");
  freeReplyObject(reply);
  reply = Call(context, "DEL %s hiredis:counter", "hiredis", nullptr, 0);
  Expect(reply->type == REDIS_REPLY_INTEGER && reply->integer == 2, "DEL");
  freeReplyObject(reply);
  redisFree(context);
  return 0;
}
