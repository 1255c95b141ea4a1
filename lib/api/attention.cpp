// The rest of the handle: what it is made of, and its block mask.
#include "flexjit/attention.h"

#include <vector>

#include "api/call.h"
#include "api/guard.h"
#include "mask/classify.h"

namespace flexjit {

namespace {

std::string spelling_of(const ir::Extent& extent, const ir::Interface& interface) {
  switch (extent.kind) {
    case ir::Extent::Kind::kAny: return "?";
    case ir::Extent::Kind::kLiteral: return std::to_string(extent.literal);
    case ir::Extent::Kind::kBuiltin: return std::string(ir::mnemonic(extent.builtin));
    case ir::Extent::Kind::kParam: return interface.params[extent.param].name;
  }
  return {};
}

Result<BlockMask> all_full(const BlockMaskOptions& options) {
  const BlockMaskShape shape{
      .q_len = options.q_len, .kv_len = options.kv_len, .q_block = options.q_block, .kv_block = options.kv_block};
  const auto blocks = static_cast<std::size_t>(std::int64_t{shape.q_blocks()} * shape.kv_blocks());
  return BlockMask::from_kinds(shape, std::vector<BlockKind>(blocks, BlockKind::kFull));
}

}  // namespace

std::string_view name_of(KernelSource source) noexcept {
  switch (source) {
    case KernelSource::kCompiled: return "compiled";
    case KernelSource::kMemory: return "memory";
    case KernelSource::kDisk: return "disk";
    case KernelSource::kReference: return "reference";
  }
  return {};
}

KernelSource Attention::kernel_source() const noexcept { return impl_->source; }
double Attention::compile_ms() const noexcept { return impl_->compile_ms; }

std::vector<BufferDeclaration> Attention::buffers() const {
  const ir::Interface& interface = impl_->pattern->interface;
  std::vector<BufferDeclaration> declarations;
  for (const ir::BufferInterface& buffer : interface.buffers) {
    BufferDeclaration& declaration = declarations.emplace_back();
    declaration.name = buffer.name;
    declaration.dtype = buffer.dtype;
    declaration.rank = static_cast<int>(buffer.extents.size());
    for (const ir::Extent& extent : buffer.extents) declaration.extents.push_back(spelling_of(extent, interface));
  }
  return declarations;
}

std::vector<ParamDeclaration> Attention::params() const {
  std::vector<ParamDeclaration> declarations;
  for (const ir::ParamInterface& param : impl_->pattern->interface.params) {
    declarations.push_back({.name = param.name, .default_value = param.default_value});
  }
  return declarations;
}

Result<BlockMask> Attention::create_block_mask(const BlockMaskOptions& options, const Bindings* bindings) const {
  return api::guarded("create_block_mask", [&]() -> Result<BlockMask> {
    const api::Pattern& pattern = *impl_->pattern;
    api::Report report("create_block_mask");
    const std::optional<api::CallShape> shape = api::check_mask_options(options, report);
    const api::Bound bound = api::bind_names(pattern.interface, bindings, shape, report);
    if (!report.empty()) return report.take();
    if (!pattern.program.mask().valid()) return all_full(options);
    const mask::ClassifyRequest request{.shape = {.batch = options.batch,
                                                  .heads = options.heads,
                                                  .q_len = options.q_len,
                                                  .kv_len = options.kv_len,
                                                  .q_block = options.q_block,
                                                  .kv_block = options.kv_block},
                                        .undecided = mask::Undecided::kEvaluate};
    mask::Classified classified = mask::classify(pattern.program, bound.environment, request);
    if (classified.fault) return api::describe_fault(pattern, bound.buffers, *classified.fault);
    return std::move(*classified.mask);
  });
}

}  // namespace flexjit
