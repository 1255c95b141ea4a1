// Attention over a set of keys from attentions over its parts: split-KV, cascades of shared prefixes, ring attention.
#pragma once

#include "flexjit/borrowed.h"
#include "flexjit/export.h"
#include "flexjit/result.h"
#include "flexjit/tensor.h"

namespace flexjit {

// What run() wrote for some of the keys: v = RunArgs::out, (batch, heads, q_len, v_head_dim) of f32, bf16, f16 or f64, and lse,
// fp32 (batch, heads, q_len), natural logarithm. lse = -inf: the row saw no key, and its v is not read.
struct AttentionState {
  TensorView v;
  TensorView lse;
};

struct MergeArgs {
  Borrowed<AttentionState> states;  // at least one, over disjoint keys; all of one shape, dtypes of v may differ
  MutableTensorView out;            // as a state's v; any of its dtypes
  MutableTensorView lse{};          // data == nullptr: not wanted
  int threads = 0;                  // as EngineOptions::threads; the bits do not depend on it
};

// out = sum of w_i v_i / sum of w_i with w_i = exp(lse_i - max lse), lse = max lse + ln sum of w_i: what run() gives over all
// keys at once, up to rounding. Associative and commutative up to rounding. Rows that no state saw: 0 and -inf. Tensors may
// have any strides with a unit innermost stride of v and out; `out` and `lse` may be the v and lse of one state, and must not
// overlap the states otherwise. Thread-safe. Errors (all that apply, nothing is written): no state, rank, dtype, shape, stride,
// null or misaligned data, `shared-memory`.
FLEXJIT_API Status merge_states(const MergeArgs& args);

}  // namespace flexjit
