// A text -> its parts, each with the text that lacks it: what a tool measures to say what a part costs. It works on the syntax
// tree, because that is what a person wrote; what becomes of a part in the kernel is found from its texts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dsl/parse/source.h"
#include "dsl/parse/source_location.h"
#include "flexjit/vocabulary.h"

namespace flexjit::dsl {

struct Part {
  PartRole role = PartRole::kTerm;
  Span span{};  // brackets balance
  std::int32_t parent = -1;
  bool decides_mask = false;
  bool depends_on_score = false;
  std::string replacement{};
  std::string function{};               // kCall
  std::vector<std::string> divisors{};  // kDivision: params
  std::string variant{};                // the whole text without it; checks
  std::string probe{};                  // a text whose only result is the part; "" where it stands on arguments or nested lets
};

// Of a file that checks. A part comes after the one that it is inside of; score and mask come first.
std::vector<Part> list_parts(const SourceText& file);

}  // namespace flexjit::dsl
