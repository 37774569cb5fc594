// A doubly linked list whose links live in the elements: no allocation, and an element that is
// destroyed leaves its list by itself. One element is in at most one list per hook.
#pragma once

#include "runtime/base/check.h"

namespace pakv {

// The link. Elements derive from it; not copyable, since its address is what is linked.
class ListHook {
 public:
  ListHook() = default;
  ListHook(const ListHook&) = delete;
  ListHook& operator=(const ListHook&) = delete;
  ~ListHook() { Unlink(); }

  bool linked() const { return next_ != nullptr; }
  // Leaves the list it is in, if any.
  void Unlink() {
    if (next_ == nullptr) return;
    next_->previous_ = previous_;
    previous_->next_ = next_;
    next_ = previous_ = nullptr;
  }

 private:
  template <typename T>
  friend class IntrusiveList;
  ListHook* next_ = nullptr;
  ListHook* previous_ = nullptr;
};

// T derives from ListHook. The list does not own its elements; its destructor unlinks them.
template <typename T>
class IntrusiveList {
 public:
  IntrusiveList() { head_.next_ = head_.previous_ = &head_; }
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;
  ~IntrusiveList() { Clear(); }

  bool empty() const { return head_.next_ == &head_; }
  T& front() {
    PAKV_DCHECK(!empty(), "an empty list has no front");
    return *static_cast<T*>(head_.next_);
  }
  void PushBack(T& element) { InsertBefore(head_, element); }
  void PushFront(T& element) { InsertBefore(*head_.next_, element); }
  // Places `element` behind `position`, which is in this list.
  void InsertAfter(T& position, T& element) {
    ListHook& hook = position;
    InsertBefore(*hook.next_, element);
  }
  T& PopFront() {
    T& element = front();
    ListHook& hook = element;
    hook.Unlink();
    return element;
  }
  // The element behind `element`, nullptr at the end.
  T* Next(T& element) {
    ListHook& hook = element;
    return hook.next_ == &head_ ? nullptr : static_cast<T*>(hook.next_);
  }
  T* First() { return empty() ? nullptr : &front(); }
  const T* First() const { return empty() ? nullptr : static_cast<const T*>(head_.next_); }
  const T* Next(const T& element) const {
    const ListHook& hook = element;
    return hook.next_ == &head_ ? nullptr : static_cast<const T*>(hook.next_);
  }
  // Moves all elements of `other` to the end of this list, in order; O(1).
  void Splice(IntrusiveList& other) {
    if (other.empty()) return;
    ListHook* first = other.head_.next_;
    ListHook* last = other.head_.previous_;
    other.head_.next_ = other.head_.previous_ = &other.head_;
    first->previous_ = head_.previous_;
    head_.previous_->next_ = first;
    last->next_ = &head_;
    head_.previous_ = last;
  }
  void Clear() {
    while (!empty()) PopFront();
  }

 private:
  static void InsertBefore(ListHook& position, ListHook& hook) {
    PAKV_CHECK(!hook.linked(), "an element in two lists at once would break both");
    hook.next_ = &position;
    hook.previous_ = position.previous_;
    position.previous_->next_ = &hook;
    position.previous_ = &hook;
  }

  ListHook head_;  // closes the ring
};

}  // namespace pakv
