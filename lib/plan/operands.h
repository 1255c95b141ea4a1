// A whole call as the host sees it: where its tensors lie, and what is constant over its launch. The reference reads it as it
// is; of a launch it becomes the rows and keys of each item (runtime/rows.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "flexjit/tensor.h"
#include "plan/kernel_abi.h"

namespace flexjit::plan {

// A (batch, heads, length, dim) tensor; strides in elements, innermost 1.
struct TensorArg {
  void* data;
  std::int64_t stride_batch;
  std::int64_t stride_head;
  std::int64_t stride_row;

  // In elements.
  std::int64_t offset_of(std::int64_t b, std::int64_t h, std::int64_t row) const {
    return b * stride_batch + h * stride_head + row * stride_row;
  }
};

// One number a query row, (batch, heads, q_len); strides in elements. Its data may be null: not wanted.
struct RowStrides {
  std::int64_t stride_batch = 0;
  std::int64_t stride_head = 0;
  std::int64_t stride_row = 0;

  std::int64_t offset_of(std::int64_t b, std::int64_t h, std::int64_t row) const {
    return b * stride_batch + h * stride_head + row * stride_row;
  }
};

struct RowArg : RowStrides {
  float* data = nullptr;

  float* at(std::int64_t b, std::int64_t h, std::int64_t row) const {
    return data == nullptr ? nullptr : data + offset_of(b, h, row);
  }
};

// Which an fp64 call may have as fp64.
struct LseArg : RowStrides {
  void* data = nullptr;
  DType dtype = DType::kF32;

  void* at(std::int64_t b, std::int64_t h, std::int64_t row) const {
    if (data == nullptr) return nullptr;
    return static_cast<std::byte*>(data) + offset_of(b, h, row) * static_cast<std::int64_t>(size_of(dtype));
  }
};

// Scales of quantised keys or values, (batch, kv_heads, kv_len, groups of dims); strides in elements, 0 where one repeats.
struct ScaleArg {
  const float* data = nullptr;  // null: 1
  std::int64_t stride_batch = 0;
  std::int64_t stride_head = 0;
  std::int64_t stride_row = 0;
  std::int64_t stride_group = 0;

  // Of group 0.
  const float* at(std::int64_t b, std::int64_t h, std::int64_t row) const {
    static constexpr float kOne = 1;
    return data == nullptr ? &kOne : data + b * stride_batch + h * stride_head + row * stride_row;
  }
};

struct Operands {
  TensorArg q, k, v, out;
  LseArg lse{};
  RowArg max_scores{};
  const float* sinks;  // as in LaunchArg, like all that follows but the lengths
  const BufferArg* buffers;
  const std::uint64_t* params;
  std::int32_t batch_size;
  std::int32_t num_heads;
  std::int32_t num_kv_heads;
  std::int32_t q_len;
  std::int32_t kv_len;
  double scale;
  std::int64_t* block_counts = nullptr;
  ScaleArg k_scales{}, v_scales{};  // of quantised keys and values

  LaunchArg launch() const {
    return {.sinks = sinks,
            .buffers = buffers,
            .params = params,
            .block_counts = block_counts,
            .scale = scale,
            .batch_size = batch_size,
            .num_heads = num_heads,
            .num_kv_heads = num_kv_heads,
            .lse_f64 = std::int32_t{lse.dtype == DType::kF64}};
  }
};

// The gradient of a captured buffer, summed up in reals.
struct BufferGradient {
  std::uint32_t slot = 0;
  void* sums = nullptr;  // `elements` of them; the launch begins with 0
  std::int64_t elements = 0;
  std::int64_t strides[4]{};  // in reals; 0 where the elements of a dimension share one
  bool pairs_apart = false;   // no two pairs of a head add to one element,
  bool heads_apart = false;   // nor do two of different (batch entry, kv head)
};

// The gradients that a call takes and gives, beside its operands, whose out and lse are what the forward pass wrote.
struct GradientOperands {
  struct Tensor : TensorArg {
    DType dtype = DType::kF32;  // f32, or that of the tensor
  };
  Tensor grad_out{};                    // null: zeros
  std::int64_t grad_out_element = 1;    // elements between two of a row
  RowArg grad_lse{};                    // null: zeros
  Tensor grad_q{}, grad_k{}, grad_v{};  // null: not wanted
  float* grad_sinks = nullptr;          // by query head; null: not wanted
  std::span<const BufferGradient> buffers{};
};

}  // namespace flexjit::plan
