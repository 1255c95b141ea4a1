// Keyword arguments of Python -> AttentionSpec and EngineOptions.
#pragma once

#include <nanobind/nanobind.h>

#include "flexjit/engine_options.h"
#include "flexjit/spec.h"

namespace flexjit::python {

// Raises TypeError for a keyword that is none.
AttentionSpec spec_of(const nanobind::kwargs& keywords);
EngineOptions engine_options_of(const nanobind::kwargs& keywords);

}  // namespace flexjit::python
