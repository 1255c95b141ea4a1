// Work items as no launcher makes them yet: keys in pages of any order, queries that lie anywhere and belong to any head,
// packing piece by piece. The kernel's answer has the same bits as where all lies in one tensor.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "decode_problem.h"

namespace flexjit::test {
namespace {

using ir::Op;

constexpr int kDim = 24, kHeads = 3, kKeys = 16 * 9 + 5;

// score + 0.125 * (kv_idx - q_idx) + h: every position that an item has to tell the kernel.
ir::Program of_positions() {
  ir::ProgramBuilder b;
  const ir::Id distance = b.make(Op::kSub, {b.variable(Op::kKvIdx), b.variable(Op::kQIdx)});
  const ir::Id slope = b.make(Op::kMul, {b.make(Op::kIntToFloat, {distance}), b.const_float(0.125)});
  const ir::Id head = b.make(Op::kIntToFloat, {b.variable(Op::kHead)});
  return std::move(b).finish(b.make(Op::kAdd, {b.make(Op::kAdd, {b.variable(Op::kScore), slope}), head}), ir::Id{});
}

std::vector<float> random_rows(int rows, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(rows) * kDim);
  for (float& value : values) value = normal(random);
  return values;
}

plan::KernelKey key_of(plan::Nest nest, const plan::Target& target) {
  return plan::plan_kernel({.program = of_positions(), .nest = nest, .head_dim = kDim, .v_head_dim = kDim}, target);
}

plan::LaunchArg launch_arg() {
  return {.sinks = nullptr,
          .buffers = nullptr,
          .params = nullptr,
          .block_counts = nullptr,
          .scale = 0.25,
          .batch_size = 1,
          .num_heads = kHeads,
          .num_kv_heads = 1,
          .lse_f64 = 0};
}

plan::KeyRun run_of(const float* k, const float* v) { return {.k = k, .v = v, .k_stride = kDim, .v_stride = kDim}; }

// Zeros, 64-byte aligned.
template <typename T>
class Aligned {
 public:
  explicit Aligned(std::size_t count) : memory_(count * sizeof(T) + 64) {}
  T* data() {
    void* at = memory_.data();
    std::size_t space = memory_.size();
    return static_cast<T*>(std::align(64, space - 64, at, space));
  }

