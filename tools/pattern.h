// A *.flex file or -e statements -> the text of an AttentionSpec.
#pragma once

#include "flexjit/attention.h"
#include "flexjit/result.h"
#include "options.h"

namespace flexjit::tools {

// Warnings about the text go to stderr. Errors: `usage` for none or both forms, `unreadable-file`; those of the text are left
// to whoever compiles it.
Result<AttentionSpec> load_pattern(const PatternOptions& options);

}  // namespace flexjit::tools
