// f64 kernels keep fp64 in all that a pattern is made of: the scale, literals, consts, params, captured buffers, indices,
// functions. Against attention in long double that shares nothing with the library; an fp32 rounding anywhere would show at
// 1e-8.
#include <cmath>
#include <functional>
#include <optional>

#include "on_backends.h"
#include "support/encodings.h"

namespace flexjit::conformance {
namespace {

constexpr double kBound = 1e-14;

// What the oracle knows of a position, and the buffers that the patterns below read.
struct At {
  Real score;
  std::int32_t h, q, kv, kv_len;
};
struct Tables {
  std::vector<double> bias, row, column, slope, left, right;
};

struct Pattern {
  const char* name;
  const char* program;
  std::function<Real(const At&, const Tables&)> score{};
  std::function<bool(const At&, const Tables&)> mask{};
};

Real sigmoid(Real x) { return 1 / (1 + std::exp(-x)); }
Real element(const std::vector<double>& table, std::int64_t index) { return static_cast<Real>(table[at(index)]); }

// The doubles that the texts mean, not the long doubles beside them.
constexpr double kTenth = 0.1, kThird = 1 / 3.0, kSevenTenths = 0.7;

// A list.
std::vector<Pattern> patterns() {
  return {
      {"scale alone", "score = score"},
      {"literals", "score = 0.1 * score + 0.3 * tanh(score)",
       [](const At& p, const Tables&) { return kTenth * p.score + static_cast<Real>(0.3) * std::tanh(p.score); }},
      {"params and consts",
       "param rate : float = 0.1\nconst third : float = 1 / 3.0\nscore = score * third - rate * abs(q_idx - kv_idx)",
       [](const At& p, const Tables&) { return p.score * kThird - kTenth * std::abs(p.q - p.kv); }},
      {"a bound param", "param temperature : float\nscore = score / temperature",
       [](const At& p, const Tables&) { return p.score / static_cast<Real>(kSevenTenths); }},
      {"a bias", "buffer bias : f64[q_len, kv_len]\nscore = score + bias[q_idx, kv_idx]",
       [](const At& p, const Tables& t) { return p.score + element(t.bias, std::int64_t{p.q} * p.kv_len + p.kv); }},
      {"rows, columns and heads",
       "buffer row : f64[q_len]\nbuffer column : f64[kv_len]\nbuffer slope : f64[num_heads]\n"
       "score = score + slope[h] * (row[q_idx] - column[kv_idx])",
       [](const At& p, const Tables& t) {
         return p.score + element(t.slope, p.h) * (element(t.row, p.q) - element(t.column, p.kv));
       }},
      {"diagonals", "score = score + sin(0.1 * (q_idx - kv_idx)) - log1p(0.1 * abs(kv_idx - q_idx))",
       [](const At& p, const Tables&) {
         const Real d = kTenth * (p.q - p.kv);
         return p.score + std::sin(d) - std::log1p(std::abs(d));
       }},
      {"activations", "score = gelu(score) + 0.1 * silu(score) + sigmoid(score / 3)",
       [](const At& p, const Tables&) {
         const Real gelu = p.score / 2 * (1 + std::erf(p.score / std::sqrt(Real{2})));
         return gelu + kTenth * p.score * sigmoid(p.score) + sigmoid(p.score / 3);
       }},
      {"remainders", "score = score % 0.1 + 0.01 * ((1e9 + 7 * q_idx) % 3.0) + 0.1 * ((0.7 * kv_idx) // 0.1) % 2.0",
       [](const At& p, const Tables&) {
         const auto modulo = [](Real a, Real b) { return a < 0 ? std::fmod(a, b) + b : std::fmod(a, b); };
         const Real sevenths = 0.7 * p.kv;  // rounded to fp64, as the pattern's product is
         const double tenths = static_cast<double>(std::round((sevenths - std::fmod(sevenths, Real{kTenth})) / Real{kTenth}));
         return modulo(p.score, kTenth) + static_cast<Real>(0.01) * modulo(1e9L + 7 * p.q, 3) +
                modulo(static_cast<Real>(kTenth * tenths), 2);
       }},
      {"dot",
       "buffer left : f64[q_len, 4]\nbuffer right : f64[kv_len, 4]\nscore = score + dot(left[q_idx, :], right[kv_idx, :])",
       [](const At& p, const Tables& t) {
         Real sum = p.score;
         for (std::int64_t d = 0; d < 4; ++d) sum += element(t.left, p.q * 4 + d) * element(t.right, p.kv * 4 + d);
         return sum;
       }},
      // Equal in fp32, different in fp64.
      {"a mask of close numbers",
       "buffer column : f64[kv_len]\nmask = kv_idx == 0 || 1 + 1e-12 * kv_idx > 1 + 1e-12 * q_idx || column[kv_idx] > "
       "column[q_idx % kv_len]",
       {},
       [](const At& p, const Tables& t) {
         return p.kv == 0 || 1 + 1e-12 * p.kv > 1 + 1e-12 * p.q || t.column[at(p.kv)] > t.column[at(p.q % p.kv_len)];
       }},
  };
}

std::vector<double> numbers(Random& random, std::int64_t count) {
  std::vector<double> values(at(count));
  for (double& value : values) value = random.unit() - 0.5;
  return values;
}

class Fp64On : public OnBackends {
 protected:
  static constexpr Types kTypes{DType::kF64, DType::kF64, DType::kF64};

