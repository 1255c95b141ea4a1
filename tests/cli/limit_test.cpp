// What a call is compared with: how many processors there are, what bounds it, and what a reader must know to trust a percent.
#include "measure/limit.h"

#include <gtest/gtest.h>

#include <sched.h>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "cli/subprocess.h"
#include "data/bind.h"
#include "flexjit/engine.h"
#include "measure/processors.h"
#include "measure/score_rounding.h"
#include "measure/verify.h"

namespace flexjit::tools {
namespace {

using tests::run_flexjit;
using tests::run_program;
using tests::TemporaryFolder;

void put(const std::string& folder, const std::string& file, const std::string& text) {
  std::filesystem::create_directories(folder);
  std::ofstream(folder + "/" + file) << text;
}

TEST(Processors, QuotasOfControlGroups) {
  const TemporaryFolder folder;
  const std::string v2 = folder.path("v2"), v1 = folder.path("v1"), none = folder.path("none");
  put(v2, "cpu.max", "max 100000\n");
  put(v2 + "/a", "cpu.max", "150000 100000\n");
  put(v2 + "/a/b", "cpu.max", "400000 100000\n");
  EXPECT_EQ(cgroup_processors(v2, "0::/a/b\n"), 1.5);  // the tighter one above counts
  EXPECT_TRUE(std::isinf(cgroup_processors(v2, "0::/\n")));
  EXPECT_EQ(cgroup_processors(v2 + "/a", "0::/of/the/host\n"), 1.5);  // in a container the root is the group
  put(v1 + "/cpu,cpuacct/docker/x", "cpu.cfs_quota_us", "50000\n");
  put(v1 + "/cpu,cpuacct/docker/x", "cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cgroup_processors(v1, "11:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n"), 0.5);
  put(v1 + "/cpu,cpuacct/docker/free", "cpu.cfs_quota_us", "-1\n");
  put(v1 + "/cpu,cpuacct/docker/free", "cpu.cfs_period_us", "100000\n");
  EXPECT_TRUE(std::isinf(cgroup_processors(v1, "4:cpu,cpuacct:/docker/free\n")));
  EXPECT_TRUE(std::isinf(cgroup_processors(none, "garbage\n0::/a\n")));
  EXPECT_GT(usable_processors(), 0);
}

// Eight threads on one processor are one processor's worth.
TEST(Processors, ThreadsThatTakeTurnsAreNoMore) {
  cpu_set_t before, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  int first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  const PeakRate single = measure_peak(Peak::kFmaF32, "host", 1), eight = measure_peak(Peak::kFmaF32, "host", 8);
  ASSERT_EQ(sched_setaffinity(0, sizeof before, &before), 0);
  EXPECT_EQ(eight.processors, 1);
  EXPECT_LT(eight.gflops, 1.5 * single.gflops);
  EXPECT_GT(single.share, 0);
  EXPECT_LE(single.share, 1);
}

TEST(Limit, FewQueriesAreLimitedByReading) {
  const auto json = run_flexjit({"run", "--causal", "--q-len", "1", "--kv-len", "8192", "--heads", "4", "--head-dim", "128",
                                 "--threads", "1", "--json"})
                        .json();
  EXPECT_EQ(json["limit_kind"], "read-bandwidth");
  EXPECT_GT(json["gbps"], 0);
  EXPECT_GT(json["percent_of_limit"], 0);
  const auto prefill = run_flexjit({"run", "--causal", "--q-len", "128", "--heads", "1", "--threads", "1", "--json"}).json();
  EXPECT_EQ(prefill["limit_kind"], prefill["peak_kind"]);
  EXPECT_TRUE(prefill["gbps"].is_null());
  const auto spoken = run_flexjit({"repl", "--q-len", "1", "--kv-len", "8192", "--head-dim", "128"}, "score * 2\n").out;
  EXPECT_NE(spoken.find("of the read bandwidth"), std::string::npos) << spoken;
}

// By hand: 1 x 4 heads x 2 queries of 300 keys, a third allowed.
TEST(Limit, CountsTheWorkThatIsAllowed) {
  Problem problem;
  problem.sizes = {.batch = 1, .heads = 4, .kv_heads = 2, .q_len = 2, .kv_len = 300, .head_dim = 8, .v_head_dim = 4};
  problem.k = Array(DType::kF32, {1, 2, 300, 8});
  problem.v = Array(DType::kF32, {1, 2, 300, 4});
  const Work work = work_of(problem, 800);
  EXPECT_EQ(work.operations, 2.0 * (8 + 4) * 800);
  EXPECT_EQ(work.read_bytes, 2 * 100 * (8 + 4) * 4.0);
  problem.sizes.q_len = 9;
  EXPECT_EQ(work_of(problem, 800).read_bytes, 0);
}

TEST(Limit, SaysWhatAPercentIsWorth) {
  Limit limit{.gflops = 50, .processors = 1, .share = 0.6};
  EXPECT_NE(limit.warning(8).find("8 threads have 1 processor here"), std::string::npos) << limit.warning(8);
  EXPECT_NE(limit.warning(8).find("got 60 % of the time"), std::string::npos) << limit.warning(8);
  limit.share = 1;
  EXPECT_EQ(limit.warning(1), "");
}

std::string long_sum(int reads) {
  std::string text = "buffer t : f32[kv_len]\nscore = score";
  for (int i = 0; i < reads; ++i) text += " + t[kv_idx]";
  return text + "\n";
}

struct Verified {
  bool correct = false, correct_when_changed = false;
};

// A run and its verification, and that of the same output with one element `change` off.
Verified verified(const std::string& text, double change) {
  RunOptions options;
  options.sizes = {.batch = 1, .heads = 1, .kv_heads = {}, .q_len = 64, .kv_len = 512, .head_dim = 16, .v_head_dim = {}};
  const Problem problem = make_problem(options).value();
  AttentionSpec spec;
  spec.program = text;
  apply_options(options, problem.sizes, spec);
  const Attention attention = Engine().compile(spec).value();
  const BoundNames names = bind_names(attention, options.names, problem.sizes).value();
  Outputs outputs{problem.make_output(), problem.make_lse()};
  EXPECT_TRUE(attention.run(arguments_of(problem, outputs, names.bindings)));
  const VerifyRequest request{
      attention, problem, names.bindings, outputs.out, outputs.lse, {}, score_rounding(spec, problem, names.bindings)};
  Verified result;
  const Progress progress;
  result.correct = verify(request, progress).value().correct;
  outputs.out.as<float>()[40 * 16 + 3] += static_cast<float>(change);
  result.correct_when_changed = verify(request, progress).value().correct;
  return result;
}

TEST(ScoreRounding, LongSumsAreNoFaultsAndFaultsAreFound) {
  const Verified plain = verified("score = score\n", 1e-3), sum = verified(long_sum(190), 0.05),
                 cancelled = verified("score = (score + 100000.0) - 100000.0\n", 1.0);
  EXPECT_TRUE(plain.correct);
  EXPECT_FALSE(plain.correct_when_changed);
  EXPECT_TRUE(sum.correct);
  EXPECT_FALSE(sum.correct_when_changed);
  EXPECT_TRUE(cancelled.correct);
  EXPECT_FALSE(cancelled.correct_when_changed);
}

// A steep score shows the roundings of q k many times over.
TEST(ScoreRounding, SteepScoresAreNoFaults) {
  for (const char* text :
       {"exp(score)", "exp(score * 3.0)", "exp2(score * 2.0)", "score * score * score * score", "score * score * score * 100.0",
        "pow(abs(score), 6.0)", "pow(abs(score), 4.0)", "sin(score * 50.0)", "log(abs(score) + 0.01) * 20.0"}) {
    const Verified steep = verified(std::string("score = ") + text + "\n", 2.0);
    EXPECT_TRUE(steep.correct) << text;
    EXPECT_FALSE(steep.correct_when_changed) << text;
  }
}

// NaN and infinities are results like others where the reference has them too, and faults where it has not.
TEST(ScoreRounding, WhatIsNotFiniteIsComparedToo) {
  for (const char* text : {"score = kv_idx == 3 ? inf : score\n", "score = log(score)\n", "score = score / 0.0\n",
                           "score = q_idx == 5 ? 0.0 / 0.0 : score\n"}) {
    const Verified result = verified(text, 1.0);
    EXPECT_TRUE(result.correct) << text;
  }
  EXPECT_FALSE(verified("score = q_idx == 5 ? 0.0 / 0.0 : score\n", 1.0).correct_when_changed);
}

TEST(ScoreRounding, CountsWhatRounds) {
  RunOptions options;
  options.sizes = {.batch = 1, .heads = 1, .kv_heads = {}, .q_len = 8, .kv_len = 8, .head_dim = 4, .v_head_dim = {}};
  const Problem problem = make_problem(options).value();
  AttentionSpec spec;
  spec.head_dim = 4;
  const auto rounding = [&](const std::string& text) {
    spec.program = text;
    return score_rounding(spec, problem, {});
  };
  EXPECT_EQ(rounding("score = max(score, 1.0)\n").of_size, 0);
  EXPECT_EQ(rounding("score = score * 2.0 + 1.0\n").of_size, 2);
  EXPECT_EQ(rounding(long_sum(190)).of_size, 190);
  const ScoreRounding far = rounding("score = (score + 1000.0) - 1000.0\n");
  EXPECT_GT(far.absolute, 900);
  EXPECT_LT(far.absolute, 1100);
  for (const char* text : {"score = q_idx >= kv_idx ? score : -inf\n", "score = score + (q_idx >= kv_idx ? 0.0 : -inf)\n"}) {
    EXPECT_EQ(rounding(text).absolute, 0) << text;
    EXPECT_LT(rounding(text).of_size, 2) << text;
  }
}

}  // namespace
}  // namespace flexjit::tools
