// One compiled call from the installed package: uniform scores under a causal mask average the values seen so far.
#include <flexjit/flexjit.h>

#include <cmath>
#include <cstdio>
#include <vector>

int main() {
  const std::int64_t length = 70, dim = 16;
  std::vector<float> q(length * dim, 0.0F), k(length * dim, 1.0F), v(length * dim), out(length * dim);
  for (std::int64_t i = 0; i < length * dim; ++i) v[i] = static_cast<float>(i / dim);

  flexjit::AttentionSpec spec;
  spec.mask_mod = "q_idx >= kv_idx";
  spec.head_dim = static_cast<std::int32_t>(dim);
  try {
    const auto view = [&](auto* data) { return flexjit::BasicTensorView(data, flexjit::DType::kF32, {1, 1, length, dim}); };
    flexjit::RunArgs args{.q = {q.data(), flexjit::DType::kF32, {1, 1, length, dim}},
                          .k = {k.data(), flexjit::DType::kF32, {1, 1, length, dim}},
                          .v = {v.data(), flexjit::DType::kF32, {1, 1, length, dim}},
                          .out = view(static_cast<void*>(out.data()))};
    flexjit::default_engine().compile(spec).value().run(args).value();
  } catch (const flexjit::Error& error) {
    std::fputs(error.what(), stderr);
    return 1;
  }
  for (std::int64_t row = 0; row < length; ++row) {
    const double expected = static_cast<double>(row) / 2;  // the mean of 0..row
    if (std::abs(out[row * dim] - expected) > 1e-4) {
      std::fprintf(stderr, "row %d is %g, not %g\n", static_cast<int>(row), out[row * dim], expected);
      return 1;
    }
  }
  return 0;
}
