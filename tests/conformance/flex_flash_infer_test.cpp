// FlexFlashInfer: the checklist's counts of named masks, matrices as SciPy defines them, and runs against the oracle.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <numbers>

#include "flexjit/flex_flash_infer.h"
#include "on_backends.h"
#include "support/checklist.h"
#include "support/random.h"

namespace flexjit::conformance {
namespace {

using Allowed = std::function<bool(std::int64_t q, std::int64_t kv)>;

bool causal(std::int64_t q, std::int64_t kv) { return q >= kv; }

// (length, heads, dim) of a problem of one batch entry.
template <typename View>
View nhd(View view) {
  view.rank = 3;
  view.shape = {view.shape[2], view.shape[1], view.shape[3], 0};
  view.strides = {view.strides[2], view.strides[1], view.strides[3], 0};
  return view;
}

FlexPrepareArgs args_of(const Shape& shape, const std::string& mask) {
  return {.mask = mask,
          .q_len = shape.q_len,
          .kv_len = shape.kv_len,
          .num_qo_heads = shape.q_heads,
          .num_kv_heads = shape.kv_heads,
          .head_dim = shape.head_dim,
          .dtype = DType::kF32};
}

// Natural logarithms, into the problem's own lse, which is (heads, length).
FlexRunArgs run_of(Problem& problem) {
  const RunArgs args = problem.args();
  MutableTensorView lse = args.lse;
  lse.rank = 2;
  lse.shape = {args.lse.shape[2], args.lse.shape[1], 0, 0};
  lse.strides = {1, args.lse.shape[2], 0, 0};
  return {
      .q = nhd(args.q), .k = nhd(args.k), .v = nhd(args.v), .out = nhd(args.out), .lse = lse, .lse_base = LseBase::kNatural};
}

// Every element, and what SciPy says of the lists.
void expect_bsr(const BsrBlocks& bsr, const Allowed& allowed) {
  const BlockMaskShape& shape = bsr.shape;
  ASSERT_EQ(bsr.indptr.size(), at(shape.q_blocks() + 1));
  ASSERT_EQ(bsr.data.size(), at(bsr.nnz() * shape.q_block * shape.kv_block));
  std::int64_t next = 0;
  for (std::int32_t row = 0; row < shape.q_blocks(); ++row) {
    ASSERT_EQ(bsr.indptr[at(row)], next);
    for (std::int32_t column = 0; column < shape.kv_blocks(); ++column) {
      std::vector<std::uint8_t> block;
      for (std::int64_t q = std::int64_t{row} * shape.q_block; q < (row + 1) * shape.q_block; ++q)
        for (std::int64_t kv = std::int64_t{column} * shape.kv_block; kv < (column + 1) * shape.kv_block; ++kv)
          block.push_back(q < shape.q_len && kv < shape.kv_len && allowed(q, kv) ? 1 : 0);
      if (std::ranges::find(block, 1) == block.end()) continue;
      ASSERT_LT(next, bsr.nnz());
      ASSERT_EQ(bsr.indices[at(next)], column);
      ASSERT_TRUE(std::equal(block.begin(), block.end(), bsr.data.begin() + next * std::ssize(block))) << row << " " << column;
      ++next;
    }
  }
  EXPECT_EQ(bsr.nnz(), next);
  EXPECT_EQ(bsr.indptr.back(), next);
}

std::int64_t popcount(const BsrBlocks& bsr) { return std::ranges::count(bsr.data, 1); }

struct Named {
  const char* ids;
  const char* name;
  std::optional<std::int32_t> window, chunk;
  std::int32_t rows;
  std::int64_t allowed, blocks, full;
  Allowed by_definition;
};

class FlexFlashInferMasks : public testing::TestWithParam<Named> {};

TEST_P(FlexFlashInferMasks, CountAsTheChecklistSays) {
  const Named& named = GetParam();
  covers(named.ids);
  FlexFlashInfer handle(engine_for("host"));
  FlexPrepareArgs args = args_of({.q_heads = 1, .kv_heads = 1, .q_len = 1024, .kv_len = 1024}, named.name);
  args.window_size = named.window;
  args.chunk_size = named.chunk;
  args.block_size_row = named.rows;
  const Status prepared = handle.prepare(args);
  ASSERT_TRUE(prepared) << render(prepared.diagnostics());
  const BsrBlocks bsr = handle.bsr().value();
  EXPECT_EQ(popcount(bsr), named.allowed);
  if (named.blocks > 0) {
    EXPECT_EQ(bsr.nnz(), named.blocks);
  }
  const BlockCounts counts = handle.block_mask().value().counts();
  EXPECT_EQ(counts.full + counts.partial, bsr.nnz());
  if (named.full > 0) {
    EXPECT_EQ(counts.full, named.full);
  }
  expect_bsr(bsr, named.by_definition);
}

const Named kNamed[] = {
    {"G08 G11", "Causal", {}, {}, 64, 524800, 136, 120, causal},
    {"G15", "causal", {}, {}, 1, 524800, 8704, 0, causal},
    {"G09", "sliding_window", 256, {}, 64, 230272, 70, 42, [](auto q, auto kv) { return q >= kv && q - kv <= 256; }},
    {"G12",
     "(q_idx >= kv_idx) & (q_idx - kv_idx <= 256)",
     {},
     {},
     64,
     230272,
     70,
     42,
     [](auto q, auto kv) { return q >= kv && q - kv <= 256; }},
    {"G12",
     "q_idx >= kv_idx && q_idx - kv_idx <= 256",
     {},
     {},
     64,
     230272,
     70,
     42,
     [](auto q, auto kv) { return q >= kv && q - kv <= 256; }},
    {"G10", "ATTAMBA", 256, 128, 64, 231430, 100, 42,
     [](auto q, auto kv) { return q >= kv && ((kv + 1) % 128 == 0 || q - kv < 256); }},
    {"G10", "attamba", 8, 8, 64, 72299, 0, 0, [](auto q, auto kv) { return q >= kv && ((kv + 1) % 8 == 0 || q - kv < 8); }},
    {"G11", "full", {}, {}, 64, 1024 * 1024, 256, 256, [](auto, auto) { return true; }},
};
INSTANTIATE_TEST_SUITE_P(All, FlexFlashInferMasks, testing::ValuesIn(kNamed));

class FlexFlashInfers : public OnBackends {};

TEST_P(FlexFlashInfers, RunAsOftenAsThereAreLayers) {
  covers("G02 G03 G05 G06");
  const std::int32_t length = GetParam() == "reference" ? 192 : 1024;
  const Shape shape{.q_heads = 8, .kv_heads = 8, .q_len = length, .kv_len = length, .head_dim = 64};
  const Types types{.q = DType::kF16, .kv = DType::kF16, .out = DType::kF16};
  FlexFlashInfer handle(engine());
  FlexPrepareArgs args = args_of(shape, "causal");
  args.num_kv_heads = 0;  // num_qo_heads
  args.dtype = DType::kF16;
  ASSERT_TRUE(handle.prepare(args));
  const AttentionSpec flag{.dtype = DType::kF16, .head_dim = shape.head_dim, .causal = true};
  const Attention with_flag = compile_or_throw(engine(), flag);
  for (const std::uint64_t layer : {1, 2, 3}) {
    Problem problem(shape, types, layer);
    FlexRunArgs run = run_of(problem);
    const Result<RunStats> stats = handle.run(run);
    ASSERT_TRUE(stats) << render(stats.diagnostics());
    if (layer == 1 && GetParam() == "host") {
      const OraclePattern causally{.mask = [](const Position& pair) { return pair.q_idx >= pair.kv_idx; }};
      EXPECT_TRUE(is_attention(problem, causally, {.out = near(1e-3)}));
    }
    Problem by_flag(shape, types, layer);
    ASSERT_TRUE(with_flag.run(by_flag.args()));
    EXPECT_TRUE(outputs_agree(problem, by_flag, {1e-3}));
    std::vector<float> of_base_two(at(shape.q_len * shape.q_heads));
    run.lse = MutableTensorView(of_base_two.data(), DType::kF32, {shape.q_len, shape.q_heads});
    run.lse_base = FlexRunArgs{}.lse_base;
    ASSERT_TRUE(handle.run(run));
    for (std::int64_t q = 0; q < shape.q_len; ++q)
      for (std::int64_t h = 0; h < shape.q_heads; ++h)
        ASSERT_FLOAT_EQ(of_base_two[at(q * shape.q_heads + h)],
                        problem.lse[at(h * shape.q_len + q)] * std::numbers::log2e_v<float>);
  }
}

// What the mask reads is asked about blocks once: a block that was found empty stays empty.
TEST_P(FlexFlashInfers, DecideBlocksOnce) {
  covers("G03 G13 G18");
  const Shape shape{.q_heads = 8, .kv_heads = 2, .q_len = 300, .kv_len = 256, .head_dim = 32};
  std::vector<std::int32_t> from(300);
  for (std::size_t q = 0; q < from.size(); ++q) from[q] = q < 128 ? 0 : 128;
  Bindings bindings;
  bindings.buffers["start"] = TensorView(from.data(), DType::kI32, {300});
  FlexPrepareArgs args = args_of(shape, "kv_idx >= start[q_idx]");
  args.score_mod = "score * 0.5";
  args.bindings = &bindings;
  FlexFlashInfer handle(engine());
  ASSERT_TRUE(handle.prepare(args));
  const FlexFlashInfer copy = handle;
  Problem first(shape), second(shape);
  ASSERT_TRUE(handle.run(run_of(first)));
  std::ranges::fill(from, 0);
  ASSERT_TRUE(copy.run(run_of(second)));
  EXPECT_EQ(first.out.bytes, second.out.bytes);
}

using Matrix = std::vector<std::uint8_t>;
struct Conversion {
  std::int32_t length, block;
  Allowed allowed;
};

// A matrix comes out as it went in, and attends as its mask does.
TEST_P(FlexFlashInfers, TakeAMatrixAndGiveItBack) {
  covers("G16");
  Random random(7);
  Matrix coin(256 * 256);
  for (std::uint8_t& each : coin) each = random.normal() > 1.5F ? 1 : 0;
  const Conversion all[] = {
      {6, 2, causal},
      {8, 2, [](auto q, auto kv) { return (q + kv) % 2 == 0; }},
      {128, 32, causal},
      {256, 64, [&](auto q, auto kv) { return coin[at(q * 256 + kv)] != 0; }},
  };
  for (const Conversion& one : all) {
    const Shape shape{.q_heads = 2, .kv_heads = 1, .q_len = one.length, .kv_len = one.length, .head_dim = 16};
    std::vector<std::uint8_t> elements;
    for (std::int64_t q = 0; q < one.length; ++q)
      for (std::int64_t kv = 0; kv < one.length; ++kv) elements.push_back(one.allowed(q, kv) ? 1 : 0);
    Bindings bindings;
    bindings.buffers["dense"] = TensorView(elements.data(), DType::kBool, {one.length, one.length});
    FlexPrepareArgs args = args_of(shape, "dense[q_idx, kv_idx]");
    args.block_size_row = args.block_size_col = one.block;
    args.bindings = &bindings;
    FlexFlashInfer by_text(engine()), by_matrix(engine());
    ASSERT_TRUE(by_text.prepare(args));
    const BsrBlocks bsr = by_text.bsr().value();
    expect_bsr(bsr, one.allowed);
    args.mask.clear();
    args.bindings = nullptr;
    args.bsr = bsr.matrix();
    const Status prepared = by_matrix.prepare(args);
    ASSERT_TRUE(prepared) << render(prepared.diagnostics());
    const BsrBlocks back = by_matrix.bsr().value();
    EXPECT_EQ(back.indices, bsr.indices);
    EXPECT_EQ(back.data, bsr.data);
    for (const FlexFlashInfer* handle : {&by_text, &by_matrix}) {
      Problem problem(shape);
      ASSERT_TRUE(handle->run(run_of(problem)));
      EXPECT_TRUE(is_attention(problem, {.mask = [&](const Position& pair) { return one.allowed(pair.q_idx, pair.kv_idx); }}));
    }
  }
}

TEST_P(FlexFlashInfers, RowsWithoutBlocks) {
  covers("G21 G04");
  const Shape shape{.q_heads = 2, .kv_heads = 2, .q_len = 70, .kv_len = 50, .head_dim = 16};
  const std::vector<std::int32_t> indptr{0, 0, 0};
  FlexPrepareArgs by_text = args_of(shape, "false"), by_matrix = args_of(shape, "");
  by_matrix.bsr.emplace().indptr = indptr;
  for (const FlexPrepareArgs& args : {by_text, by_matrix}) {
    FlexFlashInfer handle(engine());
    const Status prepared = handle.prepare(args);
    ASSERT_TRUE(prepared) << render(prepared.diagnostics());
    EXPECT_EQ(handle.bsr()->nnz(), 0);
    Problem problem(shape);
    std::vector<float> lse(at(shape.q_len * shape.q_heads));
    FlexRunArgs run = run_of(problem);
    run.lse = MutableTensorView(lse.data(), DType::kF32, {shape.q_len, shape.q_heads});
    ASSERT_TRUE(handle.run(run));
    for (const double value : problem.out.values()) ASSERT_EQ(value, 0);
    for (const float value : lse) ASSERT_EQ(value, -INFINITY);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, FlexFlashInfers, testing::ValuesIn(backends_here()), name_of_backend);

template <typename T>
void refused(const Result<T>& result, std::string_view expected) {
  ASSERT_FALSE(result) << expected;
  EXPECT_NE(render(result.diagnostics()).find(expected), std::string::npos) << expected << "\n" << render(result.diagnostics());
}

TEST(FlexFlashInferErrors, SayWhatIsMissing) {
  covers("G01 G02 G04 G07 G11");
  const Shape shape{.q_heads = 8, .kv_heads = 2, .q_len = 64, .kv_len = 96, .head_dim = 32};
  FlexFlashInfer handle(engine_for("host"));
  Problem problem(shape);
  FlexRunArgs run = run_of(problem);
  refused(handle.run(run), "call prepare() first");
  refused(handle.bsr(), "call prepare() first");
  const auto prepare = [&](const std::function<void(FlexPrepareArgs&)>& change) {
    FlexPrepareArgs args = args_of(shape, "causal");
    change(args);
    return handle.prepare(args);
  };
  refused(prepare([](auto& args) { args.head_dim = 0; }), "head_dim is 0; it must be 1 to");
  refused(prepare([](auto& args) { args.mask = "banded"; }),
          "mask is banded; it must be causal, sliding_window, attamba or full");
  refused(prepare([](auto& args) { args.mask = "Sliding_Window"; }), "mask is Sliding_Window; it needs window_size");
  refused(prepare([](auto& args) { args.mask = "attamba", args.window_size = 8; }), "mask is attamba; it needs chunk_size");
  refused(prepare([](auto& args) { args.mask = "attamba", args.window_size = 8, args.chunk_size = 0; }),
          "chunk_size is 0; it must be 1 or more");
  refused(prepare([](auto& args) { args.num_kv_heads = 3; }), "num_kv_heads is 3; it must divide num_qo_heads, 8");
  refused(prepare([](auto& args) { args.num_qo_heads = 0; }), "num_qo_heads is 0");
  refused(prepare([](auto& args) { args.mask.clear(); }), "mask is empty; give one of mask and bsr");
  refused(prepare([](auto& args) { args.whole_blocks = true; }), "kv_len is 96; it must be a multiple of 64");
  refused(prepare([](auto& args) { args.block_size_row = 0; }), "is 0; it must be");
  ASSERT_TRUE(prepare([](auto&) {}));
  ASSERT_TRUE(handle.run(run));
  run.q.shape[0] = 63;
  refused(handle.run(run), "q has q_len 63, but what was prepared has 64");
  run = run_of(problem);
  run.k.shape[0] = 95;
  refused(handle.run(run), "k has kv_len 95, but what was prepared has 96");
  run = run_of(problem);
  run.q.rank = 4;
  refused(handle.run(run), "q has 4 dimensions; it must have 3");
  refused(handle.bsr(8), "head is 8; it must be 0 to 7");
  ASSERT_FALSE(prepare([](auto& args) { args.head_dim = 0; }));
  EXPECT_TRUE(handle.run(run_of(problem)));  // what was prepared before
}

}  // namespace
}  // namespace flexjit::conformance
