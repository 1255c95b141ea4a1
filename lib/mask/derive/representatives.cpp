// The lanes go along the index that has more to tell, one row of them for each representative of the other.
#include "mask/derive/representatives.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace flexjit::mask {

namespace {

std::int64_t work_of(Nodes nodes, std::int32_t lanes) {
  return static_cast<std::int64_t>(nodes.size()) * (1 + lanes / 32);  // in boxes' nodes
}

}  // namespace

Representatives::Representatives(const ir::Program& program, const ir::Environment& environment,
                                 std::span<const Dependence> varies)
    : program_(program), varies_(varies), lanes_(program, environment, varies_), is_read_(program.size()) {}

bool Representatives::vary_only_with(ir::Op axis, Nodes open) const {
  return std::ranges::none_of(open, [&](std::uint32_t node) { return program_.nodes()[node].op == across(axis); });
}

std::optional<std::span<const std::int32_t>> Representatives::answers(const Line& line, Nodes open, BoxProver& prover) {
  if (!lanes_.serves(open)) return std::nullopt;
  prover.add_work(work_of(open, line.count));
  if (!lanes_.evaluate(line, open, prover.ranges())) return std::nullopt;
  const std::uint32_t root = program_.mask().index;
  if (open.back() == root) return lanes_.values(root);
  answers_.assign(static_cast<std::size_t>(line.count), static_cast<std::int32_t>(prover.ranges()[root].lo));
  return answers_;
}

void Representatives::find_changing(ir::Op axis, Nodes open) {
  along_.clear();
  changing_.clear();
  for (std::uint32_t node : open) {
    if (varies_along(node, axis) || varies_[node].on_none()) {
      along_.push_back(node);
    } else {
      for (ir::Id operand : program_.operands(ir::Id{node})) is_read_[operand.index] = true;
    }
  }
  is_read_[program_.mask().index] = true;
  std::ranges::copy_if(along_, std::back_inserter(changing_), [&](std::uint32_t node) { return is_read_[node]; });
  for (std::uint32_t node : open) {
    for (ir::Id operand : program_.operands(ir::Id{node})) is_read_[operand.index] = false;
  }
  is_read_[program_.mask().index] = false;
}

// False: more than `most`, or a read outside its buffer.
bool Representatives::find_positions(const Line& line, Nodes open, std::int32_t most, BoxProver& prover) {
  find_changing(line.along, open);
  positions_.clear();
  const bool all = std::ranges::any_of(changing_, [&](std::uint32_t node) { return program_.nodes()[node].op == line.along; });
  if (all && line.count > most) return false;
  prover.add_work(work_of(along_, all ? 0 : line.count));
  if (!all && !lanes_.evaluate(line, along_, prover.ranges())) return false;
  for (std::int32_t i = 0; i < line.count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const auto changes = [&](std::uint32_t node) { return lanes_.changes(node, at); };
    if (all || i == 0 || std::ranges::any_of(changing_, changes)) positions_.push_back(line.begin + i);
  }
  return static_cast<std::int32_t>(positions_.size()) <= most;
}

bool Representatives::look_along(const Line& line, Nodes open, Seen& seen, BoxProver& prover) {
  const auto found = answers(line, open, prover);
  if (!found) return false;
  const auto allowed = std::ranges::count_if(*found, [](std::int32_t value) { return value != 0; });
  seen.allowed = seen.allowed || allowed > 0;
  seen.forbidden = seen.forbidden || allowed < line.count;
  return true;
}

std::optional<Seen> Representatives::look(const ir::Box& box, Nodes open, std::int32_t most, BoxProver& prover) {
  const std::int64_t rows = std::int64_t{box.q_hi} - box.q_lo + 1, columns = std::int64_t{box.kv_hi} - box.kv_lo + 1;
  if (std::max(rows, columns) > LaneEvaluator::kMaxCount || !lanes_.serves(open)) return std::nullopt;
  const Line row{box.b_lo, box.h_lo, ir::Op::kKvIdx, box.q_lo, box.kv_lo, static_cast<std::int32_t>(columns)};
  const Line column{box.b_lo, box.h_lo, ir::Op::kQIdx, box.kv_lo, box.q_lo, static_cast<std::int32_t>(rows)};
  for (const auto& [along, lanes] : {std::pair{row, column}, {column, row}}) {
    if (!find_positions(along, open, most, prover)) continue;
    Seen seen;
    Line line = lanes;
    for (std::size_t i = 0; i < positions_.size() && !seen.both(); ++i) {
      line.at = positions_[i];
      if (!look_along(line, open, seen, prover)) return std::nullopt;
    }
    return seen;
  }
  return std::nullopt;
}

}  // namespace flexjit::mask
