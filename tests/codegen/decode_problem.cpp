// The oracle shares nothing with the kernel: each row by the definition, in fp64.
#include "decode_problem.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <random>
#include <sstream>

#include "cache/kernel_cache.h"
#include "jit/object/compile.h"
#include "support/elements.h"

namespace flexjit::testing {

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr float kUnwritten = -1234;

std::size_t elements_of(const DecodeCase& c, int heads, int length, int dim) {
  const auto rows = static_cast<std::size_t>(c.batch * heads * length);
  return rows == 0 ? 0 : (rows - 1) * static_cast<std::size_t>(dim + c.gap) + static_cast<std::size_t>(dim);
}

double rounding_of(DType dtype) {
  if (dtype == DType::kBF16) return 0x1p-8;
  return dtype == DType::kF16 ? 0x1p-10 : 0;
}

// Compiles each key once for the whole process.
cache::SharedKernel kernel_of(const plan::KernelKey& key) {
  static std::map<std::string, cache::SharedKernel> kernels;
  cache::SharedKernel& kernel = kernels[plan::canonical_text(key)];
  if (kernel == nullptr) kernel = cache::load_image(key, jit::compile(key).value());
  return kernel;
}

}  // namespace

std::string to_string(const DecodeCase& c) {
  std::ostringstream text;
  text << "batch " << c.batch << " kv_heads " << c.kv_heads << " group " << c.group << " q_len " << c.q_len << " kv_len "
       << c.kv_len << " dims " << c.head_dim << ", " << c.v_head_dim << " types " << name_of(c.types.q) << " "
       << name_of(c.types.kv) << " " << name_of(c.types.out) << " " << plan::name_of(c.weights)
       << (c.order == Order::kHeadsFirst ? " heads first" : " length first") << " gap " << c.gap << (c.sinks ? " sinks" : "");
  return text.str();
}

DecodePattern plain() {
  ir::ProgramBuilder b;
  return {.program = std::move(b).finish(ir::Id{}, ir::Id{}), .buffers = {}};
}

GuardedTensor::GuardedTensor(const DecodeCase& c, int heads, int length, int dim, DType dtype, unsigned seed)
    : dtype_(dtype), bytes_(elements_of(c, heads, length, dim) * size_of(dtype)) {
  const std::int64_t row = dim + c.gap;
  strides_[0] = row * length * heads;
  strides_[1] = c.order == Order::kHeadsFirst ? row * length : row;
  strides_[2] = c.order == Order::kHeadsFirst ? row : row * heads;
  std::mt19937 random(seed);
  std::normal_distribution<double> distribution;
  std::vector<double> values(elements_of(c, heads, length, dim));
  for (double& value : values) value = distribution(random);
  support::write_elements(dtype, bytes_.data(), 0, values);
  first_.resize(values.size());
  support::read_elements(dtype, bytes_.data(), 0, first_);
}

double GuardedTensor::at(int b, int h, int row, int d) const {
  double value = 0;
  support::read_elements(dtype_, bytes_.data(), static_cast<std::int64_t>(offset(b, h, row)) + d, {&value, 1});
  return value;
}

DecodeProblem::DecodeProblem(const DecodeCase& one, unsigned seed)
    : c(one),
      q(c, c.q_heads(), c.q_len, c.head_dim, c.types.q, seed),
      k(c, c.kv_heads, c.kv_len, c.head_dim, c.types.kv, seed + 1),
      v(c, c.kv_heads, c.kv_len, c.v_head_dim, c.types.kv, seed + 2),
      out(c, c.q_heads(), c.q_len, c.v_head_dim, c.types.out, seed + 3),
      lse(static_cast<std::size_t>(c.batch * c.q_heads() * c.q_len), kUnwritten),
      max_scores(lse.size(), kUnwritten) {
  for (int h = 0; h < c.q_heads(); ++h) sinks.push_back(h % 3 == 2 ? static_cast<float>(-kInf) : 0.5F * static_cast<float>(h));
}

