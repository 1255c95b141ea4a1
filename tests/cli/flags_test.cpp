// What stands for a pattern on the command line besides a file: presets, flags, stdin; what becomes of inputs that nobody gave;
// words that were misspelt.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "cli/subprocess.h"
#include "data/array.h"
#include "data/npy.h"

namespace flexjit::tests {
namespace {

using tools::Array;
using tools::write_npy;
using Words = std::vector<std::string>;

Words with(Words line, const Words& more) {
  line.insert(line.end(), more.begin(), more.end());
  return line;
}

const Words kSizes = {"--q-len", "40", "--heads", "2", "--head-dim", "8", "--repeat", "1", "--json"};

std::int64_t allowed(const Words& pattern) {
  const CommandResult result = run_flexjit(with(with({"run"}, pattern), kSizes));
  EXPECT_EQ(result.exit_code, 0) << testing::PrintToString(pattern) << result.out << result.err;
  if (result.exit_code != 0) return -1;
  EXPECT_EQ(result.json()["correct"], true);
  return result.json()["allowed_pairs"];
}

TEST(Flags, MeanWhatTheyDoInTheApi) {
  constexpr std::int64_t kTriangle = 2 * 40 * 41 / 2, kAll = 2 * 40 * 40;
  EXPECT_EQ(allowed({"--causal"}), kTriangle);
  EXPECT_EQ(allowed({"--causal", "--kv-len", "60"}), kTriangle + 2 * 40 * 20);
  EXPECT_EQ(allowed({"--window", "3,0"}), 2 * (40 * 4 - 6));
  EXPECT_EQ(allowed({"--window", "3", "0"}), 2 * (40 * 4 - 6));
  EXPECT_EQ(allowed({"--window=-1,0"}), kTriangle);
  EXPECT_EQ(allowed({"--window", "-1,0"}), kTriangle);
  EXPECT_EQ(allowed({"--softcap", "20"}), kAll);
  EXPECT_EQ(allowed({"--alibi"}), kAll);
  EXPECT_EQ(allowed({"--sinks"}), kAll);
  EXPECT_EQ(allowed({"--weights", "sigmoid"}), kAll);
  EXPECT_EQ(allowed({"--weights", "linear", "--causal"}), kTriangle);
  EXPECT_EQ(allowed({"--weights", "linear", "--feature-map", "relu(1e-3)", "--unnormalised"}), kAll);
  EXPECT_EQ(
      allowed({"-e", "buffer g : f32[num_heads]; mask = kv_idx <= q_idx", "--weights", "linear", "--gate", "exp(-abs(g[h]))"}),
      kTriangle);
  EXPECT_EQ(allowed({"-e", "buffer W : f32[24, 8]; mask = kv_idx <= q_idx", "--weights", "linear", "--feature-map",
                     "exp_clamp(W, -5, 5)"}),
            kTriangle);
  EXPECT_EQ(allowed({"--dropout", "0.1", "--dropout-seed", "7", "--dropout-offset", "3"}), kAll);
  EXPECT_EQ(allowed({"-e", "mask = kv_idx != 3", "--causal", "--alibi", "--sinks", "--softcap", "9"}), kTriangle - 2 * 37);
  EXPECT_EQ(allowed({"--preset", "prefix_lm", "--param", "prefix=40"}), kAll);
  EXPECT_EQ(allowed({"--preset", "window", "--param", "window_right=0"}), kTriangle);
}

// Sinks alone: with queries of 0 every score is 0, and n keys share exp(0) with exp(sink).
TEST(Flags, TensorsComeFromFiles) {
  const TemporaryFolder folder;
  const std::string zeros = folder.path("zeros.npy"), ones = folder.path("ones.npy"), sinks = folder.path("sinks.npy");
  Array one(DType::kF32, {1, 2, 4, 8});
  ASSERT_TRUE(write_npy(zeros, one));
  for (std::int64_t i = 0; i < one.count(); ++i) one.as<float>()[i] = 1;
  ASSERT_TRUE(write_npy(ones, one));
  Array sink(DType::kF32, {2});
  sink.as<float>()[0] = 0;
  sink.as<float>()[1] = 2;
  ASSERT_TRUE(write_npy(sinks, sink));
  const Words inputs = {"run", "--q", zeros, "--k", ones, "--v", ones, "--out", folder.path("o.npy"), "--repeat", "1"};
  for (const Words& form : {Words{"--sinks", sinks}, Words{"--sinks=" + sinks}}) {
    const CommandResult result = run_flexjit(with(inputs, form));
    ASSERT_EQ(result.exit_code, 0) << result.out << result.err;
    const Array out = tools::read_npy(folder.path("o.npy")).value();
    EXPECT_NEAR(out.as<float>()[0], 4.0 / (4 + 1), 1e-6);
    EXPECT_NEAR(out.as<float>()[32], 4.0 / (4 + 7.38905609893), 1e-6);
  }
  Array mask(DType::kBool, {4, 4});
  for (int i = 0; i < 4; ++i) mask.as<std::uint8_t>()[i * 4] = 1;
  ASSERT_TRUE(write_npy(folder.path("mask.npy"), mask));
  const CommandResult masked = run_flexjit(with(inputs, {"--attention-mask", folder.path("mask.npy"), "--json"}));
  ASSERT_EQ(masked.exit_code, 0) << masked.out << masked.err;
  EXPECT_EQ(masked.json()["allowed_pairs"], 2 * 4);
}

TEST(Flags, EveryCommandTakesThem) {
  for (const Words& line : std::vector<Words>{{"check"},
                                              {"mask", "--q-len", "40"},
                                              {"inspect"},
                                              {"inspect", "--view=mask", "--q-len", "40"},
                                              {"explain", "--q-len", "40", "--heads", "1", "--seconds", "0.1"}}) {
    for (const Words& pattern : std::vector<Words>{{"--causal"},
                                                   {"--window", "4,0"},
                                                   {"--softcap", "3"},
                                                   {"--alibi"},
                                                   {"--sinks"},
                                                   {"--weights", "sigmoid"},
                                                   {"--dropout", "0.5", "--dropout-generator", "philox4"},
                                                   {"--preset", "causal"}}) {
      const CommandResult result = run_flexjit(with(line, pattern));
      EXPECT_EQ(result.exit_code, 0) << testing::PrintToString(line) << testing::PrintToString(pattern) << result.err;
    }
  }
  const TemporaryFolder folder;
  EXPECT_EQ(run_flexjit({"build", "--preset", "causal", "--alibi", "-o", folder.path("a.o")}).exit_code, 0);
  EXPECT_EQ(run_flexjit({"repl", "--preset", "causal", "--q-len", "32", "--heads", "1", "--json"}, ":show\n").exit_code, 0);
  EXPECT_EQ(run_flexjit({"check", "--sinks", "--weights", "sigmoid"}).exit_code, 2);
  EXPECT_EQ(run_flexjit({"check"}).exit_code, 2);
  EXPECT_EQ(run_flexjit({"check", "--preset", "cuasal"}).exit_code, 2);
}

TEST(Flags, ADashIsStdin) {
  const CommandResult result = run_flexjit({"mask", "-", "--q-len", "4", "--json"}, "mask = kv_idx <= q_idx\n");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.json()["popcount"], 10);
  EXPECT_EQ(result.json()["pattern"], "<stdin>");
}

TEST(Flags, CheckTakesManyFiles) {
  const TemporaryFolder folder;
  const std::string right = folder.write("right.flex", "mask = q_idx >= kv_idx\n"),
                    wrong = folder.write("wrong.flex", "mask = q_ixd >= kv_idx\n"),
                    worse = folder.write("worse.flex", "mask = (\n");
  const CommandResult result = run_flexjit({"check", right, wrong, worse});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.out.find("right.flex: ok"), std::string::npos);
  EXPECT_NE(result.err.find("wrong.flex:1:8"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("worse.flex:1"), std::string::npos) << result.err;
  EXPECT_EQ(run_flexjit({"check", right, right}).exit_code, 0);
}

// With data given, what is forgotten is an error and not made up.
TEST(Unbound, IsAnErrorWhereDataIsGiven) {
  const TemporaryFolder folder;
  const std::string x = folder.path("x.npy"), ids = folder.path("ids.npy");
  ASSERT_TRUE(write_npy(x, Array(DType::kF32, {1, 2, 40, 8})));
  ASSERT_TRUE(write_npy(ids, Array(DType::kI32, {40})));
  const Words data = {"--q", x, "--k", x, "--v", x};
  const Words slope = {"-e", "buffer slope : f32[num_heads]; score = score + slope[h]"};
  const Words two = {"-e", "buffer a : i32[q_len]; buffer c : i32[kv_len]; mask = a[q_idx] == c[kv_idx]"};
  const struct {
    Words line;
    const char* kind;
  } cases[] = {
      {with(with({"run"}, slope), data), "missing-binding"},
      {with(with({"run", "--alibi"}, data), {}), "missing-binding"},
      {with({"run", "--key-mask"}, data), "missing-binding"},
      {with({"run", "--key-lengths"}, data), "missing-binding"},
      {with({"run", "--preset", "document"}, data), "missing-binding"},
      {with({"run", "--sinks"}, data), "missing-input"},
      {{"run", "--causal", "--q", x}, "missing-input"},
      {{"run", "--causal", "--q", x, "--v", x}, "missing-input"},
      {with({"run", "-e", "param w : int", "-e", "mask = kv_idx < w"}, data), "missing-binding"},
      {with(with({"run", "--q-len", "40"}, two), {"--buffer", "a=" + ids}), "missing-binding"},
      {with(with({"explain"}, slope), data), "missing-binding"},
      {with(with({"mask", "--q-len", "40"}, two), {"--buffer", "a=" + ids}), "missing-binding"},
      {with(with({"inspect", "--view=mask", "--q-len", "40"}, two), {"--buffer", "a=" + ids}), "missing-binding"},
  };
  for (const auto& [line, kind] : cases) {
    const CommandResult result = run_flexjit(with(line, {"--json"}));
    EXPECT_EQ(result.exit_code, 2) << testing::PrintToString(line) << result.out;
    ASSERT_NE(result.out, "") << result.err;
    EXPECT_EQ(result.json()["errors"][0]["kind"], kind) << testing::PrintToString(line);
  }
  EXPECT_EQ(run_flexjit(with(with({"run", "--generate", "--repeat", "1"}, slope), data)).exit_code, 0);
  EXPECT_EQ(run_flexjit({"run", "--generate", "--repeat", "1", "--causal", "--q", x}).exit_code, 0);
}

TEST(Unbound, IsAnErrorInTheReplOnceABufferIsGiven) {
  const TemporaryFolder folder;
  const std::string ids = folder.path("ids.npy");
  ASSERT_TRUE(write_npy(ids, Array(DType::kI32, {32})));
  const std::string lines = "buffer a : i32[q_len]; buffer c : i32[kv_len]\n:set a " + ids + "\nmask = a[q_idx] == c[kv_idx]\n";
  const Words repl = {"repl", "--q-len", "32", "--heads", "1"};
  const CommandResult result = run_flexjit(repl, lines);
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.out.find("`c` is bound to nothing"), std::string::npos) << result.out;
  EXPECT_EQ(
      run_flexjit(repl, lines.substr(0, lines.find("mask")) + ":set c " + ids + "\nmask = a[q_idx] == c[kv_idx]\n").exit_code,
      0);
}

