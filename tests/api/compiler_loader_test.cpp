// What the loader says when the compiler library is missing, is something else, or is of another build.
#include "cache/compiler_loader.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace flexjit::cache {
namespace {

TEST(CompilerLoader, SaysWhichPathItTried) {
  CompilerLoader loader("/nowhere/libflexjit-compiler.so");
  const OpenedCompiler opened = loader.open();
  EXPECT_EQ(opened.door, nullptr);
  ASSERT_EQ(opened.failures.size(), 1U);
  EXPECT_NE(opened.failures[0].find("/nowhere/libflexjit-compiler.so"), std::string::npos) << opened.failures[0];
}

TEST(CompilerLoader, RefusesALibraryWithoutTheDoor) {
  CompilerLoader loader("libm.so.6");
  const OpenedCompiler opened = loader.open();
  EXPECT_EQ(opened.door, nullptr);
  ASSERT_EQ(opened.failures.size(), 1U);
  EXPECT_NE(opened.failures[0].find("libm.so.6: not a flexjit compiler"), std::string::npos) << opened.failures[0];
}

TEST(CompilerLoader, RefusesAFileThatIsNoLibrary) {
  const std::filesystem::path file = std::filesystem::path(testing::TempDir()) / "not-a-library.so";
  std::ofstream(file) << "text";
  CompilerLoader loader(file.string());
  EXPECT_EQ(loader.open().door, nullptr);
  std::filesystem::remove(file);
}

TEST(CompilerLoader, TriesBesideItselfAndThenByName) {
  CompilerLoader loader("");
  const OpenedCompiler opened = loader.open();
  if (opened.door != nullptr) GTEST_SKIP() << "a compiler of this build is on the loader's path";
  ASSERT_EQ(opened.failures.size(), 2U);
  EXPECT_NE(opened.failures[0].find("/libflexjit-compiler.so.0: "), std::string::npos) << opened.failures[0];
  EXPECT_EQ(opened.failures[1].find("libflexjit-compiler.so.0: "), 0U) << opened.failures[1];
}

TEST(CompilerLoader, RefusesAnotherBuild) {
  CompilerLoader loader(FLEXJIT_TEST_OLD_COMPILER);
  const OpenedCompiler opened = loader.open();
  EXPECT_EQ(opened.door, nullptr);
  ASSERT_EQ(opened.failures.size(), 1U);
  EXPECT_NE(opened.failures[0].find("it is build ancient, this libflexjit is build " + std::string(plan::kBuildId)),
            std::string::npos)
      << opened.failures[0];
}

}  // namespace
}  // namespace flexjit::cache
