// `flexjit run --backward`: the JSON fields, files in and out, and what cannot be asked for.
#include <gtest/gtest.h>

#include <filesystem>

#include "cli/subprocess.h"
#include "data/array.h"
#include "data/npy.h"

namespace flexjit::tests {
namespace {

using tools::Array;
using tools::read_npy;
using tools::write_npy;

const std::vector<std::string> kSmall = {"--batch",      "2",  "--heads",  "4",  "--kv-heads", "2",
                                         "--q-len",      "37", "--kv-len", "53", "--head-dim", "8",
                                         "--v-head-dim", "5",  "--repeat", "1",  "--threads",  "1"};
const char* const kFields[] = {"backward_ms",      "backward_useful_gflops", "backward_percent_of_peak",
                               "max_abs_error_dq", "max_abs_error_dk",       "max_abs_error_dv"};

CommandResult run_small(std::vector<std::string> line) {
  line.insert(line.begin(), "run");
  line.insert(line.end(), kSmall.begin(), kSmall.end());
  return run_flexjit(line);
}

TEST(RunBackward, JsonHasEveryField) {
  const CommandResult result = run_small({"--causal", "--backward", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.out << result.err;
  const auto json = result.json();
  for (const char* field : kFields) EXPECT_TRUE(json.at(field).is_number()) << field;
  for (const char* field : {"max_abs_error_dq", "max_abs_error_dk", "max_abs_error_dv"})
    EXPECT_LT(json.at(field), 1e-4) << field;
  EXPECT_TRUE(json.at("max_abs_error_buffers").is_null());
  EXPECT_EQ(json.at("correct"), true);
}

TEST(RunBackward, WithoutItTheFieldsAreNull) {
  const CommandResult result = run_small({"--causal", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  for (const char* field : kFields) EXPECT_TRUE(result.json().at(field).is_null()) << field;
}

TEST(RunBackward, TableIsForPeople) {
  const CommandResult result = run_small({"--causal", "--backward"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  for (const char* word : {"backward", "max error of dq", "correct"})
    EXPECT_NE(result.out.find(word), std::string::npos) << word << "\n" << result.out;
}

TEST(RunBackward, EveryElementTypeAndWeights) {
  for (const char* dtype : {"f32", "bf16", "f16", "f64"}) {
    const CommandResult result = run_small({"--window", "9,3", "--backward", "--dtype", dtype});
    EXPECT_EQ(result.exit_code, 0) << dtype << result.out << result.err;
  }
  for (const char* flag : {"--weights=sigmoid", "--sinks", "--layout=bshd"}) {
    const CommandResult result = run_small({"--causal", flag, "--backward"});
    EXPECT_EQ(result.exit_code, 0) << flag << result.out << result.err;
  }
}

TEST(RunBackward, VerificationIsOfAllOrOfNone) {
  const CommandResult none = run_small({"--causal", "--backward", "--verify-rows", "0", "--json"});
  ASSERT_EQ(none.exit_code, 0) << none.err;
  EXPECT_TRUE(none.json().at("max_abs_error_dq").is_null());
  EXPECT_TRUE(none.json().at("backward_ms").is_number());
}

// The sum of dO O is that of dV V, whatever the pattern.
TEST(RunBackward, FilesInAndOut) {
  const TemporaryFolder folder;
  Array d_out(DType::kF32, {2, 4, 37, 5});
  for (std::int64_t i = 0; i < d_out.count(); ++i) d_out.as<float>()[i] = static_cast<float>(i % 7) - 3;
  ASSERT_TRUE(write_npy(folder.path("do.npy"), d_out));
  const CommandResult result = run_small(
      {"-e", "buffer slope : f32[num_heads]", "-e", "score = score - slope[h] * abs(q_idx - kv_idx)", "--backward",
       "--grad-out", folder.path("do.npy"), "--dq", folder.path("dq.npy"), "--dk", folder.path("dk.npy"), "--dv",
       folder.path("dv.npy"), "--dbuffer", "slope=" + folder.path("dslope.npy"), "--out", folder.path("out.npy"), "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.out << result.err;
  EXPECT_TRUE(result.json().at("max_abs_error_buffers").is_number());
  EXPECT_EQ(read_npy(folder.path("dq.npy"))->shape, (std::vector<std::int64_t>{2, 4, 37, 8}));
  EXPECT_EQ(read_npy(folder.path("dk.npy"))->shape, (std::vector<std::int64_t>{2, 2, 53, 8}));
  EXPECT_EQ(read_npy(folder.path("dv.npy"))->shape, (std::vector<std::int64_t>{2, 2, 53, 5}));
  const Array slope = read_npy(folder.path("dslope.npy")).value(), out = read_npy(folder.path("out.npy")).value();
  EXPECT_EQ(slope.shape, std::vector<std::int64_t>{4});
  for (std::int64_t h = 0; h < 4; ++h) EXPECT_NE(slope.as<float>()[h], 0);
  EXPECT_EQ(out.shape, d_out.shape);
}

TEST(RunBackward, WhatCannotBeAskedFor) {
  const TemporaryFolder folder;
  ASSERT_TRUE(write_npy(folder.path("small.npy"), Array(DType::kF32, {2, 2})));
  const auto expect_error = [&](std::vector<std::string> line, const char* kind) {
    line.insert(line.end(), {"--json"});
    const CommandResult result = run_small(line);
    EXPECT_EQ(result.exit_code, 2) << result.out << result.err;
    EXPECT_NE(result.out.find(kind), std::string::npos) << kind << "\n" << result.out << result.err;
  };
  expect_error({"--causal", "--backward", "--grad-out", folder.path("small.npy")}, "size-conflict");
  expect_error({"--causal", "--backward", "--dbuffer", "slope"}, "unknown-binding");
  expect_error({"-e", "buffer doc : i32[kv_len]", "-e", "mask = doc[kv_idx] == 0", "--backward", "--dbuffer", "doc"},
               "no-gradient");
  expect_error({"--causal", "--backward", "--dq", folder.path("x.npy"), "--dk", folder.path("x.npy")}, "usage");
  EXPECT_NE(run_small({"--causal", "--dq", folder.path("x.npy")}).exit_code, 0);
  EXPECT_FALSE(std::filesystem::exists(folder.path("x.npy")));
}

TEST(RunBackward, AGradientIsNotMadeUpBesideFiles) {
  const TemporaryFolder folder;
  ASSERT_TRUE(write_npy(folder.path("q.npy"), Array(DType::kF32, {2, 4, 37, 8})));
  ASSERT_TRUE(write_npy(folder.path("k.npy"), Array(DType::kF32, {2, 2, 53, 8})));
  ASSERT_TRUE(write_npy(folder.path("v.npy"), Array(DType::kF32, {2, 2, 53, 5})));
  std::vector<std::string> line = {"--backward",         "--q", folder.path("q.npy"), "--k",   folder.path("k.npy"), "--v",
                                   folder.path("v.npy"), "-e",  "mask = true",        "--json"};
  const CommandResult refused = run_small(line);
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.out.find("missing-input"), std::string::npos) << refused.out;
  line.emplace_back("--generate");
  EXPECT_EQ(run_small(line).exit_code, 0);
}

}  // namespace
}  // namespace flexjit::tests
