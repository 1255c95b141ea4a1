// Random tensors through each module: the output has the shape of the queries and no NaN, and global rows are not 0.
#include <flexjit/flexjit.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <random>
#include <vector>

#include "programs.h"

namespace {

struct Shape {
  std::int32_t batch, heads, length, dim;
};

struct Tensors {
  std::vector<float> q, k, v;
  std::vector<std::int64_t> shape;

  explicit Tensors(const Shape& of) : shape{of.batch, of.heads, of.length, of.dim} {
    std::mt19937 engine(1);
    std::normal_distribution<float> normal;
    for (std::vector<float>* each : {&q, &k, &v}) {
      each->resize(static_cast<std::size_t>(of.batch) * of.heads * of.length * of.dim);
      for (float& x : *each) x = normal(engine);
    }
  }

  // The output of a module, or nothing where it has another size or a NaN.
  template <typename Module>
  std::vector<float> through(const Module& module) const {
    const auto view = [&](const std::vector<float>& data) {
      return flexjit::TensorView(data.data(), flexjit::DType::kF32, shape);
    };
    std::vector<float> out = module(view(q), view(k), view(v)).value();
    if (out.size() != q.size() || std::any_of(out.begin(), out.end(), [](float x) { return std::isnan(x); })) out.clear();
    return out;
  }
};

// unittest's lines: a dot or an F for each test, how many there were and how long they took.
int run_tests(const std::vector<std::function<bool()>>& tests) {
  const auto begin = std::chrono::steady_clock::now();
  int failures = 0;
  for (const auto& test : tests) {
    const bool passed = test();
    failures += passed ? 0 : 1;
    std::fputc(passed ? '.' : 'F', stdout);
    std::fflush(stdout);
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  std::printf("\n----------------------------------------------------------------------\nRan %zu tests in %.3fs\n\n",
              tests.size(), seconds.count());
  if (failures > 0)
    std::printf("FAILED (failures=%d)\n", failures);
  else
    std::printf("OK\n");
  return failures > 0 ? 1 : 0;
}

bool linformer_works(const Shape& shape) {
  const auto module = flexjit::LinformerAttention::create({.dim = shape.heads * shape.dim,
                                                           .n_heads = shape.heads,
                                                           .seq_len = shape.length,
                                                           .proj_len = std::max(64, shape.length / 8)});
  return !Tensors(shape).through(module.value()).empty();
}

bool performer_works(const Shape& shape) {
  const auto module = flexjit::PerformerAttention::create(
      {.dim = shape.heads * shape.dim, .n_heads = shape.heads, .feature_dim = std::max(32, shape.dim)});
  return !Tensors(shape).through(module.value()).empty();
}

bool longformer_works(const Shape& shape) {
  const auto module =
      flexjit::LongformerAttention::create({.window_size = 32, .global_positions = {0, 1}, .head_dim = shape.dim});
  const std::vector<float> out = Tensors(shape).through(module.value());
  bool works = !out.empty();
  const std::size_t each = static_cast<std::size_t>(shape.length) * static_cast<std::size_t>(shape.dim);
  for (std::size_t head = 0; works && head < out.size() / each; ++head) {
    float sum = 0;  // of the two global rows
    for (std::int32_t d = 0; d < 2 * shape.dim; ++d) sum += std::abs(out[head * each + static_cast<std::size_t>(d)]);
    works = sum > 0;
  }
  return works;
}

}  // namespace

int test_language_models(Sizes sizes) {
  std::vector<Shape> shapes = {{8, 32, 1024, 128}, {4, 40, 2048, 64}, {2, 16, 4096, 80}};
  for (Shape& shape : shapes) {
    if (sizes == Sizes::kReduced) shape.batch = 1, shape.heads = 2;
  }
  const auto for_all = [&](bool (*works)(const Shape&)) {
    return [&shapes, works] { return std::all_of(shapes.begin(), shapes.end(), works); };
  };
  return run_tests({for_all(linformer_works), for_all(longformer_works), for_all(performer_works)});
}

int test_vision() {
  const Tensors image(Shape{1, 8, 56 * 56, 96 / 8});
  const auto swin_works = [&](std::int32_t shift) {
    return !image.through(flexjit::SwinAttention::create({.shift_size = shift, .rolled = true}).value()).empty();
  };
  return run_tests({[&] { return !image.through(flexjit::NeighborhoodAttention::create({}).value()).empty(); },
                    [&] { return swin_works(0) && swin_works(3); }});
}
