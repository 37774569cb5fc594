// From a hash to its bucket: a trie over the hash's leading bits whose nodes grow and shrink one by
// one. The index hands it hashes moved to the top of the 64 bits (see Table).
//
//   node, depth 3:   [ A A A A | B B | C | D ]   2^depth entries; a bucket of local depth l fills
//                      l=1       l=2   3   3     2^(depth - l) of them
//
// A bucket that splits takes one bit more. Only when it already sits at the node's full depth does
// the node double (at most to 2^12 entries, then the entry becomes a child node of depth 1).
// Invariant: no operation writes more than about 2^13 entries per level, however large the whole
// is; with hashes that look random a bucket split writes a handful.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "runtime/base/check.h"
#include "runtime/base/prefetch.h"

namespace pakv {

struct BucketLine;

// A directory entry: a bucket (its address, number of lines and local depth) or a child node.
class DirectoryRef {
 public:
  static constexpr uint32_t kBucketLinesMax = 7;

  DirectoryRef() = default;  // an empty bucket
  static DirectoryRef Bucket(BucketLine* lines, uint32_t line_count);
  static DirectoryRef Node(void* node, uint32_t depth);

  bool is_node() const { return (word_ & kNodeBit) != 0; }
  uint32_t depth() const { return static_cast<uint32_t>(word_ >> kDepthShift); }
  // Bucket: 0 lines when it is empty; it then has no memory.
  uint32_t line_count() const { return word_ & kLinesMask; }
  BucketLine* lines() const { return reinterpret_cast<BucketLine*>(word_ & kAddressMask); }
  void* node() const { return reinterpret_cast<void*>(word_ & kAddressMask); }

  DirectoryRef WithDepth(uint32_t depth) const {
    DirectoryRef ref;
    ref.word_ = (word_ & ~(uint64_t{0xff} << kDepthShift)) | uint64_t{depth} << kDepthShift;
    return ref;
  }
  bool operator==(const DirectoryRef&) const = default;

 private:
  // User space ends at 2^47 (x86-64) or 2^48 (arm64) for memory mapped without a hint beyond it.
  static constexpr uint64_t kLinesMask = 7;
  static constexpr uint64_t kNodeBit = 8;
  static constexpr uint64_t kAddressMask = 0x0000'ffff'ffff'fff0u;
  static constexpr uint32_t kDepthShift = 56;

  uint64_t word_ = 0;
};

class Directory {
 public:
  static constexpr uint32_t kNodeDepthMax = 12;
  static constexpr uint32_t kLevelsMax = 6;
  static constexpr uint32_t kLastLevelDepthMax = 64 - (kLevelsMax - 1) * kNodeDepthMax;

 private:
  struct Node {
    Node* next;  // all nodes, for Drop
    Node** previous;
    uint32_t deepest;  // entries that use the node's whole depth: it cannot halve
    uint32_t unused;
    // Behind the node in the same memory: 2^depth of them.
    DirectoryRef* entries() { return reinterpret_cast<DirectoryRef*>(this + 1); }
    const DirectoryRef* entries() const { return reinterpret_cast<const DirectoryRef*>(this + 1); }
  };

 public:
  // Where a bucket hangs. Valid until the next Split or Merge.
  struct Place {
    DirectoryRef ref;
    uint32_t bits = 0;  // leading bits that the bucket's hashes share

   private:
    friend class Directory;
    DirectoryRef* holder = nullptr;  // what refers to the node
    Node* node = nullptr;
    uint32_t level = 0;
    uint32_t first = 0;  // of the bucket's entries in the node
    uint32_t width = 0;
  };

  Directory();
  ~Directory();
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  // The bucket for a hash.
  DirectoryRef Find(uint64_t hash) const {
    DirectoryRef ref = root_;
    while (true) {
      const Node* node = static_cast<const Node*>(ref.node());
      ref = node->entries()[IndexOf(hash, ref.depth())];
      if (!ref.is_node()) return ref;
      hash <<= kNodeDepthMax;
    }
  }
  // Begins to fetch what Find reads below the root.
  void Prefetch(uint64_t hash) const {
    const Node* root = static_cast<const Node*>(root_.node());
    const DirectoryRef ref = root->entries()[IndexOf(hash, root_.depth())];
    if (!ref.is_node()) return;
    const Node* child = static_cast<const Node*>(ref.node());
    PrefetchLine(child->entries() + IndexOf(hash << kNodeDepthMax, ref.depth()));
  }
  // As Find; `bits` becomes the number of leading bits that the bucket's hashes share.
  DirectoryRef Find(uint64_t hash, uint32_t& bits) const;
  Place Locate(uint64_t hash);

  // All of these take buckets whose depth is unset; they set it.
  void Replace(const Place& place, DirectoryRef bucket);
  // Needs place.bits < 64.
  void Split(const Place& place, DirectoryRef low, DirectoryRef high);
  // The bucket that differs from this one in the last bit alone, if it is one bucket.
  std::optional<DirectoryRef> Buddy(const Place& place) const;
  void Merge(const Place& place, DirectoryRef merged);

  // Frees at most `nodes_max` nodes; true when none is left. After it, only Drop and destruction.
  bool Drop(uint32_t nodes_max);

  // Entries written so far: what bounded work is measured by.
  uint64_t entries_written() const { return entries_written_; }
  size_t bytes_used() const { return bytes_used_; }
  // Aborts unless all depths and counts fit; for tests.
  void CheckInvariants() const;

 private:
  static uint64_t IndexOf(uint64_t hash, uint32_t depth) { return (hash >> 1) >> (63 - depth); }
  static Node* NodeOf(DirectoryRef ref) { return static_cast<Node*>(ref.node()); }
  Node* NewNode(uint32_t depth);
  void FreeNode(Node* node);
  void Double(Place& place);
  void HalveWhilePossible(Place place);
  void Fill(Node* node, uint32_t first, uint32_t width, DirectoryRef ref);
  void CheckNode(DirectoryRef ref, uint32_t level) const;

  DirectoryRef root_;
  Node* nodes_ = nullptr;
  size_t bytes_used_ = 0;
  uint64_t entries_written_ = 0;
};

}  // namespace pakv
