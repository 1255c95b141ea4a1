// Rows of K and V that are read once, as they lie, lanes along their dims: whole vectors of what the products multiply, the
// last one cut at the end of the row, and prefetches that run ahead of the reads.
#pragma once

#include "codegen/emit/launch_fields.h"
#include "codegen/emit/storage.h"

namespace flexjit::codegen {

// What products multiply lane by lane: fp32, or bf16 in pairs.
struct Operands {
  int width;  // elements of one vector
  DType stored_as;
  llvm::Type* type;
};
Operands operands_of(Emitter& e);

// The first `count` (all: no mask) elements of a vector of `width`; the others are 0 and not read.
struct VectorPart {
  int width, count;
};
llvm::Value* load_first(Emitter& e, Ptr address, DType dtype, VectorPart part);

// The key columns [kv, kv + kv_tile), of which the span holds [first, last).
struct KeyStep {
  Index kv, first, last;
  Bool masked;  // the mask decides; else every key inside is allowed
};

struct StreamedRows {
  Emitter& e;
  Rows rows;
  DType dtype;
  std::int64_t dims;
  std::int64_t step;  // keys

  Ptr at(Index element) const { return at_element(e, rows.data, element, dtype); }
  Ptr row(Index key) const { return at(e.mul(key, rows.stride)); }
  std::int64_t element_bytes() const { return static_cast<std::int64_t>(size_of(dtype)); }
  // How far prefetching runs ahead of the reads, in elements.
  Index ahead() const;
  // Into the second-level cache: what streams through the first one would push out what is in use.
  void prefetch(Ptr row, Index elements) const;
};

}  // namespace flexjit::codegen
