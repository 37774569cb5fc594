// What tests do with a store, one call each, as tasks for a SimNode to run.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "tests/kv/store/store_call.h"

namespace pakv {

inline Task<Outcome> UpdateOne(Store& store, Core& here, KeyFunction what, OldState needed,
                               std::string key, std::string value) {
  StoreCall call(store, here);
  co_await call.Update(what, needed, std::move(key), std::move(value));
  co_return call.outcome;
}

inline Task<Outcome> SetOne(Store& store, Core& here, std::string key, std::string value) {
  return UpdateOne(store, here, SetFunction, OldState::kNothing, std::move(key), std::move(value));
}

inline Task<Outcome> DeleteOne(Store& store, Core& here, std::string key) {
  return UpdateOne(store, here, DeleteFunction, OldState::kExistence, std::move(key), {});
}

// The value; "missing", or "failed: " with what the store says of it.
inline Task<std::string> GetOne(Store& store, Core& here, std::string key) {
  StoreCall call(store, here);
  co_await call.Read(GetFunction, OldState::kValue, std::move(key));
  if (call.outcome != Outcome::kDone) co_return "failed: " + std::string(call.reply.bytes);
  co_return call.reply.kind == Reply::Kind::kNull ? "missing" : std::string(call.reply.bytes);
}

// True if it stops well, which is expected.
inline Task<bool> StopStore(Store& store) {
  const absl::Status stopped = co_await store.Stop();
  EXPECT_TRUE(stopped.ok()) << stopped;
  co_return stopped.ok();
}

}  // namespace pakv
