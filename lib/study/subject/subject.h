// What the inspector looks at: one compilation with everything that it made on its way, and the sizes and values of one call.
// The API fills it from the same phases that compile a pattern; views only read it.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "dsl/parse/source.h"
#include "flexjit/block_mask.h"
#include "flexjit/inspect.h"
#include "ir/evaluate/environment.h"
#include "ir/evaluate/interpreter.h"
#include "ir/program/interface.h"
#include "ir/program/program.h"
#include "plan/compiler_door.h"
#include "plan/kernel_key.h"
#include "plan/phase_time.h"

namespace flexjit::study {

// The caller's text, or that of a flag of the spec.
struct Text {
  std::string flag;  // "causal"; empty for the caller's
  dsl::Source source;
};

// One call's sizes, and the values that its names stand for.
struct Values {
  BlockMaskShape blocks;
  ir::Environment environment;
  std::vector<bool> known;  // by buffer slot: its contents may be relied on. Empty: no buffer is bound
};

// What a call asks for, over all heads.
struct CallSize {
  // Of fp64 what may be more than 64 bits count: the sizes of tensors whose strides repeat.
  double scores = 0;
  std::int64_t allowed_scores = 0;
  double kv_bytes = 0;
  double other_bytes = 0;  // of the other tensors and captured buffers
};

// One call on one thread.
struct CountedRun {
  std::vector<std::string> blocks{};   // "attend/qk"
  std::vector<std::int64_t> counts{};  // how often each ran
  std::int64_t scores_visited = 0;
  double seconds = 0;  // of the kernel that does not count
};

// How long the phases of the compilation take.
struct PhaseTimes {
  int repetitions = 0;  // of which each phase's time is the median
  std::vector<plan::PhaseTime> phases{};
  std::vector<plan::PhaseTime> passes{};  // of LLVM's code generator, in one further run
};

struct Subject {
  std::vector<Text> texts;  // in the order in which they apply
  const ir::Program& lowered;
  const ir::Program& forward;  // simplified, reads proved
  const ir::Program& program;  // what the kernel computes: that, or its derivative
  const ir::Interface& interface;
  const plan::KernelKey& key;
  Values values{};     // of views that need a call; else empty
  PhaseTimes times{};  // for the view that shows them; else empty
  // The diagnostic of a read outside its buffer, for views that evaluate elements.
  std::function<Diagnostic(const ir::ReadFault&)> describe_fault{};
  // Runs the call; empty where none was given.
  std::function<Result<CountedRun>()> run{};
  RunLimits limits{};
  AsmSyntax asm_syntax = AsmSyntax::kAtt;
  CallSize call_size{};
  mutable std::optional<plan::CodeListing> listing{};  // of the kernel, once a view asked for it
  // Opens the compiler library when a view needs it.
  std::function<Result<const plan::CompilerDoor*>()> open_compiler{};
};

}  // namespace flexjit::study
