// Published attentions as texts: the options of C++ as keywords, the text of the spec as what comes back.
#include <nanobind/nanobind.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <tuple>

#include "bind.h"
#include "flexjit/variants.h"
#include "tensors.h"

using namespace nb::literals;

namespace flexjit::python {
namespace {

std::string longformer_text(std::int32_t window, const std::vector<std::int32_t>& dilation, bool autoregressive,
                            bool global_rows_apart) {
  return longformer(
             {.window = window, .dilation = dilation, .autoregressive = autoregressive, .global_rows_apart = global_rows_apart})
      .value()
      .program;
}

using Axis = std::tuple<std::int32_t, std::int32_t, std::int32_t, std::int32_t, bool>;

std::string neighborhood_text(const std::vector<Axis>& axes, bool clipped, bool relative_bias) {
  NeighborhoodOptions options{.border = clipped ? NeighborhoodBorder::kClipped : NeighborhoodBorder::kShifted,
                              .relative_bias = relative_bias};
  for (const auto& [extent, kernel, dilation, stride, causal] : axes)
    options.axes.push_back({.extent = extent, .kernel = kernel, .dilation = dilation, .stride = stride, .causal = causal});
  return neighborhood(options).value().program;
}

std::string swin_text(std::int32_t height, std::int32_t width, const std::array<std::int32_t, 2>& window,
                      const std::array<std::int32_t, 2>& shift, bool relative_bias) {
  return swin({.height = height, .width = width, .window = window, .shift = shift, .relative_bias = relative_bias})
      .value()
      .program;
}

// (features, head_dim), row by row.
std::vector<float> feature_matrix(std::int32_t features, std::int32_t head_dim, std::uint64_t seed, bool orthogonal) {
  return random_features({.features = features, .head_dim = head_dim, .seed = seed, .orthogonal = orthogonal}).value();
}

}  // namespace

void bind_variants(nb::module_& module) {
  module.def("longformer", longformer_text, "window"_a, "dilation"_a, "autoregressive"_a, "global_rows_apart"_a,
             "The program of LongformerOptions.");
  module.def("neighborhood", neighborhood_text, "axes"_a, "clipped"_a, "relative_bias"_a,
             "The program of NeighborhoodOptions.");
  module.def("swin", swin_text, "height"_a, "width"_a, "window"_a, "shift"_a, "relative_bias"_a, "The program of SwinOptions.");
  module.def("random_features", feature_matrix, "features"_a, "head_dim"_a, "seed"_a, "orthogonal"_a,
             "Numbers of the matrix of RandomFeatures.");
}

}  // namespace flexjit::python
