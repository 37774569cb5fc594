// StoreCall: one request on the store, awaited: what tests and benchmarks use in place of a
// session.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "kv/store/store.h"
#include "runtime/core/core.h"
#include "runtime/task/sync.h"
#include "runtime/task/task.h"

namespace pakv {

// The commands that tests are made of.
inline Change SetFunction(const OldValue&, Request& request) {
  request.reply.kind = Reply::Kind::kOk;
  return {.action = Change::Action::kWrite, .value = request.value};
}
inline Change GetFunction(const OldValue& old, Request& request) {
  request.reply.kind = old.exists ? Reply::Kind::kBytes : Reply::Kind::kNull;
  request.reply.bytes = old.value;
  return {};
}
// Replies with the new length.
inline Change AppendFunction(const OldValue& old, Request& request) {
  request.scratch.assign(old.value).append(request.value);
  request.reply.kind = Reply::Kind::kInteger;
  request.reply.integer = static_cast<int64_t>(request.scratch.size());
  return {.action = Change::Action::kWrite, .value = request.scratch};
}
// Replies 1 if there was something to delete, else 0.
inline Change DeleteFunction(const OldValue& old, Request& request) {
  request.reply.kind = Reply::Kind::kInteger;
  request.reply.integer = old.exists ? 1 : 0;
  return {.action = old.exists ? Change::Action::kDelete : Change::Action::kKeep};
}

// May be used again once it has ended.
class StoreCall : public Request {
 public:
  StoreCall(Store& store, Core& here) : store_(store), here_(here), finished_(here.ready()) {
    done = [](Request& request) {
      request.KeepReply();  // its bytes end with this call
      static_cast<StoreCall&>(request).finished_.Set();
    };
  }

  Task<void> Read(KeyFunction what, OldState needed, std::string of_key) {
    is_read = true;
    co_await Run(what, needed, std::move(of_key), std::string());
  }
  Task<void> Update(KeyFunction what, OldState needed, std::string of_key,
                    std::string with_value = {}) {
    is_read = false;
    co_await Run(what, needed, std::move(of_key), std::move(with_value));
  }

 private:
  Task<void> Run(KeyFunction what, OldState needed, std::string of_key, std::string with_value) {
    function = what;
    needs = needed;
    key = of_key;
    value = with_value;
    hash = store_.Hash(namespace_id, key);
    outcome = Outcome::kDone;
    reply = {};
    finished_.Reset();
    if (store_.Start(here_, *this)) {
      KeepReply();
    } else {
      co_await finished_.Wait();
    }
  }

  Store& store_;
  Core& here_;
  Event finished_;
};

}  // namespace pakv
