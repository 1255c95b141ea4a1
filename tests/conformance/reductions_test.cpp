// Reductions through whole kernels, both nests, against masks and sums that are written out in C++. With queries of zeros every
// allowed key has the same weight: a row's output is the mean of V over its keys, and its lse tells how many they are.
#include <cmath>
#include <functional>

#include "harness.h"

namespace flexjit::conformance {
namespace {

constexpr Shape kShapes[] = {{.batch = 1, .q_heads = 2, .kv_heads = 1, .q_len = 61, .kv_len = 150, .head_dim = 8},
                             {.batch = 1, .q_heads = 4, .kv_heads = 2, .q_len = 2, .kv_len = 333, .head_dim = 8}};

// score(q, kv) of allowed pairs, -inf of others.
using Scores = std::function<double(std::int32_t q, std::int32_t kv)>;

constexpr double kMasked = -std::numeric_limits<double>::infinity();

void expect_scores(const Shape& shape, std::string_view program, const Captures& captures, const Scores& score) {
  for (const std::string& target : targets_here()) {
    SCOPED_TRACE(target + ", " + to_string(shape) + ":\n" + std::string(program));
    Problem tensors(shape);
    tensors.q.fill([](std::size_t) { return 0; });
    compile_or_throw(engine_for(target), spec_of(program, shape)).run(tensors.args(&captures.bindings())).value();
    const OraclePattern naive{.score = [&](Real, const Position& p) { return score(p.q_idx, p.kv_idx); }};
    EXPECT_TRUE(is_attention(tensors, naive, {.lse = near(1e-5)}));
  }
}

// A list of `most` chosen blocks of 16 keys for each query, of which len[q] count; what lies behind is no block at all.
struct Chosen {
  Chosen(const Shape& shape, std::int32_t blocks) : most(blocks) {
    Random random(31);
    for (std::int32_t q = 0; q < shape.q_len; ++q) {
      len.push_back(random.integer(0, most));
      for (std::int32_t n = 0; n < most; ++n) block.push_back(n < len.back() ? random.integer(0, shape.kv_len / 16) : -77);
    }
    captures.add("len", {shape.q_len}, len).add("block", {shape.q_len, most}, block);
  }
  bool holds(std::int32_t q, std::int32_t kv, std::int32_t count) const {
    for (std::int32_t n = 0; n < count; ++n) {
      if (block[static_cast<std::size_t>(q * most + n)] == kv / 16) return true;
    }
    return false;
  }
  std::int32_t length(std::int32_t q) const { return len[static_cast<std::size_t>(q)]; }

  std::int32_t most;
  std::vector<std::int32_t> len, block;
  Captures captures;
};

TEST(Reductions, ListsOfBlocks) {
  for (const Shape& shape : kShapes) {
    const Chosen chosen(shape, 6);
    expect_scores(shape,
                  "buffer len : i32[q_len]; buffer block : i32[q_len, ?]\n"
                  "mask = any(n in 0..min(len[q_idx], 6) : block[q_idx, n] == kv_idx // 16)",
                  chosen.captures,
                  [&](std::int32_t q, std::int32_t kv) { return chosen.holds(q, kv, chosen.length(q)) ? 0 : kMasked; });
    expect_scores(shape,
                  "buffer len : i32[q_len]; buffer block : i32[q_len, ?]\n"
                  "mask = !all(n in 0..min(len[q_idx], 6) : block[q_idx, n] != kv_idx // 16)",
                  chosen.captures,
                  [&](std::int32_t q, std::int32_t kv) { return chosen.holds(q, kv, chosen.length(q)) ? 0 : kMasked; });
  }
}

TEST(Reductions, AParamSaysHowMany) {
  for (const Shape& shape : kShapes) {
    Chosen chosen(shape, 6);
    for (std::int32_t count : {0, 1, 6}) {
      chosen.captures.set("count", count);
      // Blocks behind `count` would be outside the table.
      expect_scores(shape,
                    "param count : int\nbuffer len : i32[?]; buffer block : i32[q_len, 6]\n"
                    "mask = any(n in 0..count : block[q_idx, n] == kv_idx // 16) || len[q_idx] < 0",
                    chosen.captures, [&](std::int32_t q, std::int32_t kv) { return chosen.holds(q, kv, count) ? 0 : kMasked; });
    }
  }
}

TEST(Reductions, AParamIsHeldToItsBound) {
  const Shape& shape = kShapes[0];
  const Attention attention =
      compile_or_throw(engine_for("host"), spec_of("param count : int\nscore = score + sum(n in 0..count : n)", shape));
  Captures captures;
  Problem tensors(shape);
  EXPECT_TRUE(attention.run(tensors.args(&captures.set("count", 32).bindings())).has_value());
  EXPECT_TRUE(attention.run(tensors.args(&captures.set("count", -5).bindings())).has_value());
  const Result<RunStats> over = attention.run(tensors.args(&captures.set("count", 33).bindings()));
  ASSERT_FALSE(over.has_value());
  EXPECT_EQ(over.diagnostics()[0].kind, "param-range");
}

TEST(Reductions, Sums) {
  for (const Shape& shape : kShapes) {
    const Chosen chosen(shape, 6);
    expect_scores(shape,
                  "buffer len : i32[q_len]; buffer block : i32[q_len, 6]\n"
                  "score = score + 0.25 * sum(n in 0..min(len[q_idx], 6) : abs(block[q_idx, n] - kv_idx // 16))",
                  chosen.captures, [&](std::int32_t q, std::int32_t kv) {
                    double sum = 0;
                    for (std::int32_t n = 0; n < chosen.length(q); ++n)
                      sum += 0.25 * std::abs(chosen.block[static_cast<std::size_t>(q * 6 + n)] - kv / 16);
                    return sum;
                  });
  }
}

TEST(Reductions, Nested) {
  for (const Shape& shape : kShapes) {
    // Pairs whose difference is a sum of two squares below 25, and no multiple of 3 or 5.
    expect_scores(shape,
                  "let d = abs(q_idx - kv_idx)\n"
                  "mask = any(a in 0..5 : any(c in a..5 : d == a * a + c * c)) && all(n in 1..3 : d % (2 * n + 1) != 0)",
                  Captures(), [](std::int32_t q, std::int32_t kv) {
                    const std::int32_t d = std::abs(q - kv);
                    bool square = false;
                    for (std::int32_t a = 0; a < 5; ++a) {
                      for (std::int32_t c = a; c < 5; ++c) square = square || d == a * a + c * c;
                    }
                    return square && d % 3 != 0 && d % 5 != 0 ? 0 : kMasked;
                  });
  }
}

}  // namespace
}  // namespace flexjit::conformance
