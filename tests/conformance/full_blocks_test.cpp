// What a full block of a given block mask means: every pair in it takes part, whatever the pattern's mask says, and what the
// mask alone reads there is no fault. On the reference and on every target, in both nests, for blocks that cut panels and tiles
// and for buffers that a kernel must read with care.
#include "on_backends.h"
#include "support/checklist.h"

namespace flexjit::conformance {
namespace {

constexpr std::int32_t kKeys = 250;

struct Case {
  std::int32_t q_len, q_block, kv_block;
};
constexpr Case kCases[] = {{1, 1, 64}, {3, 16, 48}, {2, 7, 33}, {70, 32, 64}, {70, 20, 30}, {61, 100, 300}};

BlockMask random_blocks(const Case& c, Random& random) {
  const BlockMaskShape shape{.q_len = c.q_len, .kv_len = kKeys, .q_block = c.q_block, .kv_block = c.kv_block};
  std::vector<BlockKind> kinds;
  constexpr BlockKind kKinds[] = {BlockKind::kEmpty, BlockKind::kPartial, BlockKind::kFull, BlockKind::kFull};
  for (std::int32_t i = 0; i < shape.q_blocks() * shape.kv_blocks(); ++i) kinds.push_back(kKinds[random.integer(0, 3)]);
  return BlockMask::from_kinds(shape, kinds).value();
}

class FullBlocksOn : public OnBackends {
 protected:
  void expect(const Attention& attention, const Case& c, const BlockMask& blocks, const Bindings& bindings,
              const std::function<bool(const Position&)>& mask) {
    const Shape shape{.q_heads = 2, .q_len = c.q_len, .kv_len = kKeys, .head_dim = 16};
    Problem tensors(shape);
    RunArgs args = tensors.args(&bindings);
    args.block_mask = &blocks;
    const Result<RunStats> ran = attention.run(args);
    ASSERT_TRUE(ran.has_value()) << render(ran.diagnostics());
    const OraclePattern naive{.mask = [&](const Position& p) {
      const BlockKind kind = blocks.kind(0, 0, p.q_idx / c.q_block, p.kv_idx / c.kv_block);
      return kind == BlockKind::kFull || (kind == BlockKind::kPartial && mask(p));
    }};
    EXPECT_TRUE(is_attention(tensors, naive));
  }

  static AttentionSpec spec(const char* text) { return spec_of(text, {.head_dim = 16}); }
};

TEST_P(FullBlocksOn, AllowWhatTheMaskForbids) {
  covers("D46");
  const Attention attention = compile_or_throw(engine(), spec("mask = (q_idx + kv_idx) % 3 == 0"));
  Random random(1);
  for (const Case& c : kCases) {
    SCOPED_TRACE(std::to_string(c.q_len) + " rows in blocks of " + std::to_string(c.q_block) + " x " +
                 std::to_string(c.kv_block));
    for (int i = 0; i < 4; ++i) {
      expect(attention, c, random_blocks(c, random), {}, [](const Position& p) { return (p.q_idx + p.kv_idx) % 3 == 0; });
    }
  }
}

// Flags are masks like any other.
TEST_P(FullBlocksOn, AllowWhatFlagsForbid) {
  AttentionSpec causal = spec("");
  causal.causal = true;
  const Attention attention = compile_or_throw(engine(), causal);
  Random random(2);
  for (const Case& c : kCases) {
    expect(attention, c, random_blocks(c, random), {},
           [&](const Position& p) { return p.kv_idx <= p.q_idx + kKeys - c.q_len; });
  }
}

// A buffer whose inner stride is not 1 is read element by element.
TEST_P(FullBlocksOn, AllowWhatAStridedBufferForbids) {
  const Attention attention = compile_or_throw(engine(), spec("buffer keep : bool[kv_len]\nmask = keep[kv_idx]"));
  Random random(3);
  std::vector<bool> flags(2 * kKeys);
  for (std::size_t i = 0; i < flags.size(); ++i) flags[i] = random.chance(0.3);
  for (const std::int64_t stride : {1, 2}) {
    Captures captures;
    captures.add("keep", {2 * kKeys}, flags);
    TensorView& view = captures.bindings().buffers["keep"];
    view.shape[0] = kKeys;
    view.strides[0] = stride;
    for (const Case& c : kCases) {
      expect(attention, c, random_blocks(c, random), captures.bindings(),
             [&](const Position& p) { return bool{flags[static_cast<std::size_t>(p.kv_idx * stride)]}; });
    }
  }
}

// The mask would read outside its buffer in full blocks, which the blocks of these masks are from key 64 on.
TEST_P(FullBlocksOn, MakeNoReadsForTheMask) {
  covers("D46");
  const Attention attention =
      compile_or_throw(engine(), spec("buffer keep : f32[?]\nmask = keep[kv_idx * kv_idx // 64] > 0.0"));
  Captures captures;
  captures.add("keep", {64}, std::vector<float>(64, 1.0F));
  for (const std::int32_t q_len : {1, 40}) {
    const BlockMaskShape shape{.q_len = q_len, .kv_len = kKeys, .q_block = 64, .kv_block = 64};
    std::vector<BlockKind> kinds(4, BlockKind::kFull);
    kinds[0] = BlockKind::kPartial;
    const BlockMask blocks = BlockMask::from_kinds(shape, kinds).value();
    expect(attention, {q_len, 64, 64}, blocks, captures.bindings(), [](const Position&) { return true; });
    kinds[1] = BlockKind::kPartial;
    const BlockMask open = BlockMask::from_kinds(shape, kinds).value();
    Problem tensors({.q_heads = 2, .q_len = q_len, .kv_len = kKeys, .head_dim = 16});
    RunArgs args = tensors.args(&captures.bindings());
    args.block_mask = &open;
    EXPECT_FALSE(attention.run(args).has_value()) << "a partial block asks the mask";
  }
}

// What the score reads is read wherever a pair is allowed, be it shared with the mask or not.
TEST_P(FullBlocksOn, KeepTheReadsOfTheScore) {
  const Attention attention =
      compile_or_throw(engine(), spec("buffer bias : f32[?]\nlet x = bias[kv_idx - 200]\nmask = x > 0.0\nscore = score + x"));
  Captures captures;
  captures.add("bias", {50}, std::vector<float>(50, 1.0F));
  for (const std::int32_t q_len : {1, 40}) {
    const BlockMaskShape shape{.q_len = q_len, .kv_len = kKeys, .q_block = 64, .kv_block = 50};
    for (const bool outside : {false, true}) {
      std::vector<BlockKind> kinds(5, BlockKind::kEmpty);
      kinds[4] = BlockKind::kFull;
      if (outside) kinds[3] = BlockKind::kFull;
      const BlockMask blocks = BlockMask::from_kinds(shape, kinds).value();
      Problem tensors({.q_heads = 2, .q_len = q_len, .kv_len = kKeys, .head_dim = 16});
      RunArgs args = tensors.args(&captures.bindings());
      args.block_mask = &blocks;
      EXPECT_EQ(attention.run(args).has_value(), !outside) << q_len;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, FullBlocksOn, testing::ValuesIn(backends_here()), name_of_backend);

}  // namespace
}  // namespace flexjit::conformance
