// Published patterns at published sizes: how many pairs they allow and how their blocks fall. The numbers were worked out
// independently of this code.
#include <gtest/gtest.h>

#include <algorithm>

#include "ir/evaluate/interpreter.h"
#include "mask/derive/classify.h"
#include "patterns.h"
#include "support/checklist.h"

namespace flexjit {
namespace {

using test::MaskPattern;

BlockCounts counts_of(const MaskPattern& pattern, int length, int q_block, int kv_block) {
  const BlockMaskShape shape{1, 1, length, length, q_block, kv_block};
  const mask::Classified classified = mask::classify(pattern.program, pattern.environment(shape), {.shape = shape});
  EXPECT_TRUE(classified.mask.has_value());
  EXPECT_FALSE(classified.fault.has_value());
  return classified.mask->counts();
}

std::int64_t popcount(const MaskPattern& pattern, int length) {
  const ir::Environment environment = pattern.environment({1, 1, length, length});
  ir::Interpreter interpreter(pattern.program, environment);
  std::vector<std::uint8_t> allowed(ir::Interpreter::kMaxCount);
  std::int64_t found = 0;
  for (int q = 0; q < length; ++q) {
    for (int kv = 0; kv < length; kv += ir::Interpreter::kMaxCount) {
      const int count = std::min(length - kv, ir::Interpreter::kMaxCount);
      const std::span<std::uint8_t> lanes(allowed.data(), static_cast<std::size_t>(count));
      EXPECT_FALSE(interpreter.eval_mask({.q_idx = q, .kv_begin = kv, .count = count}, lanes).has_value());
      found += std::ranges::count(lanes, 1);
    }
  }
  return found;
}

// -1: not published.
struct Golden {
  MaskPattern pattern;
  int length;
  int block;
  std::int64_t visited, full;
};

TEST(GoldenCounts, Blocks) {
  covers("C10", "F08", "G09", "G10");
  using namespace test;
  const Golden table[] = {
      {causal(), 1024, 64, 136, 120},
      {causal(), 1024, 128, 36, 28},
      {causal_window(256), 1024, 64, 70, 42},
      {causal_window(256), 1024, 128, 21, 7},
      {attamba(256, 128), 1024, 64, 100, 42},
      {attamba(256, 128), 1024, 128, 36, 7},
      {attamba(8, 8), 1024, 64, 136, 0},
      {causal_window(8), 1024, 64, 31, 0},
      {causal_window(8), 1024, 128, 15, -1},
      {window(128, 128), 2048, 64, 154, 94},
      {window(128, 128), 2048, 128, 46, 16},
      {window(128, 0), 2048, 64, 93, 31},
      {window(128, 0), 2048, 128, 31, 0},
      {longformer(32), 1024, 128, 34, -1},
      {longformer(32), 2048, 128, 74, -1},
      {longformer(32), 4096, 128, 154, -1},
      {swin(56, 7, 0), 3136, 64, 385, -1},
      {swin(56, 7, 0), 3136, 128, 121, -1},
      {swin(56, 7, 3), 3136, 64, 361, -1},
      {swin(56, 7, 3), 3136, 128, 117, -1},
      {neighbourhood(56, 2), 3136, 64, 239, -1},
      {neighbourhood(56, 2), 3136, 128, 73, -1},
      {natten(56, 5), 3136, 64, 245, -1},
      {natten(56, 5), 3136, 128, 75, -1},
  };
  for (const Golden& golden : table) {
    SCOPED_TRACE(golden.pattern.name + " " + std::to_string(golden.length) + " / " + std::to_string(golden.block));
    const BlockCounts counts = counts_of(golden.pattern, golden.length, golden.block, golden.block);
    EXPECT_EQ(counts.partial + counts.full, golden.visited);
    if (golden.full >= 0) {
      EXPECT_EQ(counts.full, golden.full);
    }
    const std::int64_t side = (golden.length + golden.block - 1) / golden.block;
    EXPECT_EQ(counts.empty, side * side - golden.visited);
  }
}

TEST(GoldenCounts, OneRowBlocks) {
  covers("G15");
  const BlockCounts counts = counts_of(test::causal(), 1024, 1, 64);
  EXPECT_EQ(counts.partial + counts.full, 8704);
  EXPECT_EQ(counts.full, 7696);
  EXPECT_EQ(counts.empty + counts.partial + counts.full, 16384);
}

TEST(GoldenCounts, AllowedPairs) {
  covers("F05", "G08", "G09", "G10", "X10");
  using namespace test;
  EXPECT_EQ(popcount(causal(), 1024), 524800);
  EXPECT_EQ(popcount(causal_window(256), 1024), 230272);
  EXPECT_EQ(popcount(attamba(256, 128), 1024), 231430);
  EXPECT_EQ(popcount(attamba(8, 8), 1024), 72299);
  EXPECT_EQ(popcount(causal_window(8), 1024), 9180);
  EXPECT_EQ(popcount(window(128, 128), 2048), 509824);
  EXPECT_EQ(popcount(window(128, 0), 2048), 255936);
  EXPECT_EQ(popcount(longformer(32), 1024), 69466);
  EXPECT_EQ(popcount(neighbourhood(8, 3), 64), 1936);
}

TEST(GoldenCounts, AllowedPairsOfImages) {
  covers("C18", "X08", "X10");
  using namespace test;
  EXPECT_EQ(popcount(swin(56, 7, 0), 3136), 153664);
  EXPECT_EQ(popcount(swin(56, 7, 3), 3136), 135424);
  EXPECT_EQ(popcount(neighbourhood(56, 2), 3136), 75076);
  EXPECT_EQ(popcount(natten(56, 5), 3136), 78400);
}

}  // namespace
}  // namespace flexjit
