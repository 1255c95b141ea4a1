// A whole call as the host sees it: where its tensors lie, and what is constant over its launch. The reference reads it as it
// is; of a launch it becomes the rows and keys of each item (runtime/rows/).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

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

// Tables of a rotary embedding, (positions, dim / 2).
struct RotaryArg {
  enum class Pairing : std::uint8_t { kInterleaved, kHalves };
  const void* cos = nullptr;  // null: nothing is rotated
  const void* sin = nullptr;
  std::int64_t cos_stride = 0, sin_stride = 0;  // elements from a position to the next
  DType dtype = DType::kF32;
  std::int32_t dim = 0;  // how many dims of a row are rotated
  Pairing pairing{};
  bool by_query = true;  // queries rotate at positions of their own, else all at that of the first
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

// One sequence of a call: which one it is, its lengths, and where it lies in the tensors.
struct Sequence {
  std::int32_t b = 0;  // as a pattern sees it
  std::int32_t q_len = 0, kv_len = 0;
  std::int32_t q_offset = 0, kv_offset = 0;  // packed positions of query 0 and key 0, as a pattern sees them
  std::int64_t q_batch = 0, q_row = 0;       // the entry and the row of q, out, lse and max_scores that are its query 0
  std::int64_t kv_batch = 0, kv_row = 0;     // the entry and the row of k and v that are its key 0, where there are no pages
  const std::int32_t* pages = nullptr;  // the entry of k and v that holds its keys [i * page_size, (i + 1) * page_size), by i
  bool has_holes = false;               // some of these are negative: their keys are masked
  const std::int32_t* order = nullptr;  // without pages: query i and key i are row order[i] of it; null: row i

  // An entry and a row of a tensor.
  struct Place {
    std::int64_t batch = 0, row = 0;
  };
  Place query(std::int32_t i) const { return {q_batch, q_row + in_order(i)}; }
  Place key(std::int32_t i, std::int32_t page_size) const {
    if (pages == nullptr) return {kv_batch, kv_row + in_order(i)};
    return {pages[i / page_size], i % page_size};
  }
  // The position at which query i is rotated.
  std::int64_t rotary_position(std::int32_t i, const RotaryArg& rotary) const {
    return std::int64_t{kv_len} - q_len + (rotary.by_query ? i : 0);
  }
  std::int32_t in_order(std::int32_t i) const { return order == nullptr ? i : order[i]; }
  // Whether its keys follow one another evenly.
  bool lies_evenly() const { return pages == nullptr && order == nullptr; }
  bool is_hole(std::int32_t key, std::int32_t page_size) const { return has_holes && pages[key / page_size] < 0; }
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
  std::int32_t q_len;  // of the longest sequence, as kv_len
  std::int32_t kv_len;
  double scale;
  std::int64_t* block_counts = nullptr;
  std::int32_t page_size = 0;       // keys of a page, where sequences have pages
  RotaryArg rotary{};               // of queries that are yet to be rotated
  ScaleArg k_scales{}, v_scales{};  // of quantised keys and values, by the entries and rows of k and v

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

// Those of a call whose batch entries are sequences of one length.
inline std::vector<Sequence> batch_of(std::int32_t batch, std::int32_t q_len, std::int32_t kv_len) {
  std::vector<Sequence> sequences;
  sequences.reserve(static_cast<std::size_t>(batch));
  for (std::int32_t b = 0; b < batch; ++b)
    sequences.push_back({.b = b, .q_len = q_len, .kv_len = kv_len, .q_batch = b, .kv_batch = b});
  return sequences;
}

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
