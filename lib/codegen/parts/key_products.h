// S = Q K^T of one key step of few rows: 4 keys x up to micro_rows rows at a time, lanes along head_dim, so that rows of K are
// read as they lie; at the end of the dims each accumulator is reduced to one score.
#pragma once

#include "codegen/parts/real_rows.h"
#include "codegen/parts/streamed_rows.h"

namespace flexjit::codegen {

struct KeyProducts {
  static constexpr int kKeys = 4;
  // Neighbouring keys of a step: their rows of K, and the column of the first.
  struct Keys {
    Ptr row[kKeys];
    Index column;
  };

  Emitter& e;
  StreamedRows k;
  ScratchInts numbers;    // by column of a step: the key whose row it is computed from
  RealRows q;             // as the products read them
  std::int64_t q_stride;  // in elements
  RealRows s;

  // for (i = 0; i < kv_tile; ++i) numbers[i] = clamp(kv + i, first, last - 1);
  // for (c = (first - kv) & -4; kv + c < last; c += 4) body(keys c .. c + 3);
  void for_keys(const KeyStep& step, llvm::function_ref<void(const Keys&)> body) const;
  // for r: s[row + r][column .. column + 3] = q[row + r] K^T
  void emit(const Keys& keys, Index row, int rows) const;

 private:
  void number_keys(const KeyStep& step) const;
  Values products(const Keys& keys, Index row, int rows) const;
  Values add_products(const Keys& keys, Ptr queries, Index dim, int count, Values sums) const;
};

}  // namespace flexjit::codegen
