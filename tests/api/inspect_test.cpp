// The views of the inspector: each shows its phase, and each reports the mistakes of the text.
#include "flexjit/inspect.h"

#include <gtest/gtest.h>

namespace flexjit::test {
namespace {

constexpr InspectView kViews[] = {InspectView::kAst,       InspectView::kIr,   InspectView::kSimplified,
                                  InspectView::kIntervals, InspectView::kLlvm, InspectView::kAsm};

AttentionSpec window() {
  AttentionSpec spec;
  spec.program =
      "param window : int = 16\n"
      "buffer slope : f32[num_heads]\n"
      "score = score + slope[h] * (kv_idx - q_idx) * 1\n"
      "mask = q_idx - kv_idx < window\n";
  return spec;
}

std::string view(InspectView which) { return inspect(window(), {}, {.view = which}).value(); }

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(Inspect, EveryViewShowsText) {
  for (InspectView which : kViews) EXPECT_GT(view(which).size(), 20U) << static_cast<int>(which);
}

TEST(Inspect, AstShowsTheSource) { EXPECT_TRUE(contains(view(InspectView::kAst), "slope[h]")) << view(InspectView::kAst); }

TEST(Inspect, AstShowsTheTextsOfFlagsAroundTheSource) {
  AttentionSpec spec = window();
  spec.causal = true;
  spec.attention_mask = MaskTensor{DType::kF16, 2};
  const std::string text = inspect(spec, {}, {.view = InspectView::kAst}).value();
  EXPECT_LT(text.find("# flag causal\nmask = (kv_idx <= "), text.find("buffer slope : f32"));
  EXPECT_GT(text.find("# flag attention_mask\nbuffer attention_mask : f16[q_len, kv_len]"), text.find("buffer slope : f32"));
  EXPECT_TRUE(contains(text, "attention_mask[q_idx, kv_idx]")) << text;
}

TEST(Inspect, SimplifiedIsShorterThanIr) {
  const auto lines = [](const std::string& text) { return std::count(text.begin(), text.end(), '\n'); };
  EXPECT_LT(lines(view(InspectView::kSimplified)), lines(view(InspectView::kIr)));
}

TEST(Inspect, IntervalsUseTheSizes) {
  const InspectRequest request{.view = InspectView::kIntervals, .sizes = {.q_len = 77, .kv_len = 5}};
  const std::string text = inspect(window(), {}, request).value();
  EXPECT_TRUE(contains(text, "[0, 76]")) << text;
}

TEST(Inspect, CodeViewsAreCode) {
  EXPECT_TRUE(contains(view(InspectView::kLlvm), "define "));
  EXPECT_TRUE(contains(view(InspectView::kAsm), "ret"));
}

TEST(Inspect, ReportsMistakes) {
  AttentionSpec wrong = window();
  wrong.program += "let x = slop[h]\n";
  for (InspectView which : kViews) {
    const Result<std::string> result = inspect(wrong, {}, {.view = which});
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.diagnostics()[0].kind, "unknown-name") << render(result.diagnostics());
  }
}

TEST(Inspect, ChecksSizesAndBindings) {
  const Bindings nothing;
  const InspectRequest unbound{.view = InspectView::kIntervals, .bindings = &nothing};
  EXPECT_EQ(inspect(window(), {}, unbound).diagnostics()[0].kind, "missing-binding");
  const InspectRequest negative{.view = InspectView::kIntervals, .sizes = {.q_len = -1}};
  EXPECT_EQ(inspect(window(), {}, negative).diagnostics()[0].kind, "mask-option");
}

}  // namespace
}  // namespace flexjit::test
