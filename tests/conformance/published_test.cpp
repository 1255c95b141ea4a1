// What FlexAttention and its descendants show in their documents, at the sizes that they print: scores, masks and block masks
// as a user of theirs would bring them here.
#include <algorithm>
#include <cmath>

#include "flexjit/attend.h"
#include "harness.h"
#include "support/checklist.h"
#include "support/sample.h"

namespace flexjit::conformance {
namespace {

Problem run(const AttentionSpec& spec, const Shape& shape, const Bindings* bindings = nullptr) {
  Problem tensors(shape);
  compile_or_throw(engine_for("host"), spec).run(tensors.args(bindings)).value();
  return tensors;
}

void expect_naive(const AttentionSpec& spec, const Shape& shape, const OraclePattern& pattern,
                  const Bindings* bindings = nullptr) {
  Problem tensors(shape);
  compile_or_throw(engine_for("host"), spec).run(tensors.args(bindings)).value();
  EXPECT_TRUE(is_attention(tensors, pattern));
}

bool causal(const Position& p) { return p.q_idx >= p.kv_idx; }

TEST(Published, DecayWithTheDistance) {
  covers("F01", "F02");
  const char* text = "score = score + 0.1 * exp(-abs(q_idx - kv_idx) / 16)";
  const OraclePattern decay{
      .score = [](double score, const Position& p) { return score + 0.1 * std::exp(-std::abs(p.q_idx - p.kv_idx) / 16.0); }};
  const Shape small{.batch = 2, .q_heads = 4, .kv_heads = 4, .q_len = 16, .kv_len = 16, .head_dim = 32};
  expect_naive(spec_of(text, small), small, decay);
  const std::int32_t heads = test::is_sampled() ? 2 : 12;
  const Shape large{.q_heads = heads, .kv_heads = heads, .q_len = 1024, .kv_len = 1024, .head_dim = 64};
  expect_naive(spec_of(text, large), large, decay);
  const Problem with = run(spec_of(text, small), small), without = run(spec_of("", small), small);
  double difference = 0;
  for (std::size_t i = 0; i < with.out.size(); ++i) difference += std::abs(with.out[i] - without.out[i]);
  EXPECT_GT(difference, 0.01);
}

TEST(Published, AlibiAsTextIsTheFlag) {
  covers("F03");
  const Shape shape{.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 70, .kv_len = 70, .head_dim = 32};
  const std::vector<float> slopes = {0.25F, 0.0625F, 0.015625F, 0.00390625F};
  Captures by_text, by_flag;
  by_text.add("slope", {4}, slopes);
  by_flag.add("alibi_slopes", {4}, slopes);
  AttentionSpec flag = spec_of("", shape);
  flag.alibi = true;
  const AttentionSpec text = spec_of("buffer slope : f32[num_heads]\nscore = score - slope[h] * abs(q_idx - kv_idx)", shape);
  EXPECT_TRUE(outputs_agree(run(text, shape, &by_text.bindings()), run(flag, shape, &by_flag.bindings())));
}

TEST(Published, PrefixesOfEveryLength) {
  covers("F06");
  constexpr std::int32_t kLength = 90;
  const Shape shape{.batch = 3, .q_heads = 2, .kv_heads = 2, .q_len = kLength, .kv_len = kLength, .head_dim = 16};
  const Problem triangle = run(spec_of("mask = q_idx >= kv_idx", shape), shape), full = run(spec_of("", shape), shape);
  const AttentionSpec scalar = spec_of("param p : int\nmask = kv_idx < p || q_idx >= kv_idx", shape);
  const AttentionSpec by_batch = spec_of("buffer p : i32[batch_size]\nmask = kv_idx < p[b] || q_idx >= kv_idx", shape);
  for (const std::int32_t prefix : {0, 23, kLength}) {
    SCOPED_TRACE(prefix);
    Captures one, several;
    one.set("p", prefix);
    several.add("p", {3}, std::vector<std::int32_t>{prefix, kLength - prefix, 7});
    expect_naive(scalar, shape, {.mask = [=](const Position& p) { return p.kv_idx < prefix || causal(p); }}, &one.bindings());
    expect_naive(by_batch, shape,
                 {.mask =
                      [=](const Position& p) {
                        return p.kv_idx < (p.b == 0 ? prefix : p.b == 1 ? kLength - prefix : 7) || causal(p);
                      }},
                 &several.bindings());
    if (prefix == 23) continue;
    EXPECT_TRUE(outputs_agree(run(scalar, shape, &one.bindings()), prefix == 0 ? triangle : full));
  }
}

// 7 full and 14 partial blocks of 64 are visited, and nothing else is lost.
TEST(Published, ASlidingWindowVisitsItsBlocks) {
  covers("F08");
  const Shape shape{.q_heads = 2, .kv_heads = 2, .q_len = 1024, .kv_len = 1024, .head_dim = 32};
  const Attention window =
      compile_or_throw(engine_for("host"), spec_of("mask = q_idx >= kv_idx && q_idx - kv_idx <= 256", shape));
  const BlockMask mask = window.create_block_mask({.heads = 2, .q_len = 1024, .kv_len = 1024}).value();
  Problem sparse(shape);
  RunArgs args = sparse.args();
  args.block_mask = &mask;
  const RunStats stats = window.run(args).value();
  EXPECT_EQ(stats.blocks.full, 7);
  EXPECT_EQ(stats.blocks.partial, 14);
  EXPECT_EQ(stats.blocks.empty, 43);
  EXPECT_LE(stats.scores_visited, 2 * 21 * 128 * 128);
  std::vector<bool> allowed(at(1024 * 1024));
  for (int i = 0; i < 1024 * 1024; ++i) allowed[at(i)] = i / 1024 >= i % 1024 && i / 1024 - i % 1024 <= 256;
  Captures captures;
  captures.add("allowed", {1024, 1024}, allowed);
  const AttentionSpec dense = spec_of("buffer allowed : bool[q_len, kv_len]\nmask = allowed[q_idx, kv_idx]", shape);
  EXPECT_TRUE(outputs_agree(sparse, run(dense, shape, &captures.bindings())));
}

// Every combination of a score, a mask, a block mask, a scale and grouped heads, through the one call.
TEST(Published, EveryCombinationOfArguments) {
  covers("F09", "F13", "G18");
  const Shape shape{.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 100, .kv_len = 100, .head_dim = 16};
  // Blocks on the diagonal are partial, so that a mask is asked there; without one all of their pairs are allowed.
  const auto in_blocks = [](const Position& p) { return p.kv_idx / 32 <= p.q_idx / 32; };
  std::vector<BlockKind> kinds;
  for (int i = 0; i < 16; ++i) {
    kinds.push_back(i % 4 < i / 4 ? BlockKind::kFull : i % 4 == i / 4 ? BlockKind::kPartial : BlockKind::kEmpty);
  }
  const BlockMask blocks = BlockMask::from_kinds({.q_len = 100, .kv_len = 100, .q_block = 32, .kv_block = 32}, kinds).value();
  for (int present = 0; present < 16; ++present) {
    SCOPED_TRACE(present);
    const bool has_mask = (present & 2) != 0, has_blocks = (present & 4) != 0;
    AttentionSpec spec = spec_of("", shape);
    OraclePattern naive;
    if ((present & 1) != 0) {
      spec.score_mod = "score + 0.25 * (kv_idx % 3)";
      naive.score = [](double score, const Position& p) { return score + 0.25 * (p.kv_idx % 3); };
    }
    if (has_mask) spec.mask_mod = "q_idx >= kv_idx";
    naive.mask = [&](const Position& p) { return (!has_mask || causal(p)) && (!has_blocks || in_blocks(p)); };
    if ((present & 8) != 0) spec.scale = naive.scale = 0.1F;
    Problem tensors(shape);
    RunArgs args = tensors.args();
    if (has_blocks) args.block_mask = &blocks;
    attend(spec, args).value();
    EXPECT_TRUE(is_attention(tensors, naive));
  }
}

TEST(Published, ShapesOfBlockMasks) {
  covers("F14");
  const Attention by_head = compile_or_throw(engine_for("host"), spec_of("mask = q_idx + h >= kv_idx", {.head_dim = 16}));
  const BlockMask mask = by_head.create_block_mask({.heads = 12, .q_len = 1024, .kv_len = 1024}).value();
  EXPECT_EQ(mask.shape(), (BlockMaskShape{1, 12, 1024, 1024, 128, 128}));
  EXPECT_EQ(mask.shape().q_blocks(), 8);
  EXPECT_EQ(mask.shape().kv_blocks(), 8);
  const BlockMask ragged = by_head.create_block_mask({.heads = 12, .q_len = 1000, .kv_len = 900}).value();
  EXPECT_EQ(ragged.shape().q_blocks(), 8);
  EXPECT_EQ(ragged.shape().kv_blocks(), 8);
  for (const std::int32_t block : {1, 2, 100, 1023, 1024}) {
    const BlockMaskOptions options{.q_len = 1024, .kv_len = 1024, .q_block = block, .kv_block = 1025 - block};
    EXPECT_TRUE(by_head.create_block_mask(options).has_value()) << block;
  }
}

TEST(Published, ACausalMaskOfFourBlocks) {
  covers("F15");
  const Attention attention = compile_or_throw(engine_for("host"), spec_of("mask = q_idx >= kv_idx", {.head_dim = 16}));
  const BlockMaskOptions options{.batch = 2, .heads = 4, .q_len = 16, .kv_len = 16, .q_block = 4, .kv_block = 4};
  const BlockMask mask = attention.create_block_mask(options).value();
  EXPECT_EQ(mask.shape().q_blocks(), 4);
  EXPECT_EQ(mask.shape().kv_blocks(), 4);
  for (std::int32_t i = 0; i < 2 * 4 * 4 * 4; ++i) {
    const std::int32_t q = i / 4 % 4, kv = i % 4;
    EXPECT_EQ(mask.kind(i / 64, i / 16 % 4, q, kv) == BlockKind::kEmpty, q < kv);
  }
}

// Computed once, it serves calls with other tensors: none of them looks at the mask's blocks again.
TEST(Published, ABlockMaskServesManyCalls) {
  covers("F16");
  const Shape shape{.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 300, .kv_len = 300, .head_dim = 16};
  const AttentionSpec spec = spec_of("mask = q_idx >= kv_idx && q_idx - kv_idx <= 64 + h", shape);
  const Attention attention = compile_or_throw(engine_for("host"), spec);
  const BlockMask mask = attention.create_block_mask({.batch = 1, .heads = 4, .q_len = 300, .kv_len = 300}).value();
  const auto derivations = [&](Problem& problem, const BlockMask* given) {
    Trace trace;
    RunArgs args = problem.args();
    args.block_mask = given;
    args.trace = &trace;
    // A new handle each time: one that has run keeps the mask that it derived.
    compile_or_throw(engine_for("host"), spec).run(args).value();
    return std::ranges::count(trace.events(), TraceKind::kBlockMask, &TraceEvent::kind);
  };
  for (const std::uint64_t seed : {1, 2, 3}) {
    Problem with_blocks(shape, {}, seed), with_mask(shape, {}, seed);
    EXPECT_EQ(derivations(with_blocks, &mask), 0);
    EXPECT_EQ(derivations(with_mask, nullptr), 1);
    // Blocks of other sizes cut the keys elsewhere, which is rounding; the same ones change no bit.
    EXPECT_TRUE(outputs_agree(with_blocks, with_mask, {1e-6}));
    Problem again(shape, {}, seed);
    derivations(again, &mask);
    EXPECT_TRUE(outputs_identical(again, with_blocks));
  }
  const BlockMask shorter = attention.create_block_mask({.heads = 4, .q_len = 200, .kv_len = 300}).value();
  Problem problem(shape);
  RunArgs args = problem.args();
  args.block_mask = &shorter;
  const std::string found = render(attention.run(args).diagnostics());
  EXPECT_NE(found.find("200"), std::string::npos) << found;
  EXPECT_NE(found.find("300"), std::string::npos) << found;
}

TEST(Published, LongformerRuns) {
  covers("X07");
  const Shape shape{.q_heads = 2, .kv_heads = 2, .q_len = 256, .kv_len = 256, .head_dim = 16};
  const char* text = "mask = q_idx in {0, 1} || kv_idx in {0, 1} || abs(q_idx - kv_idx) <= 32";
  expect_naive(spec_of(text, shape), shape,
               {.mask = [](const Position& p) { return p.q_idx < 2 || p.kv_idx < 2 || std::abs(p.q_idx - p.kv_idx) <= 32; }});
  const Problem tensors = run(spec_of(text, shape), shape);
  EXPECT_NE(tensors.out[0], 0);
}

TEST(Published, SwinOfAnImage) {
  covers("X08");
  const Shape shape{.q_heads = 8, .kv_heads = 8, .q_len = 3136, .kv_len = 3136, .head_dim = 12};
  const AttentionSpec spec = spec_of(
      "const W : int = 56; const M : int = 7\n"
      "mask = q_idx // W // M == kv_idx // W // M && q_idx % W // M == kv_idx % W // M",
      shape);
  const Attention attention = compile_or_throw(engine_for("host"), spec);
  EXPECT_EQ(attention.count_allowed({.q_len = 3136, .kv_len = 3136}).value(), 153664);
  expect_naive(spec, shape, {.mask = [](const Position& p) {
                 return p.q_idx / 56 / 7 == p.kv_idx / 56 / 7 && p.q_idx % 56 / 7 == p.kv_idx % 56 / 7;
               }});
}

TEST(Published, CausalDocuments) {
  covers("X12");
  const std::vector<std::int32_t> documents = {0, 0, 0, 0, 1, 1, 1, 2, 2, 2};
  const Shape shape{.q_heads = 2, .kv_heads = 2, .q_len = 10, .kv_len = 10, .head_dim = 4};
  const AttentionSpec spec = spec_of("buffer doc : i32[?]\nmask = doc[q_idx] == doc[kv_idx] && q_idx >= kv_idx", shape);
  Captures captures;
  captures.add("doc", {10}, documents);
  const auto allowed = [&](const Position& p) { return documents[at(p.q_idx)] == documents[at(p.kv_idx)] && causal(p); };
  expect_naive(spec, shape, {.mask = allowed}, &captures.bindings());
  const Attention attention = compile_or_throw(engine_for("host"), spec);
  EXPECT_EQ(attention.count_allowed({.q_len = 10, .kv_len = 10}, &captures.bindings()).value(), 10 + 6 + 6);
}

}  // namespace
}  // namespace flexjit::conformance
