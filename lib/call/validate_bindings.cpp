// Bindings + a pattern's interface -> values by slot. Declared extents are compared exactly, because the proofs that make
// reads unchecked rest on them.
#include <algorithm>
#include <string_view>

#include "call/validate.h"
#include "dsl/findings/spelling.h"
#include "pattern/flags.h"
#include "support/check.h"

namespace flexjit::engine {

namespace {

std::string_view type_name(const Scalar& value) {
  switch (value.index()) {
    case 0: return "int";
    case 1: return "float";
    default: return "bool";
  }
}

template <typename Bound, typename Declared>
void check_known(std::string_view what, const Bound& bound, const Declared& declared, Report& report) {
  std::vector<std::string_view> known;
  for (const auto& entry : declared) known.push_back(entry.name);
  for (const auto& entry : bound) {
    const std::string& name = entry.first;
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    report.add(Finding::kUnknownBinding, what, name, dsl::did_you_mean(name, known));
  }
}

Scalar bind_param(const ir::ParamInterface& param, const Bindings& bindings, Report& report) {
  auto found = bindings.params.find(param.name);
  if (found == bindings.params.end()) {
    if (!param.has_default) report.add(Finding::kMissingBinding, "param", param.name, type_name(param.default_value));
    return param.default_value;
  }
  const Scalar& value = found->second;
  if (value.index() == param.default_value.index()) {
    check_domain(param, value, report);
    return value;
  }
  const auto* integer = std::get_if<std::int32_t>(&value);
  if (integer != nullptr && std::holds_alternative<double>(param.default_value)) {
    const Scalar converted = static_cast<double>(*integer);
    check_domain(param, converted, report);
    return converted;
  }
  report.add(Finding::kBindingType, param.name, type_name(param.default_value), type_name(value));
  return param.default_value;
}

std::optional<std::int64_t> builtin_value(ir::Op builtin, const std::optional<CallShape>& shape) {
  if (!shape) return std::nullopt;
  // Only the lengths and counts of a call can be declared extents; the front end accepts no other op.
  if (builtin == ir::Op::kQLen) return shape->q_len;
  if (builtin == ir::Op::kKvLen) return shape->kv_len;
  if (builtin == ir::Op::kNumHeads) return shape->q_heads;
  if (builtin == ir::Op::kNumKvHeads) return shape->kv_heads;
  FLEXJIT_CHECK(builtin == ir::Op::kBatchSize, std::string(ir::mnemonic(builtin)));
  return shape->batch;
}

bool is_length(ir::Op builtin) { return builtin == ir::Op::kQLen || builtin == ir::Op::kKvLen; }

struct ExtentValue {
  std::string spelling;               // as declared
  std::optional<std::int64_t> value;  // none: any
  bool at_least = false;              // the value is that of the longest of many sequences
};

ExtentValue evaluate(const ir::Extent& extent, const ir::Interface& interface, const std::vector<Scalar>& params,
                     const std::optional<CallShape>& shape) {
  switch (extent.kind) {
    case ir::Extent::Kind::kAny: return {"?", std::nullopt};
    case ir::Extent::Kind::kLiteral: return {std::to_string(extent.literal), extent.literal};
    case ir::Extent::Kind::kBuiltin:
      return {std::string(ir::mnemonic(extent.builtin)), builtin_value(extent.builtin, shape),
              shape && shape->ragged && is_length(extent.builtin)};
    case ir::Extent::Kind::kParam: return {interface.params[extent.param].name, std::get<std::int32_t>(params[extent.param])};
  }
  return {};
}

bool fits_rank(const ir::BufferInterface& declared, const TensorView& view) {
  const auto rank = static_cast<int>(declared.extents.size());
  return view.rank == rank || (declared.broadcasts && view.rank >= 1 && view.rank < rank);
}

// The view with the dimensions that it lacks in front, of extent 1.
TensorView with_rank(const TensorView& view, int rank) {
  TensorView result = view;
  result.rank = rank;
  for (int d = 0; d < rank; ++d) {
    const int from = d - (rank - view.rank);
    result.shape[static_cast<std::size_t>(d)] = from < 0 ? 1 : view.shape[static_cast<std::size_t>(from)];
    result.strides[static_cast<std::size_t>(d)] = from < 0 ? 0 : view.strides[static_cast<std::size_t>(from)];
  }
  return result;
}

// Compares dimension d with the extent that is declared for it, and repeats it where that is allowed.
void fit_extent(const ir::BufferInterface& declared, std::size_t d, const ExtentValue& expected, TensorView& view,
                Report& report) {
  if (!expected.value || view.shape[d] == *expected.value || (expected.at_least && view.shape[d] > *expected.value)) return;
  if (declared.broadcasts && view.shape[d] == 1) {
    view.shape[d] = *expected.value;
    view.strides[d] = 0;
    return;
  }
  const std::string number = std::to_string(*expected.value);
  std::string meaning = expected.spelling == number ? "" : " = " + number;
  if (declared.broadcasts) meaning += ", or 1";
  report.add(Finding::kBindingShape, declared.name, view.shape[d], d, expected.spelling, meaning);
}

void check_buffer(const ir::BufferInterface& declared, const TensorView& view, Report& report) {
  if (view.dtype != declared.dtype) {
    report.add(Finding::kBindingDType, declared.name, name_of(declared.dtype), name_of(view.dtype));
  }
  if (!fits_rank(declared, view)) {
    report.add(Finding::kBindingRank, declared.name, declared.extents.size(), view.rank);
    return;
  }
  check_view(fmt::format("buffer `{}`", declared.name), view, report);
}

std::string declaration_of(const ir::BufferInterface& buffer) {
  return fmt::format("{} with {} dimension{}", name_of(buffer.dtype), buffer.extents.size(),
                     buffer.extents.size() == 1 ? "" : "s");
}

void bind_buffers(const ir::Interface& interface, const Bindings& bindings, const std::optional<CallShape>& shape, Bound& bound,
                  Report& report) {
  for (const ir::BufferInterface& declared : interface.buffers) {
    TensorView& view = bound.buffers.emplace_back();
    auto found = bindings.buffers.find(declared.name);
    if (found == bindings.buffers.end()) {
      report.add(Finding::kMissingBinding, "buffer", declared.name, declaration_of(declared));
      continue;
    }
    view = found->second;
    check_buffer(declared, view, report);
    if (!fits_rank(declared, view)) continue;
    view = with_rank(view, static_cast<int>(declared.extents.size()));
    for (std::size_t d = 0; d < declared.extents.size(); ++d) {
      fit_extent(declared, d, evaluate(declared.extents[d], interface, bound.params, shape), view, report);
    }
  }
}

}  // namespace

Bound bind_names(const ir::Interface& interface, const Bindings* bindings, const std::optional<CallShape>& shape,
                 Report& report) {
  const Bindings none;
  const Bindings& given = bindings != nullptr ? *bindings : none;
  Bound bound;
  for (const ir::ParamInterface& param : interface.params) bound.params.push_back(bind_param(param, given, report));
  bind_buffers(interface, given, shape, bound, report);
  check_known("buffer", given.buffers, interface.buffers, report);
  check_known("param", given.params, interface.params, report);
  const CallShape sizes = shape.value_or(CallShape{});
  bound.environment = {.batch_size = sizes.batch,
                       .num_heads = sizes.q_heads,
                       .num_kv_heads = sizes.kv_heads,
                       .q_len = sizes.q_len,
                       .kv_len = sizes.kv_len,
                       .buffers = bound.buffers,
                       .params = bound.params};
  return bound;
}

}  // namespace flexjit::engine
