// What a handle knows: the compiled shard, the communicators, the dealing and the steps.
#pragma once

#include <string>
#include <vector>

#include "attention/pool.h"
#include "exchange/agreement.h"
#include "exchange/communicator.h"
#include "flexjit/attention.h"
#include "flexjit/mpi/sequence.h"
#include "flexjit/mpi/steps.h"

namespace flexjit::mpi {

struct ShardedAttention::Impl {
  Attention attention;  // of compile_shard(), with f32 output
  AttentionSpec spec;   // with every default filled in
  SequenceSizes sizes;
  SequenceOptions options;
  Communicator world;
  Communicator heads;  // the ranks that share out the heads of what they have together
  Communicator ring;   // those with our heads, over all tokens
  Layout layout;       // of `world`
  Layout ring_layout;  // of `ring`: a rank has what its `heads` have together
  std::vector<std::int32_t> positions;
  Steps steps;
  mutable Pool pool{};  // of calls, of which there is one at a time

  std::int64_t tokens() const { return static_cast<std::int64_t>(positions.size()); }
  std::int32_t q_heads() const { return sizes.q_heads / options.head_ranks; }  // that this rank computes
  std::int32_t kv_heads() const { return sizes.kv_heads / options.head_ranks; }
  std::int32_t first_head() const { return heads.rank() * q_heads(); }
  std::int32_t first_kv_head() const { return heads.rank() * kv_heads(); }
  DType kv_dtype() const { return *spec.kv_dtype; }
};

}  // namespace flexjit::mpi
