// See decode_problem.h.
#include "decode_problem.h"

#include <limits>
#include <map>
#include <optional>
#include <sstream>

#include "cache/kernel_cache.h"
#include "jit/object/compile.h"

namespace flexjit::test {

namespace {

test::Strides strides_of(const DecodeCase& c, const test::Extents& e) {
  const std::int64_t row = e[3] + c.gap, first = row * e[1] * e[2];
  return c.order == Order::kHeadsFirst ? test::Strides{first, row * e[2], row, 1} : test::Strides{first, row, row * e[1], 1};
}

test::Problem tensors_of(const DecodeCase& c) {
  const test::Shape shape{.batch = c.batch,
                          .q_heads = c.q_heads(),
                          .kv_heads = c.kv_heads,
                          .q_len = c.q_len,
                          .kv_len = c.kv_len,
                          .head_dim = c.head_dim,
                          .v_head_dim = c.v_head_dim};
  return test::Problem(shape, {c.types.q, c.types.kv, c.types.out}, 1,
                       [&](const test::Extents& e) { return strides_of(c, e); });
}

// A tensor's memory, whose last byte is the last before a forbidden page.
using Guarded = conformance::GuardedArray<unsigned char>;

plan::TensorArg arg_of(Guarded& memory, const test::Tensor& tensor) {
  const auto& strides = tensor.view().strides;
  return {memory.data(), strides[0], strides[1], strides[2]};
}

}  // namespace

cache::SharedKernel kernel_of(const plan::KernelKey& key) {
  static std::map<std::string, cache::SharedKernel> kernels;
  cache::SharedKernel& kernel = kernels[plan::canonical_text(key)];
  if (kernel == nullptr) kernel = cache::load_image(key, jit::compile(key).value());
  return kernel;
}

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

DecodeProblem::DecodeProblem(const DecodeCase& one) : c(one), tensors(tensors_of(one)) {
  for (int h = 0; h < c.q_heads(); ++h)
    sinks.push_back(h % 3 == 2 ? -std::numeric_limits<float>::infinity() : 0.5F * static_cast<float>(h));
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
  tensors.poison_outputs();
  constexpr auto kEnd = conformance::Edge::kEnd;
  Guarded q(tensors.q.bytes, kEnd), k(tensors.k.bytes, kEnd), v(tensors.v.bytes, kEnd), out(tensors.out.bytes, kEnd);
  launch.q = arg_of(q, tensors.q), launch.k = arg_of(k, tensors.k), launch.v = arg_of(v, tensors.v);
  launch.out = arg_of(out, tensors.out);
  launch.lse = {{heads * c.q_len, c.q_len, 1}, tensors.lse.data()};
  launch.max_scores = {{heads * c.q_len, c.q_len, 1}, tensors.max_scores.data()};
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
  const std::vector<plan::Sequence> sequences = plan::batch_of(launch.batch_size, launch.q_len, launch.kv_len);
  const runtime::LaunchOutcome outcome = runtime::decode(kernel->kernel, {c.types.out, c.weights}, launch,
                                                         runtime::work_of(sequences, mask), {}, {.threads = threads});
  tensors.out.bytes = out.copy();
  return outcome;
}

test::OracleResult DecodeProblem::expected(const DecodePattern& pattern) const {
  test::OraclePattern exact = pattern.exact;
  if (c.sinks) exact.sinks.assign(sinks.begin(), sinks.end());
  exact.weights = c.weights == plan::Weights::kSigmoid ? Weights::kSigmoid : Weights::kSoftmax;
  exact.scale = scale;
  return test::oracle(tensors, exact);
}

std::vector<plan::Target> executable_targets() {
  std::vector<plan::Target> targets;
  for (const char* name : {"x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4", "x86-64-v4-bf16", "aarch64"}) {
    const plan::Target target = plan::parse_target(name).value();
    if (plan::can_execute(target)) targets.push_back(target);
  }
  return targets;
}

}  // namespace flexjit::test
