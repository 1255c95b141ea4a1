// FlashAttention's calls for Python: keyword arguments -> the options of include/flexjit/flash_attention.h, whose names they
// have. Tensors are views of the caller's arrays, results among them; flexjit/compat makes these arrays.
#include "flexjit/flash_attention.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "bind.h"
#include "gil.h"
#include "tensors.h"

using namespace nb::literals;

namespace flexjit::python {
namespace {

// The arguments of a call, each taken once; what is left over is a mistake of ours.
class Keywords {
 public:
  explicit Keywords(const nb::kwargs& given) {
    for (const auto& [key, value] : given) left_[nb::cast<std::string>(key)] = nb::borrow(value);
  }
  // None where it is not given.
  nb::object take(const char* name) {
    const auto found = left_.find(name);
    if (found == left_.end()) return nb::none();
    return std::move(left_.extract(found).mapped());
  }
  TensorView read(const char* name) { return arrays_.read(take(name), name); }
  MutableTensorView write(const char* name) { return arrays_.write(take(name), name); }
  template <typename Value>
  void set(const char* name, Value& to) {
    const nb::object given = take(name);
    if (given.is_none()) return;
    try {
      to = nb::cast<Value>(given);
    } catch (const nb::cast_error&) {
      throw nb::type_error((std::string(name) + " cannot be " + nb::cast<std::string>(nb::repr(given))).c_str());
    }
  }
  void set(const char* name, std::array<int, 2>& to) {
    const nb::object given = take(name);
    if (given.is_none()) return;
    std::vector<int> pair;
    try {
      pair = nb::cast<std::vector<int>>(given);
    } catch (const nb::cast_error&) {
      pair.clear();
    }
    if (pair.size() != 2)
      throw nb::type_error((std::string(name) + " is two ints, not " + nb::cast<std::string>(nb::repr(given))).c_str());
    to = {pair[0], pair[1]};
  }
  const Bindings* bindings() {
    bindings_ = bindings_of(take("bindings"), arrays_);
    return &bindings_;
  }
  Arrays& arrays() { return arrays_; }
  void end() const {
    if (!left_.empty()) throw nb::type_error(("no argument '" + left_.begin()->first + "'").c_str());
  }

