// Every row of the list of patterns that users write, as DSL text with the buffers that it captures. The tests run each at two
// shapes; the text is what a user would type, so a pattern that cannot be written here is a defect of the language.
#pragma once

#include <span>
#include <string_view>

#include "harness.h"

namespace flexjit::conformance {

struct Pattern {
  std::string_view name;  // letters, digits and underscores
  std::string_view program;
  void (*bind)(const Shape& shape, Captures& captures) = nullptr;  // null: nothing is captured
  double tolerance = 1e-5;
  std::string_view rows = "";  // of the checklist, that it shows
};

std::span<const Pattern> mask_patterns();
std::span<const Pattern> score_patterns();

}  // namespace flexjit::conformance
