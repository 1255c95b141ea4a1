// The words of the language, for tools that complete or colour a text.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "flexjit/export.h"

namespace flexjit {

enum class WordKind : std::uint8_t {
  kStatement,    // what a statement begins with: param, const, ..., score, mask
  kValue,        // builtin values and constants
  kFunction,     // builtin functions
  kOperator,     // operators that are words
  kType,         // of params and consts
  kElementType,  // of buffers
};

// In the order of the documentation. The views live as long as the library. Thread-safe.
FLEXJIT_API std::span<const std::string_view> words_of(WordKind kind) noexcept;

// The statements of a program, as they are written and in their order, without the comments between them. What is no token at
// all stays in the statement that it stands in. Thread-safe.
FLEXJIT_API std::vector<std::string> split_statements(const std::string& program);

// What a part of a text is.
enum class PartRole : std::uint8_t {
  kScore,      // all of the score; without it scores stay as they are
  kMask,       // all of the mask; without it every pair is allowed
  kLet,        // the value of a `let`
  kTerm,       // a summand
  kFactor,     // of a product
  kDivision,   // `/`, `//` or `%`; without it the left side remains
  kCall,       // of a function; without it an argument remains
  kBranch,     // a conditional; without it one of its sides remains
  kIndex,      // of a buffer
  kRead,       // of a buffer
  kCondition,  // one side of an `and` or `or`
};
FLEXJIT_API std::string_view name_of(PartRole role) noexcept;  // "score", "mask", "let", "term", ...

}  // namespace flexjit
