// Sizes at and beyond what is supported: right, or a diagnostic, at once. Memory that no test can have is address space here:
// a stride of 0 repeats keys and values, and outputs are mapped without being reserved.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "flexjit/flexjit.h"
#include "support/checklist.h"

namespace flexjit::test {
namespace {

constexpr std::int64_t kGiga = std::int64_t{1} << 30;

Engine engine_on_two_threads() {
  EngineOptions options;
  options.backend = Backend::kCompiled;
  options.threads = 2;
  return Engine(options);
}

// Pages that become memory when they are touched.
class Pages {
 public:
  explicit Pages(std::size_t bytes) : bytes_(bytes) {
    data_ = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    EXPECT_NE(data_, MAP_FAILED);
  }
  ~Pages() { ::munmap(data_, bytes_); }
  Pages(const Pages&) = delete;
  void* data() const { return data_; }

 private:
  std::size_t bytes_;
  void* data_;
};

TensorView repeated(const void* data, DType dtype, std::array<std::int64_t, 4> shape) {
  TensorView view(data, dtype, {1, 1, 1, 1});
  view.shape = shape;
  view.strides = {0, 0, 0, 1};
  return view;
}

AttentionSpec spec_of(DType dtype, std::int32_t dim, const std::string& mask = {}) {
  AttentionSpec spec;
  spec.dtype = dtype;
  spec.head_dim = spec.v_head_dim = dim;
  spec.mask_mod = mask;
  return spec;
}

TEST(Limits, RowsThatShareAKeyHeadAreCountedIn32Bits) {
  const Attention attention = engine_on_two_threads().compile(spec_of(DType::kBF16, 1)).value();
  const std::uint16_t one[2] = {0x3F80, 0x3F80};
  for (const std::int64_t q_len : {2, 4, 5, 100}) {
    const Pages out(static_cast<std::size_t>(2 * kGiga * q_len));
    RunArgs args;
    args.q = repeated(one, DType::kBF16, {1, kGiga, q_len, 1});
    args.k = args.v = repeated(one, DType::kBF16, {1, 1, 2, 1});
    args.out = MutableTensorView(out.data(), DType::kBF16, {1, kGiga, q_len, 1});
    const Result<RunStats> stats = attention.run(args);
    ASSERT_FALSE(stats);
    EXPECT_EQ(stats.diagnostics()[0].kind, "length-limit");
    EXPECT_NE(stats.diagnostics()[0].message.find(std::to_string(kGiga * q_len)), std::string::npos);
  }
}

// More rows than a wave of either nest plans at once; v of key j is j, so that the output is the mean.
TEST(Limits, VeryManyHeadsShareAKeyHead) {
  Engine engine = engine_on_two_threads();
  const auto expect_mean = [&](auto one, DType dtype, std::int64_t heads) {
    using T = decltype(one);
    std::vector<T> q(1, T{1}), k(5, T{0}), v = {0, 1, 2, 3, 4}, out(static_cast<std::size_t>(heads), T{-1});
    RunArgs args;
    args.q = repeated(q.data(), dtype, {1, heads, 1, 1});
    args.k = TensorView(k.data(), dtype, {1, 1, 5, 1});
    args.v = TensorView(v.data(), dtype, {1, 1, 5, 1});
    args.out = MutableTensorView(out.data(), dtype, {1, heads, 1, 1});
    engine.compile(spec_of(dtype, 1)).value().run(args).value();
    for (const T& value : out) ASSERT_NEAR(static_cast<double>(value), 2.0, 1e-6);
  };
  expect_mean(1.0F, DType::kF32, 700000);  // decodes
  expect_mean(1.0, DType::kF64, 200000);
}

// The largest size of this process so far, in MiB.
double peak_mib() {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) / 1024;
  }
  return 0;
}

// All scores are 0, so that the lse of a row is the logarithm of how many keys it sees: 97, at both ends of kv_len.
void expect_97_keys(Engine& engine, DType dtype, std::int64_t q_len, std::int64_t kv_len) {
  SCOPED_TRACE(::testing::Message() << name_of(dtype) << ", " << q_len << " x " << kv_len);
  const Attention attention = engine.compile(spec_of(dtype, 33, "kv_idx < 40 || kv_idx >= kv_len - 57")).value();
  const std::vector<std::uint8_t> zeros(64 * 8, 0);
  std::vector<std::uint8_t> out(static_cast<std::size_t>(2 * q_len * 33 * 8));
  std::vector<float> lse(static_cast<std::size_t>(2 * q_len), -1);
  RunArgs args;
  args.q = repeated(zeros.data(), dtype, {1, 2, q_len, 33});
  args.k = args.v = repeated(zeros.data(), dtype, {1, 2, kv_len, 33});
  args.out = MutableTensorView(out.data(), dtype, {1, 2, q_len, 33});
  args.lse = MutableTensorView(lse.data(), DType::kF32, {1, 2, q_len});
  // So short a call spends little on deriving its mask, and leaves some blocks to the kernel.
  EXPECT_LT(attention.run(args).value().scores_visited, 2 * q_len * 8 * 97);
  for (float value : lse) ASSERT_NEAR(value, std::log(97.0), 1e-5);
}

TEST(Limits, MemoryFollowsWhatIsVisited) {
  Engine engine = engine_on_two_threads();
  double before = 0;
  // First over few keys: what compiling takes is not what is measured.
  for (const std::int64_t kv_len : {std::int64_t{200}, kGiga}) {
    before = peak_mib();
    for (const DType dtype : {DType::kF32, DType::kF64, DType::kBF16}) {
      for (const std::int64_t q_len : {1, 70}) expect_97_keys(engine, dtype, q_len, kv_len);
    }
  }
  // The block mask numbers its 2^24 blocks of keys, 64 MiB each for partial and full ones; packed keys would be 132 GiB.
  // Sanitizers keep 256 MiB of what is freed for a while.
  EXPECT_LT(peak_mib() - before, 600);
}

