// Every text of diagnostics/ that does not compile, whole: message, line and caret. UPDATE_GOLDEN=1 rewrites the expected
// texts.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
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
  std::string packs =
      "template <int... I> struct L {}; template <class A> struct C; template <int... I> struct C<L<I...>> { using t "
      "= L<" +
      repeated("I..., ", 63) + "I...>; };\nusing A0 = L<1>;\n";
  for (int i = 0; i < 4; ++i) packs += "using A" + std::to_string(i + 1) + " = C<A" + std::to_string(i) + ">::t;\n";
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
      {packs + "float score_mod(float score) { A4 a; return score; }", "cxx-error"},
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

// What would otherwise have another meaning than C++ gives it, or none: each is refused where it stands.
TEST(CxxDiagnostics, WhatHasNoMeaningIsRefusedAtItsPlace) {
  struct Case {
    std::string before, body;
    const char *kind, *place;
  };
  const std::string two = "int p = q_idx, o = 2, k = q_idx, t[3] = {1, 2, 3}, m[2][2] = {};";
  const Case cases[] = {
      {"", "return \"abc\"[q_idx % 3] == 98;", "cxx-unsupported", "\"abc\""},
      {"", "for (char c : \"ab\") return c; return 0;", "cxx-unsupported", "\"ab\""},
      {"int f(const char* s) { return s[0]; }", "return f(\"abc\");", "cxx-unsupported", "\"abc\""},
      {"typedef float V [[clang::ext_vector_type(4)]];", "V v = {1, 2, 3, 4}; return v.x;", "cxx-unsupported",
       "V v = {1, 2, 3, 4}"},
      {"typedef float V [[gnu::vector_size(16)]];", "return V{1, 2, 3, 4}[q_idx];", "cxx-unsupported", "{1, 2, 3, 4}"},
      {"[[clang::annotate(\"flexjit:min\")]] int f();", "return f();", "cxx-unsupported", "f()"},
      {"", two + "int& r = q_idx ? p : o; r = 77; return p;", "cxx-unsupported", "q_idx ? p : o"},
      {"void inc(int& x) { ++x; }", two + "inc(q_idx ? p : o); return p;", "cxx-unsupported", "q_idx ? p : o"},
      {"", two + "int& r = t[k % 3]; r = 50; return t[0];", "cxx-unsupported", "t[k % 3]"},
      {"", two + "std::swap(t[k % 3], t[0]); return t[0];", "cxx-unsupported", "t[k % 3]"},
      {"struct S { int n; void inc() { ++n; } };", "S s[2] = {}; s[q_idx % 2].inc(); return s[0].n;", "cxx-unsupported",
       "s[q_idx % 2]"},
      {"struct S { int n; void inc() { ++n; } };", "S s{}, u{}; (q_idx ? s : u).inc(); return s.n;", "cxx-unsupported",
       "(q_idx ? s : u)"},
      {"struct S { int n; };", "S s[2] = {}; s[q_idx % 2].n = 5; return s[0].n;", "cxx-write", "s[q_idx % 2].n = 5"},
      {"", two + "m[k % 2][1] = 5; return m[0][1];", "cxx-write", "m[k % 2][1] = 5"},
      {"", two + "for (int& e : m[k % 2]) e = 9; return m[0][0];", "cxx-unsupported", "m[k % 2]"},
      {"", two + "for (int e : m[k % 2]) m[0][1] = 7 + e; return m[0][0];", "cxx-unsupported", "m[0][1] = 7 + e"},
      {"", two + "const int& c = q_idx % 2 ? p : o; p = 100; return c;", "cxx-unsupported", "q_idx % 2 ? p : o"},
      {"int& pick(int& a, int& b, int c) { if (c) return a; return b; }", two + "pick(p, o, q_idx) = 5; return p;", "cxx-write",
       "pick(p, o, q_idx) = 5"},
      {"void set(int* t) { t[0] = 5; }", two + "set(m[k % 2]); return m[0][0];", "cxx-unsupported", "m[k % 2]"},
      {"void set(int* t, int* u) { t = u; t[0] = 5; }", two + "set(t, m[0]); return t[0];", "cxx-pointer", "t = u"},
      {"void set(const int& x) { (int&)x = 5; }", two + "set(p); return p;", "cxx-unsupported", "(int&)x"},
      {"struct R { int& r; };", "int v = 1; R r{v}; r.r = 9; return v;", "cxx-unsupported", "{v}"},
      {"struct R { int* r; };", "int v[1] = {1}; R r{v}; r.r[0] = 9; return v[0];", "cxx-unsupported", "{v}"},
      {"struct D { int& n; ~D() { n = 5; } };", "int n = 1; { D d{n}; } return n;", "cxx-unsupported", "{n}"},
      {"struct D { int n; ~D() {} };", "D d; return 1;", "cxx-unsupported", "d"},
      {"struct C { int n; C() = default; C(const C& o) : n(o.n + 1) {} };", "C a; C b = a; return b.n;", "cxx-unsupported",
       "a"},
      {"struct B { int n : 3; };", "B b{1}; b.n = q_idx; return b.n;", "cxx-unsupported", "{1}"},
      {"struct B { int x; }; struct D : B { B y; };", "D d{{1}, {2}}; return d.y.x;", "cxx-unsupported", "{{1}, {2}}"},
      {"struct A { int t[2]; const int* begin() const { return t + 1; } const int* end() const { return t + 2; } };",
       "A a{{1, 2}}; int n = 0; for (int e : a) n += e; return n;", "cxx-unsupported", "a"},
      {"", "static const int s = q_idx + 3; return s;", "cxx-global", "static const int s = q_idx + 3"},
      {"void end(int* p) { *p = 5; }", "[[gnu::cleanup(end)]] int v = 1; return v;", "cxx-unsupported", "int v = 1"},
      {"", two + "const int& c = std::min(p, o); p = 100; return c;", "cxx-unsupported", "std::min(p, o)"},
      {"int f(const int& c, int& x) { x = 100; return c; }", two + "return f(std::min(p, o), p);", "cxx-unsupported",
       "x = 100"},
      {"const int& id(const int& x) { return x; }", two + "const int& c = id(t[k % 3]); t[0] = 9; return c;", "cxx-unsupported",
       "id(t[k % 3])"},
      {"struct S { int a; int f(S& o) const { o.a = 50; return a; } };", "S s[2] = {}; return s[q_idx % 2].f(s[0]);",
       "cxx-unsupported", "o.a = 50"},
      {"", "int n = 0; switch (q_idx) { { case 1: n = 2; } } return n;", "cxx-unsupported", "case"},
      {"", "int n = 0; switch (q_idx) { if (0) { default: n = 5; } } return n;", "cxx-unsupported", "default"},
      {"", "static const float f = std::exp(1.0f * q_idx); return f;", "cxx-global",
       "static const float f = std::exp(1.0f * q_idx)"},
      {"", "static float f = 2; return f;", "cxx-global", "static float f = 2"},
  };
  for (const Case& one : cases) {
    const std::string text = one.before + " float score_mod(float score, int q_idx, int kv_idx) { " + one.body + " }";
    const Diagnostics found = check(cxx_spec(text));
    ASSERT_FALSE(found.empty()) << text;
    const auto is_error = [](const Diagnostic& diagnostic) { return diagnostic.severity == Severity::kError; };
    const auto first = std::ranges::find_if(found, is_error);
    ASSERT_NE(first, found.end()) << text;
    EXPECT_EQ(first->kind, one.kind) << render(*first);
    EXPECT_EQ(text.substr(static_cast<std::size_t>(first->column) - 1, static_cast<std::size_t>(first->length)), one.place)
        << render(*first);
  }
}

