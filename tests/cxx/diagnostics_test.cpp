// Every text of diagnostics/ that does not compile, whole: message, line and caret. UPDATE_GOLDEN=1 rewrites the expected
// texts.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

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
