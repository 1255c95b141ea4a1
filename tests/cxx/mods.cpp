#include "mods.h"

#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>

#include "flexjit/inspect.h"

namespace flexjit::cxx_test {

AttentionSpec cxx_spec(const std::string& program, DType dtype) {
  AttentionSpec spec;
  spec.program = program;
  spec.program_name = "mod.cpp";
  spec.language = TextLanguage::kCxx;
  spec.dtype = dtype;
  spec.head_dim = 1;
  return spec;
}

std::vector<float> scores_of(const std::string& program, Grid grid, const Bindings& bindings) {
  EngineOptions options;
  options.backend = Backend::kReference;
  Engine engine(options);
  const Result<Attention> attention = engine.compile(cxx_spec(program));
  if (!attention) throw std::runtime_error(render(attention.diagnostics()) + program);
  const std::vector<float> q(static_cast<std::size_t>(grid.heads * grid.q_len)),
      k(static_cast<std::size_t>(grid.heads * grid.kv_len));
  std::vector<float> out(q.size());
  const RunArgs args{.q = TensorView(q.data(), DType::kF32, {1, grid.heads, grid.q_len, 1}),
                     .k = TensorView(k.data(), DType::kF32, {1, grid.heads, grid.kv_len, 1}),
                     .v = TensorView(k.data(), DType::kF32, {1, grid.heads, grid.kv_len, 1}),
                     .out = MutableTensorView(out.data(), DType::kF32, {1, grid.heads, grid.q_len, 1}),
                     .bindings = &bindings};
  const auto scores = attention->scores(args, {.q = {0, grid.q_len}});
  if (!scores) throw std::runtime_error(render(scores.diagnostics()) + program);
  return *scores;
}

void expect_same(const std::function<float(float, int, int)>& host, const std::string& text) {
  const std::vector<float> found = scores_of(text);
  for (int q = 0; q < 8; ++q) {
    for (int kv = 0; kv < 8; ++kv) {
      const float expected = host(0.0F, q, kv), value = found[static_cast<std::size_t>(q * 8 + kv)];
      if (std::isnan(expected)) {
        EXPECT_TRUE(std::isnan(value)) << text;
      } else {
        EXPECT_EQ(value, expected) << text << " at " << q << ", " << kv;
      }
    }
  }
}

std::string simplified(const AttentionSpec& spec) {
  EngineOptions options;
  const auto views = inspect(spec, options, {.views = {InspectView::kSimplified}});
  return views ? views->front().text : render(views.diagnostics());
}

}  // namespace flexjit::cxx_test
