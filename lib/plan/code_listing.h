// A kernel's machine code as the inspector shows it: blocks of instructions, each with what it is for, and what a model of the
// processor says that a block costs. Crosses the compiler's door.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "plan/kernel_parts.h"

namespace flexjit::plan {

struct CodeInstruction {
  std::string text;       // "vfmadd231ps %zmm1, %zmm10, %zmm31"
  std::string intel{};    // "vfmadd231ps zmm31, zmm10, zmm1"; of x86 alone
  std::string comment{};  // the code generator's: "64-byte Spill"; often empty
  std::optional<Provenance> from{};
  // The code generator made it itself, a copy, a constant or a jump, and `from` is that of what follows.
  bool is_inferred = false;
  bool is_spill = false;  // stores or reloads a register that the allocator ran out of
};

// One block executed again and again, everything in the first cache, by the scheduling model of the target's processor.
struct BlockCost {
  double cycles = 0;  // a pass
  double micro_ops = 0;
  std::vector<std::pair<std::string, double>> ports{};  // busy cycles a pass, of those that are used; most first
};

struct CodeBlock {
  std::string label;   // ".LBB0_37"; the function's name for its first block
  std::string name{};  // as the template calls it, "qk"; empty for those that the code generator made
  std::int32_t loop_depth = 0;
  std::vector<CodeInstruction> instructions{};
  std::optional<BlockCost> cost{};  // absent where there is no model of the processor
};

struct CodeFunction {
  std::string name;  // "attend"
  std::vector<CodeBlock> blocks{};
};

// What the register allocator reports of a loop or a function.
struct SpillRemark {
  std::string function;
  std::optional<Provenance> where;
  std::string message;  // "2 spills 3 reloads generated in loop"
};

// Simulating every block takes a second; whoever does not ask finds no costs, no processor and no peak.
enum class Costs : std::uint8_t { kNone, kSimulated };

struct CodeListing {
  std::vector<CodeFunction> functions;
  std::vector<SpillRemark> spills;
  std::string processor{};        // whose model the costs are, "znver4"; empty: none
  std::int32_t issue_width = 0;   // micro-operations that it takes in a cycle
  double peak_multiply_adds = 0;  // a cycle: of fp32, fp64 or bf16, lanes counted, by the same model
};

}  // namespace flexjit::plan