// What has the name of a mod is one, or is refused: the pattern would lack it.
TEST(CxxDiagnostics, ModsAreFunctionsOfTheirOwn) {
  const std::string mask = " bool mask_mod(int q_idx, int kv_idx) { return q_idx >= kv_idx; }";
  for (const std::string score :
       {"template <class T> T score_mod(T score) { return score; }", "float score_mod(auto score) { return score; }",
        "namespace m { float score_mod(float score) { return score; } }", "float score_mod(float score);",
        "struct M { static float score_mod(float score) { return score; } };",
        "struct F { float operator()(float score) const { return score; } }; constexpr F score_mod;"}) {
    const Diagnostics found = check(cxx_spec(score + mask));
    ASSERT_FALSE(found.empty()) << score;
    EXPECT_EQ(found.front().kind, "cxx-no-function") << render(found);
  }
  const std::pair<const char*, const char*> lambdas[] = {
      {"[](int q_idx, int kv_idx) { return q_idx >= kv_idx; }", "write `auto mask_mod = [](int q_idx, int kv_idx)"},
      {"auto mask_mod = [w = 3](int q_idx) { return q_idx > w; };", "make it a parameter"},
      {"int w = 3; auto mask_mod = [&](int q_idx) { return q_idx > w; };", "make others parameters"},
      {"constexpr float x = std::sqrt(2.0f);", "make it const"}};
  for (const auto& [text, advice] : lambdas)
    EXPECT_NE(render(check(cxx_spec(text))).find(advice), std::string::npos) << text << render(check(cxx_spec(text)));
  AttentionSpec alone;
  alone.language = TextLanguage::kCxx;
  alone.mask_mod = "[](int q_idx, int kv_idx) { return q_idx - kv_idx < window; }";
  EXPECT_NE(render(check(alone)).find("'window'; a lambda is read alone"), std::string::npos) << render(check(alone));
}

