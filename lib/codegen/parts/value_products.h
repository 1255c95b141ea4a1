// O += P V of one key step of few rows: micro-tiles of up to micro_rows rows by as many vectors of value dims as fit the
// registers. Rows of V are read as they lie, one after the other; of bf16, two that are interleaved, which leaves the value
// dims in another order; o keeps that order until the item is done.
#pragma once

#include "codegen/parts/product.h"
#include "codegen/parts/streamed_rows.h"

namespace flexjit::codegen {

struct ValueProducts {
  Emitter& e;
  StreamedRows v;
  ScratchInts numbers;  // by column of a step: the key whose row of V counts in pairs
  RealRows s, o;
  plan::Tiling tiling;

  void emit(const KeyStep& step, Index rows) const;
  // For unsettled rows, one after another.
  void emit_careful(const KeyStep& step, Index rows, const UnsettledRows& unsettled) const;
  // Puts a finished row of o into the order of the value dims.
  void emit_dims_in_order(Index row) const;

 private:
  void emit_rows(const KeyStep& step, Index row, int rows) const;
  // o[row..][dims of the chunk], kept in registers.
  struct Target {
    VectorTile tile;
    Index row;
    const Chunk& chunk;
  };
  void emit_reals(const KeyStep& step, const Target& target) const;
  void emit_pairs(const KeyStep& step, const Target& target) const;
  Values add_pairs(const Values& acc, Ptr weights, llvm::ArrayRef<llvm::Value*> pairs) const;
};

}  // namespace flexjit::codegen
