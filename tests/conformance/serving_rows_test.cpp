// Rows of the checklist about serving that ask for sizes or layouts of their own: FlashInfer's ragged batches, masks and
// matrices, long caches, lists of keys.
#include <cmath>
#include <numbers>
#include <numeric>

#include "flash_layouts.h"
#include "flexjit/flex_flash_infer.h"
#include "flexjit/kv_cache.h"
#include "serving_cases.h"
#include "support/checklist.h"
#include "support/pairwise.h"
#include "support/sample.h"

namespace flexjit::conformance {
namespace {

// FlashInfer's ragged batch: outputs of another dim, lse (total, heads) and of base 2.
TEST(ServingRows, RaggedQueriesAndTransposedLse) {
  covers("I04 C3 C4");
  RaggedShape shape{.lengths = {{5, 40}, {1, 70}, {0, 9}, {33, 33}},
                    .each = {.q_heads = 4, .kv_heads = 2, .head_dim = 32, .v_head_dim = 48},
                    .keys = KeysIn::kPageList};
  Ragged plain(shape), turned(shape);
  AttentionSpec spec = spec_of("", shape.each);
  spec.causal = true;
  const Attention attention = compile_or_throw(engine_for("host"), spec);
  ASSERT_TRUE(attention.run(plain.args()));
  RunArgs args = turned.args();
  const std::int64_t rows = args.lse.shape[2], heads = args.lse.shape[1];
  args.lse.strides = {rows * heads, 1, heads, 0};
  ASSERT_TRUE(attention.run(args));
  EXPECT_EQ(turned.out.bytes, plain.out.bytes);
  for (std::size_t sequence = 0; sequence < shape.lengths.size(); ++sequence) {
    for (std::int32_t i = 0; i < shape.lengths[sequence].q; ++i) {
      const std::int64_t row = turned.query(sequence, i).row;
      for (std::int64_t h = 0; h < heads; ++h) EXPECT_EQ(turned.lse[at(row * heads + h)], plain.lse[at(h * rows + row)]);
    }
  }
  const Real ln2 = std::numbers::ln2_v<Real>;
  const OracleResult expected = oracle(plain.problems()[3], {.mask = [](const Position& p) { return p.kv_idx <= p.q_idx; }});
  std::vector<double> base_two, of_base_two;
  for (const double lse : expected.lse) base_two.push_back(static_cast<double>(Real{lse} / ln2));
  const std::vector<double> all = plain.outputs_of(3);
  for (std::size_t i = expected.out.size(); i < all.size(); ++i) of_base_two.push_back(all[i] * std::numbers::log2e);
  EXPECT_TRUE(close(of_base_two, base_two, near(2e-5)));
}

// kv_len = page_size (pages - 1) + last_page_len.
TEST(ServingRows, LastPages) {
  covers("I02 I15");
  constexpr std::int32_t kPage = 8;
  std::vector<float> k(6 * kPage * 4), v(k.size()), fresh(2 * 4, 1.0F);
  std::vector<std::int32_t> indptr{0, 3, 3, 4}, indices{5, 0, 2, 4}, last{7, 0, kPage}, tokens{0, 2}, positions{22, 7};
  const auto call = [&] {
    return append_kv_at({.k = MutableTensorView(k.data(), DType::kF32, {6, 1, kPage, 4}),
                         .v = MutableTensorView(v.data(), DType::kF32, {6, 1, kPage, 4}),
                         .page_indptr = ints(indptr),
                         .page_indices = ints(indices)},
                        {.k = TensorView(fresh.data(), DType::kF32, {1, 1, 2, 4}),
                         .v = TensorView(fresh.data(), DType::kF32, {1, 1, 2, 4}),
                         .batch_indices = ints(tokens),
                         .positions = ints(positions),
                         .last_page_len = ints(last)});
  };
  const Result<AppendStats> appended = call();
  ASSERT_TRUE(appended) << render(appended.diagnostics());
  EXPECT_EQ(appended->total_len, (std::vector<std::int32_t>{23, 0, kPage}));
  EXPECT_EQ(k[at((2 * kPage + 6) * 4)], 1);
  const std::vector<float> before = k;
  const auto refused = [&](auto& numbers, std::size_t place, std::int32_t value, std::string_view expected) {
    const std::int32_t kept = std::exchange(numbers[place], value);
    const Result<AppendStats> result = call();
    ASSERT_FALSE(result) << expected;
    EXPECT_NE(render(result.diagnostics()).find(expected), std::string::npos) << render(result.diagnostics());
    EXPECT_EQ(k, before);
    numbers[place] = kept;
  };
  refused(last, 0, 0, "last_page_len[0] is 0; it must be 1 to 8");
  refused(last, 0, kPage + 1, "last_page_len[0] is 9; it must be 1 to 8");
  refused(last, 1, 1, "last_page_len[1] is 1; it must be 0");
  refused(indptr, 1, 5, "page_indptr[1] is 5");
  refused(indptr, 0, -1, "page_indptr[0] is -1");
  refused(indices, 3, 6, "page_indices[3] is 6");
  refused(positions, 0, 23, "positions[0] is 23; it must be below 23");
}

// One flattened mask for all requests, as bytes and as bits in little order, each request from a byte of its own.
TEST(ServingRows, CustomMasksOfRequests) {
  covers("I06");
  RaggedShape shape{.lengths = {{5, 20}, {40, 61}, {0, 3}, {1, 9}, {7, 7}},
                    .each = {.q_heads = 4, .kv_heads = 2, .head_dim = 32},
                    .keys = KeysIn::kPages};
  std::vector<bool> mask;
  std::vector<unsigned char> bits;
  std::vector<std::int32_t> begins, byte_begins;
  for (const Lengths& one : shape.lengths) {
    begins.push_back(static_cast<std::int32_t>(mask.size()));
    byte_begins.push_back(static_cast<std::int32_t>(bits.size()));
    bits.resize(bits.size() + at((std::int64_t{one.q} * one.kv + 7) / 8));
    for (std::int32_t i = 0; i < one.q * one.kv; ++i) {
      mask.push_back(i % one.kv <= i / one.kv + one.kv - one.q);
      if (mask.back()) bits[at(byte_begins.back() + i / 8)] |= static_cast<unsigned char>(1 << i % 8);
    }
  }
  const auto batch = static_cast<std::int64_t>(begins.size());
  Captures captures;
  captures.add("custom_mask", {static_cast<std::int64_t>(mask.size())}, mask).add("mask_begins", {batch}, begins);
  captures.add_bytes("packed_mask", DType::kU8, {static_cast<std::int64_t>(bits.size())}, bits);
  captures.add("byte_begins", {batch}, byte_begins);
  const auto run_with = [&](const char* text, bool causal, const std::vector<std::string>& names) {
    auto ragged = std::make_unique<Ragged>(shape);
    AttentionSpec spec = spec_of(text, shape.each);
    spec.causal = causal;
    Bindings bindings;
    for (const std::string& name : names) bindings.buffers[name] = captures.bindings().buffers.at(name);
    const Result<RunStats> ran = compile_or_throw(engine_for("host"), spec).run(ragged->args(&bindings));
    EXPECT_TRUE(ran) << render(ran.diagnostics());
    return ragged;
  };
  const auto by_flag = run_with("", true, {});
  const auto by_bytes = run_with(
      "buffer custom_mask : bool[?]\nbuffer mask_begins : i32[batch_size]\n"
      "mask = custom_mask[mask_begins[b] + q_idx * kv_len + kv_idx]",
      false, {"custom_mask", "mask_begins"});
  const auto by_bits = run_with(
      "buffer packed_mask : u8[?]\nbuffer byte_begins : i32[batch_size]\nlet i = q_idx * kv_len + kv_idx\n"
      "mask = (packed_mask[byte_begins[b] + i // 8] >> i % 8) & 1 == 1",
      false, {"packed_mask", "byte_begins"});
  const OraclePattern causal{.mask = [&](const Position& p) {
    const Lengths& own = shape.lengths[at(p.b)];
    return p.kv_idx <= p.q_idx + own.kv - own.q;
  }};
  for (const Ragged* ragged : {by_flag.get(), by_bytes.get(), by_bits.get()}) EXPECT_TRUE(ragged->is_attention(causal));
}

// FlashInfer's block-sparse wrapper: blocks of any size at a density of a quarter, with a mask inside them or without.
TEST(ServingRows, BlockSparseMatrices) {
  covers("I11 G13 G19");
  constexpr std::int32_t kSides[] = {1, 4, 16}, kLengths[] = {64, 128, 256};
  constexpr std::pair<std::int32_t, std::int32_t> kHeads[] = {{1, 1}, {4, 1}, {4, 4}, {16, 1}, {16, 4}, {16, 16}};
  Sample sample;
  for (const FactorLevels& row : covering_array({3, 3, 3, 3, 6, 2, 2, 2})) {
    if (!sample.next()) continue;
    const std::int32_t r = kSides[row[0]], c = kSides[row[1]], m = kLengths[row[2]], n = kLengths[row[3]];
    const auto [q_heads, kv_heads] = kHeads[row[4]];
    const std::int32_t dim = row[5] == 0 ? 128 : 256;
    const DType dtype = row[6] == 0 ? DType::kF32 : DType::kF16;
    SCOPED_TRACE(testing::Message() << r << "x" << c << " of " << m << "x" << n << ", heads " << q_heads << "/" << kv_heads
                                    << ", dim " << dim << " " << name_of(dtype) << (row[7] == 0 ? "" : ", mask inside"));
    Random random(at(m + n + r + c));
    std::vector<std::int32_t> indptr{0}, indices;
    std::vector<std::uint8_t> data, dense(at(std::int64_t{m} * n));
    for (std::int32_t block_row = 0; block_row < m / r; ++block_row) {
      for (std::int32_t column = 0; column < n / c; ++column) {
        if (!random.chance(0.25)) continue;
        indices.push_back(column);
        for (std::int32_t i = 0; i < r * c; ++i) {
          data.push_back(row[7] == 0 || random.chance(0.5) ? 1 : 0);
          dense[at(std::int64_t{block_row * r + i / c} * n + column * c + i % c)] = data.back();
        }
      }
      indptr.push_back(static_cast<std::int32_t>(indices.size()));
    }
    BsrMatrix matrix;
    matrix.indptr = indptr;
    matrix.indices = indices;
    if (row[7] != 0) matrix.data = data;
    FlexFlashInfer handle(engine_for("host"));
    const Status prepared = handle.prepare({.bsr = matrix,
                                            .q_len = m,
                                            .kv_len = n,
                                            .num_qo_heads = q_heads,
                                            .num_kv_heads = kv_heads,
                                            .head_dim = dim,
                                            .block_size_row = r,
                                            .block_size_col = c,
                                            .dtype = dtype});
    ASSERT_TRUE(prepared) << render(prepared.diagnostics());
    Problem problem({.q_heads = q_heads, .kv_heads = kv_heads, .q_len = m, .kv_len = n, .head_dim = dim},
                    {dtype, dtype, dtype});
    const auto nhd = [](auto view) {
      view.rank = 3;
      view.shape = {view.shape[2], view.shape[1], view.shape[3], 0};
      view.strides = {view.strides[2], view.strides[1], view.strides[3], 0};
      return view;
    };
    const RunArgs args = problem.args();
    MutableTensorView lse(problem.lse.data(), DType::kF32, {m, q_heads});
    lse.strides = {1, m, 0, 0};
    const Result<RunStats> ran = handle.run({.q = nhd(args.q),
                                             .k = nhd(args.k),
                                             .v = nhd(args.v),
                                             .out = nhd(args.out),
                                             .lse = lse,
                                             .lse_base = LseBase::kNatural});
    ASSERT_TRUE(ran) << render(ran.diagnostics());
    const OraclePattern pattern{
        .mask = [&](const Position& p) { return dense[at(std::int64_t{p.q_idx} * n + p.kv_idx)] != 0; }};
    const Bounds half{near(3e-3), near(3e-3)};
    EXPECT_TRUE(is_attention(problem, pattern, dtype == DType::kF32 ? kNear : half));
  }
}

// Rows and columns of blocks, each of a size of its own, as a text.
TEST(ServingRows, BlocksOfVariableSizes) {
  covers("I12");
  const std::vector<std::int32_t> row_sizes{3, 40, 1, 17, 29}, column_sizes{64, 2, 30, 15};
  const auto expand = [](const std::vector<std::int32_t>& sizes) {
    std::vector<std::int32_t> block_of;
    for (std::size_t i = 0; i < sizes.size(); ++i) block_of.insert(block_of.end(), at(sizes[i]), static_cast<std::int32_t>(i));
    return block_of;
  };
  const std::vector<std::int32_t> row_of = expand(row_sizes), column_of = expand(column_sizes);
  Random random(3);
  const Shape shape{.q_heads = 4,
                    .kv_heads = 2,
                    .q_len = static_cast<std::int32_t>(row_of.size()),
                    .kv_len = static_cast<std::int32_t>(column_of.size()),
                    .head_dim = 64};
  std::vector<bool> blocks;  // by kv head
  for (int i = 0; i < 2 * 5 * 4; ++i) blocks.push_back(random.chance(0.4));
  Captures captures;
  captures.add("row_block", {shape.q_len}, row_of).add("column_block", {shape.kv_len}, column_of);
  captures.add("block_allowed", {2, 5, 4}, blocks);
  const Attention attention =
      compile_or_throw(engine_for("host"), spec_of("buffer row_block : i32[q_len]\nbuffer column_block : i32[kv_len]\n"
                                                   "buffer block_allowed : bool[num_kv_heads, ?, ?]\n"
                                                   "mask = block_allowed[kv_head, row_block[q_idx], column_block[kv_idx]]",
                                                   shape));
  Problem problem(shape);
  attention.run(problem.args(&captures.bindings())).value();
  EXPECT_TRUE(is_attention(problem, {.mask = [&](const Position& p) {
                             return blocks[at((p.h / 2 * 5 + row_of[at(p.q_idx)]) * 4 + column_of[at(p.kv_idx)])];
                           }}));
}

TEST(ServingRows, SoftcapOverLongCaches) {
  covers("I18 P13 D06");
  for (const double cap : {1.0, 30.0, 50.0}) {
    for (const Lengths& lengths : {Lengths{1, 33001}, {1, 1177}, {37, 1177}, {17, 54}}) {
      Problem problem({.q_heads = 2, .kv_heads = 1, .q_len = lengths.q, .kv_len = lengths.kv, .head_dim = 64});
      problem.q.fill([&](std::size_t i) { return 5 * problem.q[i]; });
      AttentionSpec spec = spec_of("", problem.shape);
      spec.softcap = cap;
      spec.causal = true;
      compile_or_throw(engine_for("host"), spec).run(problem.args()).value();
      EXPECT_TRUE(
          is_attention(problem, {.score = [&](Real score, const Position&) { return cap * std::tanh(score / cap); },
                                 .mask = [&](const Position& p) { return p.kv_idx <= p.q_idx + lengths.kv - lengths.q; }}));
    }
  }
}

// The keys of each query by a list of its own: a sequence a query, a page a key, -1 for none.
TEST(ServingRows, ListsOfKeysForEachQuery) {
  covers("D50 P26");
  constexpr std::int32_t kQueries = 24, kKeys = 90, kTop = 17;
  const Shape shape{.q_heads = 4, .kv_heads = 2, .q_len = kQueries, .kv_len = kKeys, .head_dim = 32};
  Problem problem(shape);
  Random random(9);
  std::vector<std::int32_t> lists;
  std::vector<bool> listed(at(kQueries * kKeys));
  for (std::int32_t query = 0; query < kQueries; ++query) {
    for (std::int32_t i = 0; i < kTop; ++i) {
      const std::int32_t key = random.integer(0, kKeys - 1);
      const bool is_new = !listed[at(query * kKeys + key)] && (query != 5) && random.chance(0.9);
      if (is_new) listed[at(query * kKeys + key)] = true;
      lists.push_back(is_new ? key : -1);
    }
  }
  // (1, heads, queries, dim) as packed sequences of one query; (1, heads, keys, dim) as pages of one key.
  std::vector<std::int32_t> begins(kQueries + 1), lengths(kQueries, kTop);
  std::iota(begins.begin(), begins.end(), 0);
  const Sequences sequences{.cu_seqlens_q = ints(begins),
                            .total_len = ints(lengths),
                            .block_table = TensorView(lists.data(), DType::kI32, {kQueries, kTop})};
  RunArgs args = problem.args();
  for (TensorView* view : {&args.k, &args.v}) {
    view->shape = {kKeys, 2, 1, 32};
    view->strides = {32, std::int64_t{kKeys} * 32, 32, 1};
  }
  args.sequences = &sequences;
  const Result<RunStats> ran = compile_or_throw(engine_for("host"), spec_of("", shape)).run(args);
  ASSERT_TRUE(ran) << render(ran.diagnostics());
  EXPECT_TRUE(is_attention(problem, {.mask = [&](const Position& p) { return listed[at(p.q_idx * kKeys + p.kv_idx)]; }}));
}

}  // namespace
}  // namespace flexjit::conformance
