// Program -> what is computed at which loop, as expressions that a person would write: "what was hoisted out". An expression
// stands at the loop that computes it where something outside that loop uses it; what it is made of stands nowhere else.
#include "plan/hoisting.h"

#include <fmt/format.h>

#include <bitset>

#include "ir/program/expression_texts.h"
#include "study/subject/program_json.h"
#include "study/views/view.h"

namespace flexjit::study {
namespace {

using ir::Id;
using plan::Level;

constexpr Level kLevels[] = {Level::kUniform, Level::kRow, Level::kColumn, Level::kDiagonal, Level::kElement};

std::string heading_of(Level level, plan::Nest nest) {
  switch (level) {
    case Level::kUniform: return fmt::format("once a work item ({}), in a register", plan::facts_of(nest).item);
    case Level::kRow:
      return fmt::format("once {}, in a table of the {}'s rows", plan::facts_of(nest).row,
                         plan::facts_of(nest).heads_by_row ? "item" : "tile");
    case Level::kColumn: return "once a key, in a table of the tile's columns";
    case Level::kDiagonal: return "once a diagonal (kv_idx - q_idx) of the tile, in a table of its diagonals";
    case Level::kElement: return "for each score";
  }
  return "";
}

class HoistingView {
 public:
  explicit HoistingView(const Subject& subject)
      : subject_(subject),
        program_(subject.program),
        hoisting_(plan::hoist(subject.program, subject.key.nest)),
        whole_(program_, subject.interface),
        outlives_(program_.size(), false) {
    for (std::uint32_t i = 0; i < program_.size(); ++i) {
      for (Id operand : program_.operands(Id{i}))
        if (level(operand) != level(Id{i})) outlives_[operand.index] = true;
    }
    std::vector<Id> results = ir::gradients_of(program_);
    results.insert(results.end(), {program_.score(), program_.mask(), program_.weight_factor()});
    for (Id result : results)
      if (result.valid()) outlives_[result.index] = true;
  }

  ViewResult run() {
    std::vector<std::string> names(program_.size());
    for (std::uint32_t i = 0; i < program_.size(); ++i)
      if (is_hoisted(Id{i}) && !is_leaf(Id{i}) && level(Id{i}) != Level::kElement) names[i] = fmt::format("%{}", i);
    const ir::ExpressionTexts parts(program_, subject_.interface, names);
    ViewResult view;
    for (Level at : kLevels) view.text += (view.text.empty() ? "" : "\n") + section(at, parts);
    view.text += fmt::format("\ncosts are vector instructions, roughly; for each score of score_mod {}{}\n",
                             hoisting_.score_cost, gradient_cost_text());
    view.json = json(parts);
    return view;
  }

 private:
  Level level(Id id) const { return hoisting_.level[id.index]; }
  std::int32_t slot(Id id) const { return hoisting_.value_slot[id.index]; }

  bool is_leaf(Id id) const {
    const auto rule = ir::type_rule(program_.node(id).op);
    return rule == ir::TypeRule::kConst || rule == ir::TypeRule::kVariable;
  }

  // An index that is kept in a table is worth showing; other leaves cost nothing anywhere. What is too long to be written out
  // where it is used stands on a line of its own.
  bool is_hoisted(Id id) const { return outlives_[id.index] && (!is_leaf(id) || slot(id) >= 0); }
  bool is_shown(Id id) const { return is_hoisted(id) || whole_[id].size() > ir::ExpressionTexts::kMaxOperand; }

  // Of the nodes that are computed at this node's loop for it.
  std::int32_t cost_at_level(Id id) const {
    std::vector<bool> wanted(program_.size(), false);
    wanted[id.index] = true;
    std::int32_t cost = 0;
    for (std::uint32_t i = id.index + 1; i-- > 0;) {
      if (!wanted[i]) continue;
      cost += plan::cost_of(program_, hoisting_, Id{i});
      for (Id operand : program_.operands(Id{i}))
        if (level(operand) == level(id)) wanted[operand.index] = true;
    }
    return cost;
  }

  // "mask = " where the node is a root.
  std::string root_named(Id id) const {
    for (const ir::RootFacts& facts : ir::kRoots)
      if (program_.roots()[facts.root] == id) return fmt::format("{} = ", facts.name);
    return "";
  }

