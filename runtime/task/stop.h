// Asking work to stop. A request is remembered, calls each registered callback once, and reaches
// tokens of linked sources. One core's; nothing here is thread-safe.
#pragma once

#include "runtime/base/intrusive_list.h"

namespace pakv {

class StopSource;

// Sees whether a stop was requested. Cheap to copy; its source outlives it. A default token never
// stops.
class StopToken {
 public:
  StopToken() = default;
  explicit StopToken(StopSource* source) : source_(source) {}
  bool stop_requested() const;
  StopSource* source() const { return source_; }

 private:
  StopSource* source_ = nullptr;
};

// Calls `function` when a stop is requested while this object lives; at once if it already was.
class StopCallback : public ListHook {
 public:
  using Function = void (*)(StopCallback&);
  explicit StopCallback(Function function) : function_(function) {}
  // Registers with the token's source, if it has one.
  void Register(StopToken token);

 private:
  friend class StopSource;
  Function function_;
};

class StopSource {
 public:
  StopSource() = default;
  // Stops when `parent` stops, too.
  explicit StopSource(StopToken parent) { link_.Register(parent); }
  StopSource(const StopSource&) = delete;
  StopSource& operator=(const StopSource&) = delete;

  StopToken token() { return StopToken(this); }
  bool stop_requested() const { return stop_requested_; }
  void RequestStop() {
    if (stop_requested_) return;
    stop_requested_ = true;
    while (!callbacks_.empty()) {
      StopCallback& callback = callbacks_.PopFront();
      callback.function_(callback);
    }
  }

 private:
  friend class StopCallback;
  class Link : public StopCallback {
   public:
    explicit Link(StopSource& source)
        : StopCallback([](StopCallback& self) { static_cast<Link&>(self).source_.RequestStop(); }),
          source_(source) {}

   private:
    StopSource& source_;
  };

  bool stop_requested_ = false;
  IntrusiveList<StopCallback> callbacks_;
  Link link_{*this};
};

inline bool StopToken::stop_requested() const {
  return source_ != nullptr && source_->stop_requested();
}

inline void StopCallback::Register(StopToken token) {
  StopSource* source = token.source();
  if (source == nullptr) return;
  if (source->stop_requested_) {
    function_(*this);
  } else {
    source->callbacks_.PushBack(*this);
  }
}

}  // namespace pakv
