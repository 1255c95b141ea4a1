// Stages composed into one program compute what the stages compute one after the other.
#include "ir/program/compose.h"

#include <gtest/gtest.h>

#include "ir/lower/lower.h"
#include "ir/passes/passes.h"

namespace flexjit::ir {
namespace {

Lowered lower(const std::string& name, const std::string& text) {
  dsl::Source source;
  source.file = dsl::SourceText{name, text};
  return lower_source(source).value();
}

std::string composed(const std::vector<std::string>& texts) {
  std::vector<Lowered> stages;
  for (const std::string& text : texts) stages.push_back(lower("stage", text));
  return print(simplify(compose(stages).program));
}

std::string whole(const std::string& text) { return print(simplify(lower("whole", text).program)); }

TEST(Compose, ScoresFollowEachOther) {
  EXPECT_EQ(composed({"score = score * 3.0", "score = score + kv_idx"}), whole("score = score * 3.0 + kv_idx"));
  EXPECT_EQ(composed({"score = score + kv_idx", "score = score * 3.0"}), whole("score = (score + kv_idx) * 3.0"));
}

TEST(Compose, MasksAreAllAsked) {
  EXPECT_EQ(composed({"mask = kv_idx <= q_idx", "score = score * 2.0", "mask = kv_idx < 7"}),
            whole("score = score * 2.0\nmask = kv_idx <= q_idx && kv_idx < 7"));
}

TEST(Compose, NothingStaysNothing) {
  const Program empty = compose({}).program;
  EXPECT_FALSE(empty.score().valid());
  EXPECT_FALSE(empty.mask().valid());
}

TEST(Compose, SlotsAndSitesOfLaterStagesMoveUp) {
  const std::vector<Lowered> stages = {
      lower("first", "param a : int = 1\nbuffer x : f32[a]\nscore = score + x[0]"),
      lower("second",
            "param n : int = 2\nbuffer y : i32[n]\nbuffer z : f32[?, 4]\nbuffer w : f32[?, 4]\n"
            "score = score + dot(z[y[0], :], w[n, :])\nmask = y[kv_idx] != n")};
  const Lowered both = compose(stages);
  EXPECT_EQ(print(simplify(both.program)),
            whole("param a : int = 1\nbuffer x : f32[a]\nparam n : int = 2\nbuffer y : i32[n]\nbuffer z : f32[?, 4]\n"
                  "buffer w : f32[?, 4]\nscore = score + x[0] + dot(z[y[0], :], w[n, :])\nmask = y[kv_idx] != n"));
  ASSERT_EQ(both.interface.buffers.size(), 4U);
  EXPECT_EQ(both.interface.buffers[1].name, "y");
  EXPECT_EQ(both.interface.buffers[1].extents[0].param, 1U);
  EXPECT_EQ(both.interface.params[1].name, "n");
  ASSERT_EQ(both.interface.sites.size(), 4U);
  EXPECT_EQ(both.interface.sites[0].source_name, "first");
  for (std::uint32_t i = 0; i < both.program.size(); ++i) {
    if (both.program.node(Id{i}).op != Op::kRead) continue;
    const ReadInfo& read = both.program.read(Id{i});
    EXPECT_EQ(both.interface.sites[read.site].buffer, read.buffer);
  }
}

TEST(Compose, WhatIsAddedMovesUpToo) {
  Lowered second = lower(
      "second", "buffer y : f32[kv_len]\nbuffer z : f32[q_len, 4]\nscore = score + y[kv_idx] + dot(z[q_idx, :], z[0, :])");
  const std::uint32_t slots[] = {0, 1};
  second.program = differentiate(second.program, slots);
  const Lowered both = compose(std::vector<Lowered>{lower("first", "buffer x : f32[?]\nscore = x[0]"), second});
  const auto added = both.program.accumulations();
  ASSERT_EQ(added.size(), 3U);
  EXPECT_EQ(both.interface.buffers[both.program.read(added[0]).buffer].name, "y");
  EXPECT_EQ(both.interface.sites[both.program.read(added[0]).site].buffer, 1U);
  for (Id row : added.subspan(1)) EXPECT_EQ(both.interface.buffers[both.program.dot(row).buffer_a].name, "z");
}

TEST(Compose, ABufferOfSeveralStagesIsOne) {
  const std::vector<Lowered> stages = {
      lower("first", "buffer x : f32[q_len]\nbuffer n : i32[batch_size]\nscore = score + x[n[b]]"),
      lower("second", "buffer n : i32[batch_size]\nmask = kv_idx < n[b]")};
  const Lowered both = compose(stages);
  EXPECT_EQ(print(simplify(both.program)), whole("buffer x : f32[q_len]\nbuffer n : i32[batch_size]\n"
                                                 "score = score + x[n[b]]\nmask = kv_idx < n[b]"));
  ASSERT_EQ(both.interface.buffers.size(), 2U);
  ASSERT_EQ(both.interface.sites.size(), 3U);
  EXPECT_EQ(both.interface.sites[2].buffer, 1U);
}

}  // namespace
}  // namespace flexjit::ir
