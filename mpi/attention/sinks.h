// Sinks of heads, which take a share of every row's weights and have no value: a state to merge, and a gradient.
#pragma once

#include "attention/impl.h"

namespace flexjit::mpi {

// Into results over all keys, out f32 and lse (batch, heads of this rank, rows). sinks f32 (all query heads); none without
// data.
void add_sinks(const ShardedAttention::Impl& impl, const TensorView& sinks, const MutableTensorView& out,
               const MutableTensorView& lse);

// What the rows of such results and their gradients, all f32, add to the gradients of sinks: one of each of all query heads,
// 0 for those that other ranks compute.
struct SinkRows {
  TensorView out, lse, d_out, d_lse;
};
std::vector<float> sink_gradients(const ShardedAttention::Impl& impl, const TensorView& sinks, const SinkRows& rows);

}  // namespace flexjit::mpi
