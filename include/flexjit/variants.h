// Published attentions as specs, and the numbers that they draw. What a spec lacks is what a call binds; all of them are texts
// of the language: print them, change them.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "flexjit/export.h"
#include "flexjit/result.h"
#include "flexjit/spec.h"

namespace flexjit {

// The lengths of the rows of a matrix of random features.
enum class RowLengths : std::uint8_t {
  kChi,   // those of rows of normal numbers: E[phi(q) . phi(k)] = exp(scale q . k)
  kRoot,  // sqrt(head_dim)
};

struct RandomFeatures {
  std::int32_t features = 256;  // 1..4096
  std::int32_t head_dim = 64;   // 1..1024
  std::uint64_t seed = 0;
  // Blocks of head_dim rows at right angles to each other, the last one cut: Q of the QR of normal numbers, drawn uniformly
  // (R with a positive diagonal). Else all numbers are independent.
  bool orthogonal = true;
  RowLengths lengths = RowLengths::kChi;
};

// The matrix W (features, head_dim) of FAVOR+ (Choromanski et al. 2020), row by row; the same numbers on every machine. Error
// `bad-option`: numbers outside their ranges.
FLEXJIT_API Result<std::vector<float>> random_features(const RandomFeatures& of);

// The attention of Performer: linear weights with the feature map favor(W, eps), W an f32 buffer (features, head_dim) that
// every call binds. Other fields of the spec can be set behind it.
struct PerformerOptions {
  std::int32_t head_dim = 64;
  std::int32_t features = 256;
  bool causal = false;
  double eps = 1e-4;
};
FLEXJIT_API AttentionSpec performer(const PerformerOptions& options);

// Longformer (Beltagy et al. 2020): a band around the diagonal, and tokens that see all and are seen by all. Calls bind
// `tokens`, i32 (batch, length) or less of it: below 0 padding, which sees nothing and is not seen, 0 a token of the band,
// above 0 a global one, as Longformer's attention_mask has them less 1. q_len and kv_len are the same.
struct LongformerOptions {
  std::int32_t window = 256;             // keys on each side, 0 or more
  std::vector<std::int32_t> dilation{};  // steps between them for each query head; the last serves all further; empty: 1
  bool autoregressive = false;           // no token sees a later one
  // Global tokens see nothing themselves: their rows are those of GlobalRows (flexjit/global_rows.h), which has queries, keys
  // and values of its own for them.
  bool global_rows_apart = false;
  std::int32_t head_dim = 64;
};
// Errors: `bad-option` for a window or a dilation out of range.
FLEXJIT_API Result<AttentionSpec> longformer(const LongformerOptions& options);

// One axis of a grid of tokens, in row-major order.
struct NeighborhoodAxis {
  std::int32_t extent = 1;
  std::int32_t kernel =
      1;  // keys that a query sees along it, in steps of dilation, at most extent / dilation; clipped, twice that less 1
  std::int32_t dilation = 1;  // positions that differ by less see each other never
  std::int32_t stride = 1;    // so many queries (of a dilation's) share the window of the one in their middle; at most kernel
  bool causal = false;        // the window ends at the query, or at the last one that shares it, and no later key is seen
};

// What becomes of a window that the border of the grid cuts.
enum class NeighborhoodBorder : std::uint8_t {
  kShifted,  // it is moved inwards: `kernel` keys always (Hassani et al. 2023, NATTEN)
  kClipped,  // it loses the keys outside
};

struct NeighborhoodOptions {
  std::vector<NeighborhoodAxis> axes{};  // 1 to 4, of relative_bias at most 3; their extents multiply to q_len and kv_len
  NeighborhoodBorder border = NeighborhoodBorder::kShifted;
  // A learned number for each head and distance, the buffer relative_bias: f32 (num_heads, 2 kernel - 1 for each axis), at
  // kernel - 1 + (key - query) / dilation.
  bool relative_bias = false;
  std::int32_t head_dim = 64;
};
// Neighborhood attention over a grid of any number of axes. Errors: `bad-option`.
FLEXJIT_API Result<AttentionSpec> neighborhood(const NeighborhoodOptions& options);

// Swin (Liu et al. 2021) over an image of height x width tokens in raster order: windows of the image rolled by -shift, in
// which opposite borders do not meet. Sizes that windows do not divide are padded at the bottom and right before they are
// rolled, and what pads is seen by nobody. Where an extent is no larger than its window nothing is shifted, and windows that
// are square are cut to the smaller extent, others each to its own.
struct SwinOptions {
  std::int32_t height = 1, width = 1;
  std::array<std::int32_t, 2> window{7, 7};  // rows and columns
  std::array<std::int32_t, 2> shift{0, 0};   // 0 to window - 1
  // The buffer relative_bias: f32 (num_heads, (2 rows - 1) (2 columns - 1)) of the windows as they are cut, at (d_row + rows -
  // 1) (2 columns - 1) + d_column + columns - 1, where d is the query's place in its window less the key's.
  bool relative_bias = false;
  std::int32_t head_dim = 64;
};
// Errors: `bad-option`.
FLEXJIT_API Result<AttentionSpec> swin(const SwinOptions& options);

}  // namespace flexjit
