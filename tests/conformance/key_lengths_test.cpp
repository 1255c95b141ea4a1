// Causal, window and ALiBi beside key_lengths: their diagonal ends at the length of each sequence, as FlashAttention's
// cache_seqlens have it, in both nests, all dtypes and block masks, against attention written down naively.
#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>

#include "on_backends.h"
#include "support/brute_force.h"

namespace flexjit::conformance {
namespace {

// Which flags stand beside key_lengths.
struct Flags {
  bool causal = false;
  std::optional<Window> window{};
  bool alibi = false;
};
constexpr Flags kEach[] = {
    {.causal = true},          {.window = Window{16, 0}}, {.window = Window{3, 5}},
    {.window = Window{-1, 2}}, {.alibi = true},           {.causal = true, .window = Window{40, 9}, .alibi = true},
};

// None, fewer than the queries, some, all, and more than there are, which are all.
std::vector<std::int32_t> lengths_of(const Shape& s) {
  return {0, std::min(2, s.kv_len), s.kv_len - 61, s.kv_len, s.kv_len + 9};
}

Shape shape_of(std::int32_t q_len, std::int32_t kv_len) {
  return {.batch = 5, .q_heads = 4, .kv_heads = 2, .q_len = q_len, .kv_len = kv_len, .head_dim = 16};
}

// A spec, its bindings, and what it means.
struct Case {
  Case(const Shape& s, const Flags& flags) : shape(s), spec(spec_of("", s)), lengths(lengths_of(s)) {
    spec.key_lengths = true;
    spec.causal = flags.causal;
    spec.window = flags.window;
    spec.alibi = flags.alibi;
    captures.add("key_lengths", {s.batch}, lengths);
    slopes = Random(3).normals(at(s.q_heads), 0.3F);
    if (flags.alibi) captures.add("alibi_slopes", {s.q_heads}, slopes);
    const auto distance_of = [this](const Position& p) {
      return p.q_idx + std::min(lengths[at(p.b)], shape.kv_len) - shape.q_len - p.kv_idx;
    };
    naive.mask = [this, flags, distance_of](const Position& p) {
      const std::int32_t distance = distance_of(p);
      if (p.kv_idx >= lengths[at(p.b)] || (flags.causal && distance < 0)) return false;
      const Window window = flags.window.value_or(Window{});
      return (window.left < 0 || distance <= window.left) && (window.right < 0 || -distance <= window.right);
    };
    naive.score = [this, flags, distance_of](double score, const Position& p) {
      return flags.alibi ? score - static_cast<double>(slopes[at(p.h)]) * std::abs(distance_of(p)) : score;
    };
  }

  std::int64_t allowed() const {
    std::int64_t count = 0;
    for (Position p{}; p.b < shape.batch; ++p.b) {
      for (p.q_idx = 0; p.q_idx < shape.q_len; ++p.q_idx) {
        for (p.kv_idx = 0; p.kv_idx < shape.kv_len; ++p.kv_idx) count += naive.mask(p) ? shape.q_heads : 0;
      }
    }
    return count;
  }

