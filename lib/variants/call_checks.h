// What the calls of several variants are checked for before they become ordinary ones.
#pragma once

#include "diagnostics/report.h"
#include "flexjit/attention.h"

namespace flexjit::variants {

// Findings about members of a call that are of no dense batch, or that turn queries: `reason` says why this call has none.
void refuse_other_layouts(const RunArgs& args, const char* reason, engine::Report& report);

// A gradient that may be wanted: the shape of what it is of, of f32 or its tensor's own type, apart from it. Of no data:
// nothing.
void check_wanted(const char* name, const MutableTensorView& wanted, const TensorView& of, engine::Report& report);

}  // namespace flexjit::variants