 private:
  std::vector<unsigned char> memory_;
};

struct Tensors {
  std::vector<float> q = random_rows(kHeads * 4, 1), k = random_rows(kKeys, 2), v = random_rows(kKeys, 3);
};

// The state that an item leaves: o, max, sum, scale.
std::vector<float> decoded(const runtime::Kernel& kernel, const std::vector<plan::QueryRow>& rows,
                           const std::vector<plan::SpanArg>& spans, const std::vector<plan::KeyRun>& runs) {
  const plan::LaunchArg launch = launch_arg();
  const auto count = static_cast<std::int32_t>(rows.size());
  Aligned<float> state(rows.size() * static_cast<std::size_t>(kernel.layout.v_padded + 3));
  Aligned<char> scratch(static_cast<std::size_t>(kernel.layout.scratch_bytes));
  plan::FaultArg fault{};
  plan::DecodeArg arg{};
  arg.launch = &launch;
  arg.q_len = 4;
  arg.kv_len = kKeys;
  arg.row_count = count;
  arg.span_count = static_cast<std::int32_t>(spans.size());
  arg.rows = rows.data();
  arg.spans = spans.data();
  arg.runs = runs.data();
  arg.o = state.data();
  arg.max = arg.o + std::int64_t{count} * kernel.layout.v_padded;
  arg.sum = arg.max + count;
  arg.scale = arg.sum + count;
  arg.scratch = scratch.data();
  arg.fault = &fault;
  arg.all_spans = arg.spans;
  arg.all_span_count = arg.span_count;
  arg.begins = arg.ends = 1;
  kernel.decode(&arg);
  return {arg.o, arg.scale + count};
}

// Query r / kHeads of head r % kHeads, the rows of q in an order of their own.
std::vector<plan::QueryRow> query_rows(const Tensors& tensors, int rows) {
  std::vector<plan::QueryRow> made;
  for (int r = 0; r < rows; ++r) {
    const float* q = tensors.q.data() + std::ptrdiff_t{r * 7 % (kHeads * 4)} * kDim;
    made.push_back({.q = q, .out = nullptr, .lse = nullptr, .max_scores = nullptr, .h = r % kHeads, .q_idx = r / kHeads});
  }
  return made;
}

TEST(Items, KeysOfPagesInAnyOrder) {
  Tensors tensors;
  constexpr int kPage = 16, kPages = (kKeys + kPage - 1) / kPage;
  std::vector<int> place(kPages);
  std::iota(place.begin(), place.end(), 0);
  std::shuffle(place.begin(), place.end(), std::mt19937(4));
  // K and V of a page lie beside each other; what the last page has no key for is NaN.
  std::vector<float> pool(std::size_t{kPages} * 2 * kPage * kDim, std::numeric_limits<float>::quiet_NaN());
  std::vector<plan::KeyRun> runs;
  std::vector<plan::SpanArg> spans;
  for (int page = 0; page < kPages; ++page) {
    const int begin = page * kPage, end = std::min(begin + kPage, kKeys);
    float* k = pool.data() + std::ptrdiff_t{place[static_cast<std::size_t>(page)]} * 2 * kPage * kDim;
    float* v = k + std::ptrdiff_t{kPage} * kDim;
    std::copy_n(tensors.k.data() + std::ptrdiff_t{begin} * kDim, (end - begin) * kDim, k);
    std::copy_n(tensors.v.data() + std::ptrdiff_t{begin} * kDim, (end - begin) * kDim, v);
    runs.push_back(run_of(k - std::ptrdiff_t{begin} * kDim, v - std::ptrdiff_t{begin} * kDim));
    spans.push_back({begin, end, end - begin == kPage ? plan::SpanKind::kWhole : plan::SpanKind::kCut, page});
  }
  const std::vector<plan::SpanArg> whole{{0, kKeys, plan::SpanKind::kCut}};
  for (const plan::Target& target : executable_targets()) {
    SCOPED_TRACE(plan::name_of(target));
    const runtime::Kernel kernel = kernel_of(key_of(plan::Nest::kDecode, target))->kernel;
    for (int rows : {1, 2, 5, 12}) {
      const std::vector<plan::QueryRow> queries = query_rows(tensors, rows);
      const auto expected = decoded(kernel, queries, whole, {run_of(tensors.k.data(), tensors.v.data())});
      EXPECT_EQ(decoded(kernel, queries, spans, runs), expected) << rows << " rows";
      EXPECT_TRUE(std::ranges::all_of(expected, [](float x) { return std::isfinite(x); }));
    }
  }
}

// The rows of K and of V in orders of their own, whatever the pages: each key says where its rows are.
TEST(Items, RowsOfKeysFromLists) {
  const Tensors tensors;
  constexpr int kToCome = 64 + 16;
  std::vector<int> k_place(kKeys), v_place(kKeys);
  std::iota(k_place.begin(), k_place.end(), 0);
  v_place = k_place;
  std::shuffle(k_place.begin(), k_place.end(), std::mt19937(7));
  std::shuffle(v_place.begin(), v_place.end(), std::mt19937(8));
  std::vector<float> k(tensors.k.size()), v(tensors.v.size());
  std::vector<std::int32_t> k_rows(kKeys + kToCome, 0), v_rows(kKeys + kToCome, 0);
  for (int key = 0; key < kKeys; ++key) {
    const auto at = static_cast<std::size_t>(key);
    k_rows[at] = k_place[at];
    v_rows[at] = v_place[at];
    std::copy_n(tensors.k.data() + std::ptrdiff_t{key} * kDim, kDim, k.data() + std::ptrdiff_t{k_place[at]} * kDim);
    std::copy_n(tensors.v.data() + std::ptrdiff_t{key} * kDim, kDim, v.data() + std::ptrdiff_t{v_place[at]} * kDim);
  }
  plan::KeyRun run = run_of(k.data(), v.data());
  run.k_rows = k_rows.data();
  run.v_rows = v_rows.data();
  const std::vector<plan::SpanArg> whole{{0, kKeys, plan::SpanKind::kCut}},
      some{{3, 50, plan::SpanKind::kCut}, {67, 68, plan::SpanKind::kCut}, {80, 144, plan::SpanKind::kWhole}};
  for (const plan::Target& target : executable_targets()) {
    SCOPED_TRACE(plan::name_of(target));
    const runtime::Kernel kernel = kernel_of(key_of(plan::Nest::kDecode, target))->kernel;
    for (int rows : {1, 2, 5, 12}) {
      const std::vector<plan::QueryRow> queries = query_rows(tensors, rows);
      for (const auto& spans : {whole, some}) {
        const auto expected = decoded(kernel, queries, spans, {run_of(tensors.k.data(), tensors.v.data())});
        EXPECT_EQ(decoded(kernel, queries, spans, {run}), expected) << rows << " rows";
      }
    }
  }
}

// Each row alone has the bits that it has among others.
TEST(Items, QueriesOfAnyHeadAndPosition) {
  const Tensors tensors;
  const std::vector<plan::SpanArg> whole{{0, kKeys, plan::SpanKind::kCut}};
  const std::vector<plan::KeyRun> runs{run_of(tensors.k.data(), tensors.v.data())};
  const runtime::Kernel kernel = kernel_of(key_of(plan::Nest::kDecode, plan::host_target()))->kernel;
  const std::vector<plan::QueryRow> rows = query_rows(tensors, 12);
  const std::vector<float> together = decoded(kernel, rows, whole, runs);
  const auto padded = static_cast<std::size_t>(kernel.layout.v_padded);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const std::vector<float> alone = decoded(kernel, {rows[r]}, whole, runs);
    EXPECT_TRUE(std::equal(alone.begin(), alone.begin() + kDim, together.begin() + static_cast<std::ptrdiff_t>(r * padded)))
        << r;
    EXPECT_EQ(alone[padded], together[rows.size() * padded + r]) << r;
  }
}

