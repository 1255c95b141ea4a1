// Attention::mask_elements against the masks written down in C++, and what it says of regions that do not exist.
#include <gtest/gtest.h>

#include <functional>

#include "flexjit/flexjit.h"

namespace flexjit::test {
namespace {

Attention reference_attention(const std::string& program) {
  EngineOptions options;
  options.backend = Backend::kReference;
  AttentionSpec spec;
  spec.program = program;
  return Engine(options).compile(spec).value();
}

void expect_elements(const std::vector<std::uint8_t>& got, PositionRange q, PositionRange kv,
                     const std::function<bool(std::int64_t, std::int64_t)>& allowed) {
  ASSERT_EQ(got.size(), static_cast<std::size_t>((q.end - q.begin) * (kv.end - kv.begin)));
  std::size_t i = 0;
  for (std::int64_t q_idx = q.begin; q_idx < q.end; ++q_idx)
    for (std::int64_t kv_idx = kv.begin; kv_idx < kv.end; ++kv_idx)
      ASSERT_EQ(got[i++], allowed(q_idx, kv_idx) ? 1 : 0) << q_idx << " " << kv_idx;
}

TEST(MaskElements, AnywhereInAMillionTokens) {
  const Attention attention = reference_attention("mask = q_idx >= kv_idx && q_idx - kv_idx <= 300");
  const BlockMaskOptions options{.heads = 4, .q_len = 1 << 20, .kv_len = 1 << 20};
  // Wider than the interpreter's rows, and not a multiple of them.
  for (const std::int32_t begin : {0, 123456, (1 << 20) - 700}) {
    const PositionRange q{begin + 350, begin + 420}, kv{begin, begin + 700};
    expect_elements(attention.mask_elements(options, {}, q, kv).value(), q, kv,
                    [](std::int64_t i, std::int64_t j) { return i >= j && i - j <= 300; });
  }
}

TEST(MaskElements, EachPlaneItsOwn) {
  const Attention attention = reference_attention("mask = kv_idx <= b * 10 + h");
  const BlockMaskOptions options{.batch = 2, .heads = 3, .q_len = 5, .kv_len = 20};
  for (std::int32_t b = 0; b < 2; ++b)
    for (std::int32_t h = 0; h < 3; ++h)
      expect_elements(attention.mask_elements(options, {.b = b, .h = h}, {1, 5}, {3, 20}).value(), {1, 5}, {3, 20},
                      [&](std::int64_t, std::int64_t j) { return j <= b * 10 + h; });
}

TEST(MaskElements, WithoutAMaskAndWithoutPairs) {
  const Attention attention = reference_attention("score = score * 2.0");
  expect_elements(attention.mask_elements({.q_len = 7, .kv_len = 9}, {}, {0, 7}, {0, 9}).value(), {0, 7}, {0, 9},
                  [](std::int64_t, std::int64_t) { return true; });
  EXPECT_TRUE(attention.mask_elements({.q_len = 7, .kv_len = 9}, {}, {7, 7}, {0, 9}).value().empty());
  EXPECT_TRUE(attention.mask_elements({.q_len = 0, .kv_len = 0}, {}, {0, 0}, {0, 0}).value().empty());
}

TEST(MaskElements, SaysWhatIsWrong) {
  const Attention attention = reference_attention("buffer t : f32[?]\nmask = t[kv_idx] > 0.0");
  const std::vector<float> values(50, 1.0F);
  Bindings bindings;
  bindings.buffers["t"] = TensorView(values.data(), DType::kF32, {50});
  const auto said = [&](const BlockMaskOptions& options, const BlockPosition& plane, PositionRange q, PositionRange kv) {
    const auto result = attention.mask_elements(options, plane, q, kv, &bindings);
    return result ? std::string() : render(result.diagnostics());
  };
  const BlockMaskOptions small{.heads = 2, .q_len = 4, .kv_len = 60};
  EXPECT_EQ(said(small, {}, {0, 4}, {0, 50}), "");
  EXPECT_EQ(said(small, {.b = 1}, {0, 4}, {0, 50}), "mask_elements: error: plane.b is 1; it must be 0 to 0\n");
  EXPECT_EQ(said(small, {.h = -1}, {0, 4}, {0, 50}), "mask_elements: error: plane.h is -1; it must be 0 to 1\n");
  EXPECT_EQ(said(small, {}, {3, 2}, {0, 50}), "mask_elements: error: q is [3, 2); it must be inside [0, 4)\n");
  EXPECT_EQ(said(small, {}, {0, 4}, {-1, 50}), "mask_elements: error: kv is [-1, 50); it must be inside [0, 60)\n");
  EXPECT_EQ(said({.q_len = 1 << 20, .kv_len = 1 << 20}, {}, {0, 4097}, {0, 4096}),
            "mask_elements: error: the number of pairs is 16781312; it must be at most 16777216\n");
  EXPECT_NE(said(small, {}, {0, 4}, {0, 60}).find("read of `t` is out of range: index 50"), std::string::npos);
  EXPECT_FALSE(attention.mask_elements(small, {}, {0, 4}, {0, 50}).has_value());  // t is not bound
}

}  // namespace
}  // namespace flexjit::test
