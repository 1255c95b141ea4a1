// FlashAttention's calls by name on packed sequences and pages.
#include <cmath>

#include "flash_layouts.h"
#include "flexjit/flash_attention.h"
#include "on_backends.h"
#include "support/checklist.h"

namespace flexjit::conformance {
namespace {

struct Length {
  std::int32_t q = 0, kv = 0;
};

// Sequences that are packed as FlashAttention wants them, from the first row to the last; `spare` rows of each belong to it
// but are not used, `pad` keys stand before those that count.
struct Packed {
  std::vector<Problem> problems;
  std::vector<std::int32_t> cu_q{0}, cu_k{0}, used_q, used_k, pad;
  std::vector<float> q, k, v, out, lse;
  std::int64_t heads, kv_heads, dim;

  Packed(const std::vector<Length>& lengths, const Shape& each, std::int32_t spare = 0, std::int32_t padding = 0)
      : heads(each.q_heads), kv_heads(each.kv_heads), dim(each.head_dim) {
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      Shape shape = each;
      shape.q_len = lengths[i].q;
      shape.kv_len = lengths[i].kv;
      problems.emplace_back(shape, Types{}, i + 1);
      pad.push_back(padding == 0 ? 0 : static_cast<std::int32_t>(i) % (padding + 1));
      used_q.push_back(shape.q_len);
      used_k.push_back(shape.kv_len + pad.back());
      cu_q.push_back(cu_q.back() + shape.q_len + spare);
      cu_k.push_back(cu_k.back() + shape.kv_len + pad.back() + spare);
    }
    q.assign(at(cu_q.back() * heads * dim), NAN);
    k.assign(at(cu_k.back() * kv_heads * dim), NAN);
    v = k;
    out = q;
    lse.assign(at(cu_q.back() * heads), NAN);
    for (std::size_t i = 0; i < problems.size(); ++i) {
      copy_in(problems[i].q, cu_q[i], heads, q);
      copy_in(problems[i].k, cu_k[i] + pad[i], kv_heads, k);
      copy_in(problems[i].v, cu_k[i] + pad[i], kv_heads, v);
    }
  }
  void copy_in(const Tensor& from, std::int64_t row, std::int64_t n, std::vector<float>& to) const {
    const std::int64_t length = static_cast<std::int64_t>(from.size()) / n / dim;
    for (std::int64_t i = 0; i < length * n * dim; ++i)
      to[at(((row + i / dim % length) * n + i / dim / length) * dim + i % dim)] = static_cast<float>(from[at(i)]);
  }
  TensorView view(const std::vector<float>& of, std::int64_t n) const {
    return TensorView(of.data(), DType::kF32, {static_cast<std::int64_t>(of.size()) / n / dim, n, dim});
  }
  FlashAttnVarlenOptions options() {
    return {.cu_seqlens_q = ints(cu_q),
            .cu_seqlens_k = ints(cu_k),
            .out = MutableTensorView(out.data(), DType::kF32, {cu_q.back(), heads, dim}),
            .softmax_lse = MutableTensorView(lse.data(), DType::kF32, {heads, cu_q.back()})};
  }
  // Every row of a sequence as the oracle has it; every other one untouched.
  ::testing::AssertionResult is_attention(const std::function<bool(const Shape&, const Position&)>& mask = {}) {
    for (std::size_t i = 0; i < problems.size(); ++i) {
      Problem& p = problems[i];
      const std::int64_t length = p.shape.q_len;
      p.out.fill([&](std::size_t e) {
        const std::int64_t d = static_cast<std::int64_t>(e) % dim, row = static_cast<std::int64_t>(e) / dim;
        return out[at(((cu_q[i] + row % length) * heads + row / length) * dim + d)];
      });
      for (std::int64_t h = 0; h < heads; ++h)
        for (std::int64_t row = 0; row < length; ++row) p.lse[at(h * length + row)] = lse[at(h * cu_q.back() + cu_q[i] + row)];
      OraclePattern pattern;
      if (mask) pattern.mask = [&](const Position& at_) { return mask(p.shape, at_); };
      if (auto good = test::is_attention(p, pattern, kNear); !good) return good << " in sequence " << i;
      for (std::int64_t row = cu_q[i] + length; row < cu_q[i + 1]; ++row)
        if (!std::isnan(out[at(row * heads * dim)]) || !std::isnan(lse[at(row)]))
          return ::testing::AssertionFailure() << "row " << row << " is of no sequence, but written";
    }
    return ::testing::AssertionSuccess();
  }
};

bool causal(const Shape& shape, const Position& p) { return p.kv_idx <= p.q_idx + shape.kv_len - shape.q_len; }

const std::vector<Length> kLengths{{5, 20}, {0, 3}, {1, 64}, {40, 40}, {7, 0}, {30, 9}, {1, 1}};
const Shape kEach{.q_heads = 4, .kv_heads = 2, .head_dim = 32};

class FlashVarlen : public OnBackends {
 protected:
  static Result<FlashAttnResult> call(const Packed& p, const FlashAttnVarlenOptions& options) {
    return flash_attn_varlen_func(engine(), p.view(p.q, p.heads), p.view(p.k, p.kv_heads), p.view(p.v, p.kv_heads), options);
  }
};

TEST_P(FlashVarlen, EachSequenceAlone) {
  covers("D01 D03 D09 D25 D33 D37 D52 P35");
  for (const std::int32_t spare : {0, 3}) {
    for (const std::int32_t padding : {0, 4}) {
      for (const bool is_causal : {false, true}) {
        Packed p(kLengths, kEach, spare, padding);
        FlashAttnVarlenOptions options = p.options();
        options.causal = is_causal;
        if (spare > 0 || padding > 0) {
          options.seqused_q = ints(p.used_q);
          options.seqused_k = ints(p.used_k);
        }
        if (padding > 0) options.leftpad_k = ints(p.pad);
        const Result<FlashAttnResult> result = call(p, options);
        ASSERT_TRUE(result) << render(result.diagnostics());
        EXPECT_TRUE(is_causal ? p.is_attention(causal) : p.is_attention()) << spare << " " << padding;
      }
    }
  }
}

TEST_P(FlashVarlen, WindowsAndTexts) {
  covers("D04 D40 D41");
  Packed p(kLengths, kEach);
  FlashAttnVarlenOptions options = p.options();
  options.window_size = {4, 2};
  options.mask_mod = "kv_idx % 3 != 1 || q_idx == kv_idx";
  ASSERT_TRUE(call(p, options));
  EXPECT_TRUE(p.is_attention([](const Shape& shape, const Position& at_) {
    const std::int32_t distance = at_.q_idx + shape.kv_len - shape.q_len - at_.kv_idx;
    return distance <= 4 && -distance <= 2 && (at_.kv_idx % 3 != 1 || at_.q_idx == at_.kv_idx);
  }));
}

TEST_P(FlashVarlen, PackedTensors) {
  covers("D01 P37");
  const Shape each{.q_heads = 2, .kv_heads = 2, .head_dim = 16};
  for (const std::int64_t parts : {3, 2}) {
    Packed p({{5, 5}, {1, 1}, {0, 0}, {40, 40}}, each), dense = p;
    std::vector<float> packed;
    for (std::int64_t row = 0; row < p.cu_q.back(); ++row)
      for (const std::vector<float>* from : {&p.q, &p.k, &p.v})
        if (parts == 3 || from != &p.q) packed.insert(packed.end(), from->begin() + row * 32, from->begin() + (row + 1) * 32);
    const PackedView view(packed.data(), DType::kF32, {p.cu_q.back(), parts, 2, 16});
    FlashAttnVarlenOptions options = p.options();
    options.causal = true;
    if (parts == 3)
      flash_attn_varlen_qkvpacked_func(engine(), view, options).value();
    else
      flash_attn_varlen_kvpacked_func(engine(), p.view(p.q, 2), view, options).value();
    FlashAttnVarlenOptions of_dense = dense.options();
    of_dense.causal = true;
    ASSERT_TRUE(call(dense, of_dense));
    EXPECT_EQ(p.out, dense.out);
    EXPECT_EQ(p.lse, dense.lse);
    EXPECT_TRUE(p.is_attention(causal));
  }
}

TEST_P(FlashVarlen, Pages) {
  covers("D20 D34 D49");
  for (const std::int64_t page_size : {1, 4, 16, 64}) {
    Packed p(kLengths, kEach);
    std::vector<std::int32_t> table;
    const std::int64_t max_pages = 64 / page_size + 1;
    std::vector<float> k, v;
    std::int32_t next = 0;
    for (std::size_t i = 0; i < kLengths.size(); ++i) {
      for (std::int64_t page = 0; page < max_pages; ++page) {
        const std::int64_t first = page * page_size, count = std::min<std::int64_t>(kLengths[i].kv - first, page_size);
        table.push_back(count > 0 ? next++ : -1);
        for (std::int64_t row = 0; row < page_size && count > 0; ++row) {
          for (std::int64_t e = 0; e < 64; ++e) {
            k.push_back(row < count ? p.k[at((p.cu_k[i] + first + row) * 64 + e)] : NAN);
            v.push_back(row < count ? p.v[at((p.cu_k[i] + first + row) * 64 + e)] : NAN);
          }
        }
      }
    }
    FlashAttnVarlenOptions options = p.options();
    options.causal = true;
    options.block_table = TensorView(table.data(), DType::kI32, {static_cast<std::int64_t>(kLengths.size()), max_pages});
    const TensorView k_pages(k.data(), DType::kF32, {next, page_size, 2, 32}), v_pages(v.data(), DType::kF32, k_pages.shape);
    const Result<FlashAttnResult> result = flash_attn_varlen_func(engine(), p.view(p.q, 4), k_pages, v_pages, options);
    ASSERT_TRUE(result) << render(result.diagnostics());
    EXPECT_TRUE(p.is_attention(causal)) << page_size;
    options.max_seqlen_k = 64;
    table[0] = next;
    const auto wrong = flash_attn_varlen_func(engine(), p.view(p.q, 4), k_pages, v_pages, options);
    EXPECT_NE(render(wrong.diagnostics()).find("block_table[0, 0] is " + std::to_string(next)), std::string::npos);
  }
}

// Rows that a shorter sequence lacks have weights of 0.
TEST_P(FlashVarlen, WeightsOfEachSequence) {
  Packed p({{3, 5}, {0, 4}, {6, 2}, {2, 0}}, kEach);
  FlashAttnVarlenOptions options = p.options();
  options.return_attn_probs = true;
  const FlashAttnResult result = call(p, options).value();
  ASSERT_EQ(result.s_dmask.size(), at(4 * 4 * 6 * 5));
  for (std::int64_t row = 0; row < 4 * 4 * 6; ++row) {
    const Shape& shape = p.problems[at(row / 24)].shape;
    float sum = 0;
    for (std::int64_t kv = 0; kv < 5; ++kv) sum += result.s_dmask[at(row * 5 + kv)];
    EXPECT_NEAR(sum, row % 6 < shape.q_len && shape.kv_len > 0 ? 1 : 0, 1e-6) << row;
  }
}

struct WrongVarlen {
  const char* expected;
  std::function<void(Packed& p, FlashAttnVarlenOptions& options)> breakage;
};

TEST(FlashVarlenErrors, NameTheIndexAndTheLimit) {
  covers("P35 D13");
  using P = Packed&;
  using O = FlashAttnVarlenOptions&;
  const std::vector<WrongVarlen> all = {
      {"cu_seqlens_q is not given", [](P, O o) { o.cu_seqlens_q = {}; }},
      {"cu_seqlens_k is not given", [](P, O o) { o.cu_seqlens_k = {}; }},
      {"cu_seqlens_q is i64; it must be i32", [](P, O o) { o.cu_seqlens_q.dtype = DType::kI64; }},
      {"cu_seqlens_q has 1 numbers; it needs 2 or more", [](P, O o) { o.cu_seqlens_q.shape[0] = 1; }},
      {"cu_seqlens_k has numbers 2, but cu_seqlens_q has 3", [](P, O o) { o.cu_seqlens_k.shape[0] = 2; }},
      {"cu_seqlens_q[2] is 3; it must be 4 to 9: no less than the one before", [](P p, O) { p.cu_q[2] = 3; }},
      {"cu_seqlens_q[2] is 8; it must be 9, the number of rows of q", [](P p, O) { p.cu_q[2] = 8; }},
      {"cu_seqlens_q[0] is 1; it must be 0", [](P p, O) { p.cu_q[0] = 1; }},
      {"cu_seqlens_k[2] is 17; it must be 6 to 16", [](P p, O) { p.cu_k[2] = 17; }},
      {"seqused_k[1] is 11; it must be 0 to 10", [](P p, O o) { p.used_k = {6, 11}, o.seqused_k = ints(p.used_k); }},
      {"seqused_q[0] is -1; it must be 0 to 4", [](P p, O o) { p.used_q = {-1, 5}, o.seqused_q = ints(p.used_q); }},
      {"seqused_k has sequences 1, but cu_seqlens_q (less 1) has 2",
       [](P p, O o) { p.used_k = {6}, o.seqused_k = ints(p.used_k); }},
      {"leftpad_k[0] is 7; it must be 0 to 6", [](P p, O o) { p.pad = {7, 0}, o.leftpad_k = ints(p.pad); }},
      {"max_seqlen_q is 4; sequence 1 has a length of 5", [](P, O o) { o.max_seqlen_q = 4; }},
      {"max_seqlen_k is 9; sequence 1 has a length of 10", [](P, O o) { o.max_seqlen_k = 9; }},
      {"out has q_len 8, but q has 9", [](P, O o) { o.out.shape[0] = 8; }},
      {"softmax_lse has 3 dimensions; it must have 2: (heads_q, total_q)", [](P, O o) { o.softmax_lse.rank = 3; }},
  };
  for (const WrongVarlen& wrong : all) {
    Packed p({{4, 6}, {5, 10}}, kEach);
    FlashAttnVarlenOptions options = p.options();
    const TensorView q = p.view(p.q, 4), k = p.view(p.k, 2), v = p.view(p.v, 2);
    wrong.breakage(p, options);
    const Result<FlashAttnResult> result = flash_attn_varlen_func(engine_for("host"), q, k, v, options);
    ASSERT_FALSE(result) << wrong.expected;
    EXPECT_NE(render(result.diagnostics()).find(wrong.expected), std::string::npos) << wrong.expected << "\n"
                                                                                    << render(result.diagnostics());
    EXPECT_TRUE(std::isnan(p.out[0]));
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, FlashVarlen, testing::ValuesIn(backends_here()), name_of_backend);

}  // namespace
}  // namespace flexjit::conformance
