// Decoding over a cache that lies on many hosts: each rank holds a part of the keys, and a token costs one small merge.
#pragma once

#include <mpi.h>

#include <cstdint>
#include <memory>
#include <span>

#include "flexjit/bindings.h"
#include "flexjit/engine.h"
#include "flexjit/result.h"
#include "flexjit/spec.h"
#include "flexjit/tensor.h"

namespace flexjit::mpi {

// One call. q (batch, q_heads, q_len, head_dim) is the same on all ranks, and so is what all get: out (batch, q_heads, q_len,
// v_head_dim) and, if wanted, lse f32 (batch, q_heads, q_len). k and v (batch, kv_heads, keys of this rank, dim): any keys of
// the cache, each on one rank; none is as good as some. Types are those of the spec.
struct DecodeArgs {
  TensorView q, k, v;
  MutableTensorView out;
  MutableTensorView lse{};                       // data == nullptr: not wanted
  std::span<const std::int32_t> kv_positions{};  // of this rank's keys, in 0..kv_len - 1
  std::int32_t kv_len = 0;  // of the whole cache; a pattern sees it, and q_len, as Attention::run() has them
  const Bindings* bindings = nullptr;
};

// Collective, with the errors and the agreement of ShardedAttention. Immutable.
class FLEXJIT_API ShardedDecoder {
 public:
  static Result<ShardedDecoder> make(Engine& engine, const AttentionSpec& spec, MPI_Comm comm = MPI_COMM_WORLD);

  // States are fp32, gathered, and merged by every rank in the order of ranks: the same bits everywhere.
  Status run(const DecodeArgs& args) const;

  struct Impl;
  explicit ShardedDecoder(std::shared_ptr<const Impl> impl) noexcept : impl_(std::move(impl)) {}

 private:
  std::shared_ptr<const Impl> impl_;
};

}  // namespace flexjit::mpi
