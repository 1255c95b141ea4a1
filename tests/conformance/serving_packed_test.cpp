// Packed sequences by FlashAttention's names at the sizes that the checklist gives, over packed keys and over pages, in halves
// and floats, against rows by definition.
#include <cmath>
#include <numeric>

#include "flash_layouts.h"
#include "flexjit/flash_attention.h"
#include "support/checklist.h"
#include "support/encodings.h"
#include "support/sample.h"

namespace flexjit::conformance {
namespace {

using Elements = std::vector<double>;

// Random elements, drawn once: encoding is a search.
struct Pool {
  static constexpr std::size_t kCount = 8191;
  Elements numbers;
  std::vector<unsigned char> bytes;
  std::size_t size;

  Pool(DType dtype, double deviation) : size(size_of(dtype)) {
    Random random(1);
    for (std::size_t i = 0; i < kCount; ++i)
      numbers.push_back(nearest(dtype, deviation * static_cast<double>(random.normal())));
    bytes = encode(dtype, numbers);
  }
  void append(std::size_t i, Elements& to, std::vector<unsigned char>& to_bytes) const {
    const std::size_t place = i * 31 % kCount;
    to.push_back(numbers[place]);
    to_bytes.insert(to_bytes.end(), bytes.begin() + static_cast<std::ptrdiff_t>(place * size),
                    bytes.begin() + static_cast<std::ptrdiff_t>((place + 1) * size));
  }
};

// Self-attention of sequences that are packed as (total, heads, dim), in elements of `dtype`.
struct SelfAttention {
  std::vector<std::int32_t> begins{0};
  std::int64_t heads, kv_heads, dim;
  DType dtype;
  bool causal;
  Elements q, k, v;
  std::vector<unsigned char> q_bytes, k_bytes, v_bytes, out;
  std::vector<float> lse;

  SelfAttention(const std::vector<std::int32_t>& lengths, const Shape& each, DType of, bool is_causal, double deviation)
      : heads(each.q_heads), kv_heads(each.kv_heads), dim(each.head_dim), dtype(of), causal(is_causal) {
    for (const std::int32_t length : lengths) begins.push_back(begins.back() + length);
    const Pool pool(dtype, deviation);
    std::size_t next = 0;
    for (const auto& [numbers, bytes, n] :
         {std::tuple(&q, &q_bytes, heads), {&k, &k_bytes, kv_heads}, {&v, &v_bytes, kv_heads}}) {
      for (std::int64_t i = 0; i < total() * n * dim; ++i) pool.append(next++, *numbers, *bytes);
    }
    out.assign(q_bytes.size(), 0xff);
    lse.assign(at(total() * heads), NAN);
  }
  std::int64_t total() const { return begins.back(); }
  TensorView rows(const std::vector<unsigned char>& bytes, std::int64_t n) const {
    return TensorView(bytes.data(), dtype, {total(), n, dim});
  }
  FlashAttnVarlenOptions options() {
    return {.cu_seqlens_q = ints(begins),
            .cu_seqlens_k = ints(begins),
            .out = MutableTensorView(out.data(), dtype, {total(), heads, dim}),
            .causal = causal,
            .softmax_lse = MutableTensorView(lse.data(), DType::kF32, {heads, total()})};
  }
  double out_at(std::int64_t row, std::int64_t h, std::int64_t d) const {
    return read_element(dtype, &out[at((row * heads + h) * dim + d) * size_of(dtype)]);
  }
  // Every 97th row, and the first and the last, by definition.
  void expect(double tolerance, double lse_tolerance) const {
    for (std::size_t b = 0; b + 1 < begins.size(); ++b) {
      const std::int64_t first = begins[b], length = begins[b + 1] - first;
      for (std::int64_t i = 0; i < length; i = i < length - 1 ? std::min(i + 97, length - 1) : length)
        for (std::int64_t h = 0; h < heads; ++h) expect_row(first, length, i, h, tolerance, lse_tolerance);
    }
  }
  // NOLINTNEXTLINE(bugprone-easily-swappable-parameters)
  void expect_row(std::int64_t first, std::int64_t length, std::int64_t i, std::int64_t h, double tolerance,
                  double lse_tolerance) const {
    const std::int64_t group = heads / kv_heads, last = causal ? i + 1 : length;
    const double* query = &q[at(((first + i) * heads + h) * dim)];
    Elements value(at(dim));
    double sum = 0;
    for (std::int64_t j = 0; j < last; ++j) {
      const std::size_t key = at(((first + j) * kv_heads + h / group) * dim);
      const double score = std::inner_product(query, query + dim, &k[key], 0.0) / std::sqrt(static_cast<double>(dim));
      const double weight = std::exp(score);
      sum += weight;
      for (std::size_t d = 0; d < at(dim); ++d) value[d] += weight * v[key + d];
    }
    for (std::int64_t d = 0; d < dim; ++d) ASSERT_NEAR(out_at(first + i, h, d), value[at(d)] / sum, tolerance) << i << " " << h;
    ASSERT_NEAR(lse[at(h * total() + first + i)], std::log(sum), lse_tolerance) << i << " " << h;
  }
};

TEST(ServingPacked, PackedSequencesOfEveryKind) {
  covers("P36 P37");
  const std::vector<std::int32_t> all[] = {{128, 128, 128}, {97, 200, 50}, {1, 512, 32}, {256}, {1, 1, 1, 1}, {2048}};
  Sample sample;
  for (const auto& lengths : all) {
    for (const std::int32_t kv_heads : {8, 2, 1}) {
      for (const std::int32_t dim : {64, 128}) {
        for (const bool causal : {false, true}) {
          if (!sample.next()) continue;
          SelfAttention s(lengths, {.q_heads = 8, .kv_heads = kv_heads, .head_dim = dim}, DType::kF16, causal, 0.1);
          const auto result = flash_attn_varlen_func(engine_for("host"), s.rows(s.q_bytes, 8), s.rows(s.k_bytes, kv_heads),
                                                     s.rows(s.v_bytes, kv_heads), s.options());
          ASSERT_TRUE(result) << render(result.diagnostics());
          s.expect(1e-3, 1e-4);
        }
      }
    }
  }
}

// The rows of keys in pages, in any order; a page at the end belongs to nobody.
struct InPages {
  std::vector<unsigned char> k, v;
  std::vector<std::int32_t> table;
  std::int64_t max_pages = 0, pages = 1;

