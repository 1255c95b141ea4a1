// Block masks of a pattern's mask: made, extended as lengths grow, decided where they were left open.
#include <chrono>
#include <utility>

#include "call/call.h"
#include "diagnostics/guard.h"
#include "mask/derive/classify.h"

namespace flexjit {
namespace engine {
namespace {

struct WantedMask {
  const BlockMaskOptions& options;
  const Bindings* bindings;
  mask::Known known;
};

Result<BlockMask> make(const Pattern& pattern, const WantedMask& wanted, Report report, BlockMaskReport* made) {
  const auto start = std::chrono::steady_clock::now();
  const std::optional<CallShape> shape = check_mask_options(wanted.options, report);
  const Bound bound = bind_names(pattern.interface, wanted.bindings, shape, report);
  if (!report.empty()) return report.take();
  const mask::ClassifyRequest request{
      .shape = mask_shape_of(wanted.options), .known = wanted.known, .list_evaluated = made != nullptr};
  mask::Classified classified = mask::classify(pattern.program, bound.environment, request);
  if (classified.fault) return describe_fault(pattern, bound.buffers, *classified.fault);
  if (made != nullptr) {
    made->proved = classified.proved;
    made->evaluated = std::move(classified.evaluated_blocks);
    made->build_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  }
  return std::move(*classified.mask);
}

bool depends_on_lengths(const ir::Program& program) {
  const std::vector<bool> in_mask = ir::reachable(program, program.mask());
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    const ir::Op op = program.nodes()[i].op;
    if (in_mask[i] && (op == ir::Op::kQLen || op == ir::Op::kKvLen || op == ir::Op::kQOffset || op == ir::Op::kKvOffset))
      return true;
  }
  return false;
}

BlockMaskOptions with_blocks_of(BlockMaskOptions options, const BlockMask& mask) {
  options.q_block = mask.shape().q_block;
  options.kv_block = mask.shape().kv_block;
  return options;
}

}  // namespace
}  // namespace engine

Result<BlockMask> Attention::create_block_mask(const BlockMaskOptions& options, const Bindings* bindings,
                                               BlockMaskReport* report) const {
  return engine::guarded("create_block_mask", *this, [&] {
    return engine::make(*impl_->pattern, {options, bindings, {}}, engine::Report("create_block_mask"), report);
  });
}

Result<BlockMask> Attention::extend_block_mask(const BlockMask& mask, const BlockMaskOptions& options, const Bindings* bindings,
                                               BlockMaskReport* report) const {
  return engine::guarded("extend_block_mask", *this, [&] {
    const engine::Pattern& pattern = *impl_->pattern;
    const BlockMaskOptions wanted = engine::with_blocks_of(options, mask);
    engine::Report findings("extend_block_mask");
    engine::check_shorter_mask(mask.shape(), wanted, findings);
    const mask::Known known{.mask = engine::depends_on_lengths(pattern.program) ? nullptr : &mask};
    return engine::make(pattern, {wanted, bindings, known}, std::move(findings), report);
  });
}

Result<BlockMask> Attention::decide_block_mask(const BlockMask& mask, const BlockMaskOptions& options, const Bindings* bindings,
                                               BlockMaskReport* report) const {
  return engine::guarded("decide_block_mask", *this, [&] {
    const BlockMaskOptions wanted = engine::with_blocks_of(options, mask);
    engine::Report findings("decide_block_mask");
    engine::check_block_mask(mask.shape(), engine::call_shape_of(wanted), findings);
    return engine::make(*impl_->pattern, {wanted, bindings, {.mask = &mask, .partial = false}}, std::move(findings), report);
  });
}

}  // namespace flexjit
