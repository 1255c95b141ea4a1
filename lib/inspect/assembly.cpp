// The kernel's machine code, every group of instructions under the words of the text or the part of the template that it
// computes.
#include <fmt/format.h>

#include <iterator>

#include "inspect/listing.h"
#include "inspect/origin.h"

namespace flexjit::inspector {
namespace {

struct Attribution {
  std::int64_t instructions = 0;
  std::int64_t known = 0;

  void count(const plan::CodeInstruction& instruction) {
    ++instructions;
    known += instruction.from || instruction.is_spill ? 1 : 0;
  }
  double percent() const {
    return instructions == 0 ? 100 : 100 * static_cast<double>(known) / static_cast<double>(instructions);
  }
};

std::string group_title(const Origins& origins, const plan::CodeInstruction& instruction) {
  return instruction.is_spill ? "spilled register" : describe(origins, instruction.from);
}

std::string block_text(const plan::CodeBlock& block, const Origins& origins, std::int32_t issue_width) {
  std::string text = fmt::format("{}:", block.label);
  if (!block.name.empty()) text += " " + block.name;
  if (block.loop_depth > 0) text += fmt::format("  (loop depth {})", block.loop_depth);
  if (block.cost)
    text += fmt::format("  {:.1f} cycles a pass, bound by {}", block.cost->cycles, bottleneck(*block.cost, issue_width));
  text += "\n";
  std::string group;
  for (const plan::CodeInstruction& instruction : block.instructions) {
    if (std::string title = group_title(origins, instruction); title != group) {
      group = std::move(title);
      text += fmt::format("  ; {}\n", group);
    }
    text += fmt::format("      {}\n", instruction.text);
  }
  return text;
}

Json block_json(const plan::CodeBlock& block, const Origins& origins, std::int32_t issue_width) {
  Json instructions = Json::array();
  for (const plan::CodeInstruction& instruction : block.instructions) {
    Json line{{"text", instruction.text}};
    line.update(origin_json(origins, instruction.from));
    line["inferred"] = instruction.is_inferred;
    line["spill"] = instruction.is_spill;
    instructions.push_back(std::move(line));
  }
  return {{"label", block.label},
          {"name", block.name},
          {"loop_depth", block.loop_depth},
          {"cost", cost_json(block, issue_width)},
          {"instructions", std::move(instructions)}};
}

}  // namespace

Result<ViewResult> make_asm_view(const Subject& subject) {
  const Result<const plan::CodeListing*> listed = list_code(subject);
  if (!listed) return listed.diagnostics();
  const plan::CodeListing* listing = *listed;
  const Origins origins(subject);
  ViewResult view{.json = {{"functions", Json::array()}}};
  Attribution in_loops;
  for (const plan::CodeFunction& function : listing->functions) {
    Json blocks = Json::array();
    view.text += fmt::format("{}{}\n", view.text.empty() ? "" : "\n", function.name);
    for (const plan::CodeBlock& block : function.blocks) {
      view.text += block_text(block, origins, listing->issue_width);
      blocks.push_back(block_json(block, origins, listing->issue_width));
      if (block.loop_depth == 0) continue;
      for (const plan::CodeInstruction& instruction : block.instructions) in_loops.count(instruction);
    }
    view.json["functions"].push_back({{"name", function.name}, {"blocks", std::move(blocks)}});
  }
  view.text += fmt::format("\n{} instructions in loops, {:.1f} % of them with what they are for\n", in_loops.instructions,
                           in_loops.percent());
  view.json["loop_instructions"] = in_loops.instructions;
  view.json["attributed"] = in_loops.known;
  return view;
}

}  // namespace flexjit::inspector
