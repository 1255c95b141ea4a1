// Swin's options into the windows of each axis, after the rules about windows that are too large.
#pragma once

#include <cstdint>

#include "diagnostics/report.h"
#include "flexjit/variants.h"

namespace flexjit::variants {

struct WindowAxis {
  std::int32_t extent, window, shift;
  std::int32_t padded() const { return (extent + window - 1) / window * window; }
};

struct WindowAxes {
  WindowAxis rows, columns;
};

void check_windows(const SwinOptions& options, engine::Report& report);
// Of options that check_windows has no findings about.
WindowAxes window_axes(const SwinOptions& options);

}  // namespace flexjit::variants
