// Two patterns -> how much longer one runs than the other. Runs alternate (a b a c a ...), so that what else the machine does
// hits all alike, and each rival is compared with the runs of the base right before and after its own.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "command_line/progress.h"
#include "data/problem.h"
#include "flexjit/attention.h"
#include "measure/backward.h"

namespace flexjit::tools {

// What a forward pass left, and the gradients of its output and of all that its pattern reads.
struct Training {
  std::string left_out{};  // the captured buffer whose gradient is not wanted; empty: all are
  Outputs outputs;
  GradientArrays gradients;
};

// What it points to must outlive it.
struct Contender {
  Attention attention;
  const Problem* problem = nullptr;
  Outputs* outputs = nullptr;  // shared: nobody reads them
  const Bindings* bindings = nullptr;
  const BlockMask* block_mask = nullptr;   // null: derived in each run
  std::optional<Bindings> own_bindings{};  // that take the place of `bindings`
  // Of a backward pass, whose forward pass prepare() runs; null: the forward pass is what runs.
  std::shared_ptr<Training> training{};

  // What the pass that is measured needs beforehand.
  Diagnostics prepare();
  Result<RunStats> run() const;

 private:
  RunArgs arguments(Outputs& to) const;
};

struct Comparison {
  double base_ms = 0, rival_ms = 0;  // medians
  double ratio = 1;                  // median of rival / base
  double noise = 0;                  // of the ratio: its interquartile range, as an error of the median
  int rounds = 0;
  std::int64_t base_scores = 0, rival_scores = 0;  // visited
};

// With one thread the processor time of this thread, which other processes do not prolong; else the clock on the wall.
double clock_ms(int threads);

struct CompareOptions {
  int threads = 1;     // as for clock_ms
  double seconds = 1;  // after at least three rounds
};

// One for each rival, in their order; a rival that cannot run has its errors. Error: the base cannot run.
Result<std::vector<Result<Comparison>>> compare(const Contender& base, const std::vector<Contender>& rivals,
                                                const CompareOptions& options, const Progress& progress);

}  // namespace flexjit::tools
