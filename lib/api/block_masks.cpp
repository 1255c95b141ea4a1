// Block masks of a pattern's mask: made, extended as lengths grow, decided where they were left open.
#include <chrono>
#include <utility>

#include "api/call.h"
#include "api/guard.h"
#include "mask/classify.h"

namespace flexjit {
namespace api {
namespace {

struct Wanted {
  const BlockMaskOptions& options;
  const Bindings* bindings;
  mask::Known known;
};

Result<BlockMask> make(const Pattern& pattern, const Wanted& wanted, Report report, BlockMaskReport* made) {
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
    if (in_mask[i] && (op == ir::Op::kQLen || op == ir::Op::kKvLen)) return true;
  }
  return false;
}

BlockMaskOptions with_blocks_of(BlockMaskOptions options, const BlockMask& mask) {
  options.q_block = mask.shape().q_block;
  options.kv_block = mask.shape().kv_block;
  return options;
}

}  // namespace
}  // namespace api

Result<BlockMask> Attention::create_block_mask(const BlockMaskOptions& options, const Bindings* bindings,
                                               BlockMaskReport* report) const {
  return api::guarded("create_block_mask", *this, [&] {
    return api::make(*impl_->pattern, {options, bindings, {}}, api::Report("create_block_mask"), report);
  });
}

Result<BlockMask> Attention::extend_block_mask(const BlockMask& mask, const BlockMaskOptions& options, const Bindings* bindings,
                                               BlockMaskReport* report) const {
  return api::guarded("extend_block_mask", *this, [&] {
    const api::Pattern& pattern = *impl_->pattern;
    const BlockMaskOptions wanted = api::with_blocks_of(options, mask);
    api::Report findings("extend_block_mask");
    api::check_shorter_mask(mask.shape(), wanted, findings);
    const mask::Known known{.mask = api::depends_on_lengths(pattern.program) ? nullptr : &mask};
    return api::make(pattern, {wanted, bindings, known}, std::move(findings), report);
  });
}

Result<BlockMask> Attention::decide_block_mask(const BlockMask& mask, const BlockMaskOptions& options, const Bindings* bindings,
                                               BlockMaskReport* report) const {
  return api::guarded("decide_block_mask", *this, [&] {
    const BlockMaskOptions wanted = api::with_blocks_of(options, mask);
    api::Report findings("decide_block_mask");
    api::check_block_mask(mask.shape(), api::call_shape_of(wanted), findings);
    return api::make(*impl_->pattern, {wanted, bindings, {.mask = &mask, .partial = false}}, std::move(findings), report);
  });
}

}  // namespace flexjit
