// Published attentions beside the packages that their authors or users wrote: golden/variants, which
// scripts/make-variant-goldens makes.
#include <cmath>

#include "golden_files.h"
#include "harness.h"
#include "support/checklist.h"

namespace flexjit::conformance {
namespace {

// The files of one variant.
struct Golden {
  std::string name;
  tools::Array load(const char* tensor) const { return load_golden("variants/" + name + "." + tensor + ".npy"); }
};

struct Inputs {
  tools::Array q, k, v;
  tools::Array out;

  explicit Inputs(const Golden& golden)
      : q(golden.load("q")), k(golden.load("k")), v(golden.load("v")), out(DType::kF32, q.shape) {}
  RunArgs args(const Bindings* bindings = nullptr) {
    RunArgs args{.q = q.view(), .k = k.view(), .v = v.view(), .out = {}, .bindings = bindings};
    args.out = MutableTensorView(out.bytes.data(), DType::kF32, {out.shape[0], out.shape[1], out.shape[2], out.shape[3]});
    return args;
  }
  std::int32_t head_dim() const { return static_cast<std::int32_t>(q.shape[3]); }
};

testing::AssertionResult is(const tools::Array& out, const tools::Array& expected) {
  const auto numbers = [](const tools::Array& array) {
    return std::vector<double>(array.as<float>(), array.as<float>() + array.count());
  };
  if (out.shape != expected.shape) return testing::AssertionFailure() << "another shape";
  return close(numbers(out), numbers(expected), near(1e-5));
}

TEST(GoldenVariants, PerformerPytorch) {
  covers("X05");
  const Golden golden{"performer"};
  Inputs inputs(golden);
  const tools::Array w = golden.load("W");
  Bindings bindings;
  bindings.buffers["W"] = w.view();
  for (const bool causal : {false, true}) {
    const AttentionSpec spec =
        performer({.head_dim = 16, .features = static_cast<std::int32_t>(w.shape[0]), .causal = causal, .eps = 0});
    compile_or_throw(engine_for("host"), spec).run(inputs.args(&bindings)).value();
    EXPECT_TRUE(is(inputs.out, golden.load(causal ? "causal" : "out")));
  }
}

TEST(GoldenVariants, Linformer) {
  covers("X01");
  const Golden golden{"linformer"};
  Inputs inputs(golden);
  const tools::Array e = golden.load("e"), f = golden.load("f");
  const Attention plain = compile_or_throw(engine_for("host"), {.head_dim = inputs.head_dim()});
  run_projected(plain, {.e = e.view(), .f = f.view()}, inputs.args()).value();
  EXPECT_TRUE(is(inputs.out, golden.load("out")));
}

// With the learned bias; windows that are squares, and some that are not.
TEST(GoldenVariants, TimmSwin) {
  covers("X08", "X09");
  for (const char* name : {"swin", "swin_oblong"}) {
    SCOPED_TRACE(name);
    const Golden golden{name};
    Inputs inputs(golden);
    const tools::Array bias = golden.load("bias"), image = golden.load("image");
    const auto* sizes = image.as<std::int32_t>();
    const AttentionSpec spec = swin({.height = sizes[0],
                                     .width = sizes[1],
                                     .window = {sizes[2], sizes[3]},
                                     .shift = {sizes[4], sizes[5]},
                                     .relative_bias = true,
                                     .head_dim = inputs.head_dim()})
                                   .value();
    Bindings bindings;
    bindings.buffers["relative_bias"] = bias.view();
    compile_or_throw(engine_for("host"), spec).run(inputs.args(&bindings)).value();
    EXPECT_TRUE(is(inputs.out, golden.load("out")));
  }
}

// With padding, and global rows that have projections of their own. What it gives for padding is 0.
TEST(GoldenVariants, TransformersLongformer) {
  covers("X06");
  const Golden golden{"longformer"};
  Inputs inputs(golden);
  const tools::Array q = golden.load("q_global"), k = golden.load("k_global"), v = golden.load("v_global"),
                     tokens = golden.load("tokens");
  Bindings bindings;
  bindings.buffers["tokens"] = tokens.view();
  const Longformer longformer = Longformer::create(engine_for("host"), {.window = 4}, {.head_dim = inputs.head_dim()}).value();
  longformer.run({.local = inputs.args(&bindings), .q_global = q.view(), .k_global = k.view(), .v_global = v.view()}).value();
  EXPECT_TRUE(is(inputs.out, golden.load("out")));
}

}  // namespace
}  // namespace flexjit::conformance
