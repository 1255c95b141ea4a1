// Sums are taken apart down to what varies with one index; the sides are marked while the program is copied, then replaced by
// reads of tables. Their reads lose their guards, which may vary with both indices: no root depends on a read where its guard
// is false, and a table is given up where a read is outside its buffer.
#include "mask/derive/separation.h"

#include <algorithm>
#include <array>

#include "ir/passes/rewrite.h"
#include "mask/derive/dependence.h"
#include "mask/derive/lane_evaluator.h"

namespace flexjit::mask {

namespace {

// What is added and what is subtracted, by what it varies with; what varies with neither index goes with q_idx.
struct Terms {
  struct Term {
    ir::Id id;
    bool negative = false;
  };
  std::vector<Term> q, kv;
};

class Separator {
 public:
  explicit Separator(const ir::Program& program)
      : program_(program),
        varies_(program.size()),
        reads_(program.size()),
        guarded_(program.size()),
        copies_(program.size()),
        bare_(program.size()) {
    for (std::uint32_t i = 0; i < program.size(); ++i) look_at(i);
  }

  // The mask alone, with the sides of its separated equalities as marks.
  ir::Program run() {
    const std::vector<bool> in_mask = ir::reachable(program_, program_.mask());
    for (std::uint32_t i = 0; i < program_.size(); ++i) {
      if (!in_mask[i]) continue;
      copies_[i] = separate(ir::Id{i});
      bare_[i] = copy_bare(ir::Id{i});
    }
    return std::move(builder_).finish(ir::Id{}, copies_[program_.mask().index]);
  }

 private:
  void look_at(std::uint32_t i) {
    const ir::Op op = program_.nodes()[i].op;
    const auto operands = program_.operands(ir::Id{i});
    const bool is_read = op == ir::Op::kRead;
    varies_[i] = {.q = op == ir::Op::kQIdx, .kv = op == ir::Op::kKvIdx};
    reads_[i] = is_read;
    guarded_[i] = is_read && program_.node(operands[0]).op != ir::Op::kConst;
    for (ir::Id operand : operands.subspan(is_read ? 1 : 0)) {
      varies_[i].q = varies_[i].q || varies_[operand.index].q;
      varies_[i].kv = varies_[i].kv || varies_[operand.index].kv;
      reads_[i] = reads_[i] || reads_[operand.index];
      guarded_[i] = guarded_[i] || guarded_[operand.index];
    }
  }

  ir::Id copy_bare(ir::Id id) {
    std::vector<ir::Id> operands;
    for (ir::Id operand : program_.operands(id)) operands.push_back(bare_[operand.index]);
    if (program_.node(id).op == ir::Op::kRead) operands[0] = builder_.const_bool(true);
    return ir::copy_node(builder_, program_, id, operands);
  }

  ir::Id separate(ir::Id id) {
    const ir::Op op = program_.node(id).op;
    const bool is_equality = op == ir::Op::kEq || op == ir::Op::kNe;
    const bool compares = is_equality && reads_[id.index] && varies_[id.index].on_both();
    Terms terms;
    if (compares && take_apart(program_.operand(id, 0), false, terms) && take_apart(program_.operand(id, 1), true, terms) &&
        (is_computed(terms.q) || is_computed(terms.kv))) {
      const ir::Id left = sum(terms.q, false), right = sum(terms.kv, true);
      if (is_computed(terms.q)) builder_.mark(left);
      if (is_computed(terms.kv)) builder_.mark(right);
      return builder_.make(op, {left, right});
    }
    std::vector<ir::Id> operands;
    for (ir::Id operand : program_.operands(id)) operands.push_back(copies_[operand.index]);
    return ir::copy_node(builder_, program_, id, operands);
  }

  // False: not a sum of what varies with one index each.
  bool take_apart(ir::Id id, bool negative, Terms& terms) const {
    if (program_.node(id).type != ir::Type::kInt) return false;
    if (!varies_[id.index].on_both()) return (varies_[id.index].kv ? terms.kv : terms.q).push_back({id, negative}), true;
    const ir::Op op = program_.node(id).op;
    if (op == ir::Op::kNeg) return take_apart(program_.operand(id, 0), !negative, terms);
    if (op != ir::Op::kAdd && op != ir::Op::kSub) return false;
    return take_apart(program_.operand(id, 0), negative, terms) &&
           take_apart(program_.operand(id, 1), negative != (op == ir::Op::kSub), terms);
  }

  // From a buffer and more than one plain read of it: of the others ranges are known as they are.
  bool is_computed(const std::vector<Terms::Term>& terms) const {
    const auto is_simple = [&](ir::Id id) { return program_.node(id).op == ir::Op::kRead || program_.operands(id).empty(); };
    return std::ranges::any_of(terms, [&](const Terms::Term& term) { return reads_[term.id.index]; }) &&
           (terms.size() > 1 || guarded_[terms[0].id.index] || !is_simple(terms[0].id));
  }

