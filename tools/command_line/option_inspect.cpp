// The options of `flexjit inspect`; its views come from the library's own list.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "command_line/option_groups.h"
#include "flexjit/inspect.h"

namespace flexjit::tools {
namespace {

constexpr const char* kInspectFooter =
    R"(Few query rows, as `--q-len 1`, show the decode kernel; that of gradients is shown by `--kernel=backward`. Sizes and names matter to the views `intervals` and `mask`. There a buffer that
no file gives is generated as by `flexjit run` for `mask`; `intervals` takes its contents as unknown. Any target can be shown, also one that
this machine cannot execute.

Exit codes: 0 fine; 1 the compiler is missing or the mask reads out of range; 2 the input is at fault.

Examples:
  flexjit inspect alibi.flex --view=plan,llvm --target aarch64
  flexjit inspect -e 'mask = q_idx >= kv_idx' --view=all --json
  flexjit inspect sliding_window.flex --view=intervals,mask --q-len 512 --param window=64
  flexjit inspect alibi.flex --view=plan,asm,roofline --q-len 1 --kv-len 16384 --heads 32 --kv-heads 8
  flexjit inspect causal_bottom_right.flex --view=roofline --lengths '8*1x4096' --page-size 64
  flexjit inspect relative_bias.flex --kernel=backward --view=nest,gradient,roofline
  flexjit inspect alibi.flex --html report.html
  flexjit inspect alibi.flex --diff alibi_formula.flex --view=hoisting,plan
  flexjit inspect alibi.flex --target x86-64-v3 --diff-target aarch64 --view=all)";

constexpr std::pair<const char*, InspectKernel> kKernels[] = {{"call", InspectKernel::kOfCall},
                                                              {"prefill", InspectKernel::kPrefill},
                                                              {"decode", InspectKernel::kDecode},
                                                              {"backward", InspectKernel::kBackward}};

InspectKernel kernel_of(const std::string& name) {
  const auto* found = std::ranges::find(kKernels, name, &std::pair<const char*, InspectKernel>::first);
  return found->second;
}

std::vector<std::string> names_of_kernels() {
  std::vector<std::string> names;
  for (const auto& [name, kernel] : kKernels) names.emplace_back(name);
  return names;
}

}  // namespace

// A list of options.
void add_inspect(CLI::App& app, InspectOptions& inspect, int& exit_code) {
  CLI::App* command = app.add_subcommand("inspect", "Show what a pattern becomes on its way to machine code");
  add_pattern(*command, inspect.pattern);
  std::vector<std::string> names{"all"};
  std::string views = "Views:\n";
  for (const InspectViewInfo& view : inspect_views()) {
    names.emplace_back(view.name);
    views += fmt::format("  {:<12} {}\n", view.name, view.description);
  }
  CLI::Option* view = command->add_option("--view", inspect.views, "What to show, several with commas, or all");
  view->delimiter(',')->check(CLI::IsMember(names))->capture_default_str();
  command->add_option("--target", inspect.target, kTargets)->capture_default_str();
  command
      ->add_option_function<std::string>(
          "--kernel", [&inspect](const std::string& name) { inspect.kernel = kernel_of(name); },
          "The kernel to show: that of calls of these sizes, or this one")
      ->check(CLI::IsMember(names_of_kernels()))
      ->default_str("call");
  command
      ->add_option("--dbuffers", inspect.gradients,
                   "Of --kernel=backward: captured buffers whose gradients it adds up, with commas; or all, or none")
      ->delimiter(',')
      ->capture_default_str();
  command
      ->add_option_function<std::string>(
          "--asm-syntax",
          [&inspect](const std::string& name) { inspect.asm_syntax = name == "intel" ? AsmSyntax::kIntel : AsmSyntax::kAtt; },
          "Of the view asm, for x86")
      ->check(CLI::IsMember({"att", "intel"}))
      ->default_str("att");
  CLI::Option* diff =
      command->add_option("--diff", inspect.diff_file, "Show how the views of this pattern, a *.flex file, differ");
  CLI::Option* diff_target =
      command->add_option("--diff-target", inspect.diff_target, "Show how the views for this target differ");
  command->add_option("--html", inspect.html, "Write all views here, as one HTML page that loads nothing")
      ->excludes(view)
      ->excludes(diff)
      ->excludes(diff_target);
  add_sizes(*command, inspect.sizes);
  add_lengths(*command, inspect.sequences);
  add_names(*command, inspect.names);
  add_dtypes(*command, inspect.dtypes);
  add_json(*command, inspect.output);
  command->footer(views + "\n" + kInspectFooter);
  command->callback([&inspect, &exit_code] { exit_code = inspect_command(inspect); });
}

}  // namespace flexjit::tools
