// Engine and Attention for Python. Arguments are views of the caller's arrays; the GIL is released while the engine works.
#include "flexjit/attention.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "bind.h"
#include "flexjit/backward.h"
#include "flexjit/engine.h"
#include "gil.h"
#include "spec.h"
#include "tensors.h"

using namespace nb::literals;

namespace flexjit::python {
namespace {

// What a call is given, kept together while it runs.
struct Call {
  Arrays arrays;
  Bindings bindings;
  Sequences sequences;
  RunArgs args;
};

void take_sequences(Call& call, nb::handle values) {
  if (values.is_none()) return;
  Sequences& to = call.sequences;
  const std::pair<const char*, TensorView*> members[] = {
      {"cu_seqlens_q", &to.cu_seqlens_q}, {"seqused_q", &to.seqused_q},         {"cu_seqlens_k", &to.cu_seqlens_k},
      {"total_len", &to.total_len},       {"cache_leftpad", &to.cache_leftpad}, {"cache_batch_idx", &to.cache_batch_idx},
      {"block_table", &to.block_table},   {"page_indptr", &to.page_indptr},     {"page_indices", &to.page_indices},
  };
  for (const auto& [key, value] : nb::cast<nb::dict>(values)) {
    const std::string name = nb::cast<std::string>(key);
    const auto* found =
        std::find_if(std::begin(members), std::end(members), [&](const auto& each) { return name == each.first; });
    if (found == std::end(members)) throw nb::type_error(("sequences has no member '" + name + "'").c_str());
    *found->second = call.arrays.read(value, found->first);
  }
  call.args.sequences = &to;
}

// Keyword arguments of a call: q, k, v, out, lse, max_scores, sinks, k_scales, v_scales, bindings, block_mask, sequences.
void take(Call& call, const nb::kwargs& keywords) {
  RunArgs& args = call.args;
  for (const auto& [key, value] : keywords) {
    const std::string name = nb::cast<std::string>(key);
    if (name == "q")
      args.q = call.arrays.read(value, "q");
    else if (name == "k")
      args.k = call.arrays.read(value, "k");
    else if (name == "v")
      args.v = call.arrays.read(value, "v");
    else if (name == "out")
      args.out = call.arrays.write(value, "out");
    else if (name == "lse")
      args.lse = call.arrays.write(value, "lse");
    else if (name == "max_scores")
      args.max_scores = call.arrays.write(value, "max_scores");
    else if (name == "sinks")
      args.sinks = call.arrays.read(value, "sinks");
    else if (name == "k_scales")
      args.k_scales = call.arrays.read(value, "k_scales");
    else if (name == "v_scales")
      args.v_scales = call.arrays.read(value, "v_scales");
    else if (name == "bindings")
      call.bindings = bindings_of(value, call.arrays);
    else if (name == "block_mask")
      args.block_mask = value.is_none() ? nullptr : nb::cast<const BlockMask*>(value);
    else if (name == "sequences")
      take_sequences(call, value);
    else
      throw nb::type_error(("no argument '" + name + "'").c_str());
  }
  args.bindings = &call.bindings;
}

nb::tuple tuple_of(const RunStats& stats) {
  return nb::make_tuple(stats.blocks.empty, stats.blocks.partial, stats.blocks.full, stats.scores_visited);
}

template <typename Work>
nb::tuple without_gil(const Work& work) {
  std::optional<Result<RunStats>> result;
  {
    const WithoutGil without;
    result.emplace(work());
  }
  return tuple_of(result->value());
}

nb::tuple run(const Attention& attention, const nb::kwargs& keywords) {
  Call call;
  take(call, keywords);
  return without_gil([&] { return attention.run(call.args); });
}

nb::tuple run_reference(const Attention& attention, const nb::kwargs& keywords) {
  Call call;
  take(call, keywords);
  return without_gil([&] { return attention.run_reference(call.args); });
}

Gradients gradients_of(Arrays& arrays, const nb::dict& given) {
  Gradients gradients;
  for (const auto& [key, value] : given) {
    const std::string name = nb::cast<std::string>(key);
    if (name == "out")
      gradients.out = arrays.read(value, "gradient of out");
    else if (name == "lse")
      gradients.lse = arrays.read(value, "gradient of lse");
    else if (name == "q")
      gradients.q = arrays.write(value, "gradient of q");
    else if (name == "k")
      gradients.k = arrays.write(value, "gradient of k");
    else if (name == "v")
      gradients.v = arrays.write(value, "gradient of v");
    else if (name == "sinks")
      gradients.sinks = arrays.write(value, "gradient of sinks");
    else
      throw nb::type_error(("no gradient '" + name + "'; gradients of captured arrays go into `buffers`").c_str());
  }
  return gradients;
}

nb::tuple backward(const Attention& attention, const nb::dict& given, const nb::object& buffers, const nb::kwargs& keywords) {
  Call call;
  take(call, keywords);
  Gradients gradients = gradients_of(call.arrays, given);
  if (!buffers.is_none()) {
    for (const auto& [key, value] : nb::cast<nb::dict>(buffers)) {
      const std::string name = nb::cast<std::string>(key);
      gradients.buffers[name] = call.arrays.write(value, ("gradient of " + name).c_str());
    }
  }
  return without_gil([&] { return run_backward(attention, call.args, gradients); });
}

std::vector<float> scores(const Attention& attention, std::int32_t q_begin, std::int32_t q_end, std::optional<std::int32_t> b,
                          std::optional<std::int32_t> h, const nb::kwargs& keywords) {
  Call call;
  take(call, keywords);
  return attention.scores(call.args, {.q = {q_begin, q_end}, .b = b, .h = h}).value();
}

BlockMaskOptions mask_options(const nb::tuple& sizes, std::int32_t kv_heads) {
  if (nb::len(sizes) != 6) throw nb::value_error("sizes are (batch, heads, q_len, kv_len, q_block, kv_block)");
  const auto at = [&](int n) { return nb::cast<std::int32_t>(sizes[n]); };
  return {.batch = at(0),
          .heads = at(1),
          .kv_heads = kv_heads,
          .q_len = at(2),
          .kv_len = at(3),
          .q_block = at(4),
          .kv_block = at(5)};
}

BlockMask create_block_mask(const Attention& attention, const nb::tuple& sizes, const nb::object& values,
                            std::int32_t kv_heads) {
  Arrays arrays;
  const Bindings bindings = bindings_of(values, arrays);
  const BlockMaskOptions options = mask_options(sizes, kv_heads);
  const WithoutGil without;
  return attention.create_block_mask(options, &bindings).value();
}

nb::bytes mask_elements(const Attention& attention, const nb::tuple& sizes, std::int32_t b, std::int32_t h,
                        const nb::object& values) {
  Arrays arrays;
  const Bindings bindings = bindings_of(values, arrays);
  const BlockMaskOptions options = mask_options(sizes, 0);
  std::vector<std::uint8_t> elements;
  {
    const WithoutGil without;
    elements = attention.mask_elements(options, {.b = b, .h = h}, {0, options.q_len}, {0, options.kv_len}, &bindings).value();
  }
  return nb::bytes(elements.data(), elements.size());
}

std::int64_t count_allowed(const Attention& attention, const nb::tuple& sizes, const nb::object& values) {
  Arrays arrays;
  const Bindings bindings = bindings_of(values, arrays);
  return attention.count_allowed(mask_options(sizes, 0), &bindings).value();
}

Attention compile(Engine& engine, const nb::kwargs& keywords) {
  const AttentionSpec spec = spec_of(keywords);
  const WithoutGil without;
  return engine.compile(spec).value();
}

nb::dict stats_of(const Engine& engine) {
  const EngineStats stats = engine.stats();
  nb::dict result;
  result["compiles"] = stats.compiles;
  result["memory_hits"] = stats.memory_hits;
  result["disk_hits"] = stats.disk_hits;
  result["cached_kernels"] = stats.cached_kernels;
  result["cached_bytes"] = stats.cached_bytes;
  return result;
}

std::vector<std::string> names_of_buffers(const Attention& attention) {
  std::vector<std::string> names;
  for (const BufferDeclaration& buffer : attention.buffers()) names.push_back(buffer.name);
  return names;
}

std::vector<std::string> names_of_params(const Attention& attention) {
  std::vector<std::string> names;
  for (const ParamDeclaration& param : attention.params()) names.push_back(param.name);
  return names;
}

}  // namespace

void bind_attention(nb::module_& module) {
  nb::class_<Attention>(module, "Attention", "A compiled pattern. Immutable; several threads may call it at once.")
      .def("run", run,
           "Writes out, and lse and max_scores where they are given. Returns (empty, partial, full, scores_visited).")
      .def("run_reference", run_reference, "The same by naive fp64 attention, slow.")
      .def("run_backward", backward, "given"_a, "buffers"_a.none() = nb::none(), "keywords"_a,
           "Writes gradients. given: out and lse, which are read, and q, k, v, sinks, which are written.")
      .def("scores", scores, "q_begin"_a, "q_end"_a, "b"_a.none() = nb::none(), "h"_a.none() = nb::none(), "keywords"_a,
           "What the softmax of rows [q_begin, q_end) sees, (batch, heads, rows, kv_len) of what b and h leave, -inf where "
           "masked.")
      .def("create_block_mask", create_block_mask, "sizes"_a, "bindings"_a.none() = nb::none(), "kv_heads"_a = 0,
           "sizes: (batch, heads, q_len, kv_len, q_block, kv_block).")
      .def("mask_elements", mask_elements, "sizes"_a, "b"_a = 0, "h"_a = 0, "bindings"_a.none() = nb::none(),
           "A byte a pair of plane (b, h), (q_len, kv_len): 1 where it is allowed.")
      .def("count_allowed", count_allowed, "sizes"_a, "bindings"_a.none() = nb::none(),
           "How many pairs of all planes are allowed.")
      .def(
          "gradient_buffers", [](const Attention& attention) { return gradient_buffers(attention).value(); },
          "Names of captured float arrays that the score reads, whose gradients exist.")
      .def_prop_ro("buffers", names_of_buffers, "Names of the captured arrays that a call binds.")
      .def_prop_ro("params", names_of_params, "Names of the numbers that a call binds.")
      .def_prop_ro("target", &Attention::target, "The instruction set of its kernels.")
      .def_prop_ro("compile_ms", &Attention::compile_ms, "Milliseconds of the compilation, 0 where the kernel was found.")
      .def_prop_ro(
          "kernel_source", [](const Attention& attention) { return std::string(name_of(attention.kernel_source())); },
          "'compiled', 'memory', 'disk' or 'reference'.")
      .def_prop_ro(
          "warnings", [](const Attention& attention) { return render(attention.warnings()); },
          "Findings as text, '' for none.");

  nb::class_<Engine>(module, "Engine", "Compiles patterns and keeps their kernels. Thread-safe.")
      .def(
          "__init__", [](Engine* self, const nb::kwargs& keywords) { new (self) Engine(engine_options_of(keywords)); },
          "Options as flexjit.Engine has them.")
      .def("compile", compile, "Of the members of an AttentionSpec. Raises flexjit.Error.")
      .def("stats", stats_of, "{'compiles', 'memory_hits', 'disk_hits', 'cached_kernels', 'cached_bytes'}.")
      .def("clear_cache", &Engine::clear_cache, "Forgets all kernels; handles keep theirs.");
}

}  // namespace flexjit::python