  // Without a zero to begin with, so that a single read stays one.
  ir::Id sum(const std::vector<Terms::Term>& terms, bool negated) {
    ir::Id total;
    for (const bool negative : {false, true}) {
      for (const Terms::Term& term : terms) {
        const ir::Id copy = bare_[term.id.index];
        if ((term.negative != negated) != negative) continue;
        if (total.valid())
          total = builder_.make(negative ? ir::Op::kSub : ir::Op::kAdd, {total, copy});
        else
          total = negative ? builder_.make(ir::Op::kNeg, {copy}) : copy;
      }
    }
    return total;
  }

  const ir::Program& program_;
  ir::ProgramBuilder builder_ = ir::with_declarations_of(program_);
  std::vector<Dependence> varies_;     // but for guards
  std::vector<bool> reads_, guarded_;  // by node: made of a read, of a guarded one
  std::vector<ir::Id> copies_, bare_;  // bare: no read has a guard
};

}  // namespace

Separation::Separation(const ir::Program& program, const ir::Environment& environment, std::int64_t most)
    : program_(program), environment_(environment) {
  if (!program.mask().valid() || program.buffers().empty()) return;
  constexpr std::int64_t kPositions = 20;  // computed in the time of one node analysed
  separated_ = Separator(program).run();
  std::int64_t work = 0;
  for (ir::Id side : separated_.marks()) {
    add_table(side);
    const Table& table = tables_.back();
    work += std::int64_t{table.axis == ir::Op::kQIdx ? environment.q_len : environment.kv_len} *
            static_cast<std::int64_t>(table.nodes.size()) / kPositions;
  }
  if (work > most) tables_.clear();
  if (is_worthwhile()) read_tables();
}

void Separation::add_table(ir::Id side) {
  const std::vector<bool> needed = ir::reachable(separated_, side);
  Table table;
  for (std::uint32_t i = 0; i <= side.index; ++i) {
    if (!needed[i]) continue;
    const ir::Op op = separated_.nodes()[i].op;
    table.nodes.push_back(i);
    table.by_plane = table.by_plane || op == ir::Op::kBatch || op == ir::Op::kHead || op == ir::Op::kKvHead;
    if (op == ir::Op::kKvIdx) table.axis = ir::Op::kKvIdx;
  }
  tables_.push_back(std::move(table));
}

// separated_ with a read in the place of each side -> tabled_, and the environment that has the tables.
void Separation::read_tables() {
  ir::ProgramBuilder builder = ir::with_declarations_of(separated_);
  std::vector<ir::Id> copies(separated_.size());
  buffers_.assign(environment_.buffers.begin(), environment_.buffers.end());
  buffers_.resize(separated_.buffers().size());
  for (Table& table : tables_) {
    table.values.resize(static_cast<std::size_t>(table.axis == ir::Op::kQIdx ? environment_.q_len : environment_.kv_len));
    buffers_.emplace_back(table.values.data(), DType::kI32,
                          std::initializer_list{static_cast<std::int64_t>(table.values.size())});
    const std::uint32_t buffer = builder.add_buffer({DType::kI32, 1});
    copies[table.nodes.back()] = builder.read({.buffer = buffer, .site = 0, .checked = false},
                                              std::array{builder.const_bool(true), builder.variable(table.axis)});
  }
  for (std::uint32_t i = 0; i < separated_.size(); ++i) {
    if (copies[i].valid()) continue;
    std::vector<ir::Id> operands;
    for (ir::Id operand : separated_.operands(ir::Id{i})) operands.push_back(copies[operand.index]);
    copies[i] = ir::copy_node(builder, separated_, ir::Id{i}, operands);
  }
  tabled_ = std::move(builder).finish(ir::Id{}, copies[separated_.mask().index]);
  tabled_environment_ = environment_;
  tabled_environment_.buffers = buffers_;
}

Separation::Filled Separation::fill(std::int32_t b, std::int32_t h) {
  Filled filled = Filled::kAsBefore;
  for (Table& table : tables_) {
    if (is_filled_ && !table.by_plane) continue;
    if (!fill(table, b, h)) return Filled::kFaulty;
    filled = Filled::kAnew;
  }
  is_filled_ = true;
  return filled;
}

bool Separation::fill(Table& table, std::int32_t b, std::int32_t h) {
  const std::vector<Dependence> varies = dependences(separated_);
  LaneEvaluator lanes(separated_, environment_, varies);
  if (!lanes.serves(table.nodes)) return false;
  const auto length = static_cast<std::int32_t>(table.values.size());
  for (std::int32_t begin = 0; begin < length; begin += LaneEvaluator::kMaxCount) {
    const Line line{b, h, table.axis, 0, begin, std::min(length - begin, LaneEvaluator::kMaxCount)};
    if (!lanes.evaluate(line, table.nodes, {})) return false;
    std::ranges::copy(lanes.values(table.nodes.back()), table.values.begin() + begin);
  }
  return true;
}

}  // namespace flexjit::mask