runtime::LaunchOutcome DecodeProblem::run(const DecodePattern& pattern, const plan::Target& target, int threads,
                                          const BlockMask* mask) {
  plan::KernelRequest request;
  request.program = pattern.program;
  request.nest = plan::Nest::kDecode;
  request.types = c.types;
  request.weights = c.weights;
  request.head_dim = c.head_dim;
  request.v_head_dim = c.v_head_dim;
  const plan::KernelKey key = plan::plan_kernel(request, target);
  const cache::SharedKernel kernel = kernel_of(key);
  const std::int64_t heads = c.q_heads();
  plan::Operands launch{};
  launch.q = q.arg(), launch.k = k.arg(), launch.v = v.arg(), launch.out = out.arg();
  launch.lse = {lse.data(), heads * c.q_len, c.q_len, 1};
  launch.max_scores = {max_scores.data(), heads * c.q_len, c.q_len, 1};
  launch.sinks = c.sinks ? sinks.data() : nullptr;
  launch.buffers = pattern.buffers.data();
  launch.batch_size = c.batch;
  launch.num_heads = c.q_heads();
  launch.num_kv_heads = c.kv_heads;
  launch.q_len = c.q_len;
  launch.kv_len = c.kv_len;
  launch.scale = scale;
  // Without a block mask every pair is allowed; one that decides nothing leaves all to mask_mod.
  std::optional<BlockMask> undecided;
  if (mask == nullptr && pattern.program.mask().valid()) {
    const BlockMaskShape shape{.q_len = c.q_len, .kv_len = c.kv_len, .q_block = c.q_len, .kv_block = c.kv_len};
    undecided = BlockMask::from_kinds(shape, std::vector<BlockKind>{BlockKind::kPartial}).value();
    mask = &*undecided;
  }
  return runtime::decode(kernel->kernel, {c.types.out, c.weights}, launch, {mask}, {.threads = threads});
}

void DecodeProblem::expect_row(const DecodePattern& pattern, int b, int h, int query, Expected& expected) const {
  const bool softmax = c.weights == plan::Weights::kSoftmax;
  std::vector<double> scores;
  double max = -kInf;
  const double* q_row = q.row(b, h, query);
  for (int kv = 0; kv < c.kv_len; ++kv) {
    const double dot = std::inner_product(q_row, q_row + c.head_dim, k.row(b, h / c.group, kv), 0.0);
    const Position at{b, h, query, kv};
    scores.push_back(pattern.allowed(at) ? pattern.score(dot * double{scale}, at) : -kInf);
    max = std::max(max, scores.back());
  }
  const double sink = c.sinks ? double{sinks[static_cast<std::size_t>(h)]} : -kInf;
  const double base = std::max(max, sink);
  double sum = sink == -kInf ? 0 : std::exp(sink - base);
  std::vector<double> row(static_cast<std::size_t>(c.v_head_dim), 0.0);
  for (int kv = 0; kv < c.kv_len; ++kv) {
    const double score = scores[static_cast<std::size_t>(kv)];
    const double weight = score == -kInf ? 0 : (softmax ? std::exp(score - base) : 1 / (1 + std::exp(-score)));
    sum += weight;
    const double* v_row = v.row(b, h / c.group, kv);
    for (std::size_t d = 0; d < row.size(); ++d) row[d] += weight * v_row[d];
  }
  for (double value : row) expected.out.push_back(softmax ? (sum == 0 ? 0 : value / sum) : value);
  expected.lse.push_back(softmax ? (sum == 0 ? -kInf : base + std::log(sum)) : kUnwritten);
  expected.max_scores.push_back(softmax ? max : kUnwritten);
}

DecodeProblem::Expected DecodeProblem::expected(const DecodePattern& pattern) const {
  Expected result;
  for (int b = 0; b < c.batch; ++b) {
    for (int h = 0; h < c.q_heads(); ++h) {
      for (int query = 0; query < c.q_len; ++query) expect_row(pattern, b, h, query, result);
    }
  }
  return result;
}

double DecodeProblem::worst_error(const Expected& expected) const {
  double worst = 0;
  const auto compare = [&](double seen, double wanted, double rounding) {
    if (seen == wanted) return;
    const double error = std::abs(seen - wanted) / (1 + std::abs(wanted)) - rounding;
    worst = std::isnan(error) ? kInf : std::max(worst, error);
  };
  for (int row = 0; row < c.batch * c.q_heads() * c.q_len; ++row) {
    const int b = row / (c.q_heads() * c.q_len), h = row / c.q_len % c.q_heads(), query = row % c.q_len;
    for (int d = 0; d < c.v_head_dim; ++d) {
      const double wanted = expected.out[static_cast<std::size_t>(row * c.v_head_dim + d)];
      compare(out.at(b, h, query, d), wanted, rounding_of(c.types.out));
    }
    const auto i = static_cast<std::size_t>(row);
    compare(double{lse[i]}, expected.lse[i], 0);
    compare(double{max_scores[i]}, expected.max_scores[i], 0);
  }
  return worst;
}

std::vector<plan::Target> executable_targets() {
  std::vector<plan::Target> targets;
  for (const char* name : {"x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4", "x86-64-v4-bf16", "aarch64"}) {
    const plan::Target target = plan::parse_target(name).value();
    if (plan::can_execute(target)) targets.push_back(target);
  }
  return targets;
}

}  // namespace flexjit::testing
