// The views of the inspector: each shows its phase, and each reports the mistakes of the text.
#include "flexjit/inspect.h"

#include <gtest/gtest.h>

namespace flexjit::test {
namespace {

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

AttentionSpec window() {
  AttentionSpec spec;
  spec.program =
      "param window : int = 16\n"
      "buffer slope : f32[num_heads]\n"
      "score = score + slope[h] * (kv_idx - q_idx) * 1\n"
      "mask = q_idx - kv_idx < window\n";
  return spec;
}

InspectRequest request_of(InspectView which) { return {.views = {which}}; }

std::string text_of(const AttentionSpec& spec, const InspectRequest& request) {
  return inspect(spec, {}, request).value().at(0).text;
}

std::string view(InspectView which) {
  static const std::vector<float> slope(1, 0.5F);
  Bindings bindings;
  bindings.buffers["slope"] = {slope.data(), DType::kF32, {1}};
  InspectRequest request = request_of(which);
  request.bindings = &bindings;
  return text_of(window(), request);
}

TEST(Inspect, EveryViewShowsText) {
  for (const InspectViewInfo& which : inspect_views()) EXPECT_GT(view(which.view).size(), 20U) << which.name;
}

TEST(Inspect, SeveralViewsComeInTheirOrder) {
  const auto shown = inspect(window(), {}, {.views = {InspectView::kSimplified, InspectView::kTokens}}).value();
  ASSERT_EQ(shown.size(), 2U);
  EXPECT_EQ(shown[0].view, InspectView::kSimplified);
  EXPECT_TRUE(contains(shown[0].json, "\"nodes\"")) << shown[0].json;
  EXPECT_TRUE(contains(shown[1].json, "\"tokens\"")) << shown[1].json;
}

TEST(Inspect, ShowsTargetsThatCannotBeExecutedHere) {
  for (const char* target : {"x86-64-v4", "aarch64"}) {
    EngineOptions options;
    options.target = target;
    const std::string text = inspect(window(), options, request_of(InspectView::kLlvm)).value().at(0).text;
    EXPECT_TRUE(contains(text, target == std::string("aarch64") ? "aarch64-unknown-linux-gnu" : "x86-64-v4")) << target;
  }
}

TEST(Inspect, IntervalsDoNotRelyOnSamples) {
  const std::vector<float> slope(1, 0.5F);
  Bindings bindings;
  bindings.buffers["slope"] = {slope.data(), DType::kF32, {1}};
  InspectRequest request = request_of(InspectView::kIntervals);
  request.bindings = &bindings;
  EXPECT_TRUE(contains(text_of(window(), request), "in [0.5, 0.5]"));
  request.samples = {"slope"};
  EXPECT_FALSE(contains(text_of(window(), request), "in [0.5, 0.5]"));
}

TEST(Inspect, AstShowsTheSource) { EXPECT_TRUE(contains(view(InspectView::kAst), "slope[h]")) << view(InspectView::kAst); }

TEST(Inspect, AstShowsTheTextsOfFlagsAroundTheSource) {
  AttentionSpec spec = window();
  spec.causal = true;
  spec.attention_mask = MaskTensor{DType::kF16, 2};
  const std::string text = text_of(spec, request_of(InspectView::kAst));
  EXPECT_LT(text.find("# flag causal\nmask = (kv_idx <= "), text.find("buffer slope : f32"));
  EXPECT_GT(text.find("# flag attention_mask\nbuffer attention_mask : f16[q_len, kv_len]"), text.find("buffer slope : f32"));
  EXPECT_TRUE(contains(text, "attention_mask[q_idx, kv_idx]")) << text;
}

TEST(Inspect, SimplifiedIsShorterThanIr) {
  const auto lines = [](const std::string& text) { return std::count(text.begin(), text.end(), '\n'); };
  EXPECT_LT(lines(view(InspectView::kSimplified)), lines(view(InspectView::kIr)));
}

TEST(Inspect, IntervalsUseTheSizes) {
  const InspectRequest request{.views = {InspectView::kIntervals}, .sizes = {.q_len = 77, .kv_len = 5}};
  const std::string text = text_of(window(), request);
  EXPECT_TRUE(contains(text, "[0, 76]")) << text;
}

TEST(Inspect, CodeViewsAreCode) {
  EXPECT_TRUE(contains(view(InspectView::kLlvm), "define "));
  EXPECT_TRUE(contains(view(InspectView::kAsm), "ret"));
}

TEST(Inspect, FewQueryRowsShowTheDecodeKernel) {
  const auto entry = [](const InspectRequest& request) {
    const std::string text = text_of(window(), request);
    return contains(text, "@decode(") ? "decode" : (contains(text, "@attend(") ? "attend" : text);
  };
  InspectRequest request = request_of(InspectView::kLlvm);
  EXPECT_EQ(entry(request), "attend");
  request.kernel = InspectKernel::kDecode;
  EXPECT_EQ(entry(request), "decode");
  request = request_of(InspectView::kLlvm);
  request.sizes = {.heads = 32, .kv_heads = 8, .q_len = 1, .kv_len = 1000};
  EXPECT_EQ(entry(request), "decode");
  request.kernel = InspectKernel::kPrefill;
  EXPECT_EQ(entry(request), "attend");
}

TEST(Inspect, ShowsTheKernelOfGradientsOfWhatIsAskedFor) {
  AttentionSpec spec;
  spec.program =
      "buffer slope : f32[num_heads]\nbuffer bias : f32[kv_len]\nbuffer length : i32[batch_size]\n"
      "score = score + slope[h] * kv_idx + bias[kv_idx]\nmask = kv_idx < length[b]";
  InspectRequest request = request_of(InspectView::kNest);
  request.kernel = InspectKernel::kBackward;
  const auto adds_to = [&] {
    const std::string text = text_of(spec, request);
    return std::vector<bool>{contains(text, "grad slope["), contains(text, "grad bias["), contains(text, "dQ[")};
  };
  EXPECT_EQ(adds_to(), (std::vector<bool>{true, true, true}));
  request.gradients = {"bias"};
  EXPECT_EQ(adds_to(), (std::vector<bool>{false, true, true}));
  request.gradients.emplace();
  EXPECT_EQ(adds_to(), (std::vector<bool>{false, false, true}));
  const auto refused = [&](const char* name) {
    request.gradients = {name};
    return inspect(spec, {}, request).diagnostics().at(0).kind;
  };
  EXPECT_EQ(refused("length"), "no-gradient");
  EXPECT_EQ(refused("slop"), "unknown-binding");
}

TEST(Inspect, ThereIsNoDecodeKernelOfF64) {
  AttentionSpec spec = window();
  spec.dtype = DType::kF64;
  InspectRequest request = request_of(InspectView::kPlan);
  request.sizes.q_len = 1;
  EXPECT_TRUE(contains(text_of(spec, request), "prefill; q f64"));
  request.kernel = InspectKernel::kDecode;
  const auto refused = inspect(spec, {}, request);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.diagnostics()[0].kind, "inspect-kernel");
}

TEST(Inspect, ReportsMistakes) {
  AttentionSpec wrong = window();
  wrong.program += "let x = slop[h]\n";
  for (const InspectViewInfo& which : inspect_views()) {
    const auto result = inspect(wrong, {}, request_of(which.view));
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.diagnostics()[0].kind, "unknown-name") << render(result.diagnostics());
  }
}

TEST(Inspect, ChecksSizesAndBindings) {
  const Bindings nothing;
  const InspectRequest unbound{.views = {InspectView::kIntervals}, .bindings = &nothing};
  EXPECT_EQ(inspect(window(), {}, unbound).diagnostics()[0].kind, "missing-binding");
  const InspectRequest negative{.views = {InspectView::kIntervals}, .sizes = {.q_len = -1}};
  EXPECT_EQ(inspect(window(), {}, negative).diagnostics()[0].kind, "mask-option");
}

}  // namespace
}  // namespace flexjit::test
