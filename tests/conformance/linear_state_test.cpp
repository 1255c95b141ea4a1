// Decoding with a state: every cut of a sequence into calls gives what one call gives.
#include <cstring>

#include "on_backends.h"
#include "support/checklist.h"
#include "support/linear_oracle.h"

namespace flexjit::conformance {
namespace {

constexpr Shape kStateShape{
    .batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 45, .kv_len = 45, .head_dim = 20, .v_head_dim = 12};

// Tokens [begin, begin + count) of a tensor (batch, heads, length, dim).
template <typename View>
View tokens(View view, std::int64_t begin, std::int64_t count) {
  auto* bytes = const_cast<unsigned char*>(static_cast<const unsigned char*>(view.data));
  view.data = bytes + begin * view.strides[2] * static_cast<std::int64_t>(size_of(view.dtype));
  view.shape[2] = count;
  return view;
}

LinearTokens tokens_of(Problem& problem, std::int64_t begin, std::int64_t count) {
  return {.q = tokens(std::as_const(problem.q).view(), begin, count),
          .k = tokens(std::as_const(problem.k).view(), begin, count),
          .v = tokens(std::as_const(problem.v).view(), begin, count),
          .out = tokens(problem.out.view(), begin, count)};
}

struct Pattern {
  AttentionSpec spec;
  Captures captures;
  LinearOracle oracle;
};

Pattern favor_pattern() {
  Pattern pattern;
  pattern.spec = performer({.head_dim = kStateShape.head_dim, .features = 37, .causal = true});
  pattern.spec.v_head_dim = kStateShape.v_head_dim;
  const std::vector<float> w = random_features({.features = 37, .head_dim = kStateShape.head_dim, .seed = 3}).value();
  pattern.captures.add("W", {37, kStateShape.head_dim}, w);
  Matrix rows;
  for (std::size_t f = 0; f < 37; ++f) rows.emplace_back(w.begin() + f * 20, w.begin() + (f + 1) * 20);
  pattern.oracle = {.map = favor_map(rows, 1e-4)};
  return pattern;
}

// Gates of tokens, and keys of which some are masked.
Pattern gated_pattern() {
  Pattern pattern;
  pattern.spec.head_dim = kStateShape.head_dim;
  pattern.spec.v_head_dim = kStateShape.v_head_dim;
  pattern.spec.causal = true;
  pattern.spec.weights = Weights::kLinear;
  pattern.spec.mask_mod = "kv_idx % 7 != 3";
  pattern.spec.linear.gate = "g[b, h, kv_idx]";
  pattern.spec.buffers = {{.name = "g", .dtype = DType::kF32, .rank = 3}};
  std::vector<float> gates(at(2 * 4 * 45));
  Random random(11);
  for (float& gate : gates) gate = random.chance(0.1) ? 0.0F : static_cast<float>(random.unit());
  pattern.captures.add("g", {2, 4, 45}, gates);
  pattern.oracle = {.map = elu1_map(),
                    .gate = [gates](const Position& p) -> Real { return gates[at((p.b * 4 + p.h) * 45 + p.kv_idx)]; }};
  return pattern;
}

class LinearStateOn : public OnBackends {
 protected:
  static LinearState state_of(const Pattern& pattern) {
    return LinearState::create(compile_or_throw(engine(), pattern.spec),
                               {.batch = 2, .q_heads = 4, .kv_heads = 2, .bindings = &pattern.captures.bindings()})
        .value();
  }
};

TEST_P(LinearStateOn, EveryCutGivesTheWhole) {
  for (Pattern pattern : {favor_pattern(), gated_pattern()}) {
    const bool masked = !pattern.spec.mask_mod.empty();
    pattern.oracle.mask = [masked](const Position& p) { return p.kv_idx <= p.q_idx && (!masked || p.kv_idx % 7 != 3); };
    for (const std::vector<std::int64_t>& cut :
         {std::vector<std::int64_t>(45, 1), {45}, {1, 1, 33, 1, 9}, {13, 32}, {40, 1, 1, 1, 1, 1}}) {
      Problem problem(kStateShape);
      LinearState state = state_of(pattern);
      std::int64_t begin = 0;
      for (const std::int64_t count : cut) {
        state.step(tokens_of(problem, begin, count)).value();
        begin += count;
        EXPECT_EQ(state.keys(), begin);
      }
      EXPECT_TRUE(close(problem.out.values(), linear_oracle(problem, pattern.oracle), near(3e-5))) << cut.size() << " calls";
    }
  }
}

// One head a state and many: what one pass over the state does for all of them.
TEST_P(LinearStateOn, StepsOfEveryGroup) {
  for (const auto& [q_heads, kv_heads] : {std::pair{1, 1}, {3, 1}, {5, 1}, {40, 1}}) {
    const Shape shape{.q_heads = q_heads, .kv_heads = kv_heads, .q_len = 3, .kv_len = 3, .head_dim = 9, .v_head_dim = 70};
    AttentionSpec spec;
    spec.head_dim = shape.head_dim;
    spec.v_head_dim = shape.v_head_dim;
    spec.causal = true;
    spec.weights = Weights::kLinear;
    Problem problem(shape);
    LinearState state =
        LinearState::create(compile_or_throw(engine(), spec), {.q_heads = q_heads, .kv_heads = kv_heads}).value();
    for (std::int64_t i = 0; i < 3; ++i) state.step(tokens_of(problem, i, 1)).value();
    const auto causal = [](const Position& p) { return p.kv_idx <= p.q_idx; };
    EXPECT_TRUE(close(problem.out.values(), linear_oracle(problem, {.map = elu1_map(), .mask = causal}), near(1e-5)))
        << q_heads;
  }
}

TEST_P(LinearStateOn, AppendedKeysAreMetLater) {
  const Pattern pattern = favor_pattern();
  Problem whole(kStateShape), after(kStateShape);
  LinearState one = state_of(pattern), two = state_of(pattern);
  one.step(tokens_of(whole, 0, 45)).value();
  two.append(tokens_of(after, 0, 40)).value();
  two.step(tokens_of(after, 40, 5)).value();
  for (std::size_t i = 0; i < whole.out.size(); ++i) {
    if (i / 12 % 45 >= 40) EXPECT_NEAR(whole.out[i], after.out[i], 1e-5) << i;
  }
}

TEST_P(LinearStateOn, ASavedStateGoesOn) {
  const Pattern pattern = gated_pattern();
  Problem one(kStateShape), two(kStateShape);
  LinearState state = state_of(pattern), other = state_of(pattern);
  state.step(tokens_of(one, 0, 20)).value();
  const std::vector<std::byte> saved = state.save().value();
  EXPECT_EQ(saved.size(), 7 * 8 + 2 * 4 * (20 * 12 + 20) * sizeof(float));
  other.load(saved).value();
  EXPECT_EQ(other.keys(), 20);
  state.step(tokens_of(one, 20, 25)).value();
  other.step(tokens_of(two, 20, 25)).value();
  for (std::size_t i = 0; i < one.out.size(); ++i) {
    if (i / 12 % 45 >= 20) ASSERT_EQ(one.out[i], two.out[i]) << i;
  }
  std::vector<std::byte> broken = saved;
  broken[16] = std::byte{9};
  EXPECT_EQ(other.load(broken).diagnostics()[0].kind, "bad-option");
  broken.pop_back();
  EXPECT_EQ(other.load(broken).diagnostics()[0].kind, "bad-option");
  EXPECT_EQ(other.load({}).diagnostics()[0].kind, "bad-option");
  EXPECT_EQ(other.keys(), 45);
}

INSTANTIATE_TEST_SUITE_P(Backends, LinearStateOn, testing::ValuesIn(arithmetics_here()), name_of_backend);

TEST(LinearStates, AreRefusedWhereTheyCannotBe) {
  const auto kind_of = [](const AttentionSpec& spec, const LinearStateOptions& options = {}) {
    const auto made = LinearState::create(compile_or_throw(engine_for("host"), spec), options);
    return made ? std::string() : made.diagnostics()[0].kind;
  };
  AttentionSpec spec;
  EXPECT_EQ(kind_of(spec), "not-linear");
  spec.weights = Weights::kLinear;
  EXPECT_EQ(kind_of(spec), "not-linear");  // every query meets every key
  spec.mask_mod = "kv_idx < q_idx";
  EXPECT_EQ(kind_of(spec), "not-linear");
  spec.mask_mod = "kv_idx <= q_idx";
  EXPECT_EQ(kind_of(spec), "");
  EXPECT_EQ(kind_of(spec, {.batch = 0}), "bad-option");
  EXPECT_EQ(kind_of(spec, {.q_heads = 3, .kv_heads = 2}), "head-groups");
  EXPECT_EQ(kind_of(performer({.causal = true})), "missing-binding");
}

TEST(LinearStates, OfNothingAreEmptyHandles) {
  LinearState state;
  EXPECT_EQ(state.keys(), 0);
  EXPECT_EQ(state.bytes(), 0U);
  EXPECT_EQ(state.step({}).diagnostics()[0].kind, "empty-handle");
  EXPECT_EQ(state.append({}).diagnostics()[0].kind, "empty-handle");
  EXPECT_EQ(state.save().diagnostics()[0].kind, "empty-handle");
  EXPECT_EQ(state.load({}).diagnostics()[0].kind, "empty-handle");
}

TEST(LinearStates, TokensAreChecked) {
  const Pattern pattern = favor_pattern();
  LinearState state = LinearState::create(compile_or_throw(engine_for("host"), pattern.spec),
                                          {.batch = 2, .q_heads = 4, .kv_heads = 2, .bindings = &pattern.captures.bindings()})
                          .value();
  Problem problem(kStateShape);
  const auto kind_of = [&](const LinearTokens& given) {
    const auto done = state.step(given);
    return done ? std::string() : done.diagnostics()[0].kind;
  };
  LinearTokens more_keys = tokens_of(problem, 0, 2);
  more_keys.q.shape[2] = more_keys.out.shape[2] = 1;
  EXPECT_EQ(kind_of(more_keys), "tensor-shape");
  LinearTokens fewer_heads = tokens_of(problem, 0, 1);
  fewer_heads.q.shape[1] = fewer_heads.out.shape[1] = 2;
  EXPECT_EQ(kind_of(fewer_heads), "tensor-shape");
  EXPECT_EQ(kind_of({}), "tensor-rank");
  EXPECT_EQ(state.keys(), 0);
}

}  // namespace
}  // namespace flexjit::conformance
