// Memory that a launch needs beside the caller's tensors, reused from call to call: a second call of the same size allocates
// nothing. Several launches may run at once; each leases a workspace of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <vector>

#include "plan/kernel_abi.h"
#include "runtime/decode/decode_plan.h"
#include "runtime/launch.h"
#include "runtime/schedule.h"
#include "support/fork_gate.h"

namespace flexjit::runtime {

inline constexpr std::size_t kAlignment = 64;  // a cache line, and the widest vector

// Uninitialised bytes at a 64-byte boundary; only grows, and growing forgets the contents. Of a large buffer the system gives
// only the pages that are touched: packed keys may lie far apart, and what lies between them takes no memory.
class AlignedBuffer {
 public:
  void reserve(std::size_t bytes);
  void release() noexcept;
  std::byte* data() const noexcept { return data_.get(); }
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  struct Free {
    Free() noexcept : mapped(0) {}
    explicit Free(std::size_t bytes) noexcept : mapped(bytes) {}
    void operator()(std::byte* memory) const noexcept;
    std::size_t mapped;  // bytes; 0: from operator new
  };
  std::unique_ptr<std::byte, Free> data_;
  std::size_t bytes_ = 0;
};

// What one thread collects; on its own cache lines, because threads write it in every item.
struct alignas(kAlignment) ThreadRecord {
  plan::FaultArg fault{};              // written by the kernel
  plan::FaultArg first_fault{};        // of the lowest item so far
  std::int64_t first_fault_item = -1;  // -1: none
  std::int64_t scores_visited = 0;

  // Keeps the fault that the kernel left while it worked on `item`.
  void note_fault(std::int64_t item) {
    if (fault.raised == 0 || (first_fault_item >= 0 && item >= first_fault_item)) return;
    first_fault = fault;
    first_fault_item = item;
  }
};

// The fault of the first item in their order, which no thread count changes.
inline LaunchOutcome gather(std::span<const ThreadRecord> records) {
  LaunchOutcome outcome;
  std::int64_t first = -1;
  for (const ThreadRecord& record : records) {
    outcome.scores_visited += record.scores_visited;
    if (record.first_fault_item < 0 || (first >= 0 && first < record.first_fault_item)) continue;
    first = record.first_fault_item;
    outcome.fault = record.first_fault;
  }
  return outcome;
}

struct Workspace {
  AlignedBuffer panels;   // packed K and V of one wave
  AlignedBuffer scratch;  // of all threads
  std::vector<ThreadRecord> records;
  std::vector<plan::QueryRow> rows;                   // of one item a thread
  std::vector<std::vector<plan::SpanArg>> cut_spans;  // of one item of the backward nest, by thread
  std::vector<std::int64_t> pair_begins;              // in `panels`, by pair of the wave, and the end
  std::vector<std::vector<std::int32_t>> key_rows;    // of one item of the decode nest, by thread
  Schedule schedule;
  DecodePlan decode_plan;

  // Items have at most `most` rows.
  void reserve_rows(int threads, std::int32_t most) {
    rows.resize(static_cast<std::size_t>(threads) * static_cast<std::size_t>(most));
  }
  std::span<plan::QueryRow> rows_of(int thread, std::int32_t most, std::int32_t count) {
    return std::span(rows).subspan(static_cast<std::size_t>(thread) * static_cast<std::size_t>(most),
                                   static_cast<std::size_t>(count));
  }
};

// Thread-safe.
class WorkspacePool {
 public:
  // Returns its workspace to the pool when it goes.
  class Lease {
   public:
    explicit Lease(WorkspacePool& pool) : pool_(pool), workspace_(pool.take()) {}
    ~Lease() { pool_.put(std::move(workspace_)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Workspace& operator*() const { return *workspace_; }

   private:
    WorkspacePool& pool_;
    std::unique_ptr<Workspace> workspace_;
  };

  WorkspacePool();
  std::size_t idle() const;

  static constexpr std::size_t kMaxIdle = 8;
  static constexpr std::size_t kMaxIdleBytes = std::size_t{64} << 20;  // a larger workspace is freed when it comes back

 private:
  std::unique_ptr<Workspace> take();
  void put(std::unique_ptr<Workspace> workspace) noexcept;

  mutable support::Mutex mutex_;
  std::vector<std::unique_ptr<Workspace>> idle_;
};

// Those of launches over tiles of queries, forward and backward.
WorkspacePool& workspaces();

}  // namespace flexjit::runtime
