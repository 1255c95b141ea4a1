// Attention::count_allowed against closed forms and against counting pair by pair through masks of block size 1.
#include <algorithm>

#include "patterns.h"
#include "support/checklist.h"

namespace flexjit::conformance {
namespace {

std::int64_t count(const std::string& mask, const BlockMaskOptions& options, const Bindings* bindings = nullptr) {
  return compile_or_throw(engine_for("host"), spec_of(mask, {.head_dim = 16})).count_allowed(options, bindings).value();
}

TEST(CountAllowed, ClosedForms) {
  covers("F05", "G08", "G09", "G12");
  EXPECT_EQ(count("mask = q_idx >= kv_idx", {.q_len = 1024, .kv_len = 1024}), 524800);
  EXPECT_EQ(count("mask = q_idx >= kv_idx && q_idx - kv_idx <= 256", {.q_len = 1024, .kv_len = 1024}), 230272);
  EXPECT_EQ(count("mask = (q_idx >= kv_idx) & (q_idx - kv_idx <= 256)", {.q_len = 1024, .kv_len = 1024}), 230272);
  EXPECT_EQ(count("mask = abs(q_idx - kv_idx) <= 128", {.q_len = 2048, .kv_len = 2048}), 509824);
  EXPECT_EQ(count("mask = q_idx >= kv_idx && q_idx - kv_idx <= 128", {.q_len = 2048, .kv_len = 2048}), 255936);
  EXPECT_EQ(
      count("mask = q_idx >= kv_idx && ((kv_idx + 1) % 128 == 0 || q_idx - kv_idx < 256)", {.q_len = 1024, .kv_len = 1024}),
      231430);
  EXPECT_EQ(count("mask = abs(q_idx // 56 - kv_idx // 56) <= 2 && abs(q_idx % 56 - kv_idx % 56) <= 2",
                  {.q_len = 3136, .kv_len = 3136}),
            75076);
  EXPECT_EQ(count("mask = q_idx in {0, 1} || kv_idx in {0, 1} || abs(q_idx - kv_idx) <= 32", {.q_len = 1024, .kv_len = 1024}),
            69466);
}

// Longformer's two global tokens, named by a buffer.
TEST(CountAllowed, GlobalTokensBesideAWindow) {
  covers("X06");
  const std::string mask =
      "buffer is_global : bool[?]\nmask = is_global[q_idx] || is_global[kv_idx] || abs(q_idx - kv_idx) <= 32";
  const Attention attention = compile_or_throw(engine_for("host"), spec_of(mask, {.head_dim = 16}));
  for (auto [length, allowed] : {std::pair{256, 16474}, {1024, 69466}, {2048, 140122}, {4096, 281434}}) {
    std::vector<bool> is_global(static_cast<std::size_t>(length));
    is_global[0] = is_global[1] = true;
    Captures captures;
    captures.add("is_global", {length}, is_global);
    const BlockMaskOptions options{.q_len = length, .kv_len = length};
    EXPECT_EQ(attention.count_allowed(options, &captures.bindings()).value(), allowed);
    const PositionRange all{0, length};
    const auto rows = attention.mask_elements(options, {}, {0, 2}, all, &captures.bindings()).value();
    EXPECT_EQ(std::ranges::count(rows, 1), 2 * length) << "global rows attend all";
  }
}

TEST(CountAllowed, PlanesThatTheMaskDoesNotTellApartAreMultiplied) {
  covers("F07");
  EXPECT_EQ(count("mask = q_idx >= kv_idx", {.batch = 3, .heads = 5, .q_len = 100, .kv_len = 100}), 15 * 5050);
  EXPECT_EQ(count("mask = kv_idx <= h", {.batch = 3, .heads = 4, .q_len = 10, .kv_len = 100}), 3 * 10 * (1 + 2 + 3 + 4));
  EXPECT_EQ(count("mask = kv_idx <= b", {.batch = 3, .heads = 4, .q_len = 10, .kv_len = 100}), 4 * 10 * (1 + 2 + 3));
  EXPECT_EQ(count("mask = kv_idx < kv_head", {.batch = 1, .heads = 4, .kv_heads = 2, .q_len = 10, .kv_len = 100}), 2 * 10);
}

TEST(CountAllowed, WithoutAMaskEverything) {
  EXPECT_EQ(count("score = score", {.batch = 2, .heads = 3, .q_len = 70000, .kv_len = 70001}), std::int64_t{6} * 70000 * 70001);
  EXPECT_EQ(count("score = score", {.q_len = 0, .kv_len = 5}), 0);
  EXPECT_EQ(count("mask = q_idx >= kv_idx", {.q_len = 0, .kv_len = 0}), 0);
}

TEST(CountAllowed, EveryMaskPatternAtAnyBlockSize) {
  constexpr Shape kShape{.batch = 2, .q_heads = 2, .kv_heads = 1, .q_len = 67, .kv_len = 61, .head_dim = 16};
  for (const Pattern& pattern : mask_patterns()) {
    Captures captures;
    if (pattern.bind != nullptr) pattern.bind(kShape, captures);
    Attention attention = compile_or_throw(engine_for("host"), spec_of(pattern.program, kShape));
    BlockMaskOptions options{.batch = 2, .heads = 2, .kv_heads = 1, .q_len = 67, .kv_len = 61, .q_block = 1, .kv_block = 1};
    BlockMask pairs = attention.create_block_mask(options, &captures.bindings()).value();
    std::int64_t planes = std::int64_t{4} / (pairs.shape().batch * pairs.shape().heads);
    EXPECT_EQ(pairs.counts().partial, 0) << pattern.name;
    for (std::int32_t block : {1, 16, 50, 128}) {
      options.q_block = block, options.kv_block = block + 3;
      EXPECT_EQ(attention.count_allowed(options, &captures.bindings()).value(), pairs.counts().full * planes) << pattern.name;
    }
  }
}

TEST(CountAllowed, SaysWhatIsWrong) {
  Attention attention =
      compile_or_throw(engine_for("host"), spec_of("buffer t : f32[?]\nmask = t[kv_idx] > 0.0", {.head_dim = 16}));
  Captures captures;
  captures.add("t", {50}, std::vector<float>(50, 1.0F));
  EXPECT_EQ(attention.count_allowed({.q_len = 3, .kv_len = 50}, &captures.bindings()).value(), 150);
  Result<std::int64_t> outside = attention.count_allowed({.q_len = 3, .kv_len = 60}, &captures.bindings());
  ASSERT_FALSE(outside.has_value());
  EXPECT_EQ(outside.diagnostics().front().kind, "buffer-read");
  EXPECT_FALSE(attention.count_allowed({.q_len = 3, .kv_len = 50}, nullptr).has_value());
  EXPECT_FALSE(attention.count_allowed({.q_len = -1, .kv_len = 50}, &captures.bindings()).has_value());
}

}  // namespace
}  // namespace flexjit::conformance
