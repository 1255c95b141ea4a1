// What the register allocator could not keep in registers: its remarks, and the spilling instructions of each block.
#include <fmt/format.h>

#include <algorithm>

#include "study/subject/listing.h"
#include "study/subject/origin.h"
#include "study/views/view.h"

namespace flexjit::study {

Result<ViewResult> make_spills_view(const Subject& subject) {
  const Result<const plan::CodeListing*> listed = list_code(subject);
  if (!listed) return listed.diagnostics();
  const plan::CodeListing* listing = *listed;
  const Origins origins(subject);
  ViewResult view{.text = "remarks of the register allocator:\n",
                  .json = {{"remarks", Json::array()}, {"blocks", Json::array()}}};
  for (const plan::SpillRemark& remark : listing->spills) {
    view.text += fmt::format("  {}, {}: {}\n", remark.function, describe(origins, remark.where), remark.message);
    Json json{{"function", remark.function}, {"message", remark.message}};
    json.update(origin_json(origins, remark.where));
    view.json["remarks"].push_back(std::move(json));
  }
  if (listing->spills.empty()) view.text += "  none\n";
  view.text += "\ninstructions that spill or reload, by block:\n";
  std::ptrdiff_t all = 0;
  for (const plan::CodeFunction& function : listing->functions) {
    for (const plan::CodeBlock& block : function.blocks) {
      const auto count = std::ranges::count_if(block.instructions, &plan::CodeInstruction::is_spill);
      if (count == 0) continue;
      all += count;
      view.text += fmt::format("  {:<32} loop depth {}: {:>4} of {}\n", function.name + "/" + name_of(block), block.loop_depth,
                               count, block.instructions.size());
      view.json["blocks"].push_back({{"function", function.name},
                                     {"block", name_of(block)},
                                     {"loop_depth", block.loop_depth},
                                     {"spills", count},
                                     {"instructions", block.instructions.size()}});
    }
  }
  if (all == 0) view.text += "  none\n";
  return view;
}

}  // namespace flexjit::study
