#include "kv/index/directory.h"

#include <malloc.h>

#include <cstdlib>

#include "runtime/base/pages.h"

namespace pakv {

DirectoryRef DirectoryRef::Bucket(BucketLine* lines, uint32_t line_count) {
  DirectoryRef ref;
  const uint64_t address = reinterpret_cast<uint64_t>(lines);
  PAKV_CHECK((address & ~kAddressMask) == 0 && line_count <= kBucketLinesMax);
  PAKV_CHECK((line_count == 0) == (lines == nullptr));
  ref.word_ = address | line_count;
  return ref;
}

DirectoryRef DirectoryRef::Node(void* node, uint32_t depth) {
  DirectoryRef ref;
  const uint64_t address = reinterpret_cast<uint64_t>(node);
  PAKV_CHECK((address & ~kAddressMask) == 0 && node != nullptr);
  ref.word_ = address | kNodeBit | uint64_t{depth} << kDepthShift;
  return ref;
}

Directory::Directory() {
  Node* node = NewNode(0);
  node->entries()[0] = DirectoryRef();
  node->deepest = 1;
  root_ = DirectoryRef::Node(node, 0);
}

Directory::~Directory() {
  while (!Drop(1)) {
  }
}

Directory::Node* Directory::NewNode(uint32_t depth) {
  void* memory = std::malloc(sizeof(Node) + (sizeof(DirectoryRef) << depth));
  if (memory == nullptr) EndForLackOfMemory();
  Node* node = static_cast<Node*>(memory);
  node->deepest = 0;
  node->unused = 0;
  node->next = nodes_;
  node->previous = &nodes_;
  if (nodes_ != nullptr) nodes_->previous = &node->next;
  nodes_ = node;
  bytes_used_ += malloc_usable_size(memory) + sizeof(size_t);  // malloc's own word
  return node;
}

void Directory::FreeNode(Node* node) {
  *node->previous = node->next;
  if (node->next != nullptr) node->next->previous = node->previous;
  bytes_used_ -= malloc_usable_size(node) + sizeof(size_t);
  std::free(node);
}

bool Directory::Drop(uint32_t nodes_max) {
  for (; nodes_ != nullptr && nodes_max > 0; --nodes_max) FreeNode(nodes_);
  return nodes_ == nullptr;
}

DirectoryRef Directory::Find(uint64_t hash, uint32_t& bits) const {
  bits = 0;
  for (DirectoryRef ref = root_;;) {
    ref = NodeOf(ref)->entries()[IndexOf(hash, ref.depth())];
    if (!ref.is_node()) {
      bits += ref.depth();
      return ref;
    }
    hash <<= kNodeDepthMax;
    bits += kNodeDepthMax;
  }
}

Directory::Place Directory::Locate(uint64_t hash) {
  Place place;
  place.holder = &root_;
  while (true) {
    const uint32_t depth = place.holder->depth();
    place.node = NodeOf(*place.holder);
    DirectoryRef& entry = place.node->entries()[IndexOf(hash, depth)];
    if (!entry.is_node()) {
      place.ref = entry;
      place.bits = place.level * kNodeDepthMax + entry.depth();
      place.width = 1u << (depth - entry.depth());
      place.first = static_cast<uint32_t>(IndexOf(hash, depth)) & ~(place.width - 1);
      return place;
    }
    place.holder = &entry;
    ++place.level;
    hash <<= kNodeDepthMax;
  }
}

void Directory::Fill(Node* node, uint32_t first, uint32_t width, DirectoryRef ref) {
  for (uint32_t i = first; i < first + width; ++i) node->entries()[i] = ref;
  entries_written_ += width;
}

void Directory::Replace(const Place& place, DirectoryRef bucket) {
  Fill(place.node, place.first, place.width, bucket.WithDepth(place.ref.depth()));
}

void Directory::Double(Place& place) {
  const uint32_t depth = place.holder->depth();
  Node* grown = NewNode(depth + 1);
  for (size_t i = 0; i < size_t{1} << depth; ++i) {
    grown->entries()[2 * i] = place.node->entries()[i];
    grown->entries()[2 * i + 1] = place.node->entries()[i];
  }
  entries_written_ += 2u << depth;
  FreeNode(place.node);
  *place.holder = DirectoryRef::Node(grown, depth + 1);
  place.node = grown;
  place.first *= 2;
  place.width *= 2;
}

void Directory::Split(const Place& at, DirectoryRef low, DirectoryRef high) {
  PAKV_CHECK(at.bits < 64, "hashes that share all bits are one slot");
  Place place = at;
  const uint32_t local = place.ref.depth();
  if (place.width == 1) {
    const uint32_t depth_max = place.level + 1 < kLevelsMax ? kNodeDepthMax : kLastLevelDepthMax;
    if (place.holder->depth() == depth_max) {
      Node* child = NewNode(1);
      child->entries()[0] = low.WithDepth(1);
      child->entries()[1] = high.WithDepth(1);
      child->deepest = 2;
      entries_written_ += 3;
      place.node->entries()[place.first] = DirectoryRef::Node(child, 1);
      return;  // the entry uses its node's whole depth, as before
    }
    Double(place);
  }
  const uint32_t half = place.width / 2;
  Fill(place.node, place.first, half, low.WithDepth(local + 1));
  Fill(place.node, place.first + half, half, high.WithDepth(local + 1));
  if (half == 1) place.node->deepest += 2;
}

std::optional<DirectoryRef> Directory::Buddy(const Place& place) const {
  if (place.ref.depth() == 0) return std::nullopt;
  const DirectoryRef buddy = place.node->entries()[place.first ^ place.width];
  if (buddy.is_node() || buddy.depth() != place.ref.depth()) return std::nullopt;
  return buddy;
}

void Directory::Merge(const Place& place, DirectoryRef merged) {
  PAKV_CHECK(Buddy(place).has_value());
  const uint32_t first = place.first & ~(2 * place.width - 1);
  Fill(place.node, first, 2 * place.width, merged.WithDepth(place.ref.depth() - 1));
  if (place.width == 1) {
    place.node->deepest -= 2;
    HalveWhilePossible(place);
  }
}

void Directory::HalveWhilePossible(Place place) {
  while (place.node->deepest == 0) {
    const uint32_t depth = place.holder->depth() - 1;
    Node* shrunk = NewNode(depth);
    for (size_t i = 0; i < size_t{1} << depth; ++i) {
      shrunk->entries()[i] = place.node->entries()[2 * i];
      if (shrunk->entries()[i].depth() == depth) ++shrunk->deepest;
    }
    entries_written_ += 1u << depth;
    FreeNode(place.node);
    place.node = shrunk;
    *place.holder = DirectoryRef::Node(shrunk, depth);
  }
  if (place.holder->depth() == 0 && place.level > 0) {
    // One bucket is left: it takes the child node's place, at the parent's whole depth.
    *place.holder = place.node->entries()[0].WithDepth(kNodeDepthMax);
    ++entries_written_;
    FreeNode(place.node);
  }
}

void Directory::CheckInvariants() const { CheckNode(root_, 0); }

void Directory::CheckNode(DirectoryRef ref, uint32_t level) const {
  const Node* node = NodeOf(ref);
  const uint32_t depth = ref.depth();
  PAKV_CHECK(level < kLevelsMax);
  PAKV_CHECK(depth <= (level + 1 < kLevelsMax ? kNodeDepthMax : kLastLevelDepthMax));
  PAKV_CHECK(depth > 0 || level == 0);
  uint32_t deepest = 0;
  for (uint32_t i = 0; i < 1u << depth;) {
    const DirectoryRef entry = node->entries()[i];
    if (entry.is_node()) {
      PAKV_CHECK(depth == kNodeDepthMax);
      CheckNode(entry, level + 1);
      ++deepest;
      ++i;
      continue;
    }
    PAKV_CHECK(entry.depth() <= depth);
    const uint32_t width = 1u << (depth - entry.depth());
    PAKV_CHECK(i % width == 0);
    for (uint32_t j = i; j < i + width; ++j) PAKV_CHECK(node->entries()[j] == entry);
    if (width == 1) ++deepest;
    i += width;
  }
  PAKV_CHECK(deepest == node->deepest);
  PAKV_CHECK(deepest > 0, "else it could halve");
}

}  // namespace pakv
