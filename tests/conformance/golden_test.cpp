// 26 patterns whose outputs PyTorch's flex_attention computed in fp64 from its own spelling of each: an oracle that shares no
// line with this project. Once through the API and once through the command. golden/README.md names the tolerances.
#include <gtest/gtest.h>

#include <cmath>

#include "cli/subprocess.h"
#include "golden_files.h"
#include "harness.h"
#include "support/checklist.h"

namespace flexjit::conformance {
namespace {

// At most `limit` anywhere and a fifth of it in the mean, both times (1 + |value|).
void expect_golden(const tools::Array& actual, const std::string& file, double limit) {
  tools::Array expected = load_golden(file);
  ASSERT_EQ(actual.dtype, DType::kF32);
  ASSERT_EQ(actual.shape, expected.shape);
  double worst = 0, sum = 0;
  for (std::int64_t i = 0; i < expected.count(); ++i) {
    double a = static_cast<double>(actual.as<float>()[i]), e = static_cast<double>(expected.as<float>()[i]);
    if (std::isinf(e)) {
      ASSERT_EQ(a, e) << file << " at " << i;
      continue;
    }
    ASSERT_TRUE(std::isfinite(a)) << file << " at " << i;
    double error = std::abs(a - e) / (1 + std::abs(e));
    worst = std::max(worst, error);
    sum += error;
  }
  EXPECT_LE(worst, limit) << file;
  EXPECT_LE(sum / static_cast<double>(expected.count()), limit / 5) << file;
}

double limit_of(const GoldenCase& golden) { return golden.name == "square" ? 1e-4 : 1e-5; }

class GoldenTest : public testing::TestWithParam<GoldenCase> {};

TEST_P(GoldenTest, ThroughTheApi) {
  const GoldenCase& golden = GetParam();
  covers(golden.rows);
  tools::Array q = load_golden("q.npy"), k = load_golden("k.npy"), v = load_golden("v.npy");
  Bindings bindings;
  std::vector<tools::Array> buffers;
  for (const std::string& name : golden.buffers) buffers.push_back(load_golden("buffer." + name + ".npy"));
  for (std::size_t i = 0; i < buffers.size(); ++i) bindings.buffers[golden.buffers[i]] = buffers[i].view();

  AttentionSpec spec;
  spec.program = text_of(kGolden / (golden.name + ".flex"));
  spec.head_dim = static_cast<std::int32_t>(q.shape[3]);
  spec.v_head_dim = static_cast<std::int32_t>(v.shape[3]);
  for (const std::string& target : targets_here()) {
    SCOPED_TRACE(target);
    tools::Array out(DType::kF32, {q.shape[0], q.shape[1], q.shape[2], v.shape[3]});
    tools::Array lse(DType::kF32, {q.shape[0], q.shape[1], q.shape[2]});
    RunArgs args{.q = q.view(), .k = k.view(), .v = v.view(), .out = {}, .bindings = &bindings};
    args.out = MutableTensorView(out.bytes.data(), DType::kF32, {out.shape[0], out.shape[1], out.shape[2], out.shape[3]});
    args.lse = MutableTensorView(lse.bytes.data(), DType::kF32, {lse.shape[0], lse.shape[1], lse.shape[2]});
    compile_or_throw(engine_for(target), spec).run(args).value();
    expect_golden(out, golden.name + ".out.npy", limit_of(golden));
    expect_golden(lse, golden.name + ".lse.npy", limit_of(golden));
  }
}

TEST_P(GoldenTest, ThroughTheCommand) {
  const GoldenCase& golden = GetParam();
  covers(golden.rows);
  tests::TemporaryFolder folder;
  std::vector<std::string> arguments{"run", (kGolden / (golden.name + ".flex")).string()};
  for (const char* name : {"q", "k", "v"}) {
    arguments.push_back(std::string("--") + name);
    arguments.push_back((kGolden / (std::string(name) + ".npy")).string());
  }
  for (const std::string& name : golden.buffers) {
    arguments.emplace_back("--buffer");
    arguments.push_back(name + "=" + (kGolden / ("buffer." + name + ".npy")).string());
  }
  for (const char* name : {"out", "lse"}) {
    arguments.push_back(std::string("--") + name);
    arguments.push_back(folder.path(std::string(name) + ".npy"));
  }
  tests::CommandResult result = tests::run_flexjit(arguments);
  ASSERT_EQ(result.exit_code, 0) << result.out << result.err;
  expect_golden(tools::read_npy(folder.path("out.npy")).value(), golden.name + ".out.npy", limit_of(golden));
  expect_golden(tools::read_npy(folder.path("lse.npy")).value(), golden.name + ".lse.npy", limit_of(golden));
}

INSTANTIATE_TEST_SUITE_P(PyTorch, GoldenTest, testing::ValuesIn(golden_cases()),
                         [](const auto& one) { return one.param.name; });

TEST(Golden, NoneIsMissing) { EXPECT_EQ(golden_cases().size(), 26U); }

}  // namespace
}  // namespace flexjit::conformance
