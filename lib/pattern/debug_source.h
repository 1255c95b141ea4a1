// A pattern's texts -> files that a debugger can open, and where each node stands in them.
#pragma once

#include "ir/program/interface.h"
#include "plan/debug_source.h"

namespace flexjit::engine {

// A text that was read from the file of its name is that file; others are written into a directory of this process that lasts
// as long as the process. Throws std::system_error where that cannot be. Thread-safe.
plan::DebugSource make_debug_source(const ir::Program& program, const ir::Interface& interface);

}  // namespace flexjit::engine
