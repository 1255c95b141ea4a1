// Rotary position embeddings: the tables that keys are rotated with as they are appended, and queries as they are read.
#pragma once

#include <cstdint>

#include "flexjit/tensor.h"

namespace flexjit {

// Which dims of a row are rotated together; rotary_dim of them are, the rest stays as it is. Nothing is assumed where this is
// left out: 0 is refused.
enum class RotaryPairing : std::uint8_t {
  kInterleaved = 1,  // (0, 1), (2, 3), ...: GPT-J, and `interleaved` of FlashAttention
  kHalves = 2,       // (j, j + rotary_dim / 2): GPT-NeoX, Llama
};

// At position p the pair (x, y) number j becomes (x cos[p, j] - y sin[p, j], y cos[p, j] + x sin[p, j]), in fp32 (of f64
// tensors in fp64), rounded once to the element type of the row. cos and sin are (positions, rotary_dim / 2) of f32, bf16 or
// f16 with a unit innermost stride, both of one shape and dtype; rotary_dim is at most head_dim. Every position that is rotated
// at must be in them.
struct Rotary {
  TensorView cos, sin;
  RotaryPairing pairing{};  // NOLINT(bugprone-invalid-enum-default-initialization): none of them is assumed
};

// Where the queries of a sequence with past_len = kv_len - q_len keys before its first query rotate.
enum class RotaryPositions : std::uint8_t {
  kOfEachQuery,  // query i at past_len + i, which is the position of its key
  kPastLen,      // all at past_len, as FlashAttention's flash_attn_with_kvcache does without causal and window
};

}  // namespace flexjit