  InPages(const SelfAttention& s, std::int64_t page_size) {
    const auto batch = static_cast<std::int64_t>(s.begins.size()) - 1;
    for (std::int64_t b = 0; b < batch; ++b) {
      const std::int64_t own = (s.begins[at(b + 1)] - s.begins[at(b)] + page_size - 1) / page_size;
      max_pages = std::max(max_pages, own);
      pages += own;
    }
    table.assign(at(batch * max_pages), -1);
    const auto row_bytes = static_cast<std::int64_t>(at(s.kv_heads * s.dim) * size_of(s.dtype));
    k.assign(at(pages * page_size * row_bytes), 0xff);
    v = k;
    std::int64_t next = pages - 1;
    for (std::int64_t b = 0; b < batch; ++b) {
      for (std::int64_t row = s.begins[at(b)]; row < s.begins[at(b + 1)]; ++row) {
        const std::int64_t key = row - s.begins[at(b)];
        std::int32_t& page = table[at(b * max_pages + key / page_size)];
        if (key % page_size == 0) page = static_cast<std::int32_t>(--next);
        const std::int64_t to = (page * page_size + key % page_size) * row_bytes;
        std::copy_n(&s.k_bytes[at(row * row_bytes)], row_bytes, &k[at(to)]);
        std::copy_n(&s.v_bytes[at(row * row_bytes)], row_bytes, &v[at(to)]);
      }
    }
  }
};

TEST(ServingPacked, PackedQueriesOverPages) {
  covers("P34 P12 D49");
  const std::vector<std::int32_t> all[] = {{64, 32}, {33, 17, 25}, {128}, {48, 0, 16}};
  for (const auto& lengths : all) {
    for (const std::int64_t page_size : {16, 32}) {
      for (const bool causal : {false, true}) {
        for (const DType dtype : {DType::kF32, DType::kF16}) {
          const Shape each{.q_heads = 4, .kv_heads = 2, .head_dim = 64};
          SelfAttention packed(lengths, each, dtype, causal, 1), paged = packed;
          const InPages pages(packed, page_size);
          const TensorView q = packed.rows(packed.q_bytes, 4);
          ASSERT_TRUE(flash_attn_varlen_func(engine_for("host"), q, packed.rows(packed.k_bytes, 2),
                                             packed.rows(packed.v_bytes, 2), packed.options()));
          FlashAttnVarlenOptions options = paged.options();
          options.block_table =
              TensorView(pages.table.data(), DType::kI32, {static_cast<std::int64_t>(lengths.size()), pages.max_pages});
          const TensorView k(pages.k.data(), dtype, {pages.pages, page_size, 2, 64}), v(pages.v.data(), dtype, k.shape);
          const auto result = flash_attn_varlen_func(engine_for("host"), q, k, v, options);
          ASSERT_TRUE(result) << render(result.diagnostics());
          EXPECT_EQ(paged.out, packed.out);
          EXPECT_EQ(paged.lse, packed.lse);
          paged.expect(dtype == DType::kF32 ? 1e-5 : 2e-3, 1e-4);
          // More keys than the pages of a sequence hold.
          std::vector<std::int32_t> more(lengths.size(), static_cast<std::int32_t>(pages.max_pages * page_size));
          more[0] += 1;
          options.seqused_k = ints(more);
          const auto refused = flash_attn_varlen_func(engine_for("host"), q, k, v, options);
          ASSERT_FALSE(refused);
          EXPECT_EQ(refused.diagnostics()[0].kind, "page-capacity");
        }
      }
    }
  }
}

}  // namespace
}  // namespace flexjit::conformance
