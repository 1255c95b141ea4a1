// The runtime values that a Program's leaves stand for, besides the indices.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "flexjit/bindings.h"
#include "flexjit/tensor.h"

namespace flexjit::ir {

struct Environment {
  std::int32_t batch_size = 1;
  std::int32_t num_heads = 1;
  std::int32_t num_kv_heads = 1;
  std::int32_t q_len = 0;
  std::int32_t kv_len = 0;
  std::int32_t q_offset = 0, kv_offset = 0;  // packed positions of query 0 and key 0
  std::span<const TensorView> buffers;       // by slot; dtype and rank as in Program::buffers()
  std::span<const Scalar> params;            // by slot; alternative as in Program::params()
};

}  // namespace flexjit::ir
