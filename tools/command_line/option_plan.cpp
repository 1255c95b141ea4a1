// The options of `flexjit plan`.
#include <string>
#include <vector>

#include "command_line/option_groups.h"
#include "flexjit/mpi/layout.h"

namespace flexjit::tools {
namespace {

constexpr const char* kPlanFooter =
    R"(Simulates what ranks of attention over many hosts do, without any of them: blocks of tokens are dealt so that each rank has as many, and the work,
which the block mask says exactly, is as even as it can be. `auto` takes neighbours or a zigzag where these are balanced to 0.97 and send less.
Keys are as long as queries. Bytes are those of the keys and values that travel in one forward pass: each to each rank whose queries see it, once.
Balance is the mean work of a rank over that of the slowest.

Exit codes: 0 fine; 1 the mask reads out of range; 2 the input is at fault.

Examples:
  flexjit plan causal.flex --ranks 8 --q-len 131072
  flexjit plan -e 'mask = q_idx >= kv_idx && q_idx - kv_idx < 4096' --ranks 1024 --q-len 1048576 --json
  flexjit plan document.flex --ranks 4 --q-len 16384 --dealing dealt --buffer q_doc=ids.npy --buffer kv_doc=ids.npy)";

}  // namespace

void add_plan(CLI::App& app, PlanOptions& plan, int& exit_code) {
  CLI::App* command = app.add_subcommand("plan", "Show who computes what of one sequence over many hosts");
  add_pattern(*command, plan.pattern);
  add_sizes(*command, plan.sizes);
  add_names(*command, plan.names);
  command->add_option("--ranks", plan.ranks, "Processes that share the sequence")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  command->add_option("--block", plan.block, "Tokens that stay together")->check(CLI::Range(1, 1 << 30))->capture_default_str();
  std::vector<std::string> names;
  for (const auto dealing : {mpi::Dealing::kAuto, mpi::Dealing::kContiguous, mpi::Dealing::kZigzag, mpi::Dealing::kDealt})
    names.emplace_back(mpi::name_of(dealing));
  command->add_option("--dealing", plan.dealing, "How blocks are dealt to ranks")
      ->check(CLI::IsMember(names))
      ->capture_default_str();
  command
      ->add_option_function<std::string>(
          "--dtype", [&plan](const std::string& name) { plan.dtype = dtype_of(name); }, "Of keys and values that travel (f32)")
      ->check(CLI::IsMember({"f32", "bf16", "f16"}));
  add_json(*command, plan.output);
  command->footer(kPlanFooter);
  command->callback([&plan, &exit_code] { exit_code = plan_command(plan); });
}

}  // namespace flexjit::tools