struct Attended {
  std::vector<float> out, lse;
};

// Queries 2 .. 5 of head 1, their results at the end of `out` first.
Attended attended(const runtime::Kernel& kernel, const Tensors& tensors, const std::vector<plan::PackArg>& pieces,
                  bool packs_v) {
  constexpr int kRows = 4;
  const plan::LaunchArg launch = launch_arg();
  Aligned<char> panels(static_cast<std::size_t>(kernel.layout.k_bytes(kKeys))),
      scratch(static_cast<std::size_t>(kernel.layout.scratch_bytes));
  Aligned<float> v_rows(std::size_t{kKeys} * static_cast<std::size_t>(kernel.layout.v_padded));
  for (plan::PackArg piece : pieces) {
    piece.launch = &launch;
    piece.kv_len = kKeys;
    piece.k_panels = panels.data();
    piece.v_rows = packs_v ? v_rows.data() : nullptr;
    kernel.pack(&piece);
  }
  Attended result{std::vector<float>(std::size_t{kRows} * kDim, -1), std::vector<float>(kRows, -1)};
  std::vector<plan::QueryRow> rows;
  for (int r = 0; r < kRows; ++r) {
    rows.push_back({.q = tensors.q.data() + std::ptrdiff_t{r * 5 % kRows} * kDim,
                    .out = result.out.data() + std::ptrdiff_t{kRows - 1 - r} * kDim,
                    .lse = r == 2 ? nullptr : &result.lse[static_cast<std::size_t>(r)],
                    .max_scores = nullptr,
                    .h = 1,
                    .q_idx = 2 + r});
  }
  const plan::SpanArg span{0, kKeys, plan::SpanKind::kCut};
  plan::FaultArg fault{};
  plan::TileArg tile{};
  tile.launch = &launch;
  tile.h = 1;
  tile.q_len = 6;
  tile.kv_len = kKeys;
  tile.q_begin = 2;
  tile.q_count = kRows;
  tile.span_count = 1;
  tile.spans = &span;
  tile.rows = rows.data();
  tile.k_panels = panels.data();
  tile.v_rows = packs_v ? static_cast<const void*>(v_rows.data()) : tensors.v.data();
  tile.v_stride = packs_v ? kernel.layout.v_padded : kDim;
  tile.scratch = scratch.data();
  tile.fault = &fault;
  kernel.attend(&tile);
  return result;
}

TEST(Items, PackedPieceByPieceAndWrittenAnywhere) {
  const Tensors tensors;
  constexpr int kCut = 64;  // a multiple of every panel
  // The second piece lies elsewhere.
  const std::vector<float> k(tensors.k.begin() + kCut * kDim, tensors.k.end()),
      v(tensors.v.begin() + kCut * kDim, tensors.v.end());
  const plan::KeyRun first = run_of(tensors.k.data(), tensors.v.data());
  const plan::KeyRun second = run_of(k.data() - std::ptrdiff_t{kCut} * kDim, v.data() - std::ptrdiff_t{kCut} * kDim);
  const auto piece = [](int begin, int end, const plan::KeyRun& run) {
    plan::PackArg arg{};
    arg.kv_begin = begin, arg.kv_end = end, arg.run = &run;
    return arg;
  };
  for (const plan::Target& target : executable_targets()) {
    SCOPED_TRACE(plan::name_of(target));
    const runtime::Kernel kernel = kernel_of(key_of(plan::Nest::kPrefill, target))->kernel;
    const Attended whole = attended(kernel, tensors, {piece(0, kKeys, first)}, kernel.layout.packs_v);
    const Attended pieces = attended(kernel, tensors, {piece(kCut, kKeys, second), piece(0, kCut, first)}, true);
    EXPECT_EQ(pieces.out, whole.out);
    EXPECT_EQ(pieces.lse, whole.lse);
    EXPECT_EQ(pieces.lse[2], -1);  // not wanted
    EXPECT_TRUE(std::ranges::none_of(whole.out, [](float x) { return x == -1 || !std::isfinite(x); }));
  }
}

}  // namespace
}  // namespace flexjit::test
