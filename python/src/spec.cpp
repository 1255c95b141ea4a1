#include "spec.h"

#include <nanobind/stl/string.h>

#include <functional>
#include <map>

#include "tensors.h"

namespace flexjit::python {
namespace {

template <typename Target>
using Setters = std::map<std::string, std::function<void(Target&, nb::handle)>, std::less<>>;

template <typename Target, typename Member>
auto set(Member Target::* member) {
  return [member](Target& target, nb::handle value) { target.*member = nb::cast<Member>(value); };
}

template <typename Target, typename Value>
auto set(std::optional<Value> Target::* member) {
  return [member](Target& target, nb::handle value) { target.*member = nb::cast<Value>(value); };
}

DType dtype_of_value(nb::handle value) { return dtype_of(nb::cast<std::string>(value)); }

nb::tuple pair_of(nb::handle value) {
  nb::tuple pair = nb::cast<nb::tuple>(value);
  if (nb::len(pair) != 2) throw nb::cast_error();
  return pair;
}

std::pair<DType, int> declared(nb::handle value) {
  const nb::tuple pair = pair_of(value);
  return {dtype_of_value(pair[0]), nb::cast<int>(pair[1])};
}

void set_buffers(AttentionSpec& spec, nb::handle value) {
  for (const auto& [name, declaration] : nb::cast<nb::dict>(value)) {
    const auto [dtype, rank] = declared(declaration);
    spec.buffers.push_back({.name = nb::cast<std::string>(name), .dtype = dtype, .rank = rank});
  }
}

void set_params(AttentionSpec& spec, nb::handle value) {
  for (const auto& [key, default_value] : nb::cast<nb::dict>(value)) {
    const std::string name = nb::cast<std::string>(key);
    spec.params.push_back({name, scalar_of(default_value, name)});
  }
}

void set_window(AttentionSpec& spec, nb::handle value) {
  const nb::tuple pair = pair_of(value);
  spec.window = Window{nb::cast<std::int32_t>(pair[0]), nb::cast<std::int32_t>(pair[1])};
}

void set_attention_mask(AttentionSpec& spec, nb::handle value) {
  const auto [dtype, rank] = declared(value);
  spec.attention_mask = MaskTensor{dtype, rank};
}

void set_weights(AttentionSpec& spec, nb::handle value) {
  const std::string name = nb::cast<std::string>(value);
  const std::map<std::string, Weights> known = {
      {"softmax", Weights::kSoftmax}, {"sigmoid", Weights::kSigmoid}, {"linear", Weights::kLinear}};
  const auto found = known.find(name);
  if (found == known.end()) throw nb::value_error(("weights are 'softmax', 'sigmoid' or 'linear', not '" + name + "'").c_str());
  spec.weights = found->second;
}

template <typename Member>
auto set_linear(Member LinearWeights::* member) {
  return [member](AttentionSpec& spec, nb::handle value) { spec.linear.*member = nb::cast<Member>(value); };
}

void set_language(AttentionSpec& spec, nb::handle value) {
  const std::string name = nb::cast<std::string>(value);
  if (name != "flex" && name != "c++") throw nb::value_error(("language is 'flex' or 'c++', not '" + name + "'").c_str());
  spec.language = name == "c++" ? TextLanguage::kCxx : TextLanguage::kFlex;
}

const Setters<AttentionSpec>& spec_setters() {
  using S = AttentionSpec;
  static const Setters<S> setters = {
      {"program", set(&S::program)},
      {"program_name", set(&S::program_name)},
      {"language", set_language},
      {"score_mod", set(&S::score_mod)},
      {"mask_mod", set(&S::mask_mod)},
      {"buffers", set_buffers},
      {"params", set_params},
      {"dtype", [](S& spec, nb::handle value) { spec.dtype = dtype_of_value(value); }},
      {"kv_dtype", [](S& spec, nb::handle value) { spec.kv_dtype = dtype_of_value(value); }},
      {"kv_scale_dims", set(&S::kv_scale_dims)},
      {"out_dtype", [](S& spec, nb::handle value) { spec.out_dtype = dtype_of_value(value); }},
      {"head_dim", set(&S::head_dim)},
      {"v_head_dim", set(&S::v_head_dim)},
      {"scale", set(&S::scale)},
      {"causal", set(&S::causal)},
      {"window", set_window},
      {"softcap", set(&S::softcap)},
      {"alibi", set(&S::alibi)},
      {"key_lengths", set(&S::key_lengths)},
      {"key_mask", set(&S::key_mask)},
      {"attention_mask", set_attention_mask},
      {"weights", set_weights},
      {"feature_map", set_linear(&LinearWeights::feature_map)},
      {"features", set_linear(&LinearWeights::features)},
      {"gate", set_linear(&LinearWeights::gate)},
      {"normalised", set_linear(&LinearWeights::normalised)},
      {"eps", set_linear(&LinearWeights::eps)},
      {"dropout", [](S& spec, nb::handle value) { spec.dropout = Dropout{.p = nb::cast<double>(value)}; }},
  };
  return setters;
}

void set_backend(EngineOptions& options, nb::handle value) {
  const std::string name = nb::cast<std::string>(value);
  if (name == "compiled")
    options.backend = Backend::kCompiled;
  else if (name == "reference")
    options.backend = Backend::kReference;
  else if (name == "compiled_or_reference")
    options.backend = Backend::kCompiledOrReference;
  else
    throw nb::value_error(("backend is 'compiled', 'reference' or 'compiled_or_reference', not '" + name + "'").c_str());
}

const Setters<EngineOptions>& engine_setters() {
  using O = EngineOptions;
  static const Setters<O> setters = {
      {"threads", set(&O::threads)},
      {"backend", set_backend},
      {"target", set(&O::target)},
      {"cache_bytes", set(&O::cache_bytes)},
      {"compiler_path", set(&O::compiler_path)},
      {"cache_dir", set(&O::cache_dir)},
      {"disk_cache_bytes", set(&O::disk_cache_bytes)},
      {"perf", set(&O::perf)},
      {"gdb", set(&O::gdb)},
  };
  return setters;
}

// None stands for the default everywhere.
template <typename Target>
Target filled(const nb::kwargs& keywords, const Setters<Target>& setters) {
  Target target;
  for (const auto& [key, value] : keywords) {
    const std::string name = nb::cast<std::string>(key);
    const auto found = setters.find(name);
    if (found == setters.end()) {
      std::string known;
      for (const auto& [each, setter] : setters) known += (known.empty() ? "" : ", ") + each;
      throw nb::type_error(("no option '" + name + "'; there are " + known).c_str());
    }
    if (value.is_none()) continue;
    try {
      found->second(target, value);
    } catch (const nb::cast_error&) {
      throw nb::type_error((name + " cannot be " + nb::cast<std::string>(nb::repr(value))).c_str());
    }
  }
  return target;
}

}  // namespace

AttentionSpec spec_of(const nb::kwargs& keywords) { return filled(keywords, spec_setters()); }
EngineOptions engine_options_of(const nb::kwargs& keywords) { return filled(keywords, engine_setters()); }

}  // namespace flexjit::python
