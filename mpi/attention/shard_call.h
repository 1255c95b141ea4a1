// What a call of compile_shard()'s handle binds besides what the caller gives.
#pragma once

#include <cstdint>
#include <span>

#include "flexjit/bindings.h"

namespace flexjit::mpi {

struct ShardCall {
  std::span<const std::int32_t> q_positions, kv_positions;  // live as long as the bindings
  std::int64_t q_len = 0, kv_len = 0;                       // of the whole, and its heads
  std::int64_t heads = 1, kv_heads = 1;
  std::int64_t first_head = 0, first_kv_head = 0;
};
// `given` may be nullptr.
Bindings bindings_of(const ShardCall& call, const Bindings* given);

}  // namespace flexjit::mpi