TEST(DTypes, OfAFileAreWhatRuns) {
  const TemporaryFolder folder;
  const auto type_of = [&](DType q, DType kv, const Words& more) {
    EXPECT_TRUE(write_npy(folder.path("q.npy"), Array(q, {1, 1, 20, 8})));
    EXPECT_TRUE(write_npy(folder.path("k.npy"), Array(kv, {1, 1, 20, 8})));
    const CommandResult result = run_flexjit(with({"run", "--causal", "--repeat", "1", "--json", "--q", folder.path("q.npy"),
                                                   "--k", folder.path("k.npy"), "--v", folder.path("k.npy")},
                                                  more));
    EXPECT_EQ(result.exit_code, 0) << result.out << result.err;
    const auto json = result.json();
    return json["dtype"].get<std::string>() + " " + json["kv_dtype"].get<std::string>() + " " +
           json["out_dtype"].get<std::string>();
  };
  EXPECT_EQ(type_of(DType::kF16, DType::kF16, {}), "f16 f16 f16");
  EXPECT_EQ(type_of(DType::kBF16, DType::kBF16, {}), "bf16 bf16 bf16");
  EXPECT_EQ(type_of(DType::kF32, DType::kF16, {}), "f32 f16 f32");
  EXPECT_EQ(type_of(DType::kF64, DType::kF64, {}), "f32 f32 f32");
  EXPECT_EQ(type_of(DType::kF16, DType::kF16, {"--dtype", "f32"}), "f32 f32 f32");
}

