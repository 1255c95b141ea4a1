// `flexjit run`: the JSON fields, files in and out, layouts, bindings, and exit codes of runs that fail.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>

#include "cli/subprocess.h"
#include "data/array.h"
#include "data/npy.h"
#include "support/comparison.h"

namespace flexjit::tests {
namespace {

using tools::Array;
using tools::read_npy;
using tools::write_npy;

const std::vector<std::string> kSmall = {"--batch",      "2",  "--heads",  "4",  "--kv-heads", "2",
                                         "--q-len",      "37", "--kv-len", "53", "--head-dim", "8",
                                         "--v-head-dim", "5",  "--repeat", "1",  "--threads",  "1"};

CommandResult run_small(std::vector<std::string> line) {
  line.insert(line.begin(), "run");
  line.insert(line.end(), kSmall.begin(), kSmall.end());
  return run_flexjit(line);
}

TEST(RunCommand, JsonHasEveryField) {
  const CommandResult result = run_small({"-e", "mask = q_idx >= kv_idx", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.out << result.err;
  EXPECT_EQ(result.err, "");
  const auto json = result.json();
  for (const char* field :
       {"compile_ms", "run_ms", "useful_gflops", "peak_gflops", "percent_of_peak", "sparsity", "max_abs_error"})
    EXPECT_TRUE(json.at(field).is_number()) << field;
  EXPECT_EQ(json["kernel_source"], "compiled");
  EXPECT_EQ(json["correct"], true);
  EXPECT_EQ(json["rows_verified"], 37);
  EXPECT_EQ(json["allowed_pairs"], 2 * 4 * 37 * 38 / 2);
  EXPECT_GT(json["peak_gflops"], 0);
  EXPECT_LT(json["max_abs_error"], 1e-5);
}

TEST(RunCommand, TableIsForPeople) {
  const CommandResult result = run_small({"-e", "mask = q_idx >= kv_idx"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  for (const char* word : {"compile", "run", "GFLOP/s", "FMA peak", "of peak", "max error", "correct", "blocks are empty"})
    EXPECT_NE(result.out.find(word), std::string::npos) << word << "\n" << result.out;
}

TEST(RunCommand, ReferenceNeedsNoKernel) {
  const CommandResult result = run_small({"-e", "mask = q_idx >= kv_idx", "--reference", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.json()["kernel_source"], "reference");
}

// What lies in a tensor's memory, with its dimensions in the order of the memory.
Array array_of(const test::Tensor& tensor, bool is_length_first) {
  const auto& s = tensor.view().shape;
  Array array(DType::kF32, is_length_first ? std::vector{s[0], s[2], s[1], s[3]} : std::vector{s[0], s[1], s[2], s[3]});
  std::memcpy(array.bytes.data(), tensor.bytes.data(), tensor.bytes.size());
  return array;
}

TEST(RunCommand, FilesInAndOutInBothLayouts) {
  const TemporaryFolder folder;
  for (const std::string layout : {"bhsd", "bshd"}) {
    const bool moved = layout == "bshd";
    test::Problem problem({2, 4, 2, 37, 53, 8, 5}, {}, 1, moved ? test::length_first : test::dense);
    ASSERT_TRUE(write_npy(folder.path("q.npy"), array_of(problem.q, moved)));
    ASSERT_TRUE(write_npy(folder.path("k.npy"), array_of(problem.k, moved)));
    ASSERT_TRUE(write_npy(folder.path("v.npy"), array_of(problem.v, moved)));
    const CommandResult result = run_flexjit({"run",
                                              "-e",
                                              "param w : int",
                                              "-e",
                                              "mask = abs(q_idx - kv_idx) <= w",
                                              "--param",
                                              "w=6",
                                              "--q",
                                              folder.path("q.npy"),
                                              "--k",
                                              folder.path("k.npy"),
                                              "--v",
                                              folder.path("v.npy"),
                                              "--out",
                                              folder.path("o.npy"),
                                              "--lse",
                                              folder.path("l.npy"),
                                              "--layout",
                                              layout,
                                              "--repeat",
                                              "1"});
    ASSERT_EQ(result.exit_code, 0) << result.err << result.out;
    const Array out = read_npy(folder.path("o.npy")).value(), lse = read_npy(folder.path("l.npy")).value();
    ASSERT_EQ(out.shape, array_of(problem.out, moved).shape);
    ASSERT_EQ(lse.shape, (std::vector<std::int64_t>{2, 4, 37}));
    std::memcpy(problem.out.bytes.data(), out.bytes.data(), out.bytes.size());
    std::memcpy(problem.lse.data(), lse.bytes.data(), lse.bytes.size());
    const auto window = [](const test::Position& p) { return std::abs(p.q_idx - p.kv_idx) <= 6; };
    EXPECT_TRUE(is_attention(problem, {.mask = window})) << layout;
  }
}

TEST(RunCommand, I64FilesKeepAllBits) {
  const TemporaryFolder folder;
  Array ids(DType::kI64, {53});
  for (int i = 0; i < 53; ++i) ids.as<std::int64_t>()[i] = std::int64_t{i < 20 ? 7 : 9} << 32 | 5;
  ASSERT_TRUE(write_npy(folder.path("ids.npy"), ids));
  const CommandResult result = run_small({"-e", "buffer id : i64[kv_len]", "-e", "mask = id[kv_idx] == id[0]", "--buffer",
                                          "id=" + folder.path("ids.npy"), "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.out << result.err;
  EXPECT_EQ(result.json()["allowed_pairs"], 2 * 4 * 37 * 20);
  EXPECT_EQ(result.json()["correct"], true);
}

TEST(RunCommand, BuffersFromFilesAreConverted) {
  const TemporaryFolder folder;
  Array ids(DType::kI64, {53});  // numpy's default integers
  for (int i = 0; i < 53; ++i) ids.as<std::int64_t>()[i] = i < 20 ? 1 : 2;
  ASSERT_TRUE(write_npy(folder.path("ids.npy"), ids));
  const CommandResult result = run_small(
      {"-e", "buffer id : i32[kv_len]", "-e", "mask = id[kv_idx] == 1", "--buffer", "id=" + folder.path("ids.npy"), "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.out << result.err;
  EXPECT_EQ(result.json()["allowed_pairs"], 2 * 4 * 37 * 20);
  EXPECT_TRUE(result.json()["generated_buffers"].empty());
}

TEST(RunCommand, ParamsOfEveryType) {
  const CommandResult result =
      run_small({"-e", "param n : int = 1; param f : float = 1.0; param on : bool = false", "-e",
                 "mask = on && kv_idx < n && f > 2.0", "--param", "n=3", "--param", "f=2.5", "--param", "on=true", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.out;
  EXPECT_EQ(result.json()["allowed_pairs"], 2 * 4 * 37 * 3);
}

struct BadRun {
  std::vector<std::string> line;
  const char* kind;
  int exit_code;
};

TEST(RunCommand, BadInputIsNamed) {
  const TemporaryFolder folder;
  const std::string text = folder.write("text.npy", "no array");
  ASSERT_TRUE(write_npy(folder.path("short.npy"), Array(DType::kF32, {3})));
  const std::vector<std::string> slope = {"-e", "buffer slope : f32[num_heads]", "-e", "score = score + slope[h]"};
  const auto with = [](std::vector<std::string> line, std::vector<std::string> more) {
    line.insert(line.end(), more.begin(), more.end());
    return line;
  };
  const BadRun runs[] = {
      {{"-e", "score = score +"}, "expected-expression", 2},
      {with(slope, {"--buffer", "slope=" + text}), "bad-npy", 2},
      {with(slope, {"--buffer", "slope=/nonexistent.npy"}), "unreadable-file", 2},
      {with(slope, {"--buffer", "slope=" + folder.path("short.npy")}), "binding-shape", 2},
      {with(slope, {"--buffer", "slop=x.npy"}), "unknown-name", 2},
      {with(slope, {"--buffer", "slope"}), "unknown-name", 2},
      {with(slope, {"--param", "w=1"}), "unknown-name", 2},
      {{"-e", "param w : int = 1", "-e", "mask = kv_idx < w", "--param", "w=1.5"}, "param-value", 2},
      {{"-e", "param w : int = 1", "-e", "mask = kv_idx < w", "--param", "w=99999999999"}, "param-value", 2},
      {{"-e", "param w : int", "-e", "mask = kv_idx < w"}, "missing-binding", 2},
      {{"-e", "score = score", "--target", "z80"}, "unsupported-target", 2},
      {{"-e", "score = score", "--q", text}, "bad-npy", 2},
      {{"-e", "score = score", "--q", folder.path("short.npy")}, "size-conflict", 2},
      {{"-e", "score = score", "--out", "/nonexistent/o.npy"}, "unwritable-file", 1},
      {{"-e", "buffer t : f32[4]", "-e", "score = score + t[kv_idx]"}, "buffer-read", 1},
  };
  for (const BadRun& run : runs) {
    auto line = run.line;
    line.push_back("--json");
    const CommandResult result = run_small(line);
    EXPECT_EQ(result.exit_code, run.exit_code) << testing::PrintToString(run.line) << result.out;
    EXPECT_EQ(result.json()["errors"][0]["kind"], run.kind) << testing::PrintToString(run.line) << result.out;
    EXPECT_EQ(result.err, "");
  }
}

TEST(RunCommand, HeadGroupsMustDivide) {
  const CommandResult result =
      run_flexjit({"run", "-e", "score = score", "--heads", "4", "--kv-heads", "3", "--q-len", "8", "--json"});
  EXPECT_EQ(result.exit_code, 2) << result.out;
  EXPECT_FALSE(result.json()["errors"].empty());
}

TEST(RunCommand, EmptyLengthsAreFine) {
  for (const char* option : {"--q-len", "--kv-len"}) {
    const CommandResult result = run_flexjit(
        {"run", "-e", "mask = q_idx >= kv_idx", option, "0", option == std::string("--q-len") ? "--kv-len" : "--q-len", "9"});
    EXPECT_EQ(result.exit_code, 0) << option << result.err << result.out;
  }
}

TEST(RunCommand, SampledRowsIncludeTheLast) {
  const CommandResult result = run_small({"-e", "mask = q_idx >= kv_idx", "--verify-rows", "9", "--json"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.json()["rows_verified"], 9);
  const CommandResult none = run_small({"-e", "mask = q_idx >= kv_idx", "--verify-rows", "0", "--json"});
  EXPECT_EQ(none.exit_code, 0);
  EXPECT_TRUE(none.json()["max_abs_error"].is_null());
}

}  // namespace
}  // namespace flexjit::tests
