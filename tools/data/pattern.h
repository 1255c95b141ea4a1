// A *.flex file, -e statements or a preset, and flags -> the pattern of an AttentionSpec.
#pragma once

#include "command_line/options.h"
#include "flexjit/attention.h"
#include "flexjit/result.h"

namespace flexjit::tools {

// With its flags, for queries of `dtype`. Warnings about the text go to stderr. Errors: `usage` for no form or several,
// `unreadable-file`, `unknown-preset`, those of with_flags; those of the text are left to whoever compiles it.
Result<AttentionSpec> load_pattern(const PatternOptions& options, DType dtype = DType::kF32);

// The same for whoever looks for warnings itself, as check() of a text takes as long as to read it.
Result<AttentionSpec> read_pattern(const PatternOptions& options, DType dtype = DType::kF32);

// What was found of a text, to stderr, where nothing of it is an error: errors are reported where the pattern is used.
void print_warnings(const Diagnostics& found);

// The spec with these flags set. Errors: `usage` for sinks with sigmoid weights; `unreadable-file` for the
// tensors' files; those of read_npy, for the mask tensor.
Result<AttentionSpec> with_flags(AttentionSpec spec, const FlagOptions& flags);

// The names with what the flags bind to the buffers of theirs.
NameOptions with_flag_files(NameOptions names, const FlagOptions& flags);

}  // namespace flexjit::tools
