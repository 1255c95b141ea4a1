// `flexjit explain`: what it says of facts, and which changes it tries. Which of them it finds worth saying depends on times,
// on which no test depends.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "cli/subprocess.h"

namespace flexjit::tests {
namespace {

using Json = nlohmann::json;

CommandResult explain(std::vector<std::string> line, std::vector<std::string> more = {}) {
  std::vector<std::string> small = {"--heads", "2", "--head-dim", "16", "--seconds", "0.01"};
  if (std::ranges::find(line, "--q-len") == line.end()) small.insert(small.end(), {"--q-len", "96"});
  line.insert(line.begin(), "explain");
  line.insert(line.end(), small.begin(), small.end());
  line.insert(line.end(), more.begin(), more.end());
  return run_flexjit(line);
}

Json json_of(std::vector<std::string> line, const std::vector<std::string>& more = {}) {
  line.push_back("--json");
  const CommandResult result = explain(line, more);
  EXPECT_EQ(result.exit_code, 0) << result.out << result.err;
  EXPECT_EQ(result.err, "");
  return result.json();
}

Json find_rule(const Json& json, const std::string& rule) {
  for (const Json& advice : json["advice"])
    if (advice["rule"] == rule) return advice;
  return nullptr;
}

TEST(ExplainCommand, JsonHasEveryField) {
  const Json json = json_of({"-e", "score = 30.0 * tanh(score / 30.0); mask = q_idx >= kv_idx"});
  EXPECT_EQ(json["scores"], 2 * 96 * 96);
  EXPECT_GE(json["scores_computed"], 2 * 96 * 97 / 2);
  EXPECT_LE(json["scores_computed"], json["scores"]);
  EXPECT_EQ(json["blocks"], (Json{{"full", 0}, {"partial", 1}, {"empty", 0}}));
  EXPECT_GT(json["run_ms"], 0);
  ASSERT_EQ(json["parts"].size(), 4U);
  const Json& score = json["parts"][0];
  const Json& mask = json["parts"][1];
  EXPECT_EQ(score["text"], "30.0 * tanh(score / 30.0)");
  EXPECT_EQ(score["loop"], "score");
  EXPECT_TRUE(score["skipping"].is_null());
  for (const char* field : {"percent", "noise_percent", "ns_per_1000_scores"}) EXPECT_TRUE(score["cost"][field].is_number());
  EXPECT_EQ(score["place"]["column"], 9);
  EXPECT_TRUE(mask["mask"]);
  EXPECT_EQ(mask["skipping"]["scores_without"], 2 * 96 * 96);
  EXPECT_TRUE(mask["cost"].is_object());
}

TEST(ExplainCommand, BackwardIsOfEachPartAndEachGradient) {
  const std::vector<std::string> pattern = {"-e",        "buffer slope : f32[num_heads]",
                                            "-e",        "buffer doc : i32[kv_len]",
                                            "-e",        "score = 30.0 * tanh(score / 30.0) + slope[h] * kv_idx",
                                            "-e",        "mask = doc[kv_idx] == doc[0]",
                                            "--backward"};
  const Json json = json_of(pattern);
  EXPECT_EQ(json["pass"], "backward");
  EXPECT_EQ(json["limit_kind"], "fp32-fma");
  EXPECT_GT(json["run_ms"], 0);
  EXPECT_TRUE(json["parts"][0]["cost"].is_object());
  ASSERT_EQ(json["gradients"].size(), 1U);
  EXPECT_EQ(json["gradients"][0]["buffer"], "slope");
  EXPECT_TRUE(json["gradients"][0]["cost"]["percent"].is_number());
  const CommandResult text = explain(pattern);
  EXPECT_NE(text.out.find("that of `slope`"), std::string::npos) << text.out << text.err;
  EXPECT_TRUE(json_of({"-e", "score = score"})["gradients"].empty());
}

TEST(ExplainCommand, SentencesAreForPeople) {
  const CommandResult result = explain(
      {"-e", "buffer t : f32[q_len, kv_len]", "-e", "score = score + t[q_idx, kv_idx]", "-e", "mask = q_idx >= kv_idx"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  for (const char* words : {"Skipped", "1 partial", "Fused into the kernel",
                            "`t` is read for every score, a vector of keys at once, proved in range", "What it costs",
                            "term `t[q_idx, kv_idx]`", "without it the run takes", "What would make it faster"})
    EXPECT_NE(result.out.find(words), std::string::npos) << words << "\n" << result.out;
}

// Of an `and` each side can be left out for more work, of an `or` for less; the numbers that are compared are left in.
TEST(ExplainCommand, SidesOfConditionsSayWhatTheySkip) {
  const Json json = json_of({"--q-len", "1024", "-e", "buffer a : i32[q_len]", "-e",
                             "mask = q_idx >= kv_idx && (a[q_idx] < kv_idx - 60 || kv_idx < 8)"});
  std::set<std::string> seen;
  for (const Json& part : json["parts"]) {
    if (part["text"] == "q_idx >= kv_idx") {
      EXPECT_GT(part["skipping"]["scores_without"], 0);
      EXPECT_GE(part["skipping"]["scores_without"], json["scores_computed"]);
      EXPECT_TRUE(part["cost"].is_object()) << part;
      seen.insert("and");
    }
    if (part["text"] == "a[q_idx]") {
      EXPECT_TRUE(part["cost"].is_null() && part["skipping"].is_null() && part["why_not"] == "") << part;
      seen.insert("number");
    }
  }
  EXPECT_EQ(seen, (std::set<std::string>{"and", "number"})) << json.dump(1);
}

TEST(ExplainCommand, WithoutASideOfAnOrLessIsAllowed) {
  const Json json = json_of({"--q-len", "1024", "-e", "mask = q_idx >= kv_idx || kv_idx < 8"});
  bool seen = false;
  for (const Json& part : json["parts"]) {
    if (part["text"] != "q_idx >= kv_idx") continue;
    seen = true;
    EXPECT_LT(part["skipping"]["scores_without"], json["scores_computed"]);
    EXPECT_TRUE(part["cost"].is_null()) << part;
    EXPECT_EQ(part["why_not"], "without it less is allowed");
  }
  EXPECT_TRUE(seen) << json.dump(1);
}

TEST(ExplainCommand, PlainAttentionHasNoParts) {
  const CommandResult result = explain({"-e", "score = score"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("this is plain attention"), std::string::npos) << result.out;
}

// They mask, and are no part of the text.
TEST(ExplainCommand, FlagsSkipToo) {
  const CommandResult result = explain({"-e", "score = score", "--causal"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find(" of the scores are not computed"), std::string::npos) << result.out;
  EXPECT_EQ(result.out.find("without a mask"), std::string::npos) << result.out;
}

TEST(ExplainCommand, DivisionByAParamIsTriedWithAConst) {
  const Json json =
      json_of({"-e", "param n : int = 7", "-e", "score = score + (q_idx * 5 + kv_idx * 3) % n", "--param", "n=48"});
  const Json advice = find_rule(json, "constant-divisor");
  ASSERT_FALSE(advice.is_null()) << json.dump(1);
  EXPECT_TRUE(advice["gain"]["percent"].is_number());
  EXPECT_EQ(advice["place"]["line"], 2);
  EXPECT_TRUE(
      find_rule(json_of({"-e", "const n : int = 7", "-e", "score = score + (q_idx * 5 + kv_idx * 3) % n"}), "constant-divisor")
          .is_null());
}

TEST(ExplainCommand, GathersAreNamed) {
  const std::string buffer = "buffer t : f32[512]";
  EXPECT_FALSE(
      find_rule(json_of({"-e", buffer, "-e", "score = score + t[(q_idx * 7 + kv_idx * 3) & 511]"}), "gather").is_null());
  EXPECT_TRUE(find_rule(json_of({"-e", buffer, "-e", "score = score + t[kv_idx & 511]"}), "gather").is_null());
}

TEST(ExplainCommand, FunctionsThatMixRowsAndKeysAreNamed) {
  const auto rule = [](const std::string& term) {
    return find_rule(json_of({"-e", "score = score + 0.01 * " + term}), "hoistable");
  };
  EXPECT_FALSE(rule("exp(0.01 * q_idx + 0.02 * kv_idx)").is_null());
  EXPECT_TRUE(rule("exp(0.01 * (kv_idx - q_idx))").is_null());
  EXPECT_TRUE(rule("tanh(score)").is_null());
}

TEST(ExplainCommand, ExtentsThatProveAReadAreTried) {
  const Json proved = find_rule(json_of({"-e", "buffer t : f32[?]", "-e", "score = score + t[kv_idx]"}), "unproved-read");
  // 192 elements are generated, which is neither length: the number itself proves nothing.
  EXPECT_TRUE(proved["gain"].is_null());
  const TemporaryFolder folder;
  const Json clamped = find_rule(
      json_of({"-e", "buffer t : f32[?]", "-e", "score = score + t[clamp(kv_idx * 3 - q_idx, 0, 191)]"}), "unproved-read");
  EXPECT_NE(clamped["text"].get<std::string>().find("[192]"), std::string::npos) << clamped;
  EXPECT_TRUE(clamped["gain"]["percent"].is_number());
}

// The mask allows all, which only evaluating it shows.
TEST(ExplainCommand, MasksOfBuffersAreLookedAt) {
  const Json json =
      json_of({"-e", "buffer a : i32[?]; buffer c : i32[?]", "-e", "mask = (a[q_idx] * 2 + c[kv_idx] * 2) % 2 == 0"});
  EXPECT_FALSE(find_rule(json, "kept-block-mask").is_null());
  EXPECT_FALSE(find_rule(json, "opaque-mask").is_null());
  const Json causal = json_of({"-e", "mask = q_idx >= kv_idx"});
  EXPECT_TRUE(find_rule(causal, "kept-block-mask").is_null());
  EXPECT_TRUE(find_rule(causal, "opaque-mask").is_null());
}

TEST(ExplainCommand, WidthsAndTypesAreTried) {
  const std::vector<std::string> softcap = {"-e", "score = tanh(score)"};
  EXPECT_FALSE(find_rule(json_of(softcap, {"--v-head-dim", "13"}), "ragged-values")["gain"].is_null());
  EXPECT_TRUE(find_rule(json_of(softcap, {"--v-head-dim", "64"}), "ragged-values").is_null());
  const std::vector<std::string> decode = {"explain",  "-e",  "score = score", "--q-len", "1",
                                           "--kv-len", "512", "--seconds",     "0.01",    "--json"};
  EXPECT_FALSE(find_rule(run_flexjit(decode).json(), "wide-keys-and-values")["gain"].is_null());
  EXPECT_TRUE(find_rule(json_of(softcap), "wide-keys-and-values").is_null());
}

// Without its guard the read leaves the buffer: the part is named, with the reason why it has no cost.
TEST(ExplainCommand, PartsThatGuardReadsAreNotMeasured) {
  const Json json = json_of(
      {"-e", "buffer t : f32[33]", "-e", "let d = kv_idx - q_idx", "-e", "score = score + (abs(d) <= 16 ? t[d + 16] : 0.0)"});
  const auto& parts = json["parts"];
  const bool named = std::any_of(parts.begin(), parts.end(), [](const Json& part) {
    return part["cost"].is_null() && part["why_not"] == "not measured: without it `t` is read out of range";
  });
  const auto guard = std::find_if(parts.begin(), parts.end(), [](const Json& part) { return part["role"] == "branch"; });
  ASSERT_NE(guard, parts.end()) << json.dump(1);
  // A guard below something that costs nothing is not even tried.
  EXPECT_TRUE(named || guard->at("why_not") == "") << json.dump(1);
}

TEST(ExplainCommand, EmptyLengthsAreFine) {
  for (const char* option : {"--q-len", "--kv-len"}) {
    const CommandResult result = run_flexjit({"explain", "-e", "mask = q_idx >= kv_idx", option, "0",
                                              option == std::string("--q-len") ? "--kv-len" : "--q-len", "9", "--json"});
    EXPECT_EQ(result.exit_code, 0) << option << result.err << result.out;
  }
}

TEST(ExplainCommand, BadInputIsNamed) {
  const std::tuple<std::vector<std::string>, const char*, int> runs[] = {
      {{"-e", "score = score +"}, "expected-expression", 2},
      {{"-e", "score = score", "--param", "w=1"}, "unknown-name", 2},
      {{"-e", "param w : int", "-e", "mask = kv_idx < w"}, "missing-binding", 2},
      {{"-e", "score = score", "--target", "z80"}, "unsupported-target", 2},
      {{"-e", "score = score", "--seconds", "-1"}, "usage", 2},
      {{"-e", "buffer t : f32[4]", "-e", "score = score + t[kv_idx]"}, "buffer-read", 1}};
  for (auto [line, kind, exit_code] : runs) {
    line.push_back("--json");
    const CommandResult result = explain(line);
    EXPECT_EQ(result.exit_code, exit_code) << kind << result.out;
    EXPECT_EQ(result.json()["errors"][0]["kind"], kind) << result.out;
  }
}

}  // namespace
}  // namespace flexjit::tests