  Shape shape;
  AttentionSpec spec;
  std::vector<std::int32_t> lengths;
  std::vector<float> slopes;
  Captures captures;
  OraclePattern naive;
};

class KeyLengthsOn : public OnBackends {
 protected:
  void expect_naive(const Case& wanted, const Types& types, const BlockMask* mask = nullptr) {
    Problem tensors(wanted.shape, types);
    AttentionSpec spec = wanted.spec;
    spec.dtype = types.q;
    RunArgs args = tensors.args(&wanted.captures.bindings());
    args.block_mask = mask;
    tensors.poison_outputs();
    compile_or_throw(engine(), spec).run(args).value();
    const double tolerance = types.q == DType::kBF16 || types.q == DType::kF16 ? 2e-2 : 1e-5;
    EXPECT_TRUE(is_attention(tensors, wanted.naive, {{tolerance}, {2 * tolerance}}));
  }
};

TEST_P(KeyLengthsOn, TheDiagonalEndsAtTheOwnLength) {
  for (const std::int32_t q_len : {1, 4, 53}) {
    for (const Flags& flags : kEach) {
      SCOPED_TRACE(testing::Message() << "q_len " << q_len << ", case " << &flags - kEach);
      const Case wanted(shape_of(q_len, 131), flags);
      expect_naive(wanted, {});
    }
  }
}

TEST_P(KeyLengthsOn, InEveryType) {
  for (const DType dtype : {DType::kF64, DType::kBF16, DType::kF16}) {
    for (const std::int32_t q_len : {2, 40}) {
      SCOPED_TRACE(testing::Message() << name_of(dtype) << ", q_len " << q_len);
      expect_naive(Case(shape_of(q_len, 90), kEach[5]), {.q = dtype, .kv = dtype, .out = dtype});
    }
  }
}

TEST_P(KeyLengthsOn, InBlockMasks) {
  for (const std::int32_t q_len : {3, 70}) {
    const Case wanted(shape_of(q_len, 200), kEach[5]);
    const Attention attention = compile_or_throw(engine(), wanted.spec);
    const BlockMaskOptions options{.batch = 5, .heads = 4, .q_len = q_len, .kv_len = 200, .q_block = 16, .kv_block = 16};
    const Bindings& bindings = wanted.captures.bindings();
    EXPECT_EQ(attention.count_allowed(options, &bindings).value(), wanted.allowed());
    const BlockMask mask = attention.create_block_mask(options, &bindings).value();
    ASSERT_EQ(mask.shape(), (BlockMaskShape{5, 1, q_len, 200, 16, 16}));
    ASSERT_EQ(mask.to_dense(),
              brute_force_kinds(mask.shape(), [&](int b, int h, int q, int kv) { return wanted.naive.mask({b, h, q, kv}); }));
    expect_naive(wanted, {}, &mask);
  }
}

// 70 of 256 keys are filled and V[j] = j, so that the output is the mean of the keys that a row sees.
TEST_P(KeyLengthsOn, AFilledPartOfACache) {
  const auto run = [&](std::int32_t q_len, const std::function<void(AttentionSpec&)>& set) {
    const Shape s{.q_len = q_len, .kv_len = 256, .head_dim = 8};
    Problem tensors(s);
    tensors.q.fill([](std::size_t) { return 0; });
    tensors.v.fill([](std::size_t i) { return static_cast<double>(i / 8); });
    AttentionSpec spec = spec_of("", s);
    spec.key_lengths = true;
    set(spec);
    Captures captures;
    captures.add("key_lengths", {1}, std::vector<std::int32_t>{70});
    compile_or_throw(engine(), spec).run(tensors.args(&captures.bindings())).value();
    std::vector<double> rows;
    for (std::int32_t q = 0; q < q_len; ++q) rows.push_back(tensors.out[at(8 * q)]);
    return rows;
  };
  EXPECT_TRUE(close(run(1, [](AttentionSpec& spec) { spec.window = Window{16, 0}; }), {61}, {1e-4}));
  EXPECT_TRUE(close(run(4, [](AttentionSpec& spec) { spec.causal = true; }), {33, 33.5, 34, 34.5}, {1e-4}));
}

// Left padding says nothing of a length: the diagonal stays where the keys end.
TEST_P(KeyLengthsOn, AKeyMaskMovesNoDiagonal) {
  for (const std::int32_t q_len : {2, 50}) {
    Case wanted(shape_of(q_len, 120), kEach[5]);
    wanted.spec.key_lengths = false;
    wanted.spec.key_mask = true;
    wanted.captures.bindings().buffers.erase("key_lengths");
    std::vector<bool> keep(at(5 * 120));
    for (std::size_t i = 0; i < keep.size(); ++i) keep[i] = i % 120 >= i / 120 * 20;
    wanted.captures.add("key_mask", {5, 120}, keep);
    wanted.lengths.assign(5, 120);
    const auto flags = wanted.naive.mask;
    wanted.naive.mask = [=](const Position& p) { return flags(p) && keep[at(p.b * 120 + p.kv_idx)]; };
    expect_naive(wanted, {});
    // With both, the diagonal is that of the lengths.
    wanted.spec.key_lengths = true;
    wanted.lengths = {120, 100, 77, 60, 41};
    wanted.captures.add("key_lengths", {5}, wanted.lengths);
    expect_naive(wanted, {});
  }
}

// The text's own kv_len is the number of keys, whatever is filled.
TEST_P(KeyLengthsOn, TheTextSeesTheLengthOfTheTensor) {
  Case wanted(shape_of(4, 100), kEach[0]);
  wanted.spec.score_mod = "score + 0.01 * float(kv_len - kv_idx)";
  wanted.naive.score = [](double score, const Position& p) { return score + 0.01 * (100 - p.kv_idx); };
  expect_naive(wanted, {});
}

INSTANTIATE_TEST_SUITE_P(Backends, KeyLengthsOn, testing::ValuesIn(backends_here()), name_of_backend);

}  // namespace
}  // namespace flexjit::conformance
