// A C++ function and the text of the language that says the same are one kernel: their simplified programs are equal, which
// with types and sizes is all that a key holds.
#include <gtest/gtest.h>

#include "flexjit/inspect.h"
#include "mods.h"

namespace flexjit::cxx_test {
namespace {

struct Twin {
  const char* cxx;
  const char* flex;
};

constexpr Twin kTwins[] = {
    {"bool mask_mod(int q_idx, int kv_idx) { return q_idx >= kv_idx; }", "mask = q_idx >= kv_idx"},
    {"bool mask_mod(int q_idx, int kv_idx) { if (q_idx < kv_idx) return false; return true; }", "mask = !(q_idx < kv_idx)"},
    {"bool mask_mod(int q_idx, int kv_idx) { return q_idx / 128 == kv_idx / 128; }", "mask = q_idx // 128 == kv_idx // 128"},
    {"bool mask_mod(int q_idx, int kv_idx) { return (q_idx - kv_idx) % 2 == 0 && q_idx >= kv_idx && kv_idx % 2 == 0; }",
     "let d = q_idx - kv_idx\nlet r = d % 2\nmask = r - (((d ^ 2) < 0 && r != 0) ? 2 : 0) == 0 && q_idx >= kv_idx && kv_idx % "
     "2 == 0"},
    {"bool mask_mod(int q_idx, int kv_idx, int window = 256) { int d = q_idx - kv_idx; return d >= 0 && d < window; }",
     "param window : int = 256\nlet d = q_idx - kv_idx\nmask = d >= 0 && d < window"},
    {"bool mask_mod(int q_idx, int kv_idx) { int d = q_idx - kv_idx; if (d < 0) return false; return d / 64 % 2 == 0; }",
     "let d = q_idx - kv_idx\nmask = !(d < 0) && d // 64 % 2 == 0"},
    {"bool mask_mod(int q_idx, int kv_idx) { return std::abs(q_idx - kv_idx) <= 16; }", "mask = abs(q_idx - kv_idx) <= 16"},
    {"bool mask_mod(unsigned q_idx, unsigned kv_idx) { return q_idx / 32 == kv_idx / 32; }",
     "mask = q_idx // 32 == kv_idx // 32"},
    {"bool mask_mod(int q_idx, int kv_idx) { return unsigned(q_idx - kv_idx) < 128u; }",
     "let d = q_idx - kv_idx\nmask = d >= 0 && d < 128"},
    {"bool mask_mod(int h, int q_idx, int kv_idx) { switch (h) { case 0: return q_idx >= kv_idx; case 1: return q_idx == "
     "kv_idx; default: return true; } }",
     "mask = h == 0 ? q_idx >= kv_idx : h == 1 ? q_idx == kv_idx : true"},
    {"bool mask_mod(int kv_idx) { return kv_idx == 0 || kv_idx == 1 || kv_idx == 5; }", "mask = kv_idx in {0, 1, 5}"},
    {"bool mask_mod(int q_idx, int kv_idx, int q_len, int kv_len) { return kv_idx <= q_idx + kv_len - q_len; }",
     "mask = kv_idx <= q_idx + kv_len - q_len"},
    {"bool mask_mod(int q_idx, int kv_idx, [[flexjit::extents(\"q_len\")]] const int* doc) { return doc[q_idx] == doc[kv_idx]; "
     "}",
     "buffer doc : i32[q_len]\nmask = doc[q_idx] == doc[kv_idx]"},
    {"bool mask_mod(int q_idx, int kv_idx, [[flexjit::extents(\"q_len, kv_len\")]] flexjit::Tensor<const bool, 2> keep) { "
     "return keep(q_idx, kv_idx); }",
     "buffer keep : bool[q_len, kv_len]\nmask = keep[q_idx, kv_idx]"},
    {"bool mask_mod(int q_idx, int kv_idx, const int (&lo)[4], std::span<const int> hi) { bool any = false; for (int n = 0; n "
     "< 4; ++n) any = any || (kv_idx >= lo[n] && kv_idx < hi[n]); return any; }",
     "buffer lo : i32[4]\nbuffer hi : i32[?]\nmask = kv_idx >= lo[0] && kv_idx < hi[0] || kv_idx >= lo[1] && kv_idx < hi[1] || "
     "kv_idx >= lo[2] && kv_idx < hi[2] || kv_idx >= lo[3] && kv_idx < hi[3]"},
    {"bool mask_mod(int q_idx, int kv_idx, bool causal) { return !causal || q_idx >= kv_idx; }",
     "param causal : bool\nmask = !causal || q_idx >= kv_idx"},
    {"constexpr int kLength = 64; bool mask_mod(int q_idx, int kv_idx) { return kv_idx < kLength || q_idx >= kv_idx; }",
     "const n : int = 64\nmask = kv_idx < n || q_idx >= kv_idx"},
    {"template <int W> bool near(int d) { return d >= 0 && d <= W; }\nbool mask_mod(int q_idx, int kv_idx) { return "
     "near<32>(q_idx - kv_idx); }",
     "let d = q_idx - kv_idx\nmask = d >= 0 && d <= 32"},
    {"constexpr auto mask_mod = [](int q_idx, int kv_idx) { return q_idx >= kv_idx; };", "mask = q_idx >= kv_idx"},
    {"constexpr auto mask_mod = FLEXJIT_MOD([](int b, int kv_idx) { return kv_idx > b; });", "mask = kv_idx > b"},
    {"float score_mod(float score) { return score; }", "score = score"},
    {"float score_mod(float score, int q_idx, int kv_idx) { return score - 0.05f * (q_idx - kv_idx); }",
     "score = score - 0.05 * (q_idx - kv_idx)"},
    {"float score_mod(float score, int h, int q_idx, int kv_idx, [[flexjit::extents(\"num_heads\")]] const float* slope) { "
     "return score - slope[h] * (q_idx - kv_idx); }",
     "buffer slope : f32[num_heads]\nscore = score - slope[h] * (q_idx - kv_idx)"},
    {"float score_mod(float score) { return 20.0f * std::tanh(score / 20.0f); }", "score = 20.0 * tanh(score / 20.0)"},
    {"float score_mod(float score, float cap = 30) { return cap * std::tanh(score / cap); }",
     "param cap : float = 30.0\nscore = cap * tanh(score / cap)"},
    {"float score_mod(float score, int q_idx, int kv_idx) { return score + std::exp(-0.1f * std::abs(q_idx - kv_idx)); }",
     "score = score + exp(-0.1 * abs(q_idx - kv_idx))"},
    {"float score_mod(float score, int q_idx, int kv_idx) { return q_idx >= kv_idx ? score : -INFINITY; }",
     "score = q_idx >= kv_idx ? score : -inf"},
    {"float score_mod(float score, int kv_idx) { float s = score; if (kv_idx < 4) s += 1; return s; }",
     "score = kv_idx < 4 ? score + 1.0 : score"},
    {"float score_mod(float score, int kv_idx) { float s = score; for (int i = 1; i <= 3; ++i) s += 0.5f * i; return s; }",
     "score = score + 0.5 + 1.0 + 1.5"},
    {"float score_mod(float score, int q_idx, int kv_idx) { auto lag = [=] { return q_idx - kv_idx; }; return score * lag(); }",
     "score = score * (q_idx - kv_idx)"},
    {"float score_mod(float score) { return score * score > 1 ? std::sqrt(score) : std::pow(score, 3.0f); }",
     "score = score * score > 1.0 ? sqrt(score) : pow(score, 3.0)"},
    {"float score_mod(float score, int q_idx, int kv_idx) { return score + std::log2(1.0f + std::max(q_idx - kv_idx, 0)); }",
     "score = score + log2(1.0 + max(q_idx - kv_idx, 0))"},
    {"float score_mod(float score, int h, int kv_idx, const flexjit::bf16 (&bias)[8][64]) { return score + bias[h][kv_idx]; }",
     "buffer bias : bf16[8, 64]\nscore = score + bias[h, kv_idx]"},
    {"float score_mod(float score, int q_idx, int kv_idx, const signed char* codes) { return score + codes[(q_idx + kv_idx) & "
     "15]; }",
     "buffer codes : i8[?]\nscore = score + codes[(q_idx + kv_idx) & 15]"},
    {"float score_mod(float score, int q_idx) { return score + (q_idx >> 3) + (q_idx << 2); }",
     "score = score + (q_idx >> 3) + (q_idx << 2)"},
    {"float score_mod(float score, int q_idx) { bool odd = q_idx & 1; return score + odd; }",
     "score = score + float((q_idx & 1) != 0)"},
    {"float score_mod(float score, int q_idx, int kv_idx) { int n = q_idx - kv_idx; n = n < 0 ? -n : n; return score - 0.25f * "
     "n; }",
     "let n = q_idx - kv_idx\nscore = score - 0.25 * (n < 0 ? -n : n)"},
    {"struct P { int row, column; }; P at(int i) { return {i / 8, i % 8}; }\nbool mask_mod(int q_idx, int kv_idx) { P a = "
     "at(q_idx), b = at(kv_idx); return std::abs(a.row - b.row) <= 1 && std::abs(a.column - b.column) <= 1; }",
     "mask = abs(q_idx // 8 - kv_idx // 8) <= 1 && abs(q_idx % 8 - kv_idx % 8) <= 1"},
    {"constexpr float kTable[3] = {0.5f, 0.25f, 0.125f}; float score_mod(float score, int h) { return score * kTable[h % 3]; }",
     "let i = h % 3\nscore = score * (i == 0 ? 0.5 : i == 1 ? 0.25 : 0.125)"},
    {"enum class Kind { kText = 0, kImage = 1 }; bool mask_mod(int q_idx, int kv_idx, [[flexjit::extents(\"kv_len\")]] const "
     "int* kind) { return static_cast<Kind>(kind[kv_idx]) == Kind::kImage || q_idx >= kv_idx; }",
     "buffer kind : i32[kv_len]\nmask = kind[kv_idx] == 1 || q_idx >= kv_idx"},
    {"float score_mod(float score, int q_len, int kv_len, int num_heads, int h) { return score + q_len - kv_len + num_heads - "
     "h; }",
     "score = score + q_len - kv_len + num_heads - h"},
};

TEST(Twins, AreOneKernel) {
  EXPECT_GE(std::size(kTwins), 40U);
  for (const Twin& twin : kTwins) {
    AttentionSpec flex;
    flex.program = twin.flex;
    flex.head_dim = 1;
    EXPECT_EQ(simplified(cxx_spec(twin.cxx)), simplified(flex)) << twin.cxx;
  }
}

TEST(Twins, StringFormsAreLambdas) {
  AttentionSpec spec;
  spec.language = TextLanguage::kCxx;
  spec.score_mod = "[](float score, int q_idx) { return score + q_idx; }";
  spec.mask_mod = "[](int q_idx, int kv_idx) { return q_idx >= kv_idx; }";
  AttentionSpec flex;
  flex.score_mod = "score + q_idx";
  flex.mask_mod = "q_idx >= kv_idx";
  EXPECT_EQ(simplified(spec), simplified(flex));
}

TEST(Twins, InspectorShowsTheCxxText) {
  const auto views = inspect(cxx_spec("bool mask_mod(int q_idx, int kv_idx) {\n  return q_idx >= kv_idx;\n}"), {},
                             {.views = {InspectView::kSource}});
  ASSERT_TRUE(views.has_value());
  EXPECT_NE(views->front().text.find("return q_idx >= kv_idx;"), std::string::npos) << views->front().text;
}

}  // namespace
}  // namespace flexjit::cxx_test
