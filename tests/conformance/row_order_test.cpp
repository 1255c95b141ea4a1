// Rows in an order beside the same pattern without one, and how many blocks that saves; orders beside lists that loops make.
#include <algorithm>
#include <numeric>

#include "harness.h"
#include "support/checklist.h"
#include "support/gradients.h"

namespace flexjit::conformance {
namespace {

using Order = std::vector<std::int32_t>;

TEST(RowOrder, IsThatOfWindowsTilesAndMorton) {
  const SwinOptions image{.height = 10, .width = 9, .window = {4, 4}, .shift = {1, 3}};
  Order windows;
  for (int y = 0; y < 12; y += 4) {
    for (int x = 0; x < 12; x += 4) {
      for (int i = 0; i < 16; ++i) {  // of the rolled and padded image
        const int row = (y + i / 4 + 1) % 12, column = (x + i % 4 + 3) % 12;
        if (row < 10 && column < 9) windows.push_back(row * 9 + column);
      }
    }
  }
  EXPECT_EQ(window_order(image).value(), windows);
  EXPECT_EQ(tile_order({3, 5}, {2, 2}).value(), (Order{0, 1, 5, 6, 2, 3, 7, 8, 4, 9, 10, 11, 12, 13, 14}));
  EXPECT_EQ(morton_order({4, 4}).value(), (Order{0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15}));
  EXPECT_EQ(morton_order({2, 3}).value(), (Order{0, 1, 3, 4, 2, 5}));
  EXPECT_EQ(tile_order({0, 1}, {1, 1}).diagnostics()[0].kind, "bad-option");
  EXPECT_EQ(window_order({.window = {0, 1}}).diagnostics()[0].kind, "bad-option");
}

// A pattern that reads its positions in every place and by every name; gradients of what it captures as well.
TEST(RowOrder, ChangesNothingButRounding) {
  const Shape shape{.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 77, .kv_len = 77, .head_dim = 16};
  AttentionSpec plain = spec_of(
      "buffer bias : f32[num_heads, kv_len]  # of keys, kv_idx among them\n"
      "let d = q - kv\n"
      "score = score + bias[h, kv_idx] - 0.05 * abs(d)\n"
      "mask = q_idx // 7 >= kv_idx // 7 || d % 5 == 0",
      shape);
  const std::vector<float> table = Random(6).normals(4 * 77);
  Captures captures;
  captures.add("bias", {4, 77}, table);
  std::vector<Real> numbers(table.begin(), table.end());
  const GradientPattern pattern{
      {.score =
           [&](Real score, const Position& p) {
             return score + numbers[at(p.h * 77 + p.kv_idx)] - Real(0.05F) * std::abs(p.q_idx - p.kv_idx);
           },
       .mask = [](const Position& p) { return p.q_idx / 7 >= p.kv_idx / 7 || (p.q_idx - p.kv_idx) % 5 == 0; }},
      {{"bias", &numbers}}};
  Order order(77);
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, {}, [](std::int32_t i) { return i * 31 % 77; });
  const Attention attention = compile_or_throw(engine_for("host"), in_order(plain).value());
  EXPECT_EQ(render(attention.warnings()), "");
  BackwardProblem problem(shape);
  problem.want_buffer("bias", {4, 77});
  RunArgs args = problem.args(&captures.bindings());
  args.max_scores = problem.forward.max_scores_view();
  run_in_order(attention, order, args).value();
  EXPECT_TRUE(is_attention(problem.forward, pattern.pattern, {.max_scores = near(1e-5)}));
  run_backward_in_order(attention, order, problem.args(&captures.bindings()), problem.gradients()).value();
  EXPECT_TRUE(has_gradients(problem, pattern));
}

// Few rows, which without an order would be decoded.
TEST(RowOrder, HoldsForShortSequences) {
  for (const std::int32_t length : {1, 2, 3, 5, 8}) {
    for (const std::int32_t heads : {1, 4}) {
      SCOPED_TRACE(std::to_string(length) + " rows, " + std::to_string(heads) + " heads");
      const Shape shape{.batch = 2, .q_heads = heads, .kv_heads = 1, .q_len = length, .kv_len = length, .head_dim = 16};
      const AttentionSpec spec = spec_of("score = score - 0.3 * abs(q_idx - kv_idx)\nmask = q_idx >= kv_idx", shape);
      Order order(static_cast<std::size_t>(length));
      std::iota(order.rbegin(), order.rend(), 0);
      Problem problem(shape);
      run_in_order(compile_or_throw(engine_for("host"), in_order(spec).value()), order, problem.args()).value();
      EXPECT_TRUE(is_attention(
          problem, {.score = [](Real score, const Position& p) { return score - Real(0.3F) * std::abs(p.q_idx - p.kv_idx); },
                    .mask = [](const Position& p) { return p.q_idx >= p.kv_idx; }}));
    }
  }
}

TEST(RowOrder, TakesTheStringForm) {
  const Shape shape{.batch = 1, .q_heads = 2, .kv_heads = 2, .q_len = 30, .kv_len = 30, .head_dim = 16};
  AttentionSpec spec = spec_of("", shape);
  spec.program.clear();
  spec.mask_mod = "let d = q_idx - kv_idx; d >= 0";
  Order order(30);
  std::iota(order.rbegin(), order.rend(), 0);
  Problem problem(shape);
  run_in_order(compile_or_throw(engine_for("host"), in_order(spec).value()), order, problem.args()).value();
  EXPECT_TRUE(is_attention(problem, {.mask = [](const Position& p) { return p.q_idx >= p.kv_idx; }}));
}

// 56 x 56 tokens and windows of 7: a block of 49 rows is a window.
TEST(RowOrder, MakesBlocksOfWindows) {
  covers("X09");
  for (const std::int32_t shift : {0, 3}) {
    const SwinOptions image{.height = 56, .width = 56, .shift = {shift, shift}};
    const Order order = window_order(image).value();
    Captures captures;
    captures.add("row_order", {3136}, order);
    const Attention attention = compile_or_throw(engine_for("host"), in_order(swin(image).value()).value());
    const auto blocks = [&](std::int32_t size) {
      return attention
          .create_block_mask({.q_len = 3136, .kv_len = 3136, .q_block = size, .kv_block = size}, &captures.bindings())
          .value()
          .counts();
    };
    EXPECT_EQ(blocks(128).full + blocks(128).partial, 73);
    EXPECT_EQ(blocks(49).full, shift == 0 ? 64 : 49);
    EXPECT_EQ(blocks(49).partial, shift == 0 ? 0 : 15);
    EXPECT_EQ(attention.count_allowed({.q_len = 3136, .kv_len = 3136}, &captures.bindings()).value(),
              shift == 0 ? 153664 : 135424);
  }
}

TEST(RowOrder, RefusesWhatIsNone) {
  const Shape shape{.batch = 1, .q_heads = 1, .kv_heads = 1, .q_len = 4, .kv_len = 4, .head_dim = 16};
  const Attention attention = compile_or_throw(engine_for("host"), in_order(spec_of("mask = q_idx >= kv_idx", shape)).value());
  Problem problem(shape);
  const auto found = [&](const Order& order) { return render(run_in_order(attention, order, problem.args()).diagnostics()); };
  EXPECT_NE(found({0, 1, 2, 2}).find("order is with position 2; it must have each of 0 to 3 once"), std::string::npos);
  EXPECT_NE(found({0, 1, 2, -1}).find("order is with position -1"), std::string::npos);
  EXPECT_NE(found({0, 1, 2}).find("q has rows 4, but the order has 3"), std::string::npos);
  AttentionSpec flags;
  flags.causal = flags.key_lengths = true;
  EXPECT_EQ(in_order(flags).diagnostics().size(), 2U);
  // A text that has the names for something else is told so.
  EXPECT_FALSE(engine_for("host").compile(in_order({.program = "def f(q) = q > 1\nmask = f(kv_idx)"}).value()).has_value());
}

}  // namespace
}  // namespace flexjit::conformance
