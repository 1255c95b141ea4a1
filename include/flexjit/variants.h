// Published attentions as specs, and the numbers that they draw.
#pragma once

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
  std::int32_t head_dim = 64;   // 1..512
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

}  // namespace flexjit