  std::string gradient_cost_text() const {
    const bool differentiates = subject_.key.nest == plan::Nest::kBackward;
    return differentiates ? fmt::format(", of its derivative {} more", hoisting_.gradient_cost) : std::string();
  }

  std::string title(Id id) const { return fmt::format("  %{:<4} {}{}", id.index, root_named(id), whole_[id]); }

  std::string section(Level at, const ir::ExpressionTexts& parts) const {
    std::string text = fmt::format("{}:\n", heading_of(at, subject_.key.nest)), lines;
    for (std::uint32_t i = 0; i < program_.size(); ++i) {
      const Id id{i};
      if (level(id) != at || !is_shown(id)) continue;
      lines += title(id) + "\n";
      if (parts[id] != whole_[id]) lines += fmt::format("        = {}\n", parts[id]);
      lines += fmt::format("        cost {}", cost_at_level(id));
      if (slot(id) >= 0 && at != Level::kElement) lines += fmt::format("; slot {}", slot(id));
      if (hoisting_.range_slot[i] >= 0) lines += fmt::format("; its range in slot {}", hoisting_.range_slot[i]);
      lines += "\n";
    }
    return text + (lines.empty() ? "  nothing\n" : lines);
  }

  using Variables = std::bitset<ir::kOpCount>;

  static Json varies_json(const Variables& varies) {
    static constexpr ir::Op kVariables[] = {ir::Op::kScore,  ir::Op::kScoreGrad, ir::Op::kBatch, ir::Op::kHead,
                                            ir::Op::kKvHead, ir::Op::kQIdx,      ir::Op::kKvIdx};
    Json names = Json::array();
    for (ir::Op op : kVariables)
      if (varies[static_cast<std::size_t>(op)]) names.push_back(ir::mnemonic(op));
    return names;
  }

  Json slopes_json(Id id) const {
    const plan::Slopes& slopes = hoisting_.slopes[id.index];
    return slopes.known ? Json{{"q_idx", slopes.q}, {"kv_idx", slopes.kv}} : Json();
  }

  static Json slot_json(std::int32_t slot) { return slot >= 0 ? Json(slot) : Json(); }

  Json json(const ir::ExpressionTexts& parts) const {
    std::vector<Variables> varies(program_.size());
    Json nodes = Json::array();
    for (std::uint32_t i = 0; i < program_.size(); ++i) {
      const Id id{i};
      varies[i][static_cast<std::size_t>(program_.node(id).op)] = true;
      // A read that is made before its guard is known does not vary with it.
      const auto operands = program_.operands(id).subspan(hoisting_.late_guard[i] ? 1 : 0);
      for (Id operand : operands) varies[i] |= varies[operand.index];
      Json node = node_json(program_, subject_.interface, id);
      node["expression"] = whole_[id];
      node["computed_from"] = parts[id];
      node["varies_with"] = varies_json(varies[i]);
      node["slopes"] = slopes_json(id);
      node["level"] = plan::name_of(level(id));
      node["hoisted"] = is_hoisted(id) && level(id) != Level::kElement;
      node["cost"] = plan::cost_of(program_, hoisting_, id);
      node["cost_at_level"] = cost_at_level(id);
      node["value_slot"] = slot_json(slot(id));
      node["flag_slot"] = slot_json(hoisting_.flag_slot[i]);
      node["range_slot"] = slot_json(hoisting_.range_slot[i]);
      node["in_score"] = static_cast<bool>(hoisting_.in_score[i]);
      node["in_mask"] = static_cast<bool>(hoisting_.in_mask[i]);
      node["in_gradient"] = static_cast<bool>(hoisting_.in_gradient[i]);
      nodes.push_back(std::move(node));
    }
    return {{"nodes", std::move(nodes)},
            {"score_cost", hoisting_.score_cost},
            {"gradient_cost", hoisting_.gradient_cost},
            {"row_slots", hoisting_.row_slots},
            {"column_slots", hoisting_.column_slots},
            {"diagonal_slots", hoisting_.diagonal_slots}};
  }

  const Subject& subject_;
  const ir::Program& program_;
  const plan::Hoisting hoisting_;
  const ir::ExpressionTexts whole_;
  std::vector<bool> outlives_;  // by node: a root, or used at another loop than its own
};

}  // namespace

Result<ViewResult> make_hoisting_view(const Subject& subject) { return HoistingView(subject).run(); }

}  // namespace flexjit::study
