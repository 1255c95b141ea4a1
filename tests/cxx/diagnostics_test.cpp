// Every text of diagnostics/ that does not compile, whole: message, line and caret. UPDATE_GOLDEN=1 rewrites the expected
// texts.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <utility>

#include "mods.h"

namespace flexjit::cxx_test {
namespace {

std::string read(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

TEST(CxxDiagnostics, EveryTextGivesExactlyTheExpectedFindings) {
  std::set<std::string> seen;
  for (const auto& entry : std::filesystem::directory_iterator(FLEXJIT_CXX_TESTS "/diagnostics")) {
    if (entry.path().extension() != ".cxx") continue;
    AttentionSpec spec = cxx_spec(read(entry.path()));
    spec.program_name = entry.path().filename().string();
    const Diagnostics found = check(spec);
    ASSERT_FALSE(found.empty()) << entry.path();
    for (const Diagnostic& diagnostic : found) seen.insert(diagnostic.kind);
    std::filesystem::path expected = entry.path();
    expected.replace_extension(".expected");
    if (std::getenv("UPDATE_GOLDEN") != nullptr) std::ofstream(expected, std::ios::binary) << render(found);
    EXPECT_EQ(render(found), read(expected)) << entry.path();
  }
  constexpr std::string_view kKinds[] = {
#define FLEXJIT_DIAGNOSTIC(finding, kind, text) kind,
#include "cxx/diagnostics.def"
#undef FLEXJIT_DIAGNOSTIC
  };
  for (const std::string_view kind : kKinds) EXPECT_TRUE(seen.contains(std::string(kind)) || kind == "cxx-too-long") << kind;
}

TEST(CxxDiagnostics, TextsAreBounded) {
  EXPECT_EQ(check(cxx_spec(std::string(70'000, ' '))).front().kind, "cxx-too-long");
  std::string minus = "float score_mod(float score) { return ";
  for (int i = 0; i < 20'000; ++i) minus += "- ";
  EXPECT_EQ(check(cxx_spec(minus + "score; }")).front().kind, "cxx-too-long");
  const std::string many =
      "template <int N, int M> constexpr int f() { if constexpr (N == 0) return M; else return f<N - 1, 2 * M>() + f<N - 1, 2 "
      "* M + 1>(); }\n"
      "float score_mod(float score) { return f<30, 0>(); }";
  EXPECT_EQ(check(cxx_spec(many)).front().kind, "cxx-error");
  EXPECT_EQ(check(cxx_spec("float score_mod(float score) { return score - - - - score; }")).size(), 0U);
}

// A few lines that ask for more than there is time or memory: each has ended a process or kept it for minutes.
TEST(CxxDiagnostics, WhatTextsAskForIsBounded) {
  const auto repeated = [](const std::string& text, int times) {
    std::string all;
    for (int i = 0; i < times; ++i) all += text;
    return all;
  };
  const std::string mod = "float score_mod(float score, int h) { return score; }";
  std::string doubling = "struct A0 { int x; };\n";
  for (int i = 0; i < 30; ++i) doubling += "struct A" + std::to_string(i + 1) + " { A" + std::to_string(i) + " a, b; };\n";
  const std::string templates = "template <int N> struct A { A<N - 1> a, b; int x; }; template <> struct A<0> { int x; };\n";
  const std::string array = "float score_mod(float score, int h) { int a[4000] = {}; for (int i = 0; i < 1000; ++i) { ";
  const std::pair<std::string, const char*> cases[] = {
      {"float score_mod(float score, int h) { return " + repeated("!", 15'000) + "h; }", "cxx-too-long"},
      {"float score_mod(float score, int h) { return " + repeated("sizeof ", 5'000) + "h; }", "cxx-too-long"},
      {doubling + "float score_mod(float score) { A30 a = {}; return a.a.a.x; }", "cxx-error"},
      {templates + "float score_mod(float score) { A<25> a = {}; return a.x; }", "cxx-error"},
      {"constexpr int f() { int a[90000][90000] = {}; for (int i = 0; i < 30000; ++i) a[i][89999] = 1; return a[0][0]; }\n"
       "constexpr int x = f();" +
           mod,
       "cxx-error"},
      {"struct S { int a[90000]; }; constexpr int f() { S s{}; s.a[89999] = 1; int n = 0; for (int i = 0; i < 30000; ++i) { S "
       "t = s; n "
       "+= t.a[0]; } return n; }\nconstexpr int x = f();" +
           mod,
       "cxx-error"},
      {array + "for (int j = 0; j < 40; ++j) { if (h == 40 * i + j) a[j] = h; } } return a[1]; }", "cxx-too-complex"},
      {array + "if (h == i) break; a[i] = h; } return a[1]; }", "cxx-too-complex"},
      {"struct P { int a[4000]; }; float score_mod(float score, int h) { P a[4000] = {}; return a[1].a[1]; }",
       "cxx-too-complex"},
      {"constexpr int f() { int n = 0; for (int i = 0; i < 1000; ++i) n ^= i; return n; }\n" +
           repeated("static_assert(f() >= 0);\n", 1500) + mod,
       "cxx-error"},
  };
  for (const auto& [text, kind] : cases) {
    const Diagnostics found = check(cxx_spec(text));
    ASSERT_FALSE(found.empty()) << text.substr(0, 200);
    EXPECT_EQ(found.front().kind, kind) << render(found.front()).substr(0, 500) << text.substr(0, 200);
  }
}

TEST(CxxDiagnostics, NothingIsReadFromFiles) {
  for (const std::string line :
       {"#include \"/etc/passwd\"", "#include </etc/passwd>", "#embed \"/etc/passwd\"", "#include_next <x>",
        "#pragma clang __debug crash", "#if __has_include(\"/etc/passwd\")\n#endif", "#line 3 \"/etc/passwd\"", "#import \"x\"",
        "_Pragma(\"once\")", "#define F(x) x", "%:include \"/etc/passwd\"", "#\\\ninclude \"/etc/passwd\""}) {
    const Diagnostics found = check(cxx_spec(line + "\nfloat score_mod(float score) { return score; }"));
    ASSERT_FALSE(found.empty()) << line;
    EXPECT_TRUE(found.front().kind == "cxx-include" || found.front().kind == "cxx-directive") << line << "\n" << render(found);
  }
}

TEST(CxxDiagnostics, ReadsAreReportedAtTheirLine) {
  const std::string text =
      "float score_mod(float score, int kv_idx, const float* tab) {\n  return score +\n    tab[kv_idx + 1];\n}";
  const std::vector<float> tab(8);
  Bindings bindings;
  bindings.buffers["tab"] = TensorView(tab.data(), DType::kF32, {8});
  try {
    scores_of(text, {}, bindings);
    FAIL();
  } catch (const std::exception& error) {
    EXPECT_NE(std::string(error.what()).find("mod.cpp:3:5: error: a read of `tab` is out of range"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace flexjit::cxx_test
