// What making a library leaves behind in the process that makes it.
#include <gtest/gtest.h>

#include <csignal>
#include <span>
#include <thread>
#include <vector>

#include "flexjit/build.h"

namespace flexjit::aot_test {
namespace {

// LLVM's linker takes signals for the files that it writes; a program's handlers are its own again afterwards.
TEST(BuildLibrary, LeavesTheSignalsOfTheProgram) {
  const auto handler_of = [](int signal) {
    struct sigaction action{};
    ::sigaction(signal, nullptr, &action);
    return action.sa_sigaction;
  };
  std::vector<void (*)(int, siginfo_t*, void*)> before;
  for (int signal = 1; signal < 32; ++signal) before.push_back(handler_of(signal));
  BuildOptions options;
  options.kind = LibraryKind::kShared;
  AttentionSpec spec;
  spec.head_dim = 16;
  const BuildPattern pattern{"plain", spec};
  std::thread([&] { ASSERT_TRUE(build_library(std::span(&pattern, 1), options)); }).join();
  for (int signal = 1; signal < 32; ++signal) {
    EXPECT_EQ(handler_of(signal), before[static_cast<std::size_t>(signal - 1)]) << signal;
  }
}

}  // namespace
}  // namespace flexjit::aot_test
