// The free names of a compiled pattern + options -> bindings: parameters parsed by their declared type, buffers loaded from
// .npy files or generated to fit their declared extents.
#pragma once

#include <deque>

#include "command_line/options.h"
#include "data/array.h"
#include "data/problem.h"
#include "flexjit/attention.h"
#include "flexjit/result.h"

namespace flexjit::tools {

// Moves only: the views would otherwise point into the storage of the original.
struct BoundNames {
  BoundNames() = default;
  BoundNames(BoundNames&&) noexcept = default;
  BoundNames& operator=(BoundNames&&) noexcept = default;

  Bindings bindings;
  std::deque<Array> storage;           // what the views of `bindings` point into; a deque keeps them in place
  std::vector<std::string> generated;  // "slope: f32 (8,)", for the report

  // The names of the generated buffers.
  std::vector<std::string> samples() const;
};

// The buffers whose values a block mask does not depend on, for NameOptions::unread. Where the machine has no vectors to plan
// for, none: then all are asked for.
std::vector<std::string> unread_by_mask(AttentionSpec spec, const Attention& attention, const Sizes& sizes);

// Every error at once: `unknown-name` for a --param or --buffer that the pattern does not declare, `param-value`,
// `buffer-extent`, `buffer-value`, `buffer-dtype`, and those of read_npy; then `missing-binding` for each buffer that no file
// gives where `inputs` or another buffer comes from one (see Unbound).
Result<BoundNames> bind_names(const Attention& attention, const NameOptions& options, const Sizes& sizes,
                              Inputs inputs = Inputs::kGenerated);

}  // namespace flexjit::tools
