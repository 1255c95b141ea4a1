// What a compilation and a run did, and when: an event for each phase on the calling thread and for each work item of each
// thread. For finding out where time goes; `flexjit run --trace` writes it for Perfetto and Chrome.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "flexjit/block_mask.h"
#include "flexjit/export.h"

namespace flexjit {

enum class TraceKind : std::uint8_t {
  kFrontEnd,      // text to kernel key: parsing, checking, lowering, simplifying, planning
  kDiskLookUp,    // a kernel looked for among those of earlier processes
  kOpenCompiler,  // the compiler library, hence LLVM, opened
  kCompile,       // a kernel emitted, compiled and linked
  kBlockMask,     // the block mask that a run needs and was not given
  kReference,     // a whole run of the reference
  kPlan,          // the order of the items of one wave of (batch entry, kv head) pairs
  kPack,          // some keys of a kv head, with their values where the kernel wants them packed
  kTile,          // some query rows of a query head against all keys that they visit
  kSplit,         // of a call with few query rows: the rows of the query heads that share a kv head, against some of its keys
  kMerge,         // the splits of a kv head merged into its rows of the output
  // Of a backward pass, whose keys are taken by kPack and whose tiles are some query rows against some of the keys, `kPlan` and
  // `kBlockMask` as above:
  kTake,  // some query rows of a query head, with the gradient of their output, laid out for the kernel
  kGive,  // the summed gradients of a query head's queries, or of a kv head's keys or values, written where they are wanted
};
FLEXJIT_API std::string_view name_of(TraceKind kind) noexcept;  // "front end", "tile", ...

struct TraceEvent {
  TraceKind kind = TraceKind::kPlan;
  std::int32_t thread = 0;                // of the run; 0: the one that called
  std::int64_t begin_ns = 0, end_ns = 0;  // of std::chrono::steady_clock
  std::int32_t b = -1;                    // batch entry; -1: of none
  std::int32_t head = -1;                 // query head of a tile, kTake and queries of kGive, else kv head; -1: of none
  PositionRange q{};   // query rows of that head; of a split, counted through the query heads that share its kv head
  PositionRange kv{};  // from the first key that is visited to the last
  std::int32_t full_spans = 0, masked_spans = 0;  // runs of keys of which all pairs, or not all, are allowed
  std::int64_t scores = 0;                        // that were computed
};

// Given to Engine::compile and in RunArgs, which add to it. Thread-safe; but two runs at once number their threads alike.
class FLEXJIT_API Trace {
 public:
  static constexpr std::size_t kDefaultCapacity = std::size_t{1} << 16;
  // Room for so many events, sizeof(TraceEvent) bytes each, allocated here and never grown: what comes later is dropped.
  explicit Trace(std::size_t capacity = kDefaultCapacity);

  void add(const TraceEvent& event) noexcept;
  // By begin, an enclosing event first. Not while a traced call is under way.
  std::vector<TraceEvent> events() const;
  std::int64_t dropped() const noexcept;

 private:
  std::vector<TraceEvent> events_;
  std::atomic<std::size_t> next_ = 0;
};

}  // namespace flexjit
