// flash_attn_with_kvcache: lengths, appends, rotation, left pads, pages and errors, against attention over what the cache
// should hold, which is written down here position by position.
#include <cmath>
#include <numbers>

#include "flash_layouts.h"
#include "flexjit/flash_attention.h"
#include "on_backends.h"
#include "support/checklist.h"

namespace flexjit::conformance {
namespace {

constexpr std::int64_t kHeads = 4, kKvHeads = 2, kDim = 32, kRow = kKvHeads * kDim;

struct CacheCase {
  std::int64_t batch = 3, seqlen_q = 1, fresh = 1, capacity = 64, page_size = 0;  // 0: no pages
  std::vector<std::int32_t> past{20, 0, 63}, leftpad{}, batch_idx{};
  double rotary = 0;  // part of the dims
  bool interleaved = true, causal = true;
  std::array<int, 2> window{-1, -1};
};

using Floats = std::vector<float>;
TensorView floats(const Floats& of, const std::vector<std::int64_t>& shape) {
  return TensorView(of.data(), DType::kF32, shape);
}
MutableTensorView floats(Floats& of, const std::vector<std::int64_t>& shape) {
  return MutableTensorView(of.data(), DType::kF32, shape);
}

struct CacheProblem {
  CacheCase c;
  std::int64_t entries, pages_each = 0;
  Floats q, k, v, k_cache, v_cache, out, lse, cos, sin;
  std::vector<std::int32_t> table;

