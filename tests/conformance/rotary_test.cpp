// Queries that rotate as they are read: in both nests and the reference, in every layout of keys, against attention of queries
// and keys that were rotated by formula beforehand.
#include "flexjit/kv_cache.h"
#include "flexjit/page_pool.h"
#include "on_backends.h"
#include "rotary_oracle.h"
#include "support/checklist.h"
#include "support/ragged.h"

namespace flexjit::conformance {
namespace {

class OnRotary : public OnBackends {};

std::size_t element(const Tensor& of, std::int64_t b, std::int64_t h, std::int64_t row) {
  const auto& e = of.view().shape;
  return at(((b * e[1] + h) * e[2] + row) * e[3]);
}

std::vector<double> row_of(const Tensor& of, std::int64_t b, std::int64_t h, std::int64_t row) {
  std::vector<double> values;
  for (std::int64_t d = 0; d < of.view().shape[3]; ++d) values.push_back(of[element(of, b, h, row) + at(d)]);
  return values;
}

void set_row(Tensor& of, std::int64_t b, std::int64_t h, std::int64_t row, const std::vector<double>& values) {
  for (std::size_t d = 0; d < values.size(); ++d) of.set(element(of, b, h, row) + d, values[d]);
}

// Row i of each head of q is at `position(i)`.
template <typename Positions>
void rotate(Tensor& q, const RotaryTables& tables, const Positions& position) {
  const auto& e = std::as_const(q).view().shape;
  for (std::int64_t b = 0; b < e[0]; ++b) {
    for (std::int64_t h = 0; h < e[1]; ++h) {
      for (std::int64_t i = 0; i < e[2]; ++i) set_row(q, b, h, i, tables.rotated(row_of(q, b, h, i), position(i)));
    }
  }
}

Bounds bounds_of(DType dtype) {
  if (dtype == DType::kF32) return {near(2e-5), near(2e-5)};
  return {near(dtype == DType::kBF16 ? 2e-2 : 3e-3), near(1e-2)};
}

TEST_P(OnRotary, SequencesRotateAtTheirOwnPositions) {
  covers("D16 D22");
  const std::vector<Lengths> lengths{{1, 70}, {60, 130}, {0, 5}, {3, 0}, {1, 1}, {40, 40}, {2, 300}, {16, 64}};
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    for (const KeysIn keys : {KeysIn::kPacked, KeysIn::kPaddedCache, KeysIn::kPages}) {
      for (const RotaryPositions positions : {RotaryPositions::kOfEachQuery, RotaryPositions::kPastLen}) {
        const bool by_query = positions == RotaryPositions::kOfEachQuery;
        const RotaryPairing pairing = keys == KeysIn::kPages ? RotaryPairing::kHalves : RotaryPairing::kInterleaved;
        RaggedShape shape{.lengths = lengths,
                          .each = {.q_heads = 4, .kv_heads = 2, .head_dim = 24, .v_head_dim = 16},
                          .types = {dtype, dtype, dtype},
                          .queries = by_query ? QueriesIn::kPacked : QueriesIn::kBatch,
                          .keys = keys};
        SCOPED_TRACE(to_string(shape));
        Ragged ragged(shape);
        const RotaryTables tables(300, 16, pairing);
        for (std::size_t i = 0; i < lengths.size(); ++i) {
          const std::int32_t past = lengths[i].kv - lengths[i].q;
          if (lengths[i].kv > 0)
            rotate(ragged.problem(i).q, tables, [&](std::int64_t row) { return past + (by_query ? row : 0); });
        }
        AttentionSpec spec = spec_of("", shape.each);
        spec.dtype = dtype;
        const Rotary rotary = tables.arg();
        RunArgs args = ragged.args();
        args.rotary = &rotary;
        args.rotary_positions = positions;
        const Result<RunStats> ran = compile_or_throw(engine(), spec).run(args);
        ASSERT_TRUE(ran) << render(ran.diagnostics());
        ASSERT_TRUE(ragged.is_attention({}, bounds_of(dtype)));
      }
    }
  }
}

TEST_P(OnRotary, BatchesOfOneLengthRotateAtTheEndOfTheirKeys) {
  covers("D16");
  for (const std::int32_t q_len : {1, 3, 70}) {
    Problem problem({.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = q_len, .kv_len = 90, .head_dim = 32}, {}, 1,
                    length_first);
    const Tensor q = problem.q;
    const RotaryTables tables(90, 32, RotaryPairing::kHalves);
    rotate(problem.q, tables, [&](std::int64_t i) { return 90 - q_len + i; });
    const Rotary rotary = tables.arg();
    RunArgs args = problem.args();
    args.q = q.view();
    args.rotary = &rotary;
    const std::vector<unsigned char> before = q.bytes;
    const Result<RunStats> ran = compile_or_throw(engine(), spec_of("", problem.shape)).run(args);
    ASSERT_TRUE(ran) << render(ran.diagnostics());
    EXPECT_TRUE(is_attention(problem, {}, bounds_of(DType::kF32)));
    EXPECT_EQ(q.bytes, before);
  }
}

// Keys two by two into pages, and attention after each step, as if all had been computed anew.
TEST_P(OnRotary, IncrementalDecoding) {
  covers("P33 P27 D22");
  const Problem all({.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 10, .kv_len = 10, .head_dim = 32});
  PagePool pool = PagePool::create({.pages = 6, .kv_heads = 2, .head_dim = 32, .page_size = 4}).value();
  const RotaryTables tables(10, 32, RotaryPairing::kInterleaved);
  const Rotary rotary = tables.arg();
  AttentionSpec spec = spec_of("", all.shape);
  spec.causal = true;
  const Attention attention = compile_or_throw(engine(), spec);
  std::vector<PageList> pages(2);
  std::vector<std::int32_t> past{0, 0}, table(2 * 3);
  const auto ints = [](const std::vector<std::int32_t>& of) { return TensorView(of.data(), DType::kI32, {2}); };
  for (std::int32_t begin = 0; begin < 10; begin += 2) {
    Problem step({.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 2, .kv_len = begin + 2, .head_dim = 32});
    Tensor q = step.q, k(DType::kF32, {2, 2, 2, 32}), v = k;
    for (std::int64_t b = 0; b < 2; ++b) {
      for (std::int64_t h = 0; h < 4; ++h) {
        for (std::int64_t i = 0; i < 2; ++i) set_row(q, b, h, i, row_of(all.q, b, h, begin + i));
      }
      for (std::int64_t h = 0; h < 2; ++h) {
        for (std::int64_t i = 0; i < 2; ++i) {
          set_row(k, b, h, i, row_of(all.k, b, h, begin + i));
          set_row(v, b, h, i, row_of(all.v, b, h, begin + i));
        }
        for (std::int64_t key = 0; key < begin + 2; ++key) {
          set_row(step.k, b, h, key, tables.rotated(row_of(all.k, b, h, key), key));
          set_row(step.v, b, h, key, row_of(all.v, b, h, key));
        }
      }
      ASSERT_TRUE(pool.make_room(pages[at(b)], begin, 2));
      ASSERT_TRUE(pool.write_row(pages[at(b)], std::span(table).subspan(at(b * 3), 3)));
    }
    step.q = q;
    rotate(step.q, tables, [&](std::int64_t i) { return begin + i; });
    const TensorView block_table(table.data(), DType::kI32, {2, 3});
    const Result<AppendStats> appended =
        append_kv({.k = pool.k(), .v = pool.v(), .past_len = ints(past), .block_table = block_table},
                  {.k = std::as_const(k).view(), .v = std::as_const(v).view(), .rotary = &rotary});
    ASSERT_TRUE(appended) << render(appended.diagnostics());
    past = appended->total_len;
    Sequences sequences{.total_len = ints(past), .block_table = block_table};
    RunArgs args = step.args();
    args.q = std::as_const(q).view();
    args.k = pool.k();
    args.v = pool.v();
    args.sequences = &sequences;
    args.rotary = &rotary;
    const Result<RunStats> ran = attention.run(args);
    ASSERT_TRUE(ran) << render(ran.diagnostics());
    EXPECT_TRUE(is_attention(step, {.mask = [&](const Position& p) { return p.kv_idx <= p.q_idx + begin; }}, kNear)) << begin;
  }
  EXPECT_EQ(past, (std::vector<std::int32_t>{10, 10}));
}

TEST_P(OnRotary, ScoresAreThoseOfRotatedQueries) {
  Problem problem({.batch = 1, .q_heads = 2, .kv_heads = 1, .q_len = 3, .kv_len = 7, .head_dim = 8});
  const RotaryTables tables(7, 8, RotaryPairing::kHalves);
  const Rotary rotary = tables.arg();
  const Attention attention = compile_or_throw(engine(), spec_of("", problem.shape));
  RunArgs args = problem.args();
  args.rotary = &rotary;
  const std::vector<float> scores = attention.scores(args, {.q = {0, 3}}).value();
  rotate(problem.q, tables, [](std::int64_t i) { return 4 + i; });
  EXPECT_TRUE(close(scores, attention.scores(problem.args(), {.q = {0, 3}}).value(), near(1e-6)));
}

TEST_P(OnRotary, WhatHasNoPositionIsRefused) {
  covers("D15 D16");
  Problem problem({.batch = 1, .q_heads = 2, .kv_heads = 1, .q_len = 8, .kv_len = 7, .head_dim = 8});
  const RotaryTables tables(7, 8, RotaryPairing::kHalves), few(6, 8, RotaryPairing::kHalves);
  const Attention attention = compile_or_throw(engine(), spec_of("", problem.shape));
  const Rotary enough = tables.arg(), too_few = few.arg();
  RunArgs args = problem.args();
  args.rotary = &enough;
  EXPECT_NE(render(attention.run(args).diagnostics()).find("sequence 0 has 8 queries and 7 keys"), std::string::npos);
  args.rotary = &too_few;
  args.q.shape[2] = args.out.shape[2] = args.lse.shape[2] = 2;
  EXPECT_NE(render(attention.run(args).diagnostics()).find("position 6 is looked up"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(All, OnRotary, ::testing::ValuesIn(backends_here()), name_of_backend);

}  // namespace
}  // namespace flexjit::conformance
