// Findings about what a spec says of linear weights.
#pragma once

#include "diagnostics/report.h"
#include "flexjit/spec.h"

namespace flexjit::engine {

void check_linear_options(const AttentionSpec& spec, Report& report);

}  // namespace flexjit::engine