 private:
  std::map<std::string, nb::object, std::less<>> left_;
  Arrays arrays_;
  Bindings bindings_;
};

// What all calls have.
template <typename Options>
void take_flags(Keywords& keywords, Options& options) {
  options.out = keywords.write("out");
  options.softmax_lse = keywords.write("softmax_lse");
  keywords.set("softmax_scale", options.softmax_scale);
  keywords.set("causal", options.causal);
  keywords.set("window_size", options.window_size);
  keywords.set("softcap", options.softcap);
  options.alibi_slopes = keywords.read("alibi_slopes");
  options.learnable_sink = keywords.read("learnable_sink");
  keywords.set("score_mod", options.score_mod);
  keywords.set("mask_mod", options.mask_mod);
  options.bindings = keywords.bindings();
}

template <typename Options>
void take_training_flags(Keywords& keywords, Options& options) {
  take_flags(keywords, options);
  keywords.set("dropout_p", options.dropout_p);
  keywords.set("return_attn_probs", options.return_attn_probs);
  keywords.set("rng_state", options.rng_state);
}

FlashAttnOptions batch_options(Keywords& keywords) {
  FlashAttnOptions options;
  take_training_flags(keywords, options);
  return options;
}

FlashAttnVarlenOptions varlen_options(Keywords& keywords) {
  FlashAttnVarlenOptions options;
  take_training_flags(keywords, options);
  options.cu_seqlens_q = keywords.read("cu_seqlens_q");
  options.cu_seqlens_k = keywords.read("cu_seqlens_k");
  keywords.set("max_seqlen_q", options.max_seqlen_q);
  keywords.set("max_seqlen_k", options.max_seqlen_k);
  options.block_table = keywords.read("block_table");
  options.seqused_q = keywords.read("seqused_q");
  options.seqused_k = keywords.read("seqused_k");
  options.leftpad_k = keywords.read("leftpad_k");
  return options;
}

struct Inputs {
  explicit Inputs(Keywords& keywords) : q(keywords.read("q")), k(keywords.read("k")), v(keywords.read("v")) {}
  TensorView q, k, v;
};

template <typename Call>
auto without_gil(const Call& call) {
  std::optional<decltype(call())> result;
  {
    const WithoutGil without;
    result.emplace(call());
  }
  return std::move(*result).value();
}

// Returns the weights of return_attn_probs, float32, as bytes; empty without.
template <auto kTake, auto kCall>
nb::bytes attend(Engine& engine, const nb::kwargs& given) {
  Keywords keywords(given);
  const Inputs of(keywords);
  const auto options = kTake(keywords);
  keywords.end();
  const FlashAttnResult result = without_gil([&] { return kCall(engine, of.q, of.k, of.v, options); });
  return nb::bytes(result.s_dmask.data(), result.s_dmask.size() * sizeof(float));
}

FlashAttnGradients gradients_of(Keywords& keywords) {
  FlashAttnGradients gradients;
  gradients.dout = keywords.read("dout");
  gradients.dlse = keywords.read("dlse");
  gradients.dq = keywords.write("dq");
  gradients.dk = keywords.write("dk");
  gradients.dv = keywords.write("dv");
  gradients.dsink = keywords.write("dsink");
  const nb::object buffers = keywords.take("buffers");
  if (buffers.is_none()) return gradients;
  for (const auto& [key, value] : nb::cast<nb::dict>(buffers)) {
    const std::string name = nb::cast<std::string>(key);
    gradients.buffers[name] = keywords.arrays().write(value, ("gradient of " + name).c_str());
  }
  return gradients;
}

template <auto kTake, auto kCall>
void differentiate(Engine& engine, const nb::kwargs& given) {
  Keywords keywords(given);
  const Inputs of(keywords);
  const FlashAttnGradients gradients = gradients_of(keywords);
  const auto options = kTake(keywords);
  keywords.end();
  without_gil([&] { return kCall(engine, of.q, of.k, of.v, options, gradients); });
}

CacheSeqlens cache_seqlens(Keywords& keywords) {
  const nb::object given = keywords.take("cache_seqlens");
  if (given.is_none()) return {};
  if (nb::isinstance<nb::int_>(given)) {
    int all = 0;
    if (!nb::try_cast(given, all)) throw nb::value_error("cache_seqlens: a length has 32 bits");
    return all;
  }
  return keywords.arrays().read(given, "cache_seqlens");
}

void attend_cache(Engine& engine, const nb::kwargs& given) {
  Keywords keywords(given);
  const TensorView q = keywords.read("q");
  const MutableTensorView k_cache = keywords.write("k_cache"), v_cache = keywords.write("v_cache");
  FlashAttnKvcacheOptions options;
  take_flags(keywords, options);
  options.k = keywords.read("k");
  options.v = keywords.read("v");
  options.rotary_cos = keywords.read("rotary_cos");
  options.rotary_sin = keywords.read("rotary_sin");
  options.cache_seqlens = cache_seqlens(keywords);
  options.cache_batch_idx = keywords.read("cache_batch_idx");
  options.cache_leftpad = keywords.read("cache_leftpad");
  options.block_table = keywords.read("block_table");
  keywords.set("rotary_interleaved", options.rotary_interleaved);
  keywords.set("num_splits", options.num_splits);
  options.return_cache_seqlens = keywords.write("return_cache_seqlens");
  keywords.end();
  without_gil([&] { return flash_attn_with_kvcache(engine, q, k_cache, v_cache, options); });
}

nb::tuple validate_pages(nb::handle table, std::int64_t batch, nb::handle k_cache, nb::handle v_cache) {
  Arrays arrays;
  const PagedKvParams params = validate_paged_kv_params(arrays.read(table, "block_table"), batch,
                                                        arrays.read(k_cache, "k_cache"), arrays.read(v_cache, "v_cache"))
                                   .value();
  return nb::make_tuple(params.page_size, params.max_pages);
}

std::vector<std::int32_t> update_pages(nb::handle k_cache, nb::handle v_cache, nb::handle new_k, nb::handle new_v,
                                       nb::handle table, nb::handle lengths) {
  Arrays arrays;
  const MutableTensorView k = arrays.write(k_cache, "k_cache"), v = arrays.write(v_cache, "v_cache");
  const TensorView fresh_k = arrays.read(new_k, "new_k"), fresh_v = arrays.read(new_v, "new_v"),
                   pages = arrays.read(table, "block_table"), before = arrays.read(lengths, "cache_seqlens");
  return without_gil([&] { return update_paged_kv_cache(k, v, fresh_k, fresh_v, pages, before); });
}

}  // namespace

void bind_flash_attention(nb::module_& module) {
  module.def("flash_attn_func", attend<batch_options, flash_attn_func>);
  module.def("flash_attn_varlen_func", attend<varlen_options, flash_attn_varlen_func>);
  module.def("flash_attn_backward", differentiate<batch_options, flash_attn_backward>);
  module.def("flash_attn_varlen_backward", differentiate<varlen_options, flash_attn_varlen_backward>);
  module.def("flash_attn_with_kvcache", attend_cache);
  module.def("validate_paged_kv_params", validate_pages);
  module.def("update_paged_kv_cache", update_pages);
}

}  // namespace flexjit::python
