// Results and errors -> text: aligned lines for people, one JSON object for programs.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "command_line/failure.h"
#include "command_line/options.h"
#include "commands/run_backward.h"
#include "data/problem.h"
#include "flexjit/attention.h"
#include "measure/limit.h"
#include "measure/verify.h"

namespace flexjit::tools {

// A file of scores that was written.
struct ScoresWritten {
  std::string file;
  ScoreRows rows;
  std::vector<std::int64_t> shape;
};

struct TraceWritten {
  std::string file;
  std::int64_t events = 0, dropped = 0;  // of the engine
};

struct RunReport {
  std::string pattern;
  std::string target;
  Sizes sizes;
  std::string sequences;  // with lengths of their own, in words; empty: none, and what is said of the block mask holds
  double pairs = 0;       // of one head, of all batch entries or sequences
  DTypeOptions dtypes;
  int threads = 0;
  int repeat = 0;
  std::vector<std::string> generated;
  KernelSource kernel_source = KernelSource::kCompiled;
  double compile_ms = 0;
  Diagnostics warnings;
  double mask_ms = 0;
  std::string note;                // about the mask; empty: none
  double sparsity = 0;             // percent of the 128 x 128 blocks that are empty
  std::int64_t allowed_pairs = 0;  // over all batch entries and heads
  double run_ms = 0;
  Work work;
  Limit limit;
  std::optional<Verification> verification;  // absent: not asked for, or no query rows
  std::optional<BackwardReport> backward;    // absent: not asked for
  std::optional<ScoresWritten> scores;
  std::optional<TraceWritten> trace;

  // As far as it was verified.
  bool is_correct() const {
    const bool gradients = !backward || !backward->errors || backward->errors->correct;
    return gradients && (!verification || verification->correct);
  }
  double useful_gflops() const { return run_ms > 0 ? work.operations / (run_ms * 1e6) : 0; }
  double percent_of_peak() const { return limit.gflops > 0 ? 100 * useful_gflops() / limit.gflops : 0; }
};

// Invalid UTF-8 in a file name or a snippet is replaced, not thrown about.
void print_json(const nlohmann::ordered_json& json);
nlohmann::ordered_json sizes_json(const Sizes& sizes);

void print_report(const RunReport& report, Output output);

nlohmann::ordered_json error_json(const Diagnostic& diagnostic);
nlohmann::ordered_json diagnostics_json(const Diagnostics& diagnostics);

// 1 where the machine or the run failed, 2 where the input is at fault.
int exit_code_of(const Diagnostics& diagnostics);

// Table: rendered to stderr. JSON: {"errors": [...]} to stdout. Returns exit_code_of.
int report_errors(const Diagnostics& diagnostics, Output output);

// The last of every process: what was printed has arrived, or the command failed, whatever else it did.
int with_stdout_flushed(int exit_code);

}  // namespace flexjit::tools
