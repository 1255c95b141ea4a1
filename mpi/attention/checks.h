// What one rank can say about its arguments before any message.
#pragma once

#include "attention/impl.h"

namespace flexjit::mpi {

Diagnostics check_spec(const AttentionSpec& spec);
Diagnostics check_sizes(const SequenceSizes& sizes, const SequenceOptions& options, int ranks);
Diagnostics check_run(const ShardedAttention::Impl& impl, const ShardArgs& args);
Diagnostics check_backward(const ShardedAttention::Impl& impl, const ShardArgs& forward, const ShardGradients& gradients);

// A tensor that a call takes: of one of these types, of this shape, with a unit innermost stride. Appends what is wrong.
struct Wanted {
  std::string name;
  std::vector<DType> dtypes;
  std::vector<std::int64_t> shape;
};
void check_tensor(const Wanted& wanted, const TensorView& view, Diagnostics& wrong);

// All of a spec that decides what is computed.
std::uint64_t hash_of(const AttentionSpec& spec);
std::uint64_t hash_of(const SequenceSizes& sizes, const SequenceOptions& options);

}  // namespace flexjit::mpi
