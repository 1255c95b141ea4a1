// The IR before and after simplification, the derivative of the score, and the range of each node over all positions of a call.
#include <algorithm>
#include <optional>

#include "ir/analysis/intervals.h"
#include "ir/passes/passes.h"
#include "mask/derive/buffer_ranges.h"
#include "study/subject/program_json.h"
#include "study/views/view.h"

namespace flexjit::study {
namespace {

// Answers from the buffers' contents where these may be relied on.
class KnownRanges final : public ir::BufferRanges {
 public:
  KnownRanges(const Subject& subject)
      : subject_(subject), table_(subject.values.environment.buffers, subject.program.precision()) {}

  ir::Range range(std::uint32_t buffer, std::span<const ir::Range> index) const override {
    const std::vector<bool>& known = subject_.values.known;
    if (buffer < known.size() && known[buffer]) return table_.range(buffer, index);
    return ir::any_of(ir::element_type(subject_.interface.buffers[buffer].dtype));
  }

 private:
  const Subject& subject_;
  mask::BufferTable table_;
};

Json range_json(const ir::Range& range, ir::Type type) {
  if (type == ir::Type::kBool) return range.is_point() ? (range.lo != 0 ? "always" : "never") : "either";
  return {{"least", number_json(range.lo)}, {"greatest", number_json(range.hi)}, {"may_be_nan", range.may_nan}};
}

std::string or_nothing(std::string text) {
  return text.empty() ? "nothing: the score stays as it is and every pair is allowed\n" : text;
}

ViewResult view_of(const ir::Program& program, const ir::Interface& interface) {
  return {or_nothing(ir::print(program, interface)), program_json(program, interface)};
}

}  // namespace

Result<ViewResult> make_ir_view(const Subject& subject) { return view_of(subject.lowered, subject.interface); }
Result<ViewResult> make_simplified_view(const Subject& subject) { return view_of(subject.program, subject.interface); }

Result<ViewResult> make_gradient_view(const Subject& subject) {
  const std::vector<std::uint32_t> slots = ir::differentiable_buffers(subject.forward);
  const ir::Program derivative = ir::simplify(ir::differentiate(subject.forward, slots));
  std::string by = "the derivative of the score by the score that comes in";
  Json buffers = Json::array();
  for (std::uint32_t slot : slots) {
    by += ", " + subject.interface.buffers[slot].name;
    buffers.push_back(subject.interface.buffers[slot].name);
  }
  const bool is_identity = ir::gradients_of(derivative).empty();
  ViewResult view{is_identity ? "nothing: the gradient of the score stays as it is\n"
                              : by + ":\n" + ir::print(derivative, subject.interface),
                  program_json(derivative, subject.interface)};
  view.json["by"] = std::move(buffers);
  return view;
}

Result<ViewResult> make_intervals_view(const Subject& subject) {
  const ir::Environment& sizes = subject.values.environment;
  const KnownRanges known(subject);
  ir::IntervalAnalysis analysis(subject.program, sizes, &known);
  // A box holds at least one position; without any, the first is shown.
  const auto last = [](std::int32_t length) { return std::max(length, 1) - 1; };
  const ir::Box everywhere{
      .b_hi = last(sizes.batch_size), .h_hi = last(sizes.num_heads), .q_hi = last(sizes.q_len), .kv_hi = last(sizes.kv_len)};
  const auto ranges = analysis.run(everywhere);
  ViewResult view{or_nothing(ir::print_intervals(subject.program, subject.interface, ranges)),
                  program_json(subject.program, subject.interface)};
  for (std::uint32_t i = 0; i < subject.program.size(); ++i)
    view.json["nodes"][i]["range"] = range_json(ranges[i], subject.program.nodes()[i].type);
  return view;
}

}  // namespace flexjit::study
