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

}  // namespace flexjit
