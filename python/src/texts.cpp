// What is said about texts without running them: checks, presets, masks joined, the inspector's views; and merged states.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "bind.h"
#include "flexjit/anatomy.h"
#include "flexjit/engine.h"
#include "flexjit/inspect.h"
#include "flexjit/merge_states.h"
#include "flexjit/presets.h"
#include "flexjit/version.h"
#include "gil.h"
#include "spec.h"
#include "tensors.h"

using namespace nb::literals;

namespace flexjit::python {
namespace {

nb::tuple inspect_view(const std::string& view, std::int32_t q_len, std::int32_t kv_len, bool backward,
                       const nb::kwargs& keywords) {
  InspectRequest request;
  request.views.clear();
  for (const InspectViewInfo& info : inspect_views()) {
    if (info.name == view) request.views.push_back(info.view);
  }
  if (request.views.empty()) {
    std::string names;
    for (const InspectViewInfo& info : inspect_views()) names += (names.empty() ? "" : ", ") + std::string(info.name);
    throw nb::value_error(("no view '" + view + "'; there are " + names).c_str());
  }
  request.sizes.q_len = q_len;
  request.sizes.kv_len = kv_len;
  if (backward) request.kernel = InspectKernel::kBackward;
  const AttentionSpec spec = spec_of(keywords);
  std::vector<Inspection> views;
  {
    const WithoutGil without;
    views = inspect(spec, EngineOptions{}, request).value();
  }
  return nb::make_tuple(views.front().text, views.front().json);
}

nb::dict dict_of(const PatternPart& part) {
  nb::dict result;
  result["role"] = std::string(name_of(part.role));
  result["text"] = part.text;
  result["place"] = nb::make_tuple(part.place.line, part.place.column);
  result["replacement"] = part.replacement;
  result["parent"] = part.parent;
  result["decides_mask"] = part.decides_mask;
  result["loop"] = part.loop ? nb::cast(std::string(name_of(*part.loop))) : nb::none();
  result["variant"] = part.variant.program;
  return result;
}

nb::dict dict_of(const CapturedRead& read) {
  nb::dict result;
  result["buffer"] = read.buffer;
  result["loop"] = std::string(name_of(read.loop));
  result["in_mask"] = read.in_mask;
  result["contiguous"] = read.contiguous;
  result["proved"] = read.proved;
  return result;
}

// The parts of a pattern, each with the program that lacks it, and its reads.
nb::tuple dissect_program(std::int32_t q_len, std::int32_t kv_len, const nb::kwargs& keywords) {
  const PatternAnatomy anatomy = dissect(spec_of(keywords), EngineOptions{}, {.q_len = q_len, .kv_len = kv_len}).value();
  nb::list parts, reads;
  for (const PatternPart& part : anatomy.parts) parts.append(dict_of(part));
  for (const CapturedRead& read : anatomy.reads) reads.append(dict_of(read));
  return nb::make_tuple(parts, reads);
}

std::string preset_text(const std::string& name) { return std::string(find_preset(name).value().text); }

nb::list preset_names() {
  nb::list names;
  for (const Preset& preset : presets()) names.append(std::string(preset.name));
  return names;
}

void merge(const nb::list& outs, const nb::list& lses, const nb::object& out, const nb::object& lse) {
  Arrays arrays;
  std::vector<AttentionState> states;
  for (std::size_t n = 0; n < nb::len(outs); ++n)
    states.push_back({arrays.read(outs[n], "outs"), arrays.read(lses[n], "lses")});
  MergeArgs args;
  args.states = std::span<const AttentionState>(states);
  args.out = arrays.write(out, "out");
  args.lse = arrays.write(lse, "lse");
  const WithoutGil without;
  merge_states(args).value();
}

}  // namespace

void bind_texts(nb::module_& module) {
  module.def(
      "check", [](const nb::kwargs& keywords) { return render(check(spec_of(keywords))); }, "Findings as text, '' for none.");
  module.def("inspect", inspect_view, "view"_a, "q_len"_a = 1024, "kv_len"_a = 1024, "backward"_a = false, "keywords"_a,
             "(text, JSON) of one view of the inspector.");
  module.def("dissect", dissect_program, "q_len"_a, "kv_len"_a, "keywords"_a,
             "([part], [read]) of a program: dictionaries; a part has the program that lacks it as 'variant'.");
  module.def("preset", preset_text, "name"_a, "The text of a preset, for program=. Raises flexjit.Error for an unknown name.");
  module.def("preset_names", preset_names, "Names of all presets.");
  module.def("merge_states", merge, "outs"_a, "lses"_a, "out"_a, "lse"_a,
             "Writes out and lse of all keys from those of parts.");
  module.def("describe_host", describe_host, "The processor's instruction set as kernels see it.");
  module.def(
      "dtype_name", [](nb::handle object) { return dtype_name(object); }, "object"_a,
      "'f32', 'bf16', ... of an array's elements; '' for what is no array or has others.");
}

}  // namespace flexjit::python