TEST(Notes, TopLeftMasksOfFewQueriesAreNamed) {
  const auto note = [](const Words& line) { return run_flexjit(with(line, {"--json"})).json()["note"]; };
  const Words decode = {"--q-len", "1", "--kv-len", "1000", "--heads", "1"};
  EXPECT_NE(
      note(with({"mask", "-e", "mask = q_idx >= kv_idx"}, decode)).get<std::string>().find("no query sees a key from 128 on"),
      std::string::npos);
  EXPECT_TRUE(note(with({"run", "-e", "mask = q_idx >= kv_idx", "--repeat", "1"}, decode)).is_string());
  EXPECT_TRUE(note(with({"run", "--causal", "--repeat", "1"}, decode)).is_null());
  EXPECT_TRUE(note(with({"mask", "-e", "mask = kv_idx < 5 || kv_idx > 990"}, decode)).is_null());
  EXPECT_TRUE(note({"mask", "-e", "mask = q_idx >= kv_idx", "--q-len", "1000"}).is_null());
  EXPECT_TRUE(note(with({"mask", "-e", "mask = false"}, decode)).is_null());
}

TEST(Usage, MisspeltWordsHaveSuggestions) {
  const auto said = [](const Words& line) { return run_flexjit(line).err; };
  EXPECT_NE(said({"rnu", "x.flex"}).find("did you mean `run`?"), std::string::npos);
  EXPECT_NE(said({"run", "--causal", "--qlen", "64"}).find("did you mean `--q-len`?"), std::string::npos);
  EXPECT_NE(said({"run", "--casual"}).find("did you mean `--causal`?"), std::string::npos);
  EXPECT_NE(said({"inpsect", "x"}).find("did you mean `inspect`?"), std::string::npos);
  EXPECT_EQ(said({"zzzzzz"}).find("did you mean"), std::string::npos);
  const CommandResult json = run_flexjit({"rnu", "--json"});
  EXPECT_EQ(json.exit_code, 2);
  EXPECT_NE(json.json()["errors"][0]["message"].get<std::string>().find("did you mean `run`?"), std::string::npos);
}

TEST(Usage, HelpHasNoBytesThatAreNoText) {
  for (const char* command : {"run", "explain", "repl", "inspect", "check", "mask", "bench", "build", "cache", "doctor"}) {
    const CommandResult help = run_flexjit({command, "--help"});
    EXPECT_EQ(help.exit_code, 0);
    for (const char c : help.out) ASSERT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20) << command << int{c};
  }
}

}  // namespace
}  // namespace flexjit::tests
