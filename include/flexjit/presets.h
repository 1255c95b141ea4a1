// Named patterns as texts of the language, and masks made from masks. All of it is text: print it, change it, put it in a
// *.flex file or in AttentionSpec.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "flexjit/export.h"
#include "flexjit/result.h"

namespace flexjit {

// `text` is a whole program for AttentionSpec::program; `score_mod` and `mask_mod` are its expressions ("" where it has none)
// for the string form, where the names that `text` declares are declared by the caller. All views live as long as the library.
struct Preset {
  std::string_view name;
  std::string_view summary;
  std::string_view declarations;  // the params and buffers of `text`, a line each
  std::string_view score_mod;
  std::string_view mask_mod;
  std::string_view text;  // ends in a NUL behind its last byte
};

// In the order of the documentation.
FLEXJIT_API std::span<const Preset> presets();

// Errors: `unknown-preset`, with the nearest name.
FLEXJIT_API Result<Preset> find_preset(std::string_view name);

// Masks from masks, each an expression of the string form; "" allows everything. The result is one expression that computes
// what the given texts do, each with its own `let` and `const`; reads on the right of a decided and/or are not made. No mask at
// all: and_masks allows everything, or_masks nothing. Errors: those of each text's syntax; `composition` where a text defines
// functions.
FLEXJIT_API Result<std::string> and_masks(std::span<const std::string> masks);
FLEXJIT_API Result<std::string> or_masks(std::span<const std::string> masks);
FLEXJIT_API Result<std::string> not_mask(const std::string& mask);

// The mask as seen by queries that stand `offset` positions further on: `offset` is an int expression of constants and names
// that the caller declares, such as the number of cached keys while decoding.
FLEXJIT_API Result<std::string> offset_queries(const std::string& mask, const std::string& offset);

// Query head h uses masks[h]; the last serves all further heads. At least one mask.
FLEXJIT_API Result<std::string> choose_by_head(std::span<const std::string> masks);

}  // namespace flexjit
