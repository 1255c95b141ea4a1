// The checker's result -> Program and Interface: declarations first, so that slots follow the text, then the roots.
#include "ir/lower/lower.h"

#include <utility>

#include "dsl/check/check.h"
#include "dsl/findings/diagnostic_engine.h"
#include "ir/lower/lower_expression.h"
#include "ir/lower/lower_functions.h"

namespace flexjit::ir {
namespace {

Extent lower_extent(const dsl::CheckedExtent& extent) {
  switch (extent.kind) {
    case dsl::CheckedExtent::Kind::kAny: return {};
    case dsl::CheckedExtent::Kind::kLiteral: return {.kind = Extent::Kind::kLiteral, .literal = extent.literal};
    case dsl::CheckedExtent::Kind::kBuiltin: return {.kind = Extent::Kind::kBuiltin, .builtin = op_of(extent.builtin)};
    case dsl::CheckedExtent::Kind::kParam: return {.kind = Extent::Kind::kParam, .param = extent.param};
  }
  return {};
}

Interface lower_declarations(const dsl::Checked& checked, ProgramBuilder& builder) {
  Interface interface;
  for (const dsl::CheckedBuffer& buffer : checked.buffers) {
    builder.add_buffer({buffer.dtype, static_cast<std::uint8_t>(buffer.extents.size())});
    BufferInterface& declared = interface.buffers.emplace_back(BufferInterface{buffer.name, buffer.dtype, {}});
    for (const dsl::CheckedExtent& extent : buffer.extents) declared.extents.push_back(lower_extent(extent));
  }
  for (const dsl::CheckedParam& param : checked.params) {
    builder.add_param(type_of(param.type));
    const ParamDomain domain = param.largest ? ParamDomain::kReductionBound : ParamDomain::kAny;
    interface.params.push_back({param.name, param.default_value, param.has_default, domain});
  }
  return interface;
}

Diagnostics too_complex(const dsl::Checked& checked, dsl::TypedId root) {
  dsl::DiagnosticEngine diagnostics(checked.texts);
  diagnostics.report(dsl::Kind::kTooComplex, checked.node(root).span,
                     {std::to_string(dsl::kMaxNodes), std::to_string(dsl::kMaxLevels)});
  return std::move(diagnostics).take();
}

}  // namespace

Result<Lowered> lower_source(const dsl::Source& source) {
  const Result<dsl::Checked> checked = dsl::check_source(source);
  if (!checked) return checked.diagnostics();
  return lower_checked(*checked);
}

Result<Lowered> lower_checked(const dsl::Checked& checked) {
  ProgramBuilder builder(checked.precision);
  Interface interface = lower_declarations(checked, builder);
  for (const dsl::SourceText* text : dsl::shown_texts(checked.texts)) interface.texts.push_back({text->name, text->text});
  interface.projection = checked.projection;
  ExpressionLowering lowering(checked, builder, interface);
  Roots roots;
  for (const auto& [root, text] : {std::pair{Root::kScore, checked.score},
                                   {Root::kMask, checked.mask},
                                   {Root::kFeature, checked.feature},
                                   {Root::kGate, checked.gate}}) {
    if (!text.valid()) continue;
    roots[root] = lowering.lower_root(text);
    if (lowering.exhausted()) return too_complex(checked, text);
  }
  for (Root root : {Root::kScore, Root::kFeature, Root::kGate})
    if (roots[root].valid()) roots[root] = lower_conversion(builder, Type::kFloat, roots[root]);
  return Lowered{std::move(builder).finish(roots), std::move(interface), checked.warnings};
}

}  // namespace flexjit::ir
