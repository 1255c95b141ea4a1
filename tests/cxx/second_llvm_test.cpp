// Another LLVM or Clang in the process, whatever the machine has, by their C interfaces, with its symbols for all: it works,
// and so do the reader of C++ and the compiler, whichever came first. Each test is a process of its own under ctest.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cctype>
#include <cstring>
#include <stdexcept>
#include <string>

#include "mods.h"

namespace flexjit::cxx_test {
namespace {

template <typename Function>
Function* symbol(void* library, const char* name) {
  void* found = ::dlsym(library, name);
  if (found == nullptr) throw std::runtime_error(name);
  return reinterpret_cast<Function*>(found);
}

// A module is made and printed.
void use_llvm(void* library) {
  void* context = symbol<void*()>(library, "LLVMContextCreate")();
  void* module = symbol<void*(const char*, void*)>(library, "LLVMModuleCreateWithNameInContext")("beside", context);
  char* text = symbol<char*(void*)>(library, "LLVMPrintModuleToString")(module);
  EXPECT_NE(std::strstr(text, "ModuleID = 'beside'"), nullptr) << text;
  symbol<void(char*)>(library, "LLVMDisposeMessage")(text);
  symbol<void(void*)>(library, "LLVMDisposeModule")(module);
  symbol<void(void*)>(library, "LLVMContextDispose")(context);
}

// A text with one mistake is read.
void use_clang(void* library) {
  struct Unsaved {
    const char *name, *text;
    unsigned long size;
  };
  static constexpr char kText[] = "int f() { return g(); }";
  Unsaved file{"beside.cpp", kText, sizeof(kText) - 1};
  void* index = symbol<void*(int, int)>(library, "clang_createIndex")(0, 0);
  using Parse = void*(void*, const char*, const char* const*, int, Unsaved*, unsigned, unsigned);
  void* unit = symbol<Parse>(library, "clang_parseTranslationUnit")(index, "beside.cpp", nullptr, 0, &file, 1, 0);
  ASSERT_NE(unit, nullptr);
  EXPECT_EQ(symbol<unsigned(void*)>(library, "clang_getNumDiagnostics")(unit), 1U);
  symbol<void(void*)>(library, "clang_disposeTranslationUnit")(unit);
  symbol<void(void*)>(library, "clang_disposeIndex")(index);
}

void use_flexjit() {
  const std::string text =
      "bool mask_mod(int q_idx, int kv_idx) { return q_idx / 2 >= kv_idx; }\nfloat score_mod(float score, int h) { return "
      "score + h; }";
  EXPECT_EQ(check(cxx_spec("float score_mod(float score) { return scor; }")).front().kind, "cxx-error");
  Engine engine;
  const Result<Attention> attention = engine.compile(cxx_spec(text));
  ASSERT_TRUE(attention.has_value()) << render(attention.diagnostics());
  EXPECT_EQ(attention->kernel_source(), KernelSource::kCompiled);
  EXPECT_EQ(scores_of("float score_mod(float score, int kv_idx) { return kv_idx / 2; }")[7], 3.0F);
}

struct Other {
  const char* library;
  void (*use)(void*);
};

constexpr Other kOthers[] = {{"libLLVM-14.so.1", use_llvm}, {"libLLVM-15.so.1", use_llvm},   {"libLLVM.so.19.1", use_llvm},
                             {"libLLVM.so.22.1", use_llvm}, {"libclang-14.so.1", use_clang}, {"libclang-22.so.1", use_clang}};

class SecondLlvm : public ::testing::TestWithParam<Other> {
 protected:
  void* open() const { return ::dlopen(GetParam().library, RTLD_NOW | RTLD_GLOBAL); }
};

TEST_P(SecondLlvm, ComesFirst) {
  void* library = open();
  if (library == nullptr) GTEST_SKIP() << "the machine has no " << GetParam().library;
  GetParam().use(library);
  use_flexjit();
  GetParam().use(library);
}

TEST_P(SecondLlvm, ComesLater) {
  use_flexjit();
  void* library = open();
  if (library == nullptr) GTEST_SKIP() << "the machine has no " << GetParam().library;
  GetParam().use(library);
  use_flexjit();
}

INSTANTIATE_TEST_SUITE_P(OfTheMachine, SecondLlvm, ::testing::ValuesIn(kOthers), [](const auto& one) {
  std::string name = one.param.library;
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  return name;
});

}  // namespace
}  // namespace flexjit::cxx_test
