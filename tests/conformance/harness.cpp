// See harness.h. The generators avoid the standard distributions, whose sequences the C++ standard leaves open.
#include "harness.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <numbers>
#include <numeric>
#include <sstream>

namespace flexjit::conformance {
namespace {

std::size_t product(const Captures::Extents& extents) {
  return static_cast<std::size_t>(std::accumulate(extents.begin(), extents.end(), std::int64_t{1}, std::multiplies<>()));
}

std::size_t elements(std::int32_t a, std::int32_t b, std::int32_t c, std::int32_t d) {
  return static_cast<std::size_t>(a) * static_cast<std::size_t>(b) * static_cast<std::size_t>(c) * static_cast<std::size_t>(d);
}

bool within(double actual, double expected, double absolute, double relative) {
  if (std::isnan(expected)) return std::isnan(actual);
  if (std::isinf(expected)) return actual == expected;
  return std::abs(actual - expected) <= absolute + relative * std::abs(expected);
}

}  // namespace

std::string to_string(const Shape& shape) {
  std::ostringstream text;
  text << "batch " << shape.batch << ", heads " << shape.q_heads << "/" << shape.kv_heads << ", " << shape.q_len << " x "
       << shape.kv_len << ", head_dim " << shape.head_dim << ", v_head_dim " << shape.value_dim();
  return text.str();
}

std::int32_t Random::integer(std::int32_t lo, std::int32_t hi) {
  auto count = static_cast<std::uint64_t>(static_cast<std::int64_t>(hi) - lo + 1);
  return static_cast<std::int32_t>(lo + static_cast<std::int64_t>(engine_() % count));
}

double Random::unit() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }

float Random::normal() {
  double radius = std::sqrt(-2.0 * std::log(1.0 - unit()));
  return static_cast<float>(radius * std::cos(2.0 * std::numbers::pi * unit()));
}

std::vector<float> Random::normals(std::size_t count, float deviation) {
  std::vector<float> values(count);
  for (float& value : values) value = deviation * normal();
  return values;
}

std::vector<std::int32_t> Random::integers(std::size_t count, std::int32_t lo, std::int32_t hi) {
  std::vector<std::int32_t> values(count);
  for (std::int32_t& value : values) value = integer(lo, hi);
  return values;
}

Captures& Captures::add_bytes(const std::string& name, DType dtype, const Extents& extents,
                              const std::vector<unsigned char>& bytes) {
  if (bytes.size() != product(extents) * size_of(dtype))
    throw std::logic_error("captured buffer '" + name + "' has another size");
  storage_.push_back(std::make_shared<std::vector<unsigned char>>(bytes));
  TensorView view;
  view.data = storage_.back()->data();
  view.dtype = dtype;
  view.rank = static_cast<int>(extents.size());
  std::int64_t step = 1;
  for (std::size_t d = extents.size(); d-- > 0;) {
    view.shape[d] = extents[d];
    view.strides[d] = step;
    step *= extents[d];
  }
  bindings_.buffers[name] = view;
  return *this;
}

Captures& Captures::add(const std::string& name, const Extents& extents, const std::vector<float>& values) {
  std::vector<unsigned char> bytes(values.size() * sizeof(float));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return add_bytes(name, DType::kF32, extents, bytes);
}

Captures& Captures::add(const std::string& name, const Extents& extents, const std::vector<std::int32_t>& values) {
  std::vector<unsigned char> bytes(values.size() * sizeof(std::int32_t));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return add_bytes(name, DType::kI32, extents, bytes);
}

Captures& Captures::add(const std::string& name, const Extents& extents, const std::vector<std::int64_t>& values) {
  std::vector<unsigned char> bytes(values.size() * sizeof(std::int64_t));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return add_bytes(name, DType::kI64, extents, bytes);
}

Captures& Captures::add(const std::string& name, const Extents& extents, const std::vector<bool>& values) {
  return add_bytes(name, DType::kBool, extents, std::vector<unsigned char>(values.begin(), values.end()));
}

Captures& Captures::set(const std::string& name, Scalar value) {
  bindings_.params[name] = value;
  return *this;
}

Tensors::Tensors(const Shape& of, std::uint64_t seed) : shape(of) {
  Random random(seed);
  q = random.normals(elements(of.batch, of.q_heads, of.q_len, of.head_dim));
  k = random.normals(elements(of.batch, of.kv_heads, of.kv_len, of.head_dim));
  v = random.normals(elements(of.batch, of.kv_heads, of.kv_len, of.value_dim()));
  out.resize(elements(of.batch, of.q_heads, of.q_len, of.value_dim()));
  lse.resize(elements(of.batch, of.q_heads, of.q_len, 1));
  poison_outputs();
}

void Tensors::poison_outputs() {
  out.assign(out.size(), std::numeric_limits<float>::quiet_NaN());
  lse.assign(lse.size(), std::numeric_limits<float>::quiet_NaN());
}

