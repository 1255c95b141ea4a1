// Sequences with lengths of their own in the command: made up or from files, run, verified, traced, inspected and measured.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "cli/subprocess.h"
#include "data/npy.h"
#include "data/ragged.h"
#include "support/checklist.h"

namespace flexjit::tests {
namespace {

using tools::Array;
using tools::write_npy;

CommandResult run_with(std::vector<std::string> line) {
  line.insert(line.begin(), {"run", "-e", "score = score"});
  for (const char* word : {"--heads", "4", "--kv-heads", "2", "--head-dim", "16", "--repeat", "1", "--json"})
    line.emplace_back(word);
  return run_flexjit(line);
}

void expect_failure(const CommandResult& result, const std::string& kind, const std::string& words) {
  EXPECT_EQ(result.exit_code, 2);
  ASSERT_FALSE(result.json()["errors"].empty()) << result.out;
  EXPECT_EQ(result.json()["errors"][0]["kind"], kind);
  EXPECT_NE(result.json()["errors"][0]["message"].get<std::string>().find(words), std::string::npos) << result.out;
}

TEST(SequencesOfCommand, LengthsAreRunAndVerified) {
  const std::string lengths = "1x300,40x40,0x7,2*3x65";
  for (const std::vector<std::string>& place :
       std::vector<std::vector<std::string>>{{}, {"--page-size", "16"}, {"--page-size", "1"}, {"--cache-rows", "320"}}) {
    for (const char* layout : {"bhsd", "bshd"}) {
      std::vector<std::string> line{"--causal", "--lengths", lengths, "--layout", layout};
      line.insert(line.end(), place.begin(), place.end());
      const CommandResult result = run_with(line);
      ASSERT_EQ(result.exit_code, 0) << result.out << result.err;
      const auto json = result.json();
      EXPECT_EQ(json["correct"], true);
      EXPECT_EQ(json["sizes"]["batch"], 5);
      EXPECT_EQ(json["sizes"]["q_len"], 40);
      EXPECT_EQ(json["sizes"]["kv_len"], 300);
      EXPECT_EQ(json["allowed_pairs"], 4 * (300 + 40 * 41 / 2 + 2 * (63 + 64 + 65)));
      EXPECT_LT(json["max_abs_error"], 1e-5);
      EXPECT_GT(json["max_abs_error"], 0);
      EXPECT_NE(json["sequences"].get<std::string>().find("0..40 queries and 7..300 keys"), std::string::npos);
    }
  }
}

TEST(SequencesOfCommand, GradientsOfPackedSequences) {
  const CommandResult result = run_with({"--causal", "--lengths", "30x40,1x5,0x3,20x20", "--backward"});
  ASSERT_EQ(result.exit_code, 0) << result.out << result.err;
  EXPECT_EQ(result.json()["correct"], true);
  EXPECT_LT(result.json()["max_abs_error_dk"], 1e-4);
  expect_failure(run_with({"--causal", "--lengths", "30x40", "--page-size", "8", "--backward"}), "sequence-option",
                 "block_table");
}

Array ints(std::vector<std::int64_t> shape, const std::vector<std::int32_t>& values) {
  Array array(DType::kI32, std::move(shape));
  std::ranges::copy(values, array.as<std::int32_t>());
  return array;
}

// q, k and v of numbers that repeat nowhere near each other.
struct Files {
  Files(std::vector<std::int64_t> q_shape, std::vector<std::int64_t> k_shape) {
    write("q.npy", std::move(q_shape), 7);
    write("k.npy", k_shape, 5);
    write("v.npy", k_shape, 11);
  }
  void write(const std::string& name, std::vector<std::int64_t> shape, std::int64_t period) {
    Array array(DType::kF32, std::move(shape));
    for (std::int64_t i = 0; i < array.count(); ++i)
      array.as<float>()[i] = static_cast<float>(i * 37 % 101 % (period * 9)) / 20.0F - 1.0F;
    EXPECT_TRUE(write_npy(folder.path(name), array));
  }
  std::string numbers(const std::string& name, std::vector<std::int64_t> shape, const std::vector<std::int32_t>& values) {
    EXPECT_TRUE(write_npy(folder.path(name), ints(std::move(shape), values)));
    return folder.path(name);
  }
  std::vector<std::string> line(std::vector<std::string> more) const {
    std::vector<std::string> words{"--q", folder.path("q.npy"), "--k", folder.path("k.npy"), "--v", folder.path("v.npy")};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  TemporaryFolder folder;
};

TEST(SequencesOfCommand, FilesSayWhereSequencesLie) {
  Files packed({1, 4, 20, 16}, {1, 2, 60, 16});
  const std::string cu_q = packed.numbers("cu_q.npy", {3}, {2, 7, 19}), cu_k = packed.numbers("cu_k.npy", {3}, {0, 33, 58});
  const std::string used = packed.numbers("used.npy", {2}, {5, 10});
  CommandResult result = run_with(packed.line({"--cu-seqlens-q", cu_q, "--seqused-q", used, "--cu-seqlens-k", cu_k}));
  ASSERT_EQ(result.exit_code, 0) << result.out << result.err;
  EXPECT_EQ(result.json()["correct"], true);
  EXPECT_EQ(result.json()["allowed_pairs"], 4 * (5 * 33 + 10 * 25));

  Files caches({2, 4, 3, 16}, {5, 2, 40, 16});
  const std::string total = caches.numbers("total.npy", {2}, {30, 17}), where = caches.numbers("where.npy", {2}, {4, 1});
  const std::string pad = caches.numbers("pad.npy", {2}, {10, 0});
  result = run_with(caches.line({"--total-len", total, "--cache-batch-idx", where, "--cache-leftpad", pad}));
  ASSERT_EQ(result.exit_code, 0) << result.out << result.err;
  EXPECT_EQ(result.json()["correct"], true);
  EXPECT_EQ(result.json()["allowed_pairs"], 4 * 3 * (30 + 17));

  Files pages({2, 4, 1, 16}, {6, 2, 8, 16});
  const std::string keys = pages.numbers("keys.npy", {2}, {20, 9});
  const std::string table = pages.numbers("table.npy", {2, 3}, {5, 0, 2, 1, 3, -1});
  result = run_with(pages.line({"--total-len", keys, "--block-table", table, "--out", pages.folder.path("a.npy")}));
  ASSERT_EQ(result.exit_code, 0) << result.out << result.err;
  EXPECT_EQ(result.json()["correct"], true);
  const std::string begins = pages.numbers("begins.npy", {3}, {0, 3, 5}),
                    list = pages.numbers("list.npy", {5}, {5, 0, 2, 1, 3});
  result = run_with(
      pages.line({"--total-len", keys, "--page-indptr", begins, "--page-indices", list, "--out", pages.folder.path("b.npy")}));
  ASSERT_EQ(result.exit_code, 0) << result.out << result.err;
  EXPECT_EQ(read_file(pages.folder.path("a.npy")), read_file(pages.folder.path("b.npy")));

  const std::string wrong = pages.numbers("wrong.npy", {2, 3}, {5, 0, 6, 1, 3, -1});
  expect_failure(run_with(pages.line({"--total-len", keys, "--block-table", wrong})), "sequence-index",
                 "block_table[0, 2] is 6");
  expect_failure(run_with({"--total-len", keys}), "missing-input", "--q, --k and --v");
  expect_failure(run_with(pages.line({"--total-len", keys, "--block-table", table, "--out", keys})), "usage", "--total-len");
}

TEST(SequencesOfCommand, MisuseIsNamed) {
  expect_failure(run_with({"--lengths", "1y4"}), "usage", "`1y4` is not QxKV");
  expect_failure(run_with({"--lengths", "0*1x4"}), "usage", "names no sequence");
  expect_failure(run_with({"--lengths", "1x4", "--batch", "2"}), "usage", "leave these out");
  expect_failure(run_with({"--lengths", "1x40", "--cache-rows", "39"}), "usage", "a sequence has 40 keys");
  expect_failure(run_with({"--lengths", "1x4", "--dump-scores", "s.npy"}), "usage", "one length");
  EXPECT_EQ(run_with({"--page-size", "16"}).exit_code, 2);
  const CommandResult explained = run_flexjit({"explain", "-e", "mask = kv_idx < 3", "--lengths", "1x4", "--json"});
  expect_failure(explained, "usage", "explain measures calls of one length");
}

TEST(SequencesOfCommand, PagedDecodeIsTracedAndInspected) {
  const TemporaryFolder folder;
  const CommandResult traced =
      run_with({"--causal", "--lengths", "4*1x900", "--page-size", "64", "--trace", folder.path("trace.json")});
  ASSERT_EQ(traced.exit_code, 0) << traced.out << traced.err;
  EXPECT_NE(read_file(folder.path("trace.json")).find("split"), std::string::npos);

  const CommandResult shown = run_flexjit({"inspect", "-e", "mask = kv_idx <= q_idx + kv_len - q_len", "--kernel", "decode",
                                           "--view=roofline", "--lengths", "1x4096,1x1000", "--page-size", "64", "--heads", "4",
                                           "--kv-heads", "2", "--head-dim", "16", "--json"});
  ASSERT_EQ(shown.exit_code, 0) << shown.out << shown.err;
  const auto roofline = shown.json()["views"]["roofline"];
  // Keys and values of both sequences, and their rows: not the room that pages leave.
  const double keys = 5096.0 * 2 * 16 * 2 * 4, rows = 2.0 * 4 * (16 * 2 + 1) * 4;
  EXPECT_DOUBLE_EQ(roofline["bytes"], keys + rows);
  EXPECT_EQ(roofline["allowed_scores"], 4 * 5096);
}

TEST(SequencesOfCommand, SuitesOfCaches) {
  const CommandResult result =
      run_flexjit({"bench", "--quick", "--repeat", "1", "--suite", "varlen,kvcache,paged", "--filter", "64", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.out << result.err;
  std::size_t varlen = 0, paged = 0;
  for (const auto& row : result.json()["rows"]) {
    EXPECT_EQ(row["correct"], true) << row;
    if (row["suite"] == "varlen") {
      ++varlen;
      EXPECT_GT(row["ratio_to_one_by_one"], 0);
    }
    if (row["suite"] != "paged") continue;
    ++paged;
    EXPECT_GT(row["ratio_to_contiguous"], 0);
    EXPECT_GE(row["ratio_to_best_contiguous"], row["ratio_to_contiguous"]);
  }
  EXPECT_EQ(varlen, 2U);
  EXPECT_EQ(paged, 6U);
}

TEST(SequencesOfCommand, TableOfCaches) {
  covers("P38 P39 P41");
  const std::vector<std::string> line{"bench",
                                      "--kv-bench",
                                      "--kv-batch-sizes",
                                      "1",
                                      "--kv-live-lengths",
                                      "512",
                                      "8192",
                                      "--kv-max-cache-lengths",
                                      "4096",
                                      "--kv-page-sizes",
                                      "128",
                                      "--kv-head-counts",
                                      "8",
                                      "--kv-head-dims",
                                      "128",
                                      "--kv-seqlen-q",
                                      "16",
                                      "--kv-warmup-iters",
                                      "0",
                                      "--kv-bench-iters",
                                      "1",
                                      "--cpu-comparison"};
  const CommandResult table = run_flexjit(line);
  ASSERT_EQ(table.exit_code, 0) << table.out << table.err;
  for (const char* word : {"Config", "Contig ms", "Paged ms", "Speedup", "Contig MiB", "Paged MiB", "Savings",
                           "B1 L512 M4096 P128 H8 D128 ", " 16.0 ", " 2.0 ", " 8.0x"})
    EXPECT_NE(table.out.find(word), std::string::npos) << word << "\n" << table.out;
  EXPECT_EQ(table.out.find("L8192"), std::string::npos) << "a cache cannot hold more than it has rows";

  const CommandResult quick = run_flexjit({"bench", "--kv-bench", "--varlen-bench", "--quick", "--kv-bench-iters", "1",
                                           "--kv-warmup-iters", "0", "--no-causal", "--json"});
  ASSERT_EQ(quick.exit_code, 0) << quick.out << quick.err;
  ASSERT_EQ(quick.json()["kv_bench"].size(), 1U);
  EXPECT_EQ(quick.json()["kv_bench"][0]["config"], "B1 L64 M512 P128 H8 D64");
  EXPECT_EQ(quick.json()["varlen_bench"][0]["config"], "B4 S128 H8 D64");
  const CommandResult none =
      run_flexjit({"bench", "--kv-bench", "--kv-live-lengths", "64", "--kv-max-cache-lengths", "8", "--json"});
  expect_failure(none, "usage", "longer than the caches");
}

}  // namespace
}  // namespace flexjit::tests