  explicit CacheProblem(CacheCase given) : c(std::move(given)), entries(c.batch + 2) {
    Random random(static_cast<std::uint64_t>(c.seqlen_q * 100 + c.fresh));
    q = random.normals(at(c.batch * c.seqlen_q * kHeads * kDim));
    k = random.normals(at(c.batch * c.fresh * kRow));
    v = random.normals(k.size());
    if (c.page_size > 0) {
      pages_each = c.capacity / c.page_size;
      for (std::int32_t i = 0; i < c.batch * pages_each; ++i)
        table.push_back((i * 7 + 3) % static_cast<std::int32_t>(c.batch * pages_each));
    } else if (c.batch_idx.empty()) {
      entries = c.batch;
    }
    k_cache.assign(at((c.page_size > 0 ? c.batch : entries) * c.capacity * kRow), NAN);
    v_cache = k_cache;
    for (std::int64_t b = 0; b < c.batch; ++b) {
      for (std::int64_t row = pad(b); row < c.past[at(b)]; ++row) {
        for (std::int64_t e = 0; e < kRow; ++e) {
          k_cache[at(place(b, row) * kRow + e)] = random.normal();
          v_cache[at(place(b, row) * kRow + e)] = random.normal();
        }
      }
    }
    out.assign(q.size(), NAN);
    lse.assign(at(c.batch * kHeads * c.seqlen_q), NAN);
    for (std::int64_t p = 0; p < 2 * c.capacity; ++p) {
      for (std::int64_t j = 0; j < rotary_dim() / 2; ++j) {
        const double angle =
            static_cast<double>(p) * std::pow(100.0, -2.0 * static_cast<double>(j) / static_cast<double>(rotary_dim()));
        cos.push_back(static_cast<float>(std::cos(angle)));
        sin.push_back(static_cast<float>(std::sin(angle)));
      }
    }
  }
  std::int64_t pad(std::int64_t b) const { return c.leftpad.empty() ? 0 : c.leftpad[at(b)]; }
  std::int64_t rotary_dim() const { return static_cast<std::int64_t>(c.rotary * kDim); }
  // Row of the cache, counted over entries or pages.
  std::int64_t place(std::int64_t b, std::int64_t row) const {
    if (c.page_size > 0) return table[at(b * pages_each + row / c.page_size)] * c.page_size + row % c.page_size;
    return (c.batch_idx.empty() ? b : c.batch_idx[at(b)]) * c.capacity + row;
  }
  FlashAttnKvcacheOptions options() {
    FlashAttnKvcacheOptions o{.out = floats(out, {c.batch, c.seqlen_q, kHeads, kDim}),
                              .cache_seqlens = ints(c.past),
                              .cache_batch_idx = ints(c.batch_idx),
                              .cache_leftpad = ints(c.leftpad),
                              .causal = c.causal,
                              .window_size = c.window,
                              .rotary_interleaved = c.interleaved,
                              .return_softmax_lse = true,
                              .softmax_lse = MutableTensorView(lse.data(), DType::kF32, {c.batch, kHeads, c.seqlen_q})};
    if (c.fresh > 0) {
      o.k = floats(std::as_const(k), {c.batch, c.fresh, kKvHeads, kDim});
      o.v = floats(std::as_const(v), {c.batch, c.fresh, kKvHeads, kDim});
    }
    if (rotary_dim() > 0) {
      o.rotary_cos = floats(std::as_const(cos), {2 * c.capacity, rotary_dim() / 2});
      o.rotary_sin = floats(std::as_const(sin), {2 * c.capacity, rotary_dim() / 2});
    }
    if (c.page_size > 0) o.block_table = TensorView(table.data(), DType::kI32, {c.batch, pages_each});
    return o;
  }
  std::vector<std::int64_t> cache_shape() const {
    if (c.page_size > 0) return {c.batch * pages_each, c.page_size, kKvHeads, kDim};
    return {entries, c.capacity, kKvHeads, kDim};
  }
  Result<RunStats> run(Engine& engine, const FlashAttnKvcacheOptions& options) {
    return flash_attn_with_kvcache(engine, floats(std::as_const(q), {c.batch, c.seqlen_q, kHeads, kDim}),
                                   floats(k_cache, cache_shape()), floats(v_cache, cache_shape()), options);
  }
  void rotate(float* row, std::int64_t position) const {
    const std::int64_t half = rotary_dim() / 2;
    for (std::int64_t j = 0; j < half; ++j) {
      float& x = row[c.interleaved ? 2 * j : j];
      float& y = row[c.interleaved ? 2 * j + 1 : j + half];
      const double s = sin[at(position * half + j)], t = cos[at(position * half + j)], x0 = x, y0 = y;
      x = static_cast<float>(x0 * t - y0 * s);
      y = static_cast<float>(y0 * t + x0 * s);
    }
  }
  // The same by definition, from the caches as they were before the call.
  void expect(const Floats& k_before, const Floats& v_before) {
    Floats k_after = k_before, v_after = v_before;
    const bool by_query = c.causal || c.window[0] >= 0 || c.window[1] >= 0;
    for (std::int64_t b = 0; b < c.batch; ++b) {
      for (std::int64_t i = 0; i < c.fresh; ++i) {
        const std::int64_t row = c.past[at(b)] + i;
        std::copy_n(&k[at((b * c.fresh + i) * kRow)], kRow, &k_after[at(place(b, row) * kRow)]);
        std::copy_n(&v[at((b * c.fresh + i) * kRow)], kRow, &v_after[at(place(b, row) * kRow)]);
        for (std::int64_t h = 0; h < kKvHeads; ++h) rotate(&k_after[at(place(b, row) * kRow + h * kDim)], row);
      }
    }
    for (std::size_t i = 0; i < k_after.size(); ++i) {
      ASSERT_EQ(std::isnan(k_after[i]), std::isnan(k_cache[i])) << i;
      if (!std::isnan(k_after[i])) {
        ASSERT_NEAR(k_after[i], k_cache[i], 1e-5) << i;
      }
      ASSERT_TRUE(std::isnan(v_after[i]) ? std::isnan(v_cache[i]) : v_after[i] == v_cache[i]) << i;
    }
    for (std::int64_t b = 0; b < c.batch; ++b) {
      const std::int64_t total = c.past[at(b)] + c.fresh - pad(b);
      for (std::int64_t h = 0; h < kHeads; ++h) {
        for (std::int64_t i = 0; i < c.seqlen_q; ++i) {
          Floats query(&q[at(((b * c.seqlen_q + i) * kHeads + h) * kDim)],
                       &q[at(((b * c.seqlen_q + i) * kHeads + h) * kDim)] + kDim);
          rotate(query.data(), c.past[at(b)] + (by_query ? i : 0));
          const std::int64_t diagonal = i + total - c.seqlen_q;
          Real sum = 0;
          std::vector<Real> value(at(kDim));
          for (std::int64_t key = 0; key < total; ++key) {
            const std::int64_t right = c.causal ? 0 : c.window[1] < 0 ? total + c.capacity : c.window[1];
            const std::int64_t left = c.window[0] < 0 ? total + c.capacity : c.window[0];
            if (key > diagonal + right || key < diagonal - left) continue;
            const std::int64_t begin = place(b, pad(b) + key) * kRow + h / 2 * kDim;
            Real score = 0;
            for (std::int64_t d = 0; d < kDim; ++d) score += Real(query[at(d)]) * k_after[at(begin + d)];
            const Real weight = std::exp(score / std::sqrt(Real(kDim)));
            sum += weight;
            for (std::int64_t d = 0; d < kDim; ++d) value[at(d)] += weight * v_after[at(begin + d)];
          }
          for (std::int64_t d = 0; d < kDim; ++d)
            ASSERT_NEAR(out[at(((b * c.seqlen_q + i) * kHeads + h) * kDim + d)],
                        static_cast<double>(sum > 0 ? value[at(d)] / sum : 0), 2e-5)
                << b << " " << h << " " << i;
          if (sum > 0) {
            ASSERT_NEAR(lse[at((b * kHeads + h) * c.seqlen_q + i)], static_cast<double>(std::log(sum)), 2e-5);
          }
        }
      }
    }
  }
};

class FlashKvcache : public OnBackends {
 protected:
  static void shows(const CacheCase& c) {
    CacheProblem p(c);
    const Floats k_before = p.k_cache, v_before = p.v_cache;
    const Result<RunStats> result = p.run(engine(), p.options());
    ASSERT_TRUE(result) << render(result.diagnostics());
    p.expect(k_before, v_before);
  }
};

TEST_P(FlashKvcache, AppendsAndAttends) {
  covers("D01 D14 D16 D17 D18 D19 D20 D22 D34 D47 C16 P35");
  for (const std::int64_t page_size : {0, 1, 4, 16}) {
    for (const double rotary : {0.0, 0.5, 1.0}) {
      for (const bool interleaved : {false, true}) {
        for (const bool causal : {false, true}) {
          SCOPED_TRACE(std::to_string(page_size) + " " + std::to_string(rotary) + (interleaved ? " interleaved" : "") +
                       (causal ? " causal" : ""));
          CacheCase c{.page_size = page_size, .rotary = rotary, .interleaved = interleaved, .causal = causal};
          shows(c);
          c.seqlen_q = c.fresh = 6;
          c.past = {20, 0, 58};
          shows(c);
          c.window = {9, 2};
          shows(c);
          c.fresh = 2;  // fewer keys than queries
          shows(c);
          if (page_size > 0) continue;
          c.window = {-1, -1};
          c.batch_idx = {4, 0, 2};
          shows(c);
          c.leftpad = {5, 0, 58};
          shows(c);
        }
      }
    }
  }
}

TEST_P(FlashKvcache, WithoutNewKeys) {
  covers("D14 D15 E15");
  CacheCase c{.seqlen_q = 3, .fresh = 0, .past = {20, 7, 64}, .causal = false};
  shows(c);
  c.past = {64, 64, 64};
  shows(c);
  CacheProblem all(c), one(c);
  FlashAttnKvcacheOptions without = all.options(), as_int = one.options();
  without.cache_seqlens = {};
  as_int.cache_seqlens = 64;
  const Floats before = all.k_cache;
  ASSERT_TRUE(all.run(engine(), without));
  ASSERT_TRUE(one.run(engine(), as_int));
  EXPECT_EQ(all.out, one.out);
  EXPECT_EQ(all.k_cache, before);
}

// Splits follow from lengths: what num_splits asks for changes no bit, of caches that are cut and of those that are not.
TEST_P(FlashKvcache, SplitsAreAHint) {
  covers("D21 D36");
  const CacheCase c{.capacity = 1600, .past = {1599, 0, 700}};
  CacheProblem unset(c);
  const Floats k_before = unset.k_cache, v_before = unset.v_cache;
  ASSERT_TRUE(unset.run(engine(), unset.options()));
  unset.expect(k_before, v_before);
  for (const int splits : {0, 1, 2, 7, 128}) {
    CacheProblem given(c);
    FlashAttnKvcacheOptions options = given.options();
    options.num_splits = splits;
    ASSERT_TRUE(given.run(engine(), options));
    EXPECT_EQ(unset.out, given.out) << splits;
    EXPECT_EQ(unset.lse, given.lse) << splits;
  }
}

// Whatever num_splits says and whoever is beside it.
TEST_P(FlashKvcache, ARowIsThatOfABatchOfOne) {
  covers("D53 D21 I16");
  const CacheCase c{.batch = 8, .seqlen_q = 2, .fresh = 0, .capacity = 1600, .past = {1600, 0, 700, 513, 512, 511, 1, 1024}};
  CacheProblem together(c), alone(c);
  ASSERT_TRUE(together.run(engine(), together.options()));
  const std::int64_t row = c.seqlen_q * kHeads * kDim;
  for (std::int32_t b = 0; b < c.batch; ++b) {
    const std::vector<std::int32_t> past{c.past[at(b)]}, entry{b};
    FlashAttnKvcacheOptions options = alone.options();
    options.out = MutableTensorView(&alone.out[at(b * row)], DType::kF32, {1, c.seqlen_q, kHeads, kDim});
    options.softmax_lse = MutableTensorView(&alone.lse[at(b * kHeads * c.seqlen_q)], DType::kF32, {1, kHeads, c.seqlen_q});
    options.cache_seqlens = ints(past);
    options.cache_batch_idx = ints(entry);
    options.num_splits = b * 16;
    const TensorView q(&alone.q[at(b * row)], DType::kF32, {1, c.seqlen_q, kHeads, kDim});
    const Result<RunStats> ran = flash_attn_with_kvcache(engine(), q, floats(alone.k_cache, alone.cache_shape()),
                                                         floats(alone.v_cache, alone.cache_shape()), options);
    ASSERT_TRUE(ran) << render(ran.diagnostics());
  }
  EXPECT_EQ(alone.out, together.out);
  EXPECT_EQ(alone.lse, together.lse);
}

struct WrongCache {
  const char* expected;
  std::int64_t page_size;
  std::function<void(CacheProblem& p, FlashAttnKvcacheOptions& o)> breakage;
};

TEST(FlashKvcacheErrors, NameTheIndexAndLeaveTheCache) {
  covers("D13 D15 D20 P05 C15");
  using P = CacheProblem&;
  using O = FlashAttnKvcacheOptions&;
  const std::vector<WrongCache> all = {
      {"k and v are given together or not at all", 0, [](P, O o) { o.v = {}; }},
      {"k is given without cache_seqlens", 0, [](P, O o) { o.cache_seqlens = {}; }},
      {"cache_seqlens[1] is 65; it must be 0 to 64", 0, [](P p, O) { p.c.past[1] = 65; }},
      {"cache_seqlens is -1; it must be 0 to 64", 0, [](P, O o) { o.cache_seqlens = -1; }},
      {"cache_seqlens is i64; it must be i32", 0, [](P, O o) { o.cache_seqlens.of_each.dtype = DType::kI64; }},
      {"sequence 2 would have 65 keys, 1 of them new, but an entry of k_cache holds 64", 0, [](P p, O) { p.c.past[2] = 64; }},
      {"sequence 2 would have 65 keys, 1 of them new, but the pages of a row of block_table hold 64", 16,
       [](P p, O) { p.c.past[2] = 64; }},
      {"block_table[1, 0] is 12; it must be", 16, [](P p, O) { p.table[4] = 12; }},
      {"block_table is i64; it must be i32", 16, [](P, O o) { o.block_table.dtype = DType::kI64; }},
      {"block_table and cache_leftpad are both given", 16,
       [](P p, O o) { p.c.leftpad = {0, 0, 0}, o.cache_leftpad = ints(p.c.leftpad); }},
      {"cache_batch_idx[0] is 3; it must be 0 to 2", 0,
       [](P p, O o) { p.c.batch_idx = {3, 0, 1}, o.cache_batch_idx = ints(p.c.batch_idx); }},
      {"both append to", 0,
       [](P p, O o) { p.c.batch_idx = {1, 1, 0}, p.c.past = {20, 20, 20}, o.cache_batch_idx = ints(p.c.batch_idx); }},
      {"cache_leftpad[1] is 2; it must be 0 to 1", 0,
       [](P p, O o) { p.c.leftpad = {0, 2, 0}, o.cache_leftpad = ints(p.c.leftpad); }},
      {"rotary_cos and rotary_sin are given together", 0, [](P p, O o) { o.rotary_cos = floats(std::as_const(p.q), {64, 2}); }},
      {"the number of positions in rotary.cos is 63; position 63 is looked up", 0,
       [](P p, O o) { o.rotary_cos = o.rotary_sin = floats(std::as_const(p.q), {63, 4}); }},
      {"num_splits is 129; give 0 to 128", 0, [](P, O o) { o.num_splits = 129; }},
      {"return_softmax_lse is set", 0, [](P, O o) { o.softmax_lse = {}; }},
      {"k has batch 2, but", 0, [](P, O o) { o.k.shape[0] = o.v.shape[0] = 2; }},
      {"k_cache has batch 2, but", 0, [](P p, O) { p.entries = 2; }},
  };
  for (const WrongCache& wrong : all) {
    CacheProblem p({.page_size = wrong.page_size});
    FlashAttnKvcacheOptions options = p.options();
    const Floats before = p.k_cache;
    wrong.breakage(p, options);
    const Result<RunStats> result = p.run(engine_for("host"), options);
    ASSERT_FALSE(result) << wrong.expected;
    EXPECT_NE(render(result.diagnostics()).find(wrong.expected), std::string::npos) << wrong.expected << "\n"
                                                                                    << render(result.diagnostics());
    EXPECT_EQ(std::memcmp(p.k_cache.data(), before.data(), before.size() * sizeof(float)), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, FlashKvcache, testing::ValuesIn(backends_here()), name_of_backend);

}  // namespace
}  // namespace flexjit::conformance
