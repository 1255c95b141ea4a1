// A pattern for a part of a sequence: rows of queries and of keys that stand anywhere in it, in any order. What attention over
// many hosts (flexjit/mpi) runs on, and whoever else deals a sequence out.
#pragma once

#include "flexjit/attention.h"
#include "flexjit/engine.h"
#include "flexjit/export.h"
#include "flexjit/result.h"
#include "flexjit/shard_names.h"
#include "flexjit/spec.h"

namespace flexjit {

// Like Engine::compile(), flags and dropout included, but for the text q_idx is shard_q_positions of the row and q_len is
// shard_q_len, keys and heads likewise: the rows of a call are computed as the whole sequence would. Buffers that are declared
// q_len, kv_len, num_heads or num_kv_heads long are bound whole; their gradients are the part's share. Block masks of a call
// are those of its own rows and keys. Remembered by its kernel alone: keep the handle. Thread-safe. Errors: those of
// Engine::compile(); `flag-name` for a text that declares one of the names above; `bad-option` for linear weights.
FLEXJIT_API Result<Attention> compile_shard(Engine& engine, const AttentionSpec& spec);

}  // namespace flexjit
