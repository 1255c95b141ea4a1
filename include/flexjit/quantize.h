// Keys or values of floats -> elements of 8 bits and their scales, as a call with a quantised AttentionSpec::kv_dtype takes
// them.
#pragma once

#include <cstdint>

#include "flexjit/export.h"
#include "flexjit/result.h"
#include "flexjit/tensor.h"

namespace flexjit {

enum class Scales : std::uint8_t {
  kComputed,  // from what is quantised, and written
  kGiven,     // read: keys that are appended to a cache whose scales are those of a head or of the tensor
};

struct QuantizeArgs {
  TensorView source;         // (batch, kv_heads, len, dim) of f32, bf16 or f16
  MutableTensorView target;  // of the same shape; i8, e4m3 or e5m2
  // f32 (batch, kv_heads, len, groups), each of them or 1, groups a divisor of dim: its shape says what shares a scale.
  MutableTensorView scales;
  Scales scales_are = Scales::kComputed;
};

// target = source / scale in fp32, rounded to nearest, ties to even, and to the largest number where it is beyond that,
// infinities included. A computed scale is the largest finite magnitude of what shares it over the largest number of the type
// (127, 448 or 57344), at least 2^-126, and 1 where all are 0: never 0, infinite or NaN. NaN stays NaN in e4m3 and e5m2 and is
// 0 in i8. Of normal numbers that share a scale by row of 128, the relative error (Frobenius) is 0.007 in i8, 0.026 in e4m3 and
// 0.052 in e5m2. Views may have any strides, so parts of a cache are written in place; none of source,
// target and scales may have memory in common, nor elements of target or of computed scales each other. Single-threaded,
// thread-safe. Errors (all that apply, nothing is written): rank, dtype, shape, null or misaligned data, overlapping results,
// `shared-memory`, given scales that are not positive and finite.
FLEXJIT_API Status quantize_kv(const QuantizeArgs& args);

}  // namespace flexjit
