// Gradients that PyTorch's autograd computed in fp64 from its own spelling of each pattern, on the reference and on every
// target of this machine. golden/README.md names the tolerances.
#include <cmath>

#include "golden_files.h"
#include "on_backends.h"
#include "support/checklist.h"

namespace flexjit::conformance {
namespace {

MutableTensorView view_of(tools::Array& array) {
  return MutableTensorView(array.bytes.data(), array.dtype, std::span<const std::int64_t>(array.shape));
}

// Within this part of the largest value.
void expect_golden_gradient(const tools::Array& actual, const std::string& file, double limit) {
  const tools::Array expected = load_golden(file);
  ASSERT_EQ(actual.shape, expected.shape) << file;
  double worst = 0, largest = 0;
  for (std::int64_t i = 0; i < expected.count(); ++i) {
    const double a = static_cast<double>(actual.as<float>()[i]), e = static_cast<double>(expected.as<float>()[i]);
    ASSERT_TRUE(std::isfinite(a)) << file << " at " << i;
    worst = std::max(worst, std::abs(a - e));
    largest = std::max(largest, std::abs(e));
  }
  EXPECT_LE(worst, limit * largest) << file;
}

class GoldenBackward : public OnBackends {
 protected:
  static void expect_gradients(const GoldenCase& golden) {
    tools::Array q = load_golden("q.npy"), k = load_golden("k.npy"), v = load_golden("v.npy"), d_out = load_golden("dout.npy");
    Bindings bindings;
    std::map<std::string, tools::Array> buffers, d_buffers;
    for (const std::string& name : golden.buffers) {
      buffers[name] = load_golden("buffer." + name + ".npy");
      bindings.buffers[name] = buffers.at(name).view();
    }
    AttentionSpec spec;
    spec.program = text_of(kGolden / (golden.name + ".flex"));
    spec.head_dim = static_cast<std::int32_t>(q.shape[3]);
    spec.v_head_dim = static_cast<std::int32_t>(v.shape[3]);
    tools::Array out(DType::kF32, d_out.shape), lse(DType::kF32, {q.shape[0], q.shape[1], q.shape[2]});
    tools::Array dq(DType::kF32, q.shape), dk(DType::kF32, k.shape), dv(DType::kF32, v.shape);
    const RunArgs args{
        .q = q.view(), .k = k.view(), .v = v.view(), .out = view_of(out), .lse = view_of(lse), .bindings = &bindings};
    Gradients gradients{.out = d_out.view(), .q = view_of(dq), .k = view_of(dk), .v = view_of(dv)};
    for (const std::string& name : golden.differentiated) {
      d_buffers[name] = tools::Array(DType::kF32, buffers.at(name).shape);
      gradients.buffers[name] = view_of(d_buffers.at(name));
    }
    const Attention attention = compile_or_throw(engine(), spec);
    attention.run(args).value();
    run_backward(attention, args, gradients).value();
    const double limit = golden.name == "square" ? 3e-4 : 2e-5;
    expect_golden_gradient(dq, golden.name + ".dq.npy", limit);
    expect_golden_gradient(dk, golden.name + ".dk.npy", limit);
    expect_golden_gradient(dv, golden.name + ".dv.npy", limit);
    for (const auto& [name, gradient] : d_buffers) expect_golden_gradient(gradient, golden.name + ".d" + name + ".npy", limit);
  }
};

TEST_P(GoldenBackward, EveryPattern) {
  covers("E09");
  EXPECT_EQ(golden_cases().size(), 26U);
  for (const GoldenCase& golden : golden_cases()) {
    SCOPED_TRACE(golden.name);
    expect_gradients(golden);
  }
}

INSTANTIATE_TEST_SUITE_P(On, GoldenBackward, testing::ValuesIn(backends_here()), name_of_backend);

}  // namespace
}  // namespace flexjit::conformance
