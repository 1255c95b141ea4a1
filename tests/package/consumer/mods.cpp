// A C++ pattern that flexjit_add_patterns() compiled into the program, beside attention by the same functions, which the host's
// compiler compiles from the same file.
#include "banded.cpp"

#include <cmath>
#include <cstdio>
#include <vector>

#include "consumer_mods_patterns.h"

namespace {

constexpr int kHeads = 2, kLength = 33, kDim = 16;

// Keys are 0 and scores the mod alone; v is the key's number.
double expected(int h, int q_idx, const float* slope) {
  double weights = 0, sum = 0;
  for (int kv_idx = 0; kv_idx < kLength; ++kv_idx) {
    if (!mask_mod(h, q_idx, kv_idx)) continue;
    const double weight = std::exp(static_cast<double>(score_mod(0, q_idx, kv_idx, slope, h)));
    weights += weight;
    sum += weight * kv_idx;
  }
  return sum / weights;
}

}  // namespace

int main() {
  constexpr int kCount = kHeads * kLength * kDim;
  std::vector<float> q(kCount), v(kCount), out(kCount);
  const float slope[kHeads] = {0.25F, 0.5F};
  for (int i = 0; i < kCount; ++i) v[static_cast<std::size_t>(i)] = static_cast<float>(i / kDim % kLength);
  const std::int64_t shape[4] = {1, kHeads, kLength, kDim}, heads = kHeads;
  banded_args args;
  banded_args_init(&args);
  args.q = args.k = flexjit_dense_tensor(q.data(), FLEXJIT_F32, 4, shape);
  args.v = flexjit_dense_tensor(v.data(), FLEXJIT_F32, 4, shape);
  args.out = flexjit_dense_tensor(out.data(), FLEXJIT_F32, 4, shape);
  args.buffer_slope = flexjit_dense_tensor(const_cast<float*>(slope), FLEXJIT_F32, 1, &heads);
  flexjit_error* error = nullptr;
  if (banded_run(&args, &error) != FLEXJIT_OK) {
    std::fputs(flexjit_error_message(error), stderr);
    flexjit_error_free(error);
    return 1;
  }
  for (int h = 0; h < kHeads; ++h) {
    for (int i = 0; i < kLength; ++i) {
      const double seen = out[static_cast<std::size_t>((h * kLength + i) * kDim)];
      if (!(std::abs(seen - expected(h, i, slope)) < 1e-4)) return 1;
    }
  }
  return 0;
}