  static Shape shape_of(std::int32_t head_dim) {
    return {.q_heads = 2, .kv_heads = 2, .q_len = 51, .kv_len = 70, .head_dim = head_dim};
  }

  void expect_correct(const Pattern& pattern, AttentionSpec spec, std::optional<double> scale = {}) {
    SCOPED_TRACE(std::string(pattern.name) + ", head_dim " + std::to_string(spec.head_dim));
    const Shape shape = shape_of(spec.head_dim);
    Problem tensors(shape, kTypes);
    Random random(7);
    Tables tables{numbers(random, 51 * 70), numbers(random, 51),     numbers(random, 70),
                  numbers(random, 2),       numbers(random, 51 * 4), numbers(random, 70 * 4)};
    Captures captures;
    const auto add = [&](const char* name, const Captures::Extents& extents, const std::vector<double>& values) {
      if (std::string_view(pattern.program).find(std::string("buffer ") + name + " ") == std::string_view::npos) return;
      captures.add_bytes(name, DType::kF64, extents, encode(DType::kF64, values));
    };
    add("bias", {51, 70}, tables.bias);
    add("row", {51}, tables.row);
    add("column", {70}, tables.column);
    add("slope", {2}, tables.slope);
    add("left", {51, 4}, tables.left);
    add("right", {70, 4}, tables.right);
    if (std::string_view(pattern.program).find("temperature") != std::string_view::npos) captures.set("temperature", 0.7);
    spec.program = pattern.program;
    compile_or_throw(engine(), spec).run(tensors.args(&captures.bindings())).value();
    const auto known = [&](Real score, const Position& p) {
      return At{.score = score, .h = p.h, .q = p.q_idx, .kv = p.kv_idx, .kv_len = shape.kv_len};
    };
    OraclePattern exact{.scale = scale};
    if (pattern.score) exact.score = [&](Real score, const Position& p) { return pattern.score(known(score, p), tables); };
    if (pattern.mask) exact.mask = [&](const Position& p) { return pattern.mask(known(0, p), tables); };
    EXPECT_TRUE(is_attention(tensors, exact, {.out = near(kBound)}));
  }

  static AttentionSpec f64_spec(std::int32_t head_dim) {
    AttentionSpec spec;
    spec.dtype = DType::kF64;
    spec.head_dim = head_dim;
    return spec;
  }
};

// Head dims whose scale is no power of two.
TEST_P(Fp64On, EveryPartOfAPatternIsFp64) {
  for (const Pattern& pattern : patterns()) expect_correct(pattern, f64_spec(80));
}

TEST_P(Fp64On, TheDefaultScaleIsFp64) {
  for (std::int32_t head_dim : {3, 128}) expect_correct(patterns()[0], f64_spec(head_dim));
}

TEST_P(Fp64On, AGivenScaleAndSoftcapAreFp64) {
  AttentionSpec spec = f64_spec(80);
  spec.scale = 0.1;
  spec.softcap = 0.7;
  const Pattern capped{"softcap", "score = score", [](const At& p, const Tables&) {
                         return static_cast<Real>(kSevenTenths) * std::tanh(p.score / static_cast<Real>(kSevenTenths));
                       }};
  expect_correct(capped, spec, kTenth);
}

INSTANTIATE_TEST_SUITE_P(All, Fp64On, testing::ValuesIn(backends_here()), name_of_backend);

// Literals and params outside fp32 are fp64's own.
TEST(Fp64, LiteralsReachAsFarAsFp64) {
  AttentionSpec spec;
  spec.dtype = DType::kF64;
  spec.score_mod = "score * (1e-200 * 1e200)";
  EXPECT_TRUE(default_engine().compile(spec).has_value());
  spec.score_mod = "score * 1e999";
  EXPECT_FALSE(default_engine().compile(spec).has_value());
  spec.dtype = DType::kF32;
  spec.score_mod = "score * 1e-200";
  EXPECT_FALSE(default_engine().compile(spec).has_value());
}

}  // namespace
}  // namespace flexjit::conformance
