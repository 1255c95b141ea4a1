// Halves, random tensors of (length, heads, dim), and attention by its definition.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "options.h"

using Half = std::uint16_t;
Half to_half(float value);  // of normal numbers
float from_half(Half bits);

std::vector<Half> random_halves(std::int64_t count, std::uint32_t seed);

using Mask = std::function<bool(std::int32_t q, std::int32_t kv)>;
// The mask of a name, as FlexFlashInfer defines it; empty for another name.
Mask named_mask(const Options& options);

// The largest |out - expected| - (atol + rtol |expected|) of all elements: not above 0 where they agree.
struct Tolerance {
  double absolute = 5e-3, relative = 1e-3;
};
double excess(const Options& options, const std::vector<Half>& q, const std::vector<Half>& k, const std::vector<Half>& v,
              const std::vector<Half>& out, const Tolerance& tolerance = {});
