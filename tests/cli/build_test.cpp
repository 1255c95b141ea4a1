// `flexjit build` as a command: what it writes, what it says, and how it refuses.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "cli/subprocess.h"

namespace flexjit::tests {
namespace {

class BuildCommand : public ::testing::Test {
 protected:
  std::string causal(const std::string& file = "causal.flex") const { return folder_.write(file, "mask = q_idx >= kv_idx\n"); }

  std::string text_of(const std::string& name) const {
    std::ifstream in(folder_.path(name), std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
  }

  // The kinds of its errors, in one line; the exit code must be this one.
  static std::string kinds(int exit_code, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "build");
    arguments.emplace_back("--json");
    const CommandResult result = run_flexjit(arguments);
    EXPECT_EQ(result.exit_code, exit_code) << result.out << result.err;
    const nlohmann::json json = result.json();
    std::string kinds;
    for (const auto& error : json["errors"]) kinds += (kinds.empty() ? "" : " ") + error["kind"].get<std::string>();
    return kinds;
  }

  TemporaryFolder folder_;
};

TEST_F(BuildCommand, SaysWhatItWrote) {
  const std::string library = folder_.path("libtwo.a");
  const CommandResult result = run_flexjit({"build", causal("one.flex"), causal("two.flex"), "--target", "x86-64-v3,x86-64-v2",
                                            "--target", "x86-64-v3", "--head-dim", "16", "-o", library, "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.out << result.err;
  const nlohmann::json json = result.json();
  EXPECT_EQ(json["patterns"], nlohmann::json({"one", "two"}));
  EXPECT_EQ(json["targets"], nlohmann::json({"x86-64-v2", "x86-64-v3"})) << "each once, the best last";
  EXPECT_EQ(json["kernels"], 2 * 2 * 2);
  EXPECT_EQ(json["bytes"], std::filesystem::file_size(library));
  EXPECT_EQ(json["header"], folder_.path("libtwo.h"));
  EXPECT_EQ(text_of("libtwo.a").substr(0, 8), "!<arch>\n");
  const std::string header = text_of("libtwo.h");
  for (const char* part : {"flexjit_status one_run(const one_args* args, flexjit_error** error);", "two_args_init(",
                           "one_attention(", "mask = q_idx >= kv_idx", "(batch, q_heads, q_len, 16)"}) {
    EXPECT_NE(header.find(part), std::string::npos) << part << "\n" << header;
  }
}

TEST_F(BuildCommand, WithGradients) {
  const std::string file = folder_.write("bias.flex",
                                         "buffer slope : f32[num_heads]\nbuffer doc : i32[kv_len]\n"
                                         "score = score + slope[h] * kv_idx\nmask = doc[kv_idx] == 0\n");
  const auto build = [&](std::vector<std::string> more) {
    std::vector<std::string> line = {"build", file, "-o", folder_.path("libbias.a"), "--json"};
    line.insert(line.end(), more.begin(), more.end());
    return run_flexjit(line).json()["kernels"].get<int>();
  };
  EXPECT_EQ(build({}), 2);
  EXPECT_EQ(text_of("libbias.h").find("gradients"), std::string::npos);
  EXPECT_EQ(build({"--backward"}), 4) << "with the gradient of the buffer, and with none";
  const std::string header = text_of("libbias.h");
  for (const char* part : {"void bias_gradients_init(bias_gradients* gradients);", "bias_run_backward(const bias_args* args",
                           "/* optional; that of `buffer_slope`"}) {
    EXPECT_NE(header.find(part), std::string::npos) << part << "\n" << header;
  }
}

TEST_F(BuildCommand, IsTheSameEveryTime) {
  for (const char* ending : {"o", "a", "so"}) {
    const std::string first = folder_.path(std::string("lib.") + ending);
    ASSERT_EQ(run_flexjit({"build", causal(), "--target", "aarch64", "-o", first}).exit_code, 0);
    const std::string bytes = text_of(std::string("lib.") + ending);
    ASSERT_EQ(run_flexjit({"build", causal(), "--target", "aarch64", "-o", first}).exit_code, 0);
    EXPECT_TRUE(bytes == text_of(std::string("lib.") + ending)) << ending;
    EXPECT_FALSE(std::filesystem::exists(first + ".tmp"));
  }
}

TEST_F(BuildCommand, HeadersNameTypes) {
  const std::string file = folder_.write("typed.flex",
                                         "param w : float\nbuffer pages : i64[batch_size, ?]\n"
                                         "score = score * w\nmask = pages[b, kv_idx // 16] >= 0\n");
  ASSERT_EQ(
      run_flexjit({"build", file, "--dtype", "bf16", "--out-dtype", "f32", "--v-head-dim", "32", "-o", folder_.path("t.so")})
          .exit_code,
      0);
  const std::string header = text_of("t.h");
  for (const char* part : {"FLEXJIT_BF16 (batch, kv_heads, kv_len, 32)", "FLEXJIT_F32 (batch, q_heads, q_len, 32): written",
                           "FLEXJIT_I64 (batch_size, ?)", "double param_w;", "int32_t has_param_w;"}) {
    EXPECT_NE(header.find(part), std::string::npos) << part << "\n" << header;
  }
}

TEST_F(BuildCommand, RefusesNames) {
  const std::string odd = causal("sliding-window.flex"), library = folder_.path("lib.a");
  EXPECT_EQ(kinds(2, {odd, "-o", library}), "build-name");
  EXPECT_EQ(kinds(2, {causal(), causal("other/../causal.flex"), "-o", library}), "unreadable-file");
  EXPECT_EQ(kinds(2, {causal(), causal(), "-o", library}), "build-name") << "the same name twice";
  EXPECT_EQ(kinds(2, {causal(), "--name", "flexjit_run", "-o", library}), "build-name");
  EXPECT_EQ(kinds(2, {causal(), "--name", "a", "--name", "b", "-o", library}), "usage");
  EXPECT_NE(run_flexjit({"build", odd, "-o", library}).err.find("--name gives another"), std::string::npos);
  EXPECT_EQ(run_flexjit({"build", odd, "--name", "sliding_window", "-o", library}).exit_code, 0);
}

TEST_F(BuildCommand, RefusesTargets) {
  const std::string library = folder_.path("lib.a");
  EXPECT_EQ(kinds(2, {causal(), "--target", "x86-64-v3,aarch64", "-o", library}), "build-targets");
  EXPECT_EQ(kinds(2, {causal(), "--target", "sparc", "--target", "x86-64-v9", "-o", library}),
            "unsupported-target unsupported-target");
  EXPECT_FALSE(std::filesystem::exists(library)) << "what fails writes nothing";
}

TEST_F(BuildCommand, RefusesFiles) {
  EXPECT_EQ(kinds(2, {causal(), "-o", folder_.path("library.dll")}), "library-kind");
  EXPECT_EQ(kinds(1, {causal(), "-o", folder_.path("nowhere/lib.a")}), "unwritable-file");
  EXPECT_EQ(kinds(1, {causal(), "-o", folder_.path("lib.a"), "--header", folder_.path("nowhere/lib.h")}), "unwritable-file");
  EXPECT_EQ(kinds(2, {folder_.path("missing.flex"), "-o", folder_.path("lib.a")}), "unreadable-file");
  EXPECT_EQ(kinds(2, {causal()}), "usage") << "no -o";
}

TEST_F(BuildCommand, ShowsMistakesOfEveryText) {
  const std::string one = folder_.write("one.flex", "score = scor\n"), two = folder_.write("two.flex", "mask = q_idx\n");
  const CommandResult result = run_flexjit({"build", one, two, "-o", folder_.path("lib.a")});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.err.find("one.flex:1:9: error"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("two.flex:1:8: error"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("^~~~"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace flexjit::tests
