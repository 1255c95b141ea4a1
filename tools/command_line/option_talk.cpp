// The options of the two commands that talk about a pattern: explain and repl.
#include "command_line/option_groups.h"

namespace flexjit::tools {
namespace {

constexpr const char* kExplainFooter =
    R"(Says in sentences what the mask skips and how that was decided, what is fused into the kernel and at which loop it is computed, what each
part of the text costs and what would make it faster. A cost is measured: the run with and without the part (a term or factor left out, f(x) as
x, a condition as if it held, ...) in turn, in this process; medians; on one thread in processor time. Leaving out a part of the mask changes how
much is computed, so two things are said of it: what evaluating it costs, by computed score over the same blocks, and what it saves by skipping.
Costs do not add up, as what is left out may hide behind other work. Advice that proposes a change was tried, unless it states a fact.

Inputs that no file gives are generated as by `flexjit run`. Exit codes: 0 fine; 1 the run failed; 2 the input is at fault.

Examples:
  flexjit explain softcap.flex
  flexjit explain relative_bias.flex --backward
  flexjit explain strided.flex --q-len 4096 --param stride=48
  flexjit explain -e 'score = score + 0.1 * sin(float(q_idx) * kv_idx)' --json)";

constexpr const char* kReplFooter =
    R"(Every statement is checked at once, and a score or mask is drawn and measured; an expression alone is taken for the one that it is. On a
terminal lines are edited, Tab completes words of the language, declared names and commands, and the history is kept in
$XDG_STATE_HOME/flexjit/history, else ~/.local/state/flexjit/history, readable by its owner alone. From a pipe there are no prompts. With --json
each line has one JSON object as its reply.

Exit codes: 0 fine, and always on a terminal; from a pipe 1 or 2 where the first error was a failed run or the input.

Examples:
  flexjit repl
  printf 'q_idx >= kv_idx\n:set q_len 4096\n:speed\n' | flexjit repl)";

}  // namespace

void add_explain(CLI::App& app, ExplainOptions& explain, int& exit_code) {
  explain.run.threads = 1;
  CLI::App* command =
      app.add_subcommand("explain", "Say what a pattern skips, what each part of it costs and what would be faster");
  add_pattern(*command, explain.run.pattern);
  add_sizes(*command, explain.run.sizes);
  add_dtypes(*command, explain.run.dtypes);
  add_inputs(*command, explain.run.files);
  add_lengths(*command, explain.run.sequences);
  add_names(*command, explain.run.names);
  add_execution(*command, explain.run);
  command->add_flag_callback(
      "--backward", [&explain] { explain.pass = ExplainedPass::kBackward; },
      "Of the backward pass: what each part, and the gradient of each captured buffer, costs in training");
  command->add_option("--seconds", explain.seconds, "For measuring, about; long runs take what three rounds need")
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str();
  add_json(*command, explain.run.output);
  command->footer(kExplainFooter);
  command->callback([&explain, &exit_code] { exit_code = explain_command(explain); });
}

void add_repl(CLI::App& app, ReplOptions& repl, int& exit_code) {
  CLI::App* command = app.add_subcommand("repl", "Try scores and masks line by line: diagnostics, a picture, speed");
  add_pattern(*command, repl.pattern);
  add_sizes(*command, repl.sizes);
  add_names(*command, repl.names);
  add_dtypes(*command, repl.dtypes);
  command->add_option("--threads", repl.threads, "0: all processors, or OMP_NUM_THREADS")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  command->add_option("--target", repl.target, kTargets)->capture_default_str();
  add_json(*command, repl.output);
  command->footer(kReplFooter);
  command->callback([&repl, &exit_code] { exit_code = repl_command(repl); });
}

}  // namespace flexjit::tools
