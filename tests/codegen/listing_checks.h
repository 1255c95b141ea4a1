// What must hold of the machine code of any kernel: no call, and inner loops that keep what they compute with in registers.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "plan/code_listing.h"

namespace flexjit::test {

inline void expect_no_calls(const plan::CodeListing& listing) {
  for (const plan::CodeFunction& function : listing.functions) {
    for (const plan::CodeBlock& block : function.blocks) {
      for (const plan::CodeInstruction& instruction : block.instructions) {
        const std::string name = instruction.text.substr(0, instruction.text.find(' '));
        EXPECT_TRUE(!name.starts_with("call") && name != "bl" && name != "blr") << instruction.text;
      }
    }
  }
}

// `wanted`: the inner loops, by the names that the emitter gives their blocks. LLVM numbers the second block of a name, and
// those after it.
// `reloads`: of a general register that an outer loop holds, such as the bound of the loop, in a pass.
inline void expect_loops_in_registers(const plan::CodeListing& listing, const std::vector<std::string_view>& wanted,
                                      std::size_t reloads = 0) {
  std::size_t loops = 0;
  for (const plan::CodeBlock& block : listing.functions.at(0).blocks) {
    const std::string name = block.name.substr(0, block.name.find_last_not_of("0123456789") + 1);
    if (std::ranges::find(wanted, name) == wanted.end()) continue;
    ++loops;
    std::size_t reloaded = 0;
    for (const plan::CodeInstruction& instruction : block.instructions) {
      const bool stack =
          instruction.text.find("(%rsp)") != std::string::npos || instruction.text.find("[sp") != std::string::npos;
      if (instruction.text.starts_with("movq -") && stack && reloaded++ < reloads) continue;
      EXPECT_FALSE(stack || instruction.is_spill) << block.name << ": " << instruction.text;
    }
  }
  EXPECT_GE(loops, wanted.size()) << "the listing no longer names the inner loops";
}

}  // namespace flexjit::test