TEST(CxxDiagnostics, ParamsThatAreNearlyBuiltinsAreAskedAbout) {
  const auto warnings = [](const std::string& parameters) {
    return render(check(cxx_spec("bool mask_mod(int q_idx, " + parameters + ") { return q_idx > k; }")));
  };
  EXPECT_NE(warnings("int k_idx, int k = 0")
                .find("`k_idx` is no builtin value but a param, which is bound at run; did you mean `kv_idx`?"),
            std::string::npos);
  EXPECT_NE(warnings("int kv_index, int k = 0").find("did you mean `kv_idx`?"), std::string::npos);
  for (const char* fine : {"int k", "int kv_min, int k = 0", "int window, int k = 0", "int kv_idx, int kv_idx2, int k = 0"})
    EXPECT_EQ(warnings(fine).find("did you mean"), std::string::npos) << warnings(fine);
}

TEST(CxxDiagnostics, LongsThatAreRoundedTwiceLoseDigits) {
  const std::string mod = "float score_mod(float score, int q_idx) { long v = (1L << 62) + q_idx; return ";
  EXPECT_EQ(check(cxx_spec(mod + "static_cast<double>(v); }")).front().kind, "cxx-digits");
  EXPECT_TRUE(check(cxx_spec(mod + "v; }")).empty());
}

// An annotation of a text's own names no function of the language.
TEST(CxxDiagnostics, AnnotationsOfTextsMeanNothing) {
  EXPECT_EQ(scores_of("[[clang::annotate(\"flexjit:exp\")]] float f(float x) { return x + 1; }\n"
                      "float score_mod(float score) { return f(score); }")[0],
            1.0F);
}

TEST(CxxDiagnostics, WordsThatAreContinuedAreWords) {
  const std::string mod = "float score_mod(float score) { return score; }";
  for (const std::string text :
       {"void f() { as\\\nm(\"\"); }\n", "#if _\\\n_has_include(\"/etc/passwd\")\n#endif\n",
        "#if _\\ \r\n_has_embed(\"a\")\n#endif\n", "const auto* f = _\\\n_FILE__;\n", "int x = _\\\n\\\n_builtin_abs(3);\n"}) {
    const Diagnostics found = check(cxx_spec(text + mod));
    ASSERT_FALSE(found.empty()) << text;
    EXPECT_TRUE(found.front().kind == "cxx-word" || found.front().kind == "cxx-directive") << render(found);
  }
  EXPECT_TRUE(check(cxx_spec("constexpr int k = \\\n  3;\n#define \\\nN 4\nfloat score_mod(float score) { return k + \\\nN; }"))
                  .empty());
}

// Names of 2^30 parts, of which a message tells no more than that.
TEST(CxxDiagnostics, NamesOfTypesAreBounded) {
  std::string types = "template <class A, class B> struct P {}; struct A0 {};\n";
  for (int i = 0; i < 29; ++i) types += fmt::format("using A{} = P<A{}, A{}>;\n", i + 1, i, i);
  for (const std::string mod :
       {"bool mask_mod(int q_idx) { A29 a; return a; }", "bool mask_mod(int q_idx) { A29* a = 3; return a; }",
        "auto mask_mod(int q_idx) { return A29{}; }",
        "template <class T> auto f() { return T::none; } bool mask_mod(int q_idx) { return f<A29>(); }",
        "template <class T> T f(); bool mask_mod(int q_idx) { f<A29>(); return f<A29>(1); }"}) {
    const Diagnostics found = check(cxx_spec(types + mod));
    ASSERT_FALSE(found.empty()) << mod;
    EXPECT_LT(render(found).size(), 4000U) << mod;
  }
}

TEST(CxxDiagnostics, ProgramsThatAreTooLongAreToldOfAtTheFunction) {
  const Diagnostics found =
      check(cxx_spec("constexpr int n = 1;\nfloat score_mod(float score, int q_idx, int kv_idx) { unsigned u = q_idx;\n"
                     "for (int i = 0; i < 400; ++i) u = (u * 2654435761u + kv_idx) ^ (u >> 3) ^ (u / 7u); return u; }"));
  ASSERT_FALSE(found.empty());
  EXPECT_EQ(found.front().kind, "cxx-too-complex") << render(found);
  EXPECT_EQ(found.front().line, 2) << render(found);
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
