// One short conversion a struct.
#include "c/c_convert.h"

#include <algorithm>
#include <span>
#include <string>
#include <type_traits>
#include <variant>

namespace flexjit::engine {

DType to_dtype(const flexjit_dtype& dtype, std::string_view what, Report& report) {
  if (const auto known = enum_of<DType>(dtype, FLEXJIT_E5M2)) return *known;
  report.add(Finding::kBadEnum, fmt::format("the dtype of {}", what), number_of(dtype), "flexjit_dtype");
  return DType::kF32;
}

template <typename View>
View to_view(const flexjit_tensor& tensor, std::string_view what, Report& report) {
  View view;
  view.data = tensor.data;
  view.dtype = to_dtype(tensor.dtype, what, report);
  view.rank = tensor.rank;
  std::copy_n(tensor.shape, kMaxRank, view.shape.begin());
  std::copy_n(tensor.strides, kMaxRank, view.strides.begin());
  return view;
}

template TensorView to_view<TensorView>(const flexjit_tensor&, std::string_view, Report&);
template MutableTensorView to_view<MutableTensorView>(const flexjit_tensor&, std::string_view, Report&);

std::optional<Rotary> to_rotary(const flexjit_rotary* rotary, Report& report) {
  if (rotary == nullptr) return std::nullopt;
  // Another number is no pairing in C++ either, and said there.
  const int pairing = number_of(rotary->pairing);
  const bool is_known = pairing == FLEXJIT_ROTARY_INTERLEAVED || pairing == FLEXJIT_ROTARY_HALVES;
  return Rotary{to_view<TensorView>(rotary->cos, "rotary.cos", report), to_view<TensorView>(rotary->sin, "rotary.sin", report),
                is_known ? static_cast<RotaryPairing>(pairing) : RotaryPairing{}};
}

namespace {

#define FLEXJIT_DTYPE(name, c_name, text, stored, kind, npy, unit, largest) \
  static_assert(FLEXJIT_##c_name == static_cast<int>(DType::k##name));
#include "flexjit/dtypes.def"
#undef FLEXJIT_DTYPE

std::string name_or_report(const char* name, std::string_view what, Report& report) {
  if (name == nullptr) report.add(Finding::kNullArgument, fmt::format("the name of a {}", what));
  return text_of(name);
}

Scalar to_scalar(const flexjit_param& param, Report& report) {
  const int type = number_of(param.value.type);
  if (type == FLEXJIT_INT) return param.value.value.i;
  if (type == FLEXJIT_FLOAT) return param.value.value.f;
  if (type == FLEXJIT_TRUTH) return param.value.value.b != 0;
  report.add(Finding::kBadEnum, fmt::format("the type of param `{}`", text_of(param.name)), type, "flexjit_scalar_type");
  return std::int32_t{0};
}

Weights to_weights(const flexjit_weights& weights, Report& report) {
  const int number = number_of(weights);
  if (number == FLEXJIT_SIGMOID) return Weights::kSigmoid;
  if (number != FLEXJIT_SOFTMAX) report.add(Finding::kBadEnum, "the weights", number, "flexjit_weights");
  return Weights::kSoftmax;
}

TextLanguage to_language(const flexjit_language& language, Report& report) {
  const int number = number_of(language);
  if (number == FLEXJIT_CXX) return TextLanguage::kCxx;
  if (number != FLEXJIT_FLEX) report.add(Finding::kBadEnum, "the language", number, "flexjit_language");
  return TextLanguage::kFlex;
}

DropoutGenerator to_generator(const flexjit_dropout_generator& generator, Report& report) {
  const int number = number_of(generator);
  if (number == FLEXJIT_PHILOX4) return DropoutGenerator::kPhilox4;
  if (number != FLEXJIT_PHILOX) report.add(Finding::kBadEnum, "the generator", number, "flexjit_dropout_generator");
  return DropoutGenerator::kPhilox;
}

void set_flags(const flexjit_spec& spec, AttentionSpec& result, Report& report) {
  result.causal = spec.causal != 0;
  if (spec.has_window != 0) result.window = Window{spec.window_left, spec.window_right};
  if (spec.has_softcap != 0) result.softcap = spec.softcap;
  result.alibi = spec.alibi != 0;
  result.key_lengths = spec.key_lengths != 0;
  result.key_mask = spec.key_mask != 0;
  if (spec.attention_mask_rank != 0) {
    result.attention_mask =
        MaskTensor{to_dtype(spec.attention_mask_dtype, "the attention mask", report), spec.attention_mask_rank};
  }
  result.weights = to_weights(spec.weights, report);
  if (spec.has_dropout != 0) result.dropout = Dropout{spec.dropout_p, to_generator(spec.dropout_generator, report)};
}

}  // namespace

EngineOptions to_options(const flexjit_engine_options& options, Report& report) {
  EngineOptions result;
  result.threads = options.threads;
  const int backend = number_of(options.backend);
  if (backend == FLEXJIT_BACKEND_COMPILED) result.backend = Backend::kCompiled;
  if (backend == FLEXJIT_BACKEND_REFERENCE) result.backend = Backend::kReference;
  if (backend == FLEXJIT_BACKEND_COMPILED_OR_REFERENCE) result.backend = Backend::kCompiledOrReference;
  if (backend < FLEXJIT_BACKEND_DEFAULT || backend > FLEXJIT_BACKEND_COMPILED_OR_REFERENCE) {
    report.add(Finding::kBadEnum, "the backend", backend, "flexjit_backend");
  }
  if (options.target != nullptr) result.target = options.target;
  result.cache_bytes = options.cache_bytes;
  result.compiler_path = text_of(options.compiler_path);
  if (options.cache_dir != nullptr) result.cache_dir = options.cache_dir;
  result.disk_cache_bytes = options.disk_cache_bytes;
  if (options.perf != nullptr) result.perf = options.perf;
  return result;
}

AttentionSpec to_spec(const flexjit_spec& spec, Report& report) {
  AttentionSpec result;
  result.language = to_language(spec.language, report);
  result.program = text_of(spec.program);
  if (spec.program_name != nullptr) result.program_name = spec.program_name;
  result.score_mod = text_of(spec.score_mod);
  result.mask_mod = text_of(spec.mask_mod);
  for (const flexjit_buffer_declaration& buffer : elements(spec.buffers, spec.buffer_count, "spec.buffers", report)) {
    BufferDeclaration& declaration = result.buffers.emplace_back();
    declaration.name = name_or_report(buffer.name, "buffer", report);
    declaration.dtype = to_dtype(buffer.dtype, fmt::format("buffer `{}`", declaration.name), report);
    declaration.rank = buffer.rank;
  }
  for (const flexjit_param& param : elements(spec.params, spec.param_count, "spec.params", report)) {
    result.params.push_back({.name = name_or_report(param.name, "param", report), .default_value = to_scalar(param, report)});
  }
  result.dtype = to_dtype(spec.dtype, "the spec", report);
  result.head_dim = spec.head_dim;
  result.v_head_dim = spec.v_head_dim;
  if (spec.has_scale != 0) result.scale = spec.scale;
  if (spec.has_kv_dtype != 0) result.kv_dtype = to_dtype(spec.kv_dtype, "k and v", report);
  if (spec.has_out_dtype != 0) result.out_dtype = to_dtype(spec.out_dtype, "out", report);
  result.kv_scale_dims = spec.kv_scale_dims;
  set_flags(spec, result, report);
  return result;
}

Bindings to_bindings(const flexjit_bindings& bindings, Report& report) {
  Bindings result;
  for (const flexjit_buffer& buffer : elements(bindings.buffers, bindings.buffer_count, "bindings.buffers", report)) {
    const std::string name = name_or_report(buffer.name, "buffer", report);
    result.buffers[name] = to_view<TensorView>(buffer.tensor, fmt::format("buffer `{}`", name), report);
  }
  for (const flexjit_param& param : elements(bindings.params, bindings.param_count, "bindings.params", report)) {
    result.params[name_or_report(param.name, "param", report)] = to_scalar(param, report);
  }
  return result;
}

RunArgs to_run_args(const flexjit_run_args& args, Report& report) {
  RunArgs result{.q = to_view<TensorView>(args.q, "q", report),
                 .k = to_view<TensorView>(args.k, "k", report),
                 .v = to_view<TensorView>(args.v, "v", report),
                 .out = to_view<MutableTensorView>(args.out, "out", report)};
  if (args.lse.data != nullptr) result.lse = to_view<MutableTensorView>(args.lse, "lse", report);
  if (args.max_scores.data != nullptr) result.max_scores = to_view<MutableTensorView>(args.max_scores, "max_scores", report);
  if (args.sinks.data != nullptr) result.sinks = to_view<TensorView>(args.sinks, "sinks", report);
  if (args.k_scales.data != nullptr) result.k_scales = to_view<TensorView>(args.k_scales, "k_scales", report);
  if (args.v_scales.data != nullptr) result.v_scales = to_view<TensorView>(args.v_scales, "v_scales", report);
  if (const auto positions = enum_of<RotaryPositions>(args.rotary_positions, FLEXJIT_ROTARY_PAST_LEN))
    result.rotary_positions = *positions;
  else
    report.add(Finding::kBadEnum, "rotary_positions", number_of(args.rotary_positions), "flexjit_rotary_positions");
  return result;
}

Gradients to_gradients(const flexjit_gradients& gradients, Report& report) {
  Gradients result;
  const auto set = [&report](const flexjit_tensor& tensor, auto& view, std::string_view what) {
    if (tensor.data != nullptr) view = to_view<std::remove_reference_t<decltype(view)>>(tensor, what, report);
  };
  set(gradients.out, result.out, "gradients.out");
  set(gradients.lse, result.lse, "gradients.lse");
  set(gradients.q, result.q, "gradients.q");
  set(gradients.k, result.k, "gradients.k");
  set(gradients.v, result.v, "gradients.v");
  set(gradients.sinks, result.sinks, "gradients.sinks");
  for (const flexjit_buffer& buffer : elements(gradients.buffers, gradients.buffer_count, "gradients.buffers", report)) {
    const std::string name = name_or_report(buffer.name, "buffer", report);
    set(buffer.tensor, result.buffers[name], fmt::format("the gradient of buffer `{}`", name));
  }
  return result;
}

QuantizeArgs to_quantize_args(const flexjit_quantize_args& args, Report& report) {
  return {.source = to_view<TensorView>(args.source, "source", report),
          .target = to_view<MutableTensorView>(args.target, "target", report),
          .scales = to_view<MutableTensorView>(args.scales, "scales", report),
          .scales_are = args.scales_given != 0 ? Scales::kGiven : Scales::kComputed};
}

MergeArgs to_merge_args(const flexjit_merge_args& args, std::vector<AttentionState>& states, Report& report) {
  for (const flexjit_state& state : elements(args.states, args.state_count, "merge_args.states", report)) {
    const std::string name = fmt::format("states[{}]", states.size());
    states.push_back(
        {to_view<TensorView>(state.v, name + ".v", report), to_view<TensorView>(state.lse, name + ".lse", report)});
  }
  MergeArgs result{.states = states, .out = to_view<MutableTensorView>(args.out, "out", report), .threads = args.threads};
  if (args.lse.data != nullptr) result.lse = to_view<MutableTensorView>(args.lse, "lse", report);
  return result;
}

flexjit_scalar from_scalar(const Scalar& value) {
  flexjit_scalar scalar{};
  std::visit(
      [&](auto number) {
        if constexpr (std::is_same_v<decltype(number), bool>) {
          scalar.type = FLEXJIT_TRUTH;
          scalar.value.b = number ? 1 : 0;
        } else if constexpr (std::is_floating_point_v<decltype(number)>) {
          scalar.type = FLEXJIT_FLOAT;
          scalar.value.f = number;
        } else {
          scalar.type = FLEXJIT_INT;
          scalar.value.i = number;
        }
      },
      value);
  return scalar;
}

std::vector<std::string> to_strings(const char* const* texts, std::size_t count, std::string_view what, Report& report) {
  std::vector<std::string> strings;
  for (const char* text : elements(texts, count, what, report)) {
    if (text == nullptr) report.add(Finding::kNullArgument, fmt::format("{}[{}]", what, strings.size()));
    strings.push_back(text_of(text));
  }
  return strings;
}

BsrMatrix to_matrix(const flexjit_bsr_matrix& matrix, Report& report) {
  return {elements(matrix.indptr, matrix.indptr_count, "indptr", report),
          elements(matrix.indices, matrix.index_count, "indices", report),
          elements(matrix.data, matrix.data_count, "data", report)};
}

BlockMaskOptions to_mask_options(const flexjit_block_mask_options& options) {
  return {.batch = options.batch,
          .heads = options.heads,
          .kv_heads = options.kv_heads,
          .q_len = options.q_len,
          .kv_len = options.kv_len,
          .q_block = options.q_block,
          .kv_block = options.kv_block};
}

}  // namespace flexjit::engine
