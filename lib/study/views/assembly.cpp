// The kernel's machine code, every group of instructions under the words of the text or the part of the template that it
// computes.
#include <fmt/format.h>

#include <functional>
#include <iterator>
#include <map>

#include "study/subject/listing.h"
#include "study/subject/origin.h"
#include "study/views/view.h"

namespace flexjit::study {
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

using BlockNames = std::map<std::string, std::string, std::less<>>;  // label -> the template's name

// The block that the instruction may go to, "qk" or its label; "" for one that goes on. Labels of blocks start alike on every
// target, and nothing but jumps and addresses of constants, which are no blocks, names labels.
std::string jump_target(const std::string& instruction, const BlockNames& names) {
  const std::size_t begin = instruction.find(".LBB");
  if (begin == std::string::npos) return "";
  const std::size_t end = instruction.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.", begin);
  const auto found = names.find(instruction.substr(begin, end - begin));
  return found != names.end() ? found->second : "";
}

BlockNames names_of(const plan::CodeFunction& function) {
  BlockNames names;
  for (const plan::CodeBlock& block : function.blocks) names[block.label] = name_of(block);
  return names;
}

std::string block_text(const plan::CodeBlock& block, const Origins& origins, std::int32_t issue_width, const BlockNames& names,
                       AsmSyntax syntax) {
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
    const std::string target = jump_target(instruction.text, names);
    const bool intel = syntax == AsmSyntax::kIntel && !instruction.intel.empty();
    text += fmt::format("      {}{}\n", intel ? instruction.intel : instruction.text, target.empty() ? "" : "  -> " + target);
  }
  return text;
}

Json block_json(const plan::CodeBlock& block, const Origins& origins, std::int32_t issue_width, const BlockNames& names) {
  Json instructions = Json::array();
  for (const plan::CodeInstruction& instruction : block.instructions) {
    Json line{{"text", instruction.text}};
    if (!instruction.intel.empty()) line["intel"] = instruction.intel;
    line.update(origin_json(origins, instruction.from));
    line["inferred"] = instruction.is_inferred;
    line["spill"] = instruction.is_spill;
    if (const std::string target = jump_target(instruction.text, names); !target.empty()) line["jumps_to"] = target;
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
    const BlockNames names = names_of(function);
    Json blocks = Json::array();
    view.text += fmt::format("{}{}\n", view.text.empty() ? "" : "\n", function.name);
    for (const plan::CodeBlock& block : function.blocks) {
      view.text += block_text(block, origins, listing->issue_width, names, subject.asm_syntax);
      blocks.push_back(block_json(block, origins, listing->issue_width, names));
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

}  // namespace flexjit::study
