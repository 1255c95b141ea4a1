// Tokens of all heads <-> heads of all tokens, among the ranks that share out the heads of what they have together.
#pragma once

#include "attention/impl.h"
#include "attention/rows.h"

namespace flexjit::mpi {

// (batch, all heads, our tokens, dim) -> (batch, our heads, tokens of all, dim): dense.
Rows to_heads(const ShardedAttention::Impl& impl, const TensorView& from, Traffic& traffic);
// Back, into `to` of the type of `from`.
void to_tokens(const ShardedAttention::Impl& impl, const TensorView& from, const MutableTensorView& to, Traffic& traffic);

}  // namespace flexjit::mpi