// Scores would be 1 GiB. The peak is counted anew, because other tests of this process may have reached more.
TEST(Limits, ScoresAreNeverKept) {
  covers("E18", "F21");
  constexpr std::int64_t kLength = 16384;
  const Attention attention = engine_on_two_threads().compile(spec_of(DType::kF32, 16)).value();
  std::vector<float> values(kLength * 16, 0.5F), out(kLength * 16);
  const TensorView view(values.data(), DType::kF32, {1, 1, kLength, 16});
  RunArgs args;
  args.q = args.k = args.v = view;
  args.out = MutableTensorView(out.data(), DType::kF32, {1, 1, kLength, 16});
  std::ofstream("/proc/self/clear_refs") << "5";
  const double before = peak_mib();
  EXPECT_EQ(attention.run(args).value().scores_visited, kLength * kLength);
  EXPECT_LT(peak_mib() - before, 64);
  for (float value : out) ASSERT_NEAR(value, 0.5F, 1e-5F);
}

// A window in the middle of nowhere needs no address space either.
TEST(Limits, AWindowFarFromTheBeginning) {
  Engine engine = engine_on_two_threads();
  const Attention attention = engine.compile(spec_of(DType::kF32, 16, "kv_idx >= 800000000 && kv_idx < 800000100")).value();
  const std::vector<float> zeros(16, 0);
  std::vector<float> out(70 * 16), lse(70, -1);
  RunArgs args;
  args.q = repeated(zeros.data(), DType::kF32, {1, 1, 70, 16});
  args.k = args.v = repeated(zeros.data(), DType::kF32, {1, 1, kGiga, 16});
  args.out = MutableTensorView(out.data(), DType::kF32, {1, 1, 70, 16});
  args.lse = MutableTensorView(lse.data(), DType::kF32, {1, 1, 70});
  attention.run(args).value();
  for (float value : lse) ASSERT_NEAR(value, std::log(100.0), 1e-5);
}

TEST(Limits, ShapesThatNoMemoryHolds) {
  const Attention attention = engine_on_two_threads().compile(spec_of(DType::kF32, 8)).value();
  std::vector<float> data(64);
  RunArgs args;
  args.q = TensorView(data.data(), DType::kF32, {kGiga, kGiga, kGiga, 8});
  args.k = args.v = TensorView(data.data(), DType::kF32, {kGiga, kGiga, kGiga, 8});
  args.out = MutableTensorView(data.data(), DType::kF32, {kGiga, kGiga, kGiga, 8});
  const Result<RunStats> stats = attention.run(args);
  ASSERT_FALSE(stats);
  EXPECT_EQ(stats.diagnostics().size(), 4U);
  for (const Diagnostic& diagnostic : stats.diagnostics()) EXPECT_EQ(diagnostic.kind, "reach");
}

TEST(Limits, CountsOfPairsAreExactOrRefused) {
  const Attention plain = engine_on_two_threads().compile(spec_of(DType::kF32, 8)).value();
  BlockMaskOptions options{.q_len = 1 << 30, .kv_len = 1 << 30, .q_block = 1 << 30, .kv_block = 1 << 30};
  EXPECT_EQ(plain.count_allowed(options).value(), kGiga * kGiga);
  options.batch = 7;
  EXPECT_EQ(plain.count_allowed(options).value(), 7 * kGiga * kGiga);
  options.heads = 2;
  EXPECT_EQ(plain.count_allowed(options).diagnostics().at(0).kind, "too-many-pairs");
  const Attention masked = engine_on_two_threads().compile(spec_of(DType::kF32, 8, "kv_idx >= 0")).value();
  EXPECT_EQ(masked.count_allowed(options).diagnostics().at(0).kind, "too-many-pairs");
  options.q_len = 0;
  EXPECT_EQ(plain.count_allowed(options).value(), 0);
}

TEST(Limits, MergingNothingOfAnySizeIsQuick) {
  std::vector<float> data(16);
  for (const std::array<std::int64_t, 4>& shape :
       {std::array<std::int64_t, 4>{kGiga, kGiga, 0, 8}, {0, kGiga, kGiga, 8}, {kGiga, kGiga, kGiga, 0}}) {
    TensorView v(data.data(), DType::kF32, {1, 1, 1, 1});
    v.shape = shape;
    TensorView lse(data.data(), DType::kF32, {1, 1, 1});
    lse.shape = {shape[0], shape[1], shape[2]};
    lse.strides = {};
    const AttentionState states[] = {{v, lse}};
    MutableTensorView out(data.data(), DType::kF32, {1, 1, 1, 1});
    out.shape = shape;
    EXPECT_TRUE(merge_states({.states = states, .out = out}).has_value());
  }
}

TEST(Limits, ThreadsAreBounded) {
  EngineOptions options;
  options.threads = std::numeric_limits<int>::max();
  EXPECT_EQ(Engine(options).compile(spec_of(DType::kF32, 8)).diagnostics().at(0).kind, "bad-option");
  std::vector<float> data(16);
  const AttentionState states[] = {
      {TensorView(data.data(), DType::kF32, {1, 1, 1, 8}), TensorView(data.data(), DType::kF32, {1, 1, 1})}};
  const MutableTensorView out(data.data(), DType::kF32, {1, 1, 1, 8});
  EXPECT_FALSE(merge_states({.states = states, .out = out, .threads = 1 << 30}));
}

}  // namespace
}  // namespace flexjit::test
