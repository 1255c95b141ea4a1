// The options that several commands share, and the commands whose options fill a file of their own.
#pragma once

#include <CLI/CLI.hpp>

#include "command_line/options.h"

namespace flexjit::tools {

inline constexpr const char* kTargets =
    "Instruction set: host, x86-64, x86-64-v2, x86-64-v3 (AVX2), x86-64-v4 (AVX-512), "
    "x86-64-v4-bf16, aarch64";

// FILE and what may stand in its place, and the flags.
void add_pattern(CLI::App& app, PatternOptions& pattern);
// Which language a FILE or -e is of.
void add_language(CLI::App& app, std::optional<TextLanguage>& language);
// -e, --preset and the language alone, for commands that take several FILEs.
void add_statements(CLI::App& app, PatternOptions& pattern);
// What --preset can name, for help and completion; a name that is none of them is left to whoever looks for it.
CLI::Validator preset_choices();
void add_flags(CLI::App& app, FlagOptions& flags);
// The words of a command line, with `--sinks s.npy` as `--sinks=s.npy`: a flag's file is optional, and only its ending tells it
// from the pattern's.
std::vector<std::string> join_flag_files(std::vector<std::string> words);
CLI::Option* add_json(CLI::App& app, Output& output);
// The sizes that a mask can depend on.
void add_mask_sizes(CLI::App& app, SizeOptions& sizes);
void add_sizes(CLI::App& app, SizeOptions& sizes);
void add_dtypes(CLI::App& app, DTypeOptions& dtypes);
void add_names(CLI::App& app, NameOptions& names);
void add_inputs(CLI::App& app, FileOptions& files);
// Lengths to make up sequences of; `add_sequence_files` has them of files too.
void add_lengths(CLI::App& app, SequenceOptions& sequences);
void add_sequence_files(CLI::App& app, SequenceOptions& sequences);
void add_outputs(CLI::App& app, FileOptions& files);
// How a kernel runs, whatever it is run for.
void add_execution(CLI::App& app, RunOptions& run);

// "f32", "f64", "bf16" or "f16".
DType dtype_of(const std::string& name);
void add_cache_bench(CLI::App& app, CacheBenchOptions& caches);
// One small combination, but for what the command line names.
void make_quick(const CLI::App& app, CacheBenchOptions& caches);
void add_explain(CLI::App& app, ExplainOptions& explain, int& exit_code);
void add_repl(CLI::App& app, ReplOptions& repl, int& exit_code);
void add_plan(CLI::App& app, PlanOptions& plan, int& exit_code);
void add_inspect(CLI::App& app, InspectOptions& inspect, int& exit_code);

}  // namespace flexjit::tools
