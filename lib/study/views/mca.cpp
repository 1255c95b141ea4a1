// What a model of the processor says of the kernel's loops: cycles a pass, the ports that they keep busy, what bounds them, and
// how much of the peak of multiply-adds the products reach.
#include <fmt/format.h>

#include "study/subject/listing.h"
#include "study/views/view.h"

namespace flexjit::study {
namespace {

// Cycles that differ from one model run to the next say nothing about blocks that run once.
bool is_loop(const plan::CodeBlock& block) { return block.loop_depth > 0 && block.cost && !block.instructions.empty(); }

std::string ports_text(const plan::BlockCost& cost) {
  constexpr std::size_t kShown = 3;
  std::string text;
  for (std::size_t i = 0; i < std::min(kShown, cost.ports.size()); ++i)
    text += fmt::format("{}{} {:.1f}", i == 0 ? "" : ", ", cost.ports[i].first, cost.ports[i].second);
  return text;
}

double percent_of_peak(const plan::CodeBlock& block, const plan::CodeListing& listing, const plan::KernelKey& key) {
  const double most = block.cost->cycles * listing.peak_multiply_adds;
  return most > 0 ? 100 * multiply_adds(block, key) / most : 0;
}

}  // namespace

Result<ViewResult> make_mca_view(const Subject& subject) {
  const Result<const plan::CodeListing*> listed = list_code(subject);
  if (!listed) return listed.diagnostics();
  const plan::CodeListing* listing = *listed;
  ViewResult view{.json = {{"processor", nullptr}, {"loops", Json::array()}}};
  if (listing->processor.empty()) {
    view.text = fmt::format("LLVM has no model of {} that can be simulated\n", plan::name_of(subject.key.target));
    return view;
  }
  view.json["processor"] = listing->processor;
  view.json["peak_multiply_adds"] = listing->peak_multiply_adds;
  view.text = fmt::format(
      "model of {}: at most {:.1f} multiply-adds a cycle; loads hit the first cache\n\n{:<28} {:>5} {:>6} {:>6} {:>8} {:>7}  "
      "{:<26} {}\n",
      listing->processor, listing->peak_multiply_adds, "block", "depth", "instr", "uops", "cycles", "% peak", "bound by",
      "busiest ports, cycles a pass");
  for (const plan::CodeFunction& function : listing->functions) {
    for (const plan::CodeBlock& block : function.blocks) {
      if (!is_loop(block)) continue;
      const double percent = percent_of_peak(block, *listing, subject.key);
      const std::string bound = bottleneck(*block.cost, listing->issue_width);
      view.text += fmt::format("{:<28} {:>5} {:>6} {:>6} {:>8.1f} {:>7}  {:<26} {}\n", function.name + "/" + name_of(block),
                               block.loop_depth, block.instructions.size(), block.cost->micro_ops, block.cost->cycles,
                               percent > 0 ? fmt::format("{:.1f}", percent) : "", bound, ports_text(*block.cost));
      Json loop{{"function", function.name}, {"block", name_of(block)}, {"depth", block.loop_depth}};
      loop["instructions"] = block.instructions.size();
      loop["multiply_adds"] = multiply_adds(block, subject.key);
      loop["percent_of_peak"] = percent;
      loop["cost"] = cost_json(block, listing->issue_width);
      view.json["loops"].push_back(std::move(loop));
    }
  }
  return view;
}

}  // namespace flexjit::study
