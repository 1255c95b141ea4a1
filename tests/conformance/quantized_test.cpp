// Quantised keys and values, on the reference and on every target of this machine, against attention written down naively over
// keys and values that this test decodes by tables of its own.
#include <array>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>

#include "on_backends.h"
#include "quantized_codes.h"
#include "support/sample.h"

namespace flexjit::conformance {
namespace {

constexpr DType kF32 = DType::kF32, kF16 = DType::kF16, kBF16 = DType::kBF16;

// What shares a scale: extents of the scales' view.
struct Granularity {
  const char* name;
  bool by_batch, by_head, by_token;
  std::int32_t dims = 0;
};
constexpr Granularity kGranularities[] = {
    {"tensor", false, false, false}, {"head", false, true, false},           {"batch and head", true, true, false},
    {"token", true, true, true},     {"groups of 32", true, true, true, 32}, {"groups of a head's 64", false, true, false, 64},
};

// Codes and scales of K or V, and the numbers that they stand for, in the order of (batch, kv_heads, kv_len, dim).
struct Quantised {
  Quantised(DType type, const Granularity& what, const Shape& shape, std::int32_t dim, std::uint64_t seed)
      : dtype(type), extents{shape.batch, shape.kv_heads, shape.kv_len, dim} {
    const std::int64_t groups = what.dims == 0 ? 1 : dim / what.dims;
    scale_extents = {what.by_batch ? shape.batch : 1, what.by_head ? shape.kv_heads : 1, what.by_token ? shape.kv_len : 1,
                     groups};
    Random random(seed);
    const double largest = number_of(type, largest_code(type));
    scales.resize(at(scale_extents[0] * scale_extents[1] * scale_extents[2] * scale_extents[3]));
    for (float& scale : scales) scale = static_cast<float>((0.5 + 2 * random.unit()) / largest);
    codes.resize(at(extents[0] * extents[1] * extents[2] * extents[3]));
    for (unsigned char& code : codes) code = finite_code(type, random);
  }

  float& scale_of(std::size_t i) {
    const std::int64_t index = static_cast<std::int64_t>(i), dim = extents[3];
    const std::int64_t place[4] = {index / (extents[1] * extents[2] * dim), index / (extents[2] * dim) % extents[1],
                                   index / dim % extents[2], index % dim * scale_extents[3] / dim};
    std::int64_t offset = 0;
    for (std::size_t d = 0; d < 4; ++d) offset = offset * scale_extents[d] + (scale_extents[d] == 1 ? 0 : place[d]);
    return scales[at(offset)];
  }
  double number(std::size_t i) { return number_of(dtype, codes[i]) * static_cast<double>(scale_of(i)); }

  TensorView view() const { return {codes.data(), dtype, {extents[0], extents[1], extents[2], extents[3]}}; }
  TensorView scales_view() const { return {scales.data(), kF32, std::span<const std::int64_t>(scale_extents)}; }

  DType dtype;
  std::array<std::int64_t, 4> extents, scale_extents;
  std::vector<unsigned char> codes;
  std::vector<float> scales;
};

// A problem of floats that holds what quantised K and V stand for, and the arguments of the call on these.
struct QuantisedProblem {
  QuantisedProblem(const Shape& shape, DType q, DType kv, const Granularity& what)
      : floats(shape, {q, kF32, q == kF32 ? kF32 : q}),
        k(kv, what, shape, shape.head_dim, 11),
        v(kv, what, shape, shape.value_dim(), 12) {
    spec = spec_of("", shape);
    spec.dtype = q;
    spec.kv_dtype = kv;
    spec.kv_scale_dims = what.dims;
  }
  RunArgs args() {
    floats.k.fill([&](std::size_t i) { return k.number(i); });
    floats.v.fill([&](std::size_t i) { return v.number(i); });
    RunArgs result = floats.args();
    result.k = k.view();
    result.v = v.view();
    result.k_scales = k.scales_view();
    result.v_scales = v.scales_view();
    return result;
  }
  Bounds bounds() const {
    const double rounding = floats.types.q == kBF16 ? 0x1p-8 : floats.types.q == kF16 ? 0x1p-11 : 0;
    return {.out = {2e-5 + rounding, rounding}, .lse = near(2e-5)};
  }