RunArgs Tensors::args(const Bindings* bindings) {
  RunArgs run;
  run.q = TensorView(q.data(), DType::kF32, {shape.batch, shape.q_heads, shape.q_len, shape.head_dim});
  run.k = TensorView(k.data(), DType::kF32, {shape.batch, shape.kv_heads, shape.kv_len, shape.head_dim});
  run.v = TensorView(v.data(), DType::kF32, {shape.batch, shape.kv_heads, shape.kv_len, shape.value_dim()});
  run.out = MutableTensorView(out.data(), DType::kF32, {shape.batch, shape.q_heads, shape.q_len, shape.value_dim()});
  run.lse = MutableTensorView(lse.data(), DType::kF32, {shape.batch, shape.q_heads, shape.q_len});
  run.bindings = bindings;
  return run;
}

Engine& engine_for(std::string_view target) {
  static std::map<std::string, Engine, std::less<>> engines;
  auto found = engines.find(target);
  if (found == engines.end()) {
    EngineOptions options;
    options.backend = Backend::kCompiled;
    options.target = std::string(target);
    options.threads = 2;
    found = engines.emplace(std::string(target), Engine(options)).first;
  }
  return found->second;
}

std::vector<std::string> targets_here() {
  std::vector<std::string> targets{"host"};
#if defined(__x86_64__)
  // "host" is the widest of these; it is compiled once.
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx2")) targets.emplace_back("x86-64-v3");
  if (__builtin_cpu_supports("avx2")) targets.emplace_back("x86-64");
#endif
  return targets;
}

AttentionSpec spec_of(std::string_view program, const Shape& shape) {
  AttentionSpec spec;
  spec.program = std::string(program);
  spec.head_dim = shape.head_dim;
  spec.v_head_dim = shape.v_head_dim;
  return spec;
}

Attention compile_or_throw(Engine& engine, const AttentionSpec& spec) {
  Result<Attention> compiled = engine.compile(spec);
  if (!compiled.has_value()) ADD_FAILURE() << render(compiled.diagnostics()) << spec.program;
  return std::move(compiled).value();
}

testing::AssertionResult agrees(const std::vector<float>& actual, const std::vector<float>& expected, double absolute,
                                double relative) {
  if (actual.size() != expected.size()) return testing::AssertionFailure() << "sizes differ";
  std::size_t wrong = 0, worst = 0;
  double worst_excess = -1;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    double a = static_cast<double>(actual[i]), e = static_cast<double>(expected[i]);
    if (within(a, e, absolute, relative)) continue;
    ++wrong;
    double excess = std::isfinite(a - e) ? std::abs(a - e) : std::numeric_limits<double>::infinity();
    if (excess > worst_excess) worst = i, worst_excess = excess;
  }
  if (wrong == 0) return testing::AssertionSuccess();
  return testing::AssertionFailure() << wrong << " of " << actual.size() << " elements differ; the worst, [" << worst
                                     << "], is " << actual[worst] << " instead of " << expected[worst];
}

testing::AssertionResult outputs_agree(const Tensors& actual, const Tensors& expected, Tolerance tolerance) {
  auto out = agrees(actual.out, expected.out, tolerance.value, tolerance.value);
  if (!out) return testing::AssertionFailure() << "out: " << out.message();
  auto lse = agrees(actual.lse, expected.lse, tolerance.value, tolerance.value / 10);
  if (!lse) return testing::AssertionFailure() << "lse: " << lse.message();
  return testing::AssertionSuccess();
}

testing::AssertionResult outputs_identical(const Tensors& actual, const Tensors& expected) {
  auto first_difference = [](const std::vector<float>& a, const std::vector<float>& b) {
    for (std::size_t i = 0; i < a.size(); ++i)
      if (std::bit_cast<std::uint32_t>(a[i]) != std::bit_cast<std::uint32_t>(b[i])) return static_cast<std::int64_t>(i);
    return std::int64_t{-1};
  };
  std::int64_t out = first_difference(actual.out, expected.out);
  if (out >= 0) return testing::AssertionFailure() << "out[" << out << "] differs";
  std::int64_t lse = first_difference(actual.lse, expected.lse);
  if (lse >= 0) return testing::AssertionFailure() << "lse[" << lse << "] differs";
  return testing::AssertionSuccess();
}

void expect_matches_reference(const AttentionSpec& spec, const Shape& shape, const Bindings* bindings, Tolerance tolerance) {
  Tensors expected(shape, 7), actual(shape, 7);
  bool have_reference = false;
  for (const std::string& target : targets_here()) {
    SCOPED_TRACE(target + ", " + to_string(shape));
    Attention attention = compile_or_throw(engine_for(target), spec);
    if (!have_reference) attention.run_reference(expected.args(bindings)).value();
    have_reference = true;
    actual.poison_outputs();
    attention.run(actual.args(bindings)).value();
    EXPECT_TRUE(outputs_agree(actual, expected, tolerance)) << spec.program << spec.score_mod << "\n" << spec.mask_mod;
  }
}

}  // namespace flexjit::conformance
