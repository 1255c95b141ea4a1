// Modified scores of one row and key step, in registers -> its weights, by online softmax. The maximum of a row soon stops
// growing; only when it does are the row's output and sum rescaled. Or sigmoid weights, which need no maximum.
#pragma once

#include "codegen/parts/real_rows.h"
#include "codegen/parts/weights.h"

namespace flexjit::codegen {

struct RowSoftmax {
  Emitter& e;
  Weights weights;
  Ptr max;  // by row
  RealRows s, sum_lanes, o;

  void for_rows(Index rows, llvm::function_ref<void(Index)> body) const;
  // max[row] = ...; s[row][] = weights of x[]; sum_lanes[row] += weights;
  void emit(Index row, llvm::ArrayRef<Float> x) const;
  // s[row][] = x[] takes part ? its weight : kNoPart, as fp32
  void emit_careful(Index row, llvm::ArrayRef<Float> x) const;

 private:
  void emit_max(Index row, llvm::ArrayRef<Float> x) const;
  void emit_rescale(Index row, Float factor) const;
  void store_weights(Index row, std::int64_t offset, Float weight) const;
  Float shift_of(Index row) const;
  Float relative(Float score, Float shift) const { return is_relative(weights.kind) ? e.sub(score, shift) : score; }
};

}  // namespace flexjit::codegen