  Problem floats;
  Quantised k, v;
  AttentionSpec spec;
};

class QuantisedOn : public OnBackends {};

// One row of queries and few: decoding. More: prefill, whose last tiles are cut. Rows that make no whole micro-tile, and
// several.
constexpr Shape kShapes[] = {
    {.batch = 2, .q_heads = 8, .kv_heads = 2, .q_len = 1, .kv_len = 97, .head_dim = 64},
    {.batch = 1, .q_heads = 7, .kv_heads = 1, .q_len = 2, .kv_len = 41, .head_dim = 128, .v_head_dim = 64},
    {.batch = 2, .q_heads = 2, .kv_heads = 2, .q_len = 61, .kv_len = 131, .head_dim = 64},
    {.batch = 1, .q_heads = 4, .kv_heads = 1, .q_len = 1, .kv_len = 33, .head_dim = 192, .v_head_dim = 320},
};

TEST_P(QuantisedOn, EveryTypeAndGranularity) {
  Sample sample;
  for (DType kv : kQuantised) {
    for (const Granularity& what : kGranularities) {
      for (const Shape& shape : kShapes) {
        if (!sample.next()) continue;
        SCOPED_TRACE(std::string(name_of(kv)) + ", a scale a " + what.name + ", " + to_string(shape));
        QuantisedProblem problem(shape, kF32, kv, what);
        compile_or_throw(engine(), problem.spec).run(problem.args()).value();
        EXPECT_TRUE(is_attention(problem.floats, {}, problem.bounds()));
      }
    }
  }
}

TEST_P(QuantisedOn, QueriesOfHalfTheSize) {
  Sample sample;
  for (DType q : {kBF16, kF16}) {
    for (DType kv : kQuantised) {
      for (const Shape& shape : kShapes) {
        if (!sample.next()) continue;
        SCOPED_TRACE(std::string(name_of(q)) + " and " + std::string(name_of(kv)) + ", " + to_string(shape));
        QuantisedProblem problem(shape, q, kv, kGranularities[3]);
        compile_or_throw(engine(), problem.spec).run(problem.args()).value();
        EXPECT_TRUE(is_attention(problem.floats, {}, problem.bounds()));
      }
    }
  }
}

// Head dims that fill no vector, keys and rows of every number around a step and a micro-tile, masks with holes, a mod.
TEST_P(QuantisedOn, OddSizesMasksAndMods) {
  const OraclePattern naive{.score = [](Real score, const Position& p) { return score - 0.125L * static_cast<Real>(p.h); },
                            .mask = [](const Position& p) { return p.kv_idx % 5 != 2 && p.q_idx + 30 >= p.kv_idx; }};
  for (DType kv : kQuantised) {
    for (std::int32_t kv_len : {1, 3, 15, 16, 17, 35}) {
      for (std::int32_t q_heads : {1, 2, 3, 5, 9, 33}) {
        const Shape shape{.q_heads = q_heads, .kv_heads = 1, .q_len = 1, .kv_len = kv_len, .head_dim = 37, .v_head_dim = 21};
        QuantisedProblem problem(shape, kF32, kv, kGranularities[3]);
        SCOPED_TRACE(std::string(name_of(kv)) + ", " + to_string(shape));
        problem.spec.score_mod = "score - 0.125 * h";
        problem.spec.mask_mod = "kv_idx % 5 != 2 && q_idx + 30 >= kv_idx";
        compile_or_throw(engine(), problem.spec).run(problem.args()).value();
        EXPECT_TRUE(is_attention(problem.floats, naive, problem.bounds()));
      }
    }
  }
}

// One key: its values come out, whatever its score is.
std::vector<float> values_of(Engine& engine, DType kv, std::int32_t q_len, const std::vector<unsigned char>& codes) {
  const Shape shape{.q_heads = 1, .kv_heads = 1, .q_len = q_len, .kv_len = 1, .head_dim = 8, .v_head_dim = 256};
  Problem floats(shape);
  const std::vector<unsigned char> keys(8, 0);
  AttentionSpec spec = spec_of("", shape);
  spec.kv_dtype = kv;
  RunArgs args = floats.args();
  args.k = {keys.data(), kv, {1, 1, 1, 8}};
  args.v = {codes.data(), kv, {1, 1, 1, 256}};
  compile_or_throw(engine, spec).run(args).value();
  std::vector<float> out;
  for (std::size_t i = 0; i < 256; ++i) out.push_back(static_cast<float>(floats.out[floats.out.size() - 256 + i]));
  return out;
}

TEST_P(QuantisedOn, EveryCodeOfAValue) {
  std::vector<unsigned char> codes(256);
  for (std::size_t i = 0; i < 256; ++i) codes[i] = static_cast<unsigned char>(i);
  for (DType kv : kQuantised) {
    for (std::int32_t q_len : {1, 40}) {
      const std::vector<float> out = values_of(engine(), kv, q_len, codes);
      for (std::size_t i = 0; i < 256; ++i) {
        const double expected = number_of(kv, codes[i]);
        const bool same = std::isnan(expected) ? std::isnan(out[i]) : static_cast<double>(out[i]) == expected;
        EXPECT_TRUE(same) << name_of(kv) << " code " << i << ", " << q_len << " rows: " << out[i] << " for " << expected;
      }
    }
  }
}

// A NaN among the keys makes a score NaN, and the row with it; where the mask leaves the key out, neither it nor its values
// show.
TEST_P(QuantisedOn, NotANumberShowsWhereItIsAllowed) {
  for (DType kv : {DType::kE4M3, DType::kE5M2}) {
    for (std::int32_t q_len : {1, 40}) {
      const Shape shape{.q_heads = 4, .kv_heads = 1, .q_len = q_len, .kv_len = 50, .head_dim = 32};
      QuantisedProblem problem(shape, kF32, kv, kGranularities[3]);
      for (std::size_t d = 0; d < 32; d += 5) problem.v.codes[20 * 32 + d] = nan_code(kv);
      problem.k.codes[20 * 32 + 9] = nan_code(kv);
      RunArgs args = problem.args();
      SCOPED_TRACE(std::string(name_of(kv)) + ", " + to_string(shape));
      compile_or_throw(engine(), problem.spec).run(args).value();
      for (std::size_t i = 0; i < problem.floats.out.size(); ++i) EXPECT_TRUE(std::isnan(problem.floats.out[i]));
      problem.spec.mask_mod = "kv_idx != 20";
      problem.floats.poison_outputs();
      compile_or_throw(engine(), problem.spec).run(args).value();
      EXPECT_TRUE(is_attention(problem.floats, {.mask = [](const Position& p) { return p.kv_idx != 20; }}, problem.bounds()));
      // The values alone.
      problem.k.codes[20 * 32 + 9] = 0;
      problem.spec.mask_mod = "";
      args = problem.args();
      compile_or_throw(engine(), problem.spec).run(args).value();
      for (std::size_t i = 0; i < problem.floats.out.size(); ++i)
        EXPECT_EQ(std::isnan(problem.floats.out[i]), i % 32 % 5 == 0) << i;
    }
  }
}

// Rows and scales of a (batch, length, heads, dim) cache that is longer than what is valid; scales of a stride of 0.
TEST_P(QuantisedOn, ViewsOfACache) {
  for (std::int32_t q_len : {1, 40}) {
    const Shape shape{.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = q_len, .kv_len = 50, .head_dim = 32};
    QuantisedProblem problem(shape, kF32, DType::kI8, kGranularities[3]);
    RunArgs args = problem.args();
    constexpr std::int64_t kCapacity = 64;
    std::vector<unsigned char> k(2 * kCapacity * 2 * 32, 0x80), v(k);
    std::vector<float> k_scales(2 * kCapacity * 2, std::numeric_limits<float>::quiet_NaN()), v_scales(k_scales);
    for (std::int64_t b = 0; b < 2; ++b)
      for (std::int64_t h = 0; h < 2; ++h)
        for (std::int64_t row = 0; row < 50; ++row) {
          const std::int64_t to = (b * kCapacity + row) * 2 + h, from = (b * 2 + h) * 50 + row;
          k_scales[at(to)] = problem.k.scales[at(from)];
          v_scales[at(to)] = problem.v.scales[at(from)];
          for (std::int64_t d = 0; d < 32; ++d) {
            k[at(to * 32 + d)] = problem.k.codes[at(from * 32 + d)];
            v[at(to * 32 + d)] = problem.v.codes[at(from * 32 + d)];
          }
        }
    const auto laid_out = [](TensorView& view, const void* data, std::int64_t dim) {
      view.data = data;
      view.strides = {kCapacity * 2 * dim, dim, 2 * dim, 1};
    };
    laid_out(args.k, k.data(), 32);
    laid_out(args.v, v.data(), 32);
    laid_out(args.k_scales, k_scales.data(), 1);
    laid_out(args.v_scales, v_scales.data(), 1);
    const Attention attention = compile_or_throw(engine(), problem.spec);
    attention.run(args).value();
    EXPECT_TRUE(is_attention(problem.floats, {}, problem.bounds()));

    // One number for all: an expanded view is as one of extent 1, and as none where it is 1.
    const float one = 1;
    const TensorView expanded(&one, kF32, {2, 2, 50, 1});
    args.k_scales = args.v_scales = expanded;
    args.k_scales.strides = args.v_scales.strides = {0, 0, 0, 0};
    args.q.strides[2] = args.q.strides[2];
    attention.run(args).value();
    const std::vector<double> first = problem.floats.out.values();
    args.k_scales = args.v_scales = {};
    attention.run(args).value();
    EXPECT_EQ(first, problem.floats.out.values());
  }
}

// Sequences of lengths of their own in a cache have the scales of their rows; keys in pages those of their head.
TEST_P(QuantisedOn, SequencesAndPages) {
  for (std::int32_t q_len : {1, 40}) {
    const Shape shape{.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = q_len, .kv_len = 64, .head_dim = 32};
    const std::int32_t total[] = {50, 33};
    const OraclePattern naive{.mask = [&](const Position& p) { return p.kv_idx < total[p.b]; }};
    Sequences sequences;
    sequences.total_len = TensorView(total, DType::kI32, {2});
    QuantisedProblem cached(shape, kF32, DType::kI8, kGranularities[3]);
    RunArgs args = cached.args();
    args.sequences = &sequences;
    compile_or_throw(engine(), cached.spec).run(args).value();
    EXPECT_TRUE(is_attention(cached.floats, naive, cached.bounds())) << q_len;

    // Page p of sequence b is page 3 - (2 b + p) of 32 keys.
    QuantisedProblem paged(shape, kF32, DType::kE4M3, kGranularities[1]);
    args = paged.args();
    std::vector<unsigned char> k(paged.k.codes.size()), v(k.size());
    const std::int32_t table[] = {3, 2, 1, 0};
    for (std::int64_t i = 0; i < 2 * 2 * 64 * 32; ++i) {
      const std::int64_t b = i / (2 * 64 * 32), h = i / (64 * 32) % 2, key = i / 32 % 64, d = i % 32;
      const std::int64_t page = table[b * 2 + key / 32], to = ((page * 2 + h) * 32 + key % 32) * 32 + d;
      k[at(to)] = paged.k.codes[at(i)];
      v[at(to)] = paged.v.codes[at(i)];
    }
    args.k = {k.data(), DType::kE4M3, {4, 2, 32, 32}};
    args.v = {v.data(), DType::kE4M3, {4, 2, 32, 32}};
    sequences.block_table = TensorView(table, DType::kI32, {2, 2});
    args.sequences = &sequences;
    const Attention attention = compile_or_throw(engine(), paged.spec);
    attention.run(args).value();
    EXPECT_TRUE(is_attention(paged.floats, naive, paged.bounds())) << q_len;
    const std::vector<float> by_token(4 * 2 * 32, 1);
    args.k_scales = {by_token.data(), kF32, {4, 2, 32, 1}};
    const Result<RunStats> refused = attention.run(args);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.diagnostics()[0].message,
              "k_scales is one scale or more a page; keys in pages have one a tensor or a head");
  }
}

// Scales are those of the batch entry and head that read them: leaving one out shows.
TEST_P(QuantisedOn, EachScaleCounts) {
  const Shape shape{.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 1, .kv_len = 33, .head_dim = 64};
  QuantisedProblem problem(shape, kF32, DType::kE4M3, kGranularities[2]);
  const Attention attention = compile_or_throw(engine(), problem.spec);
  attention.run(problem.args()).value();
  const std::vector<double> before = problem.floats.out.values();
  for (std::size_t scale = 0; scale < 4; ++scale) {
    problem.v.scales[scale] *= 2;
    attention.run(problem.args()).value();
    const std::vector<double> after = problem.floats.out.values();
    for (std::size_t i = 0; i < after.size(); ++i) {
      const double factor = i / 128 == scale ? 2 : 1;
      EXPECT_NEAR(after[i], factor * before[i], 1e-5) << i;
    }
    problem.v.scales[scale] /= 2;
  }
}

INSTANTIATE_TEST_SUITE_P(All, QuantisedOn, testing::ValuesIn(backends_here()), name_of_backend);
// fp16 conversions by integer arithmetic on 4 lanes have a target of their own.
INSTANTIATE_TEST_SUITE_P(WithoutHalf, QuantisedOn, testing::Values("x86-64-v2"), name_of_backend);

}  // namespace
}  // namespace flexjit::conformance
