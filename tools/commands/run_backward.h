// `flexjit run --backward`: behind the forward runs, the same call's gradients, timed, verified and written.
#pragma once

#include <optional>

#include "command_line/options.h"
#include "command_line/progress.h"
#include "data/file_uses.h"
#include "measure/backward.h"

namespace flexjit::tools {

// What the forward runs were and left.
struct BackwardRequest {
  const RunOptions& options;
  const Attention& attention;
  const Problem& problem;
  const Bindings& bindings;
  Outputs& outputs;
  std::int64_t allowed_pairs;
  int repeat, threads;
  Trace* trace;  // null: none; else that of the first pass and of one more behind the timed ones
};

struct BackwardReport {
  double ms = 0;  // the median
  double useful_gflops = 0;
  double peak_gflops = 0;
  std::optional<BackwardErrors> errors{};  // absent: not asked for, or it would take long

  double percent_of_peak() const { return peak_gflops > 0 ? 100 * useful_gflops / peak_gflops : 0; }
};

// The files that it reads and writes, for check_file_uses.
std::vector<FileUse> backward_inputs_of(const BackwardOptions& options);
std::vector<FileUse> backward_outputs_of(const BackwardOptions& options);

// Errors: those of run_backward() and of files; `size-conflict` for a --grad-out of another shape than the output;
// `missing-input` where it is not given and other inputs come from files (see Unbound).
Result<BackwardReport> measure_backward(const BackwardRequest& request, const Progress& progress);

}  // namespace flexjit::tools
