// `flexjit run`: the JSON fields, files in and out, layouts, bindings, and exit codes of runs that fail.
#include <gtest/gtest.h>

#include <cmath>

#include "array.h"
#include "cli/subprocess.h"
#include "npy.h"

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

// Deterministic values in [-1, 1).
Array filled(std::vector<std::int64_t> shape, int stride) {
  Array array(DType::kF32, std::move(shape));
  for (std::int64_t i = 0; i < array.count(); ++i) array.as<float>()[i] = static_cast<float>((i * stride) % 101) / 50.5F - 1;
  return array;
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

// Softmax attention with a window, written out here: shares no code with the engine.
std::vector<double> attend(const Array& q, const Array& k, const Array& v, int window) {
  const std::int64_t heads = q.shape[1], rows = q.shape[2], dim = q.shape[3], keys = k.shape[2], out_dim = v.shape[3];
  const std::int64_t group = heads / k.shape[1];
  std::vector<double> out;
  for (std::int64_t bh = 0; bh < q.shape[0] * heads; ++bh) {
    const std::int64_t kv = bh / heads * k.shape[1] + bh % heads / group;
    for (std::int64_t i = 0; i < rows; ++i) {
      std::vector<double> sums(static_cast<std::size_t>(out_dim), 0.0);
      double total = 0;
      for (std::int64_t j = 0; j < keys; ++j) {
        if (std::abs(i - j) > window) continue;
        double dot = 0;
        for (std::int64_t d = 0; d < dim; ++d)
          dot += double{q.as<float>()[(bh * rows + i) * dim + d]} * double{k.as<float>()[(kv * keys + j) * dim + d]};
        const double weight = std::exp(dot / std::sqrt(static_cast<double>(dim)));
        total += weight;
        for (std::int64_t d = 0; d < out_dim; ++d)
          sums[static_cast<std::size_t>(d)] += weight * double{v.as<float>()[(kv * keys + j) * out_dim + d]};
      }
      for (double sum : sums) out.push_back(total > 0 ? sum / total : 0);
    }
  }
  return out;
}

Array exchanged(const Array& array) {  // dimensions 1 and 2
  const auto& s = array.shape;
  Array out(array.dtype, {s[0], s[2], s[1], s[3]});
  for (std::int64_t a = 0; a < s[0]; ++a)
    for (std::int64_t b = 0; b < s[1]; ++b)
      for (std::int64_t c = 0; c < s[2]; ++c)
        for (std::int64_t d = 0; d < s[3]; ++d)
          out.as<float>()[((a * s[2] + c) * s[1] + b) * s[3] + d] = array.as<float>()[((a * s[1] + b) * s[2] + c) * s[3] + d];
  return out;
}

TEST(RunCommand, FilesInAndOutInBothLayouts) {
  const TemporaryFolder folder;
  const Array q = filled({2, 4, 37, 8}, 7), k = filled({2, 2, 53, 8}, 13), v = filled({2, 2, 53, 5}, 29);
  const std::vector<double> expected = attend(q, k, v, 6);
  for (const std::string layout : {"bhsd", "bshd"}) {
    const bool exchange = layout == "bshd";
    ASSERT_TRUE(write_npy(folder.path("q.npy"), exchange ? exchanged(q) : q));
    ASSERT_TRUE(write_npy(folder.path("k.npy"), exchange ? exchanged(k) : k));
    ASSERT_TRUE(write_npy(folder.path("v.npy"), exchange ? exchanged(v) : v));
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
    Array out = read_npy(folder.path("o.npy")).value();
    EXPECT_EQ(out.shape, exchange ? (std::vector<std::int64_t>{2, 37, 4, 5}) : (std::vector<std::int64_t>{2, 4, 37, 5}));
    if (exchange) out = exchanged(out);
    for (std::size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(out.as<float>()[i], expected[i], 1e-5) << layout << " " << i;
    EXPECT_EQ(read_npy(folder.path("l.npy")).value().shape, (std::vector<std::int64_t>{2, 4, 37}));
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
