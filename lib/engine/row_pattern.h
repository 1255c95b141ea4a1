// Scaled scores of a whole row -> modified ones, by the interpreter: what the reference and a look at the scores share.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "call/call.h"
#include "ir/evaluate/interpreter.h"
#include "reference/reference_attention.h"

namespace flexjit::engine {

// Stops at the first read outside its buffer and keeps it. Holds scratch, so one per thread; the program and the call must
// outlive it.
class RowPattern {
 public:
  RowPattern(const ir::Program& program, const Call& call)
      : interpreter_(program, call.bound.environment), mask_(call.block_mask), kv_len_(call.shape.kv_len) {}

  // `scores` are those of all keys; -inf where the call's block mask masks, or, in its partial blocks, the pattern's mask.
  // False: there is a fault.
  bool apply(const reference::ReferenceRow& row, std::span<double> scores);
  const std::optional<ir::ReadFault>& fault() const { return fault_; }

 private:
  std::int32_t segment_end(std::int32_t begin) const;
  BlockKind kind_of(const ir::RowRange& range) const;
  bool apply_segment(const ir::RowRange& range, BlockKind kind, std::span<double> scores);

  ir::Interpreter interpreter_;
  const BlockMask* mask_;
  std::int32_t kv_len_;
  std::optional<ir::ReadFault> fault_;
};

}  // namespace flexjit::engine
