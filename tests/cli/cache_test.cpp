// `flexjit cache` and `flexjit doctor`: kernels that one process leaves and another finds, and directories that may not be
// used.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>

#include "cli/subprocess.h"
#include "flexjit/engine.h"
#include "support/checklist.h"

namespace flexjit::tests {
namespace {

// The command's processes see it too.
class CacheCommand : public ::testing::Test {
 protected:
  void SetUp() override { ::setenv("FLEXJIT_CACHE_DIR", directory_.c_str(), 1); }
  void TearDown() override { ::setenv("FLEXJIT_CACHE_DIR", "", 1); }

  static CommandResult run_causal() {
    return run_flexjit({"run", "-e", "mask = q_idx >= kv_idx", "--q-len", "64", "--repeat", "1", "--json"});
  }

  TemporaryFolder folder_;
  std::string directory_ = folder_.path("kernels");
};

TEST_F(CacheCommand, TheNextProcessFindsTheKernel) {
  covers("D54");
  EXPECT_EQ(run_causal().json()["kernel_source"], "compiled");
  EXPECT_EQ(run_causal().json()["kernel_source"], "disk");
  const CommandResult listed = run_flexjit({"cache", "list", "--json"});
  ASSERT_EQ(listed.exit_code, 0) << listed.err;
  ASSERT_EQ(listed.json()["kernels"].size(), 1U);
  const std::string name = listed.json()["kernels"][0]["name"];
  const CommandResult shown = run_flexjit({"cache", "show", name.substr(0, 6), "--json"});
  EXPECT_NE(shown.json()["key"].get<std::string>().find("head_dim 64"), std::string::npos) << shown.out;
  EXPECT_EQ(run_flexjit({"cache", "clear", "--json"}).json()["removed"], 1);
  EXPECT_EQ(run_causal().json()["kernel_source"], "compiled");
}

TEST_F(CacheCommand, VerifyRemovesWhatIsDamaged) {
  run_causal();
  for (const auto& entry : std::filesystem::directory_iterator(directory_)) std::filesystem::resize_file(entry.path(), 100);
  EXPECT_TRUE(run_flexjit({"cache", "--json"}).json()["kernels"][0]["damaged"]);
  EXPECT_EQ(run_flexjit({"cache", "verify", "--json"}).json()["removed"], 1);
  EXPECT_EQ(run_flexjit({"cache", "prune", "--keep-mib", "1", "--json"}).json()["removed"], 0);
}

TEST_F(CacheCommand, SaysWhyADirectoryIsNotUsed) {
  std::filesystem::create_directory(directory_);
  ::chmod(directory_.c_str(), 0777);
  const CommandResult listed = run_flexjit({"cache"});
  EXPECT_EQ(listed.exit_code, 1);
  EXPECT_NE(listed.err.find("others may write to it"), std::string::npos) << listed.err;
  const CommandResult doctor = run_flexjit({"doctor", "--json"});
  EXPECT_EQ(doctor.exit_code, 1);
  EXPECT_FALSE(doctor.json()["cache"]["usable"]);
  EXPECT_TRUE(doctor.json()["kernel"]["usable"]) << doctor.out;
  EXPECT_EQ(run_causal().json()["kernel_source"], "compiled") << "an engine goes on without";
}

// An installation of libflexjit alone, as the dynamic loader sees it.
TEST_F(CacheCommand, CachedKernelsRunWithoutTheCompiler) {
#ifdef __clang__
#if __has_feature(address_sanitizer)
  GTEST_SKIP() << "ASan opens libraries for the program, which knows where the compiler is";
#endif
#endif
  EXPECT_EQ(run_causal().json()["kernel_source"], "compiled");
  const std::filesystem::path library = FLEXJIT_LIBRARY;
  std::filesystem::create_directory(folder_.path("lib"));
  std::filesystem::copy_file(library, folder_.path("lib/" FLEXJIT_LIBRARY_NAME));
  ::setenv("LD_LIBRARY_PATH", folder_.path("lib").c_str(), 1);
  const CommandResult cached = run_causal();
  const CommandResult missed = run_flexjit({"run", "-e", "mask = q_idx > kv_idx", "--q-len", "64", "--repeat", "1", "--json"});
  ::unsetenv("LD_LIBRARY_PATH");
  ASSERT_EQ(cached.exit_code, 0) << cached.err;
  EXPECT_EQ(cached.json()["kernel_source"], "disk");
  EXPECT_EQ(missed.exit_code, 1);
  const std::string report = missed.out + missed.err;
  EXPECT_NE(report.find("no-compiler"), std::string::npos) << report;
  EXPECT_NE(report.find(folder_.path("lib/libflexjit-compiler.so")), std::string::npos) << report;
  EXPECT_NE(report.find(directory_ + ": no kernel of this pattern"), std::string::npos) << report;
}

TEST_F(CacheCommand, WrongOptions) {
  EXPECT_EQ(run_flexjit({"cache", "shw"}).exit_code, 2);
  EXPECT_EQ(run_flexjit({"cache", "prune"}).exit_code, 2);
  EXPECT_EQ(run_flexjit({"cache", "show", "nothing"}).exit_code, 1);
}

TEST_F(CacheCommand, AllIsWellHere) {
  const CommandResult doctor = run_flexjit({"doctor"});
  EXPECT_EQ(doctor.exit_code, 0) << doctor.out;
  EXPECT_EQ(doctor.out.find("BAD"), std::string::npos) << doctor.out;
}

TEST(CacheList, NamesPatterns) {
  const TemporaryFolder folder;
  const auto with_cache = [&](const std::string& line) {
    return run_program({"sh", "-c", "FLEXJIT_CACHE_DIR=" + folder.path("cache") + " " + FLEXJIT_COMMAND + " " + line});
  };
  const std::string sizes = " --q-len 40 --heads 1 --repeat 1";
  ASSERT_EQ(with_cache("run --preset sliding_window" + sizes).exit_code, 0);
  ASSERT_EQ(with_cache("run -e 'buffer mine : f32[num_heads]; score = score - mine[h] * 3.0' -e 'mask = kv_idx < 7'" + sizes)
                .exit_code,
            0);
  const std::string listed = with_cache("cache list").out;
  EXPECT_NE(listed.find("sliding_window: target"), std::string::npos) << listed;
  EXPECT_NE(listed.find("mask = kv_idx <= 6"), std::string::npos) << listed;
  EXPECT_NE(with_cache("cache list --json").out.find("\"pattern\": \"sliding_window\""), std::string::npos);
}

TEST(DoctorCommand, SaysNoWhereTheCacheCannotBeUsed) {
  const TemporaryFolder folder;
  const std::string file = folder.write("file", "no folder");
  const auto doctor = [](const std::string& environment) {
    return run_program({"sh", "-c", environment + " " + FLEXJIT_COMMAND + " doctor"});
  };
  EXPECT_EQ(doctor("FLEXJIT_CACHE_DIR=" + folder.path("cache")).exit_code, 0);
  EXPECT_EQ(doctor("FLEXJIT_CACHE_DIR=").exit_code, 0);
  for (const std::string& environment : {"FLEXJIT_CACHE_DIR=" + file, "FLEXJIT_CACHE_DIR=" + file + "/below",
                                         std::string("env -u FLEXJIT_CACHE_DIR -u XDG_CACHE_HOME -u HOME")}) {
    const CommandResult result = doctor(environment);
    EXPECT_EQ(result.exit_code, 1) << environment << result.out;
    EXPECT_NE(result.out.find("BAD cache"), std::string::npos) << result.out;
  }
}

}  // namespace
}  // namespace flexjit::tests
