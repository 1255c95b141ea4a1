// See tensors.h.
#include "tensors.h"

#include <algorithm>
#include <bit>
#include <cctype>
#include <cmath>
#include <numeric>
#include <random>
#include <string>

Half to_half(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t magnitude = bits & 0x7fffffffU, sign = bits >> 16 & 0x8000U;
  if (magnitude < 0x38800000U) return static_cast<Half>(sign);  // below the least normal number: 0
  const std::uint32_t rounded = magnitude + 0xfffU + (magnitude >> 13 & 1U);
  return static_cast<Half>(sign | ((rounded >> 13) - (112U << 10)));
}

float from_half(Half bits) {
  const std::uint32_t sign = (bits & 0x8000U) << 16, magnitude = bits & 0x7fffU;
  if (magnitude < 0x400U) return std::ldexp(static_cast<float>(magnitude), -24) * (sign != 0 ? -1.0F : 1.0F);
  return std::bit_cast<float>(sign | ((magnitude << 13) + (112U << 23)));
}

std::vector<Half> random_halves(std::int64_t count, std::uint32_t seed) {
  std::mt19937 engine(seed);
  std::vector<Half> values(static_cast<std::size_t>(count));
  for (Half& each : values) {
    float sum = 0;  // of twelve uniform numbers: normal, near enough
    for (int i = 0; i < 12; ++i) sum += static_cast<float>(engine() >> 8) * 0x1p-24F;
    each = to_half(sum - 6);
  }
  return values;
}

Mask named_mask(const Options& options) {
  std::string name = options.mask_type;
  std::ranges::transform(name, name.begin(), [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
  const std::int32_t window = options.window_size, chunk = options.chunk_size;
  if (name == "full") return [](std::int32_t, std::int32_t) { return true; };
  if (name == "causal") return [](std::int32_t q, std::int32_t kv) { return q >= kv; };
  if (name == "sliding_window") return [=](std::int32_t q, std::int32_t kv) { return q >= kv && q - kv <= window; };
  if (name == "attamba")
    return [=](std::int32_t q, std::int32_t kv) { return q >= kv && ((kv + 1) % chunk == 0 || q - kv < window); };
  return {};
}

double excess(const Options& options, const std::vector<Half>& q, const std::vector<Half>& k, const std::vector<Half>& v,
              const std::vector<Half>& out, const Tolerance& tolerance) {
  const auto floats = [](const std::vector<Half>& halves) {
    std::vector<float> values(halves.size());
    std::ranges::transform(halves, values.begin(), from_half);
    return values;
  };
  const std::vector<float> of_q = floats(q), of_k = floats(k), of_v = floats(v);
  const Mask allowed = named_mask(options);
  const auto dim = static_cast<std::size_t>(options.head_dim), heads = static_cast<std::size_t>(options.num_qo_heads),
             kv_heads = static_cast<std::size_t>(options.kv_heads());
  const float scale = 1 / std::sqrt(static_cast<float>(dim));
  double worst = -1;
  for (std::int32_t i = 0; i < options.q_len; ++i) {
    for (std::size_t h = 0; h < heads; ++h) {
      const std::size_t row = (static_cast<std::size_t>(i) * heads + h) * dim;
      std::vector<double> value(dim);
      double sum = 0;
      for (std::int32_t j = 0; j < options.kv_len; ++j) {
        if (!allowed(i, j)) continue;
        const std::size_t key = (static_cast<std::size_t>(j) * kv_heads + h / (heads / kv_heads)) * dim;
        const float score = scale * std::transform_reduce(&of_q[row], &of_q[row] + dim, &of_k[key], 0.0F);
        const double weight = std::exp(static_cast<double>(score));
        sum += weight;
        for (std::size_t d = 0; d < dim; ++d) value[d] += weight * static_cast<double>(of_v[key + d]);
      }
      for (std::size_t d = 0; d < dim; ++d) {
        const double expected = sum > 0 ? value[d] / sum : 0, seen = static_cast<double>(from_half(out[row + d]));
        const double beyond = std::abs(seen - expected) - (tolerance.absolute + tolerance.relative * std::abs(expected));
        worst = std::isnan(seen) ? 1 : std::max(worst, beyond);
      }
    }
  }
  return worst;
}
