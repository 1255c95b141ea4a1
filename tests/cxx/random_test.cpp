// Random functions beside what the host's compiler makes of them. FLEXJIT_CXX_RANDOM says how many of each kind (20); their
// seeds follow FLEXJIT_SAMPLE_SEED.
#include <dlfcn.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <stdexcept>

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

// Functions that the host's compiler has made of texts; the text of function i is `text_of(i)`, its name "f" and i.
class HostFunctions {
 public:
  HostFunctions(const std::string& head, std::uint64_t count, const std::function<std::string(std::uint64_t)>& text_of) {
    static int libraries = 0;
    folder_ = std::filesystem::temp_directory_path() / fmt::format("flexjit-cxx-{}-{}", ::getpid(), libraries++);
    std::filesystem::create_directories(folder_);
    std::ofstream source(folder_ / "functions.cpp");
    source << head;
    for (std::uint64_t i = 0; i < count; ++i) source << text_of(i);
    source.close();
    const std::string command = fmt::format("{} -w -O0 -std=c++20 -shared -fPIC -o {}/functions.so {}/functions.cpp",
                                            FLEXJIT_HOST_CXX, folder_.string(), folder_.string());
    if (std::system(command.c_str()) != 0) throw std::runtime_error(command);
    library_ = ::dlopen((folder_ / "functions.so").c_str(), RTLD_NOW);
    if (library_ == nullptr) throw std::runtime_error(::dlerror());
  }
  ~HostFunctions() {
    ::dlclose(library_);
    std::filesystem::remove_all(folder_);
  }
  HostFunctions(const HostFunctions&) = delete;
  HostFunctions& operator=(const HostFunctions&) = delete;

  template <typename Result>
  auto function(std::uint64_t i) const {
    return reinterpret_cast<Result (*)(int, int)>(::dlsym(library_, fmt::format("f{}", i).c_str()));
  }

 private:
  std::filesystem::path folder_;
  void* library_ = nullptr;
};

std::uint64_t how_many() { return variable("FLEXJIT_CXX_RANDOM", 20); }
std::uint64_t first_seed() { return variable("FLEXJIT_SAMPLE_SEED", 1) * 1'000'003; }

TEST(CxxRandom, FunctionsHaveTheValuesOfTheHost) {
  const std::uint64_t first = first_seed();
  const HostFunctions host("", how_many(), [&](std::uint64_t i) {
    return fmt::format("extern \"C\" int f{}(int q_idx, int kv_idx) {{\n{}}}\n", i, random_function(first + i));
  });
  for (std::uint64_t i = 0; i < how_many(); ++i) {
    const std::string body = random_function(first + i);
    const auto function = host.function<int>(i);
    const std::vector<float> high = scores_of(mod(body, true)), low = scores_of(mod(body, false));
    for (int q = 0; q < 8; ++q) {
      for (int kv = 0; kv < 8; ++kv) {
        const auto at = static_cast<std::size_t>(q * 8 + kv);
        const auto found = static_cast<std::uint32_t>(high[at]) << 16 | static_cast<std::uint32_t>(low[at]);
        ASSERT_EQ(static_cast<int>(found), function(q, kv)) << "seed " << first + i << " at " << q << ", " << kv << "\n"
                                                            << body;
      }
    }
  }
}

TEST(CxxRandom, FloatFunctionsHaveTheValuesOfTheHost) {
  const std::uint64_t first = first_seed();
  const std::string head = std::string("#include <cmath>\n") + kFloatValues;
  const HostFunctions host(head, how_many(), [&](std::uint64_t i) {
    return fmt::format("extern \"C\" float f{}(int q_idx, int kv_idx) {{\n{}}}\n", i, random_float_function(first + i));
  });
  for (std::uint64_t i = 0; i < how_many(); ++i) {
    const std::string text =
        head + "float score_mod(float score, int q_idx, int kv_idx) {\n" + random_float_function(first + i) + "}\n";
    const auto function = host.function<float>(i);
    const std::vector<float> found = scores_of(text);
    for (int q = 0; q < 8; ++q) {
      for (int kv = 0; kv < 8; ++kv) {
        const float expected = function(q, kv), value = found[static_cast<std::size_t>(q * 8 + kv)];
        ASSERT_TRUE(value == expected || (std::isnan(value) && std::isnan(expected)))
            << value << " where the host has " << expected << ", seed " << first + i << " at " << q << ", " << kv << "\n"
            << text;
      }
    }
  }
}

}  // namespace
}  // namespace flexjit::cxx_test
