// What linear weights do not have is refused by name, when the pattern is compiled or when it is called.
#include <string>

#include "harness.h"

namespace flexjit::conformance {
namespace {

AttentionSpec linear_spec() {
  AttentionSpec spec;
  spec.head_dim = 8;
  spec.weights = Weights::kLinear;
  return spec;
}

// Kinds of what compiling the spec finds, in order.
std::string kinds_of(const AttentionSpec& spec) {
  std::string kinds;
  for (const Diagnostic& one : check(spec))
    if (one.severity == Severity::kError) kinds += (kinds.empty() ? "" : " ") + one.kind;
  return kinds;
}

std::string text_of(const AttentionSpec& spec) { return render(check(spec)); }

// One kind a line: longer than 40 lines.
TEST(LinearRefusals, OfSpecs) {
  EXPECT_EQ(kinds_of(linear_spec()), "");
  const auto broken = [](void (*change)(AttentionSpec&)) {
    AttentionSpec spec = linear_spec();
    change(spec);
    return kinds_of(spec);
  };
  EXPECT_EQ(broken([](AttentionSpec& s) { s.score_mod = "score + 1"; }), "bad-option");
  EXPECT_EQ(broken([](AttentionSpec& s) { s.softcap = 5; }), "bad-option");
  EXPECT_EQ(broken([](AttentionSpec& s) { s.dropout = Dropout{.p = 0.5}; }), "bad-option");
  EXPECT_EQ(broken([](AttentionSpec& s) { s.program = "score = score + 1.0"; }), "bad-option");
  EXPECT_EQ(broken([](AttentionSpec& s) { s.attention_mask = MaskTensor{.dtype = DType::kF32, .rank = 2}; }), "bad-option");
  EXPECT_EQ(broken([](AttentionSpec& s) { s.linear.eps = 0; }), "bad-option");
  EXPECT_EQ(broken([](AttentionSpec& s) { s.linear.features = 9; }), "bad-option");
  EXPECT_EQ(broken([](AttentionSpec& s) { s.linear.gate = "0.5"; }), "bad-option");
  EXPECT_EQ(broken([](AttentionSpec& s) { s.scale = 2; }), "bad-option");
  EXPECT_EQ(broken([](AttentionSpec& s) { s.kv_dtype = DType::kI8; }), "unsupported-dtype");
  EXPECT_EQ(broken([](AttentionSpec& s) { s.linear.feature_map = "exp_clamp(W)"; }), "bad-option");
  EXPECT_EQ(broken([](AttentionSpec& s) { s.linear.feature_map = "q_idx * x"; }), "not-here");
  EXPECT_EQ(broken([](AttentionSpec& s) {
              s.causal = true;
              s.linear.gate = "q_idx";
            }),
            "not-here");
  EXPECT_EQ(broken([](AttentionSpec& s) {
              s.buffers = {{.name = "W", .dtype = DType::kF32, .rank = 3}};
              s.linear.feature_map = "dot(W, x)";
            }),
            "projection");
  EXPECT_EQ(broken([](AttentionSpec& s) {
              s.buffers = {{.name = "W", .dtype = DType::kF32, .rank = 2}};
              s.linear.feature_map = "x * dot(W, x)";
              s.linear.features = 8;
            }),
            "projection");
  AttentionSpec softmax = linear_spec();
  softmax.weights = Weights::kSoftmax;
  softmax.program = "feature = x";
  EXPECT_EQ(text_of(softmax),
            "compile: error: weights is not linear; the text has a feature map or a gate, which are of Weights::kLinear\n");
  softmax.program = "";
  softmax.linear.feature_map = "elu1";
  EXPECT_EQ(kinds_of(softmax), "bad-option");
}

TEST(LinearRefusals, OfCalls) {
  const Shape shape{.q_len = 4, .kv_len = 4, .head_dim = 8};
  const Attention attention = compile_or_throw(engine_for("host"), linear_spec());
  Problem problem(shape);
  const auto kind_of = [&](void (*change)(RunArgs&)) {
    RunArgs args = problem.args();
    args.lse = {};
    change(args);
    const auto result = attention.run(args);
    return result ? std::string() : result.diagnostics()[0].kind;
  };
  EXPECT_EQ(kind_of([](RunArgs&) {}), "");
  static std::vector<float> numbers(16);
  EXPECT_EQ(kind_of([](RunArgs& a) { a.lse = MutableTensorView(numbers.data(), DType::kF32, {1, 1, 4}); }), "no-softmax");
  EXPECT_EQ(kind_of([](RunArgs& a) { a.sinks = TensorView(numbers.data(), DType::kF32, {1}); }), "no-softmax");
  static const BlockMask mask = attention.create_block_mask({.q_len = 4, .kv_len = 4}).value();
  EXPECT_EQ(kind_of([](RunArgs& a) { a.block_mask = &mask; }), "not-linear");

  RunArgs args = problem.args();
  args.lse = {};
  EXPECT_EQ(attention.plan(args).diagnostics()[0].kind, "not-linear");
  EXPECT_EQ(attention.scores(args, {.q = {0, 1}}).diagnostics()[0].kind, "not-linear");
  EXPECT_EQ(attention.weights(args, {.q = {0, 1}}).diagnostics()[0].kind, "not-linear");
}

TEST(LinearRefusals, OfMatrices) {
  const Shape shape{.q_len = 4, .kv_len = 4, .head_dim = 8};
  AttentionSpec spec = linear_spec();
  spec.buffers = {{.name = "W", .dtype = DType::kF32, .rank = 2}};
  spec.linear.feature_map = "favor(W)";
  spec.linear.features = 16;
  const Attention attention = compile_or_throw(engine_for("host"), spec);
  Problem problem(shape);
  Captures wrong;
  wrong.add("W", {15, 8}, std::vector<float>(15 * 8));
  RunArgs args = problem.args(&wrong.bindings());
  args.lse = {};
  EXPECT_EQ(render(attention.run(args).diagnostics()),
            "run: error: buffer `W` has extent 15 in dimension 0, which is declared the number of features, 16\n");
}

}  // namespace
}  // namespace flexjit::conformance
