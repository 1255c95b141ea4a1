// Random functions beside what the host's compiler makes of them. FLEXJIT_CXX_RANDOM says how many (20); their seeds follow
// FLEXJIT_SAMPLE_SEED.
#include <dlfcn.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "mods.h"
#include "random_functions.h"

namespace flexjit::cxx_test {
namespace {

std::uint64_t variable(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

// The halves of an int, which floats hold.
std::string mod(const std::string& body, bool high) {
  return "int f(int q_idx, int kv_idx) {\n" + body +
         "}\nfloat score_mod(float score, int q_idx, int kv_idx) { unsigned r = f(q_idx, kv_idx); return " +
         (high ? "r >> 16" : "r & 65535u") + "; }\n";
}

TEST(CxxRandom, FunctionsHaveTheValuesOfTheHost) {
  const std::uint64_t count = variable("FLEXJIT_CXX_RANDOM", 20), first = variable("FLEXJIT_SAMPLE_SEED", 1) * 1'000'003;
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / fmt::format("flexjit-cxx-{}", ::getpid());
  std::filesystem::create_directories(folder);
  {
    std::ofstream source(folder / "functions.cpp");
    for (std::uint64_t i = 0; i < count; ++i)
      source << "extern \"C\" int f" << i << "(int q_idx, int kv_idx) {\n" << random_function(first + i) << "}\n";
  }
  const std::string command = fmt::format("{} -w -O0 -std=c++20 -shared -fPIC -o {}/functions.so {}/functions.cpp",
                                          FLEXJIT_HOST_CXX, folder.string(), folder.string());
  ASSERT_EQ(std::system(command.c_str()), 0) << command;
  void* library = ::dlopen((folder / "functions.so").c_str(), RTLD_NOW);
  ASSERT_NE(library, nullptr) << ::dlerror();
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::string body = random_function(first + i);
    const auto host = reinterpret_cast<int (*)(int, int)>(::dlsym(library, fmt::format("f{}", i).c_str()));
    const std::vector<float> high = scores_of(mod(body, true)), low = scores_of(mod(body, false));
    for (int q = 0; q < 8; ++q) {
      for (int kv = 0; kv < 8; ++kv) {
        const auto at = static_cast<std::size_t>(q * 8 + kv);
        const auto found = static_cast<std::uint32_t>(high[at]) << 16 | static_cast<std::uint32_t>(low[at]);
        ASSERT_EQ(static_cast<int>(found), host(q, kv)) << "seed " << first + i << " at " << q << ", " << kv << "\n" << body;
      }
    }
  }
  ::dlclose(library);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace flexjit::cxx_test
