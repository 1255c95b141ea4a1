// The code generator's assembly text -> functions, blocks and instructions. The text is the one place where block names, loops,
// source lines and spills stand together.
#pragma once

#include <llvm/ADT/StringRef.h>

#include <vector>

#include "plan/code_listing.h"

namespace flexjit::jit {

// By function and block: the offset in the text of each instruction.
using InstructionOffsets = std::vector<std::vector<std::vector<std::size_t>>>;

struct ParsedAssembly {
  std::vector<plan::CodeFunction> functions;
  InstructionOffsets offsets;
};

enum class AsmComment : std::uint8_t { kHash, kSlashes };

// `text` is verbose assembly whose line directives are those of plan::line_of and column_of.
ParsedAssembly parse_assembly(llvm::StringRef text, AsmComment comment);

}  // namespace flexjit::jit
