// Plans: the bits of a call without one, and an error for everything that makes one stale.
#include "on_backends.h"
#include "support/checklist.h"
#include "support/ragged.h"

namespace flexjit::conformance {
namespace {

constexpr KeysIn kLaidOut[] = {KeysIn::kPacked, KeysIn::kCache, KeysIn::kPaddedCache, KeysIn::kPages, KeysIn::kPageList};

class Plans : public OnBackends {};

RaggedShape shape_of(KeysIn keys) {
  return {.lengths = {{1, 700}, {60, 130}, {0, 5}, {3, 0}, {1, 64}, {1, 700}},
          .each = {.q_heads = 4, .kv_heads = 2, .head_dim = 24},
          .keys = keys};
}

AttentionSpec causal_spec(const RaggedShape& shape) {
  AttentionSpec spec = spec_of("", shape.each);
  spec.causal = true;
  return spec;
}

TEST_P(Plans, HaveTheBitsOfACallAlone) {
  covers("I01");
  for (const KeysIn keys : kLaidOut) {
    const RaggedShape shape = shape_of(keys);
    Ragged alone(shape), planned(shape);
    const Attention attention = compile_or_throw(engine(), causal_spec(shape));
    const Result<RunStats> expected = attention.run(alone.args());
    ASSERT_TRUE(expected);
    RunArgs args = planned.args();
    const Plan plan = attention.plan(args).value();
    args.plan = &plan;
    for (int layer = 0; layer < 3; ++layer) {
      planned.poison_outputs();
      const Result<RunStats> stats = attention.run(args);
      ASSERT_TRUE(stats) << render(stats.diagnostics());
      EXPECT_EQ(stats->scores_visited, expected->scores_visited);
      EXPECT_EQ(planned.out.bytes, alone.out.bytes);
    }
  }
}

TEST_P(Plans, OfABatchOfOneLength) {
  for (const std::int32_t q_len : {1, 50}) {
    const Shape shape{.batch = 3, .q_heads = 4, .kv_heads = 2, .q_len = q_len, .kv_len = 90, .head_dim = 16};
    Problem alone(shape), planned(shape);
    const Attention attention = compile_or_throw(engine(), spec_of("mask = kv_idx % 7 != 0", shape));
    ASSERT_TRUE(attention.run(alone.args()));
    RunArgs args = planned.args();
    const Plan plan = attention.plan(args).value();
    args.plan = &plan;
    ASSERT_TRUE(attention.run(args));
    EXPECT_TRUE(outputs_identical(planned, alone));
  }
}

TEST_P(Plans, AreRefusedOnceStale) {
  const RaggedShape shape = shape_of(KeysIn::kPages);
  Ragged ragged(shape), other(shape);
  AttentionSpec spec = causal_spec(shape);
  spec.window = Window{16, 0};
  const Attention attention = compile_or_throw(engine(), spec);
  RunArgs args = ragged.args();
  const Plan plan = attention.plan(args).value(), none;
  const auto refused = [&](const RunArgs& changed, std::string_view why) {
    const Result<RunStats> result = attention.run(changed);
    EXPECT_FALSE(result);
    EXPECT_NE(render(result.diagnostics()).find(why), std::string::npos) << render(result.diagnostics());
  };
  args.plan = &none;
  refused(args, "the plan is empty");
  args.plan = &plan;
  ASSERT_TRUE(attention.run(args));
  RunArgs of_other = other.args();
  of_other.plan = &plan;
  refused(of_other, "other lengths, places or tables");
  std::swap(ragged.block_table()[0], ragged.block_table()[1]);
  refused(args, "other lengths, places or tables");
  std::swap(ragged.block_table()[0], ragged.block_table()[1]);
  Bindings bindings;
  bindings.params["window_left"] = 3;
  RunArgs with_other_params = args;
  with_other_params.bindings = &bindings;
  refused(with_other_params, "other params");
  RunArgs fewer = args;
  fewer.k.shape[0] = fewer.v.shape[0] = args.k.shape[0] - 1;
  refused(fewer, "tensors of other shapes");
  spec.window = std::nullopt;
  const Attention another = compile_or_throw(engine(), spec);
  EXPECT_NE(render(another.run(args).diagnostics()).find("another pattern"), std::string::npos);
  ASSERT_TRUE(attention.run(args));
}

INSTANTIATE_TEST_SUITE_P(All, Plans, ::testing::ValuesIn(backends_here()), name_of_backend);

}  // namespace
}  // namespace flexjit::conformance
