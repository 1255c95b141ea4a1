// Indices of an accumulation -> where its lanes add, decided by what the indices vary with.
#include "codegen/backward/accumulate.h"

#include <algorithm>
#include <cstddef>

#include "codegen/emit/cells.h"
#include "codegen/emit/storage.h"
#include "codegen/parts/real_rows.h"
#include "plan/kernel_abi.h"
#include "plan/sizes/backward.h"

namespace flexjit::codegen {

using ir::Id;
using ir::Op;
using plan::Level;

namespace {

bool same_for_all_lanes(Level level) { return level == Level::kUniform || level == Level::kRow; }

std::uint32_t slot_of(const ir::Program& program, Id id) {
  return program.node(id).op == Op::kAccumulate ? program.read(id).buffer : program.dot(id).buffer_a;
}

}  // namespace

Accumulations::Accumulations(PairTile& tile, Ptr sums, std::int64_t section)
    : e_(tile.e), t_(tile), section_(section), targets_(tile.tables.program.buffers().size()) {
  const ir::Program& program = t_.tables.program;
  if (program.accumulations().empty()) return;
  buffers_ = load_buffers(e_, t_.item.launch.launch, program);
  std::int64_t next = section_ + plan::kSumsBegin;
  for (Id id : program.accumulations()) {
    sums_.push_back(sum_of(id));
    sums_.back().section = next;
    next += plan::sums_bytes(t_.key);
    const std::uint32_t slot = slot_of(program, id);
    Target& target = targets_[slot];
    if (target.data) continue;
    const ArgFields fields{e_, e_.at_byte(sums, slot * static_cast<std::int64_t>(sizeof(plan::SumArg)))};
    target.data = fields.pointer(offsetof(plan::SumArg, data), "sum");
    for (std::size_t d = 0; d < program.buffers()[slot].rank; ++d) {
      target.strides.push_back(fields.long_index(offsetof(plan::SumArg, strides) + d * sizeof(std::int64_t)));
    }
  }
}

Accumulations::Sum Accumulations::sum_of(Id id) const {
  const plan::Hoisting& hoisting = t_.tables.hoisting;
  const auto indices = indices_of(id);
  const auto is_same = [&](Id index) { return same_for_all_lanes(hoisting.level[index.index]); };
  Sum sum{.id = id, .of_dot = t_.tables.program.node(id).op == Op::kAccumulateRow};
  if (sum.of_dot) return sum;
  if (std::ranges::all_of(indices, is_same)) {
    const bool by_row = std::ranges::any_of(indices, [&](Id index) { return hoisting.level[index.index] == Level::kRow; });
    sum.lie = Lie::kOne;
    sum.first = by_row ? First::kLanesOfRow : First::kLanes;
    return sum;
  }
  const std::vector<bool> of_diagonal = plan::functions_of_diagonals(t_.tables.program, hoisting);
  if (std::ranges::all_of(indices, [&](Id index) { return of_diagonal[index.index]; })) sum.first = First::kDiagonals;
  const plan::Slopes& last = hoisting.slopes[indices.back().index];
  if (!std::ranges::all_of(indices.first(indices.size() - 1), is_same) || !last.known) return sum;
  if (last.kv == 1) sum.lie = Lie::kAscending;
  if (last.kv == -1) sum.lie = Lie::kDescending;
  return sum;
}

std::span<const Id> Accumulations::indices_of(Id id) const {
  const ir::Program& program = t_.tables.program;
  const auto all = program.indices(id);
  if (program.node(id).op == Op::kAccumulate) return all;
  return all.first(static_cast<std::size_t>(program.buffers()[program.dot(id).buffer_a].rank) - 1);
}

std::span<const Id> Accumulations::other_indices_of(Id dot) const {
  return t_.tables.program.indices(dot).subspan(indices_of(dot).size());
}

const Accumulations::Target& Accumulations::target_of(Id id) const { return targets_[slot_of(t_.tables.program, id)]; }

Ptr Accumulations::lanes_at(const Sum& sum, Index row) const {
  return e_.at_real(e_.at_byte(t_.item.scratch, sum.section), e_.mul(row, e_.index(e_.lanes())));
}

Ptr Accumulations::diagonals_at(const Sum& sum, Index copy, Index diagonal) const {
  const Index row = e_.mul(copy, e_.index(t_.sections.diagonals));
  return e_.at_real(e_.at_byte(t_.item.scratch, sum.section), e_.add(row, diagonal));
}

Index Accumulations::diagonals_of(const KeyTile& keys) const {
  return e_.round_up(e_.add(keys.count, e_.index(t_.key.tiling.q_tile - 1)), e_.lanes());
}

// int64 by lane, of one vector: offsets of elements that are added to, and of those that they are multiplied with.
Ptr Accumulations::lane_offsets(int which) const {
  return e_.at_byte(t_.item.scratch, section_ + (1 + which) * plan::kLaneBytes);
}

Bool Accumulations::inside(const Scope& scope, Id id) const {
  const ir::Program& program = t_.tables.program;
  const bool of_dot = program.node(id).op == Op::kAccumulateRow;
  if (of_dot ? !program.dot(id).checked : !program.read(id).checked) return {};
  Bool all;
  const auto add = [&](std::span<const Id> indices, const BufferFields& buffer) {
    for (std::size_t d = 0; d < indices.size(); ++d) {
      const Int index{scope.value[indices[d].index]};
      const Bool here = e_.compare(llvm::CmpInst::ICMP_ULT, index, buffer.extents[d]);
      all = all ? e_.logical_and(all, here) : here;
    }
  };
  add(indices_of(id), buffers_[slot_of(program, id)]);
  if (of_dot) add(other_indices_of(id), buffers_[program.dot(id).buffer_b]);
  return all;
}

// A long, one for all lanes where every index is.
Int Accumulations::offset(const Scope& scope, std::span<const Id> indices, llvm::ArrayRef<Index> strides) const {
  Int sum{e_.index(0).value};
  for (std::size_t d = 0; d < indices.size(); ++d) {
    sum = e_.add(sum, e_.mul(e_.to_long(Int{scope.value[indices[d].index]}), Int{strides[d].value}));
  }
  return sum;
}

void Accumulations::add_to_element(const Target& target, Index offset, Float value) const {
  const Ptr at = e_.at_real(target.data, offset);
  e_.store(e_.add(e_.load_real(at), value).value, at, static_cast<int>(e_.real_bytes()));
}

// Lanes of all rows = 0
void Accumulations::emit_begin() {
  const Float zeros = e_.broadcast(e_.real(0.0));
  for (const Sum& sum : sums_) {
    if (sum.lie != Lie::kOne) continue;
    e_.for_range("sums.begin", e_.index(0), t_.item.q_count, e_.index(1),
                 [&](Index row) { e_.store(zeros.value, lanes_at(sum, row), vector_bytes(e_)); });
  }
}

// Diagonals of all copies = 0
void Accumulations::emit_tile_begin(const KeyTile& keys) {
  const Float zeros = e_.broadcast(e_.real(0.0));
  for (const Sum& sum : sums_) {
    if (sum.first != First::kDiagonals) continue;
    e_.for_range("sums.copy", e_.index(0), e_.index(t_.key.tiling.micro_rows), e_.index(1), [&](Index copy) {
      e_.for_range("sums.diagonals", e_.index(0), diagonals_of(keys), e_.index(e_.lanes()),
                   [&](Index diagonal) { e_.store(zeros.value, diagonals_at(sum, copy, diagonal)); });
    });
  }
}

// if (the element is inside) it += sum of the lanes
void Accumulations::flush(const Scope& scope, const Sum& sum, Float lanes) const {
  const auto add = [&] {
    const Target& target = target_of(sum.id);
    const Index at{offset(scope, indices_of(sum.id), target.strides).value};
    add_to_element(target, at, e_.reduce_add(lanes));
  };
  const Bool is_inside = inside(scope, sum.id);
  if (is_inside) return e_.if_then("sums.inside", is_inside, add);
  add();
}

Float Accumulations::all_rows(const Sum& sum) const {
  const Values total = e_.for_range("sums.rows", e_.index(0), t_.item.q_count, e_.index(1), {e_.broadcast(e_.real(0.0)).value},
                                    [&](Index row, const Values& so_far) {
                                      const Float lanes = e_.load_reals(lanes_at(sum, row), vector_bytes(e_));
                                      return Values{e_.add(Float{so_far[0]}, lanes).value};
                                    });
  return {total[0]};
}

void Accumulations::emit_end() {
  for (const Sum& sum : sums_) {
    const Scope uniform = t_.tables.without_flags();
    if (sum.first == First::kLanes) flush(uniform, sum, all_rows(sum));
    if (sum.first != First::kLanesOfRow) continue;
    e_.for_range("sums.end", e_.index(0), t_.item.q_count, e_.index(1), [&](Index row) {
      Scope scope = uniform;
      t_.tables.load(scope, Level::kRow, row, Stored::kValues);
      flush(scope, sum, e_.load_reals(lanes_at(sum, row), vector_bytes(e_)));
    });
  }
}

void Accumulations::emit_tile_end(const KeyTile& keys) {
  for (const Sum& sum : sums_) {
    if (sum.first == First::kDiagonals) flush_diagonals(sum, keys);
  }
}

// for (t = 0; t < diagonals; t += lanes) the elements of the diagonals t.. += the sum of their copies
// Indices are computed at the query q_begin, as those of the tables of diagonals are; only diagonals that occur count.
void Accumulations::flush_diagonals(const Sum& sum, const KeyTile& keys) const {
  const Int query = e_.narrow(t_.item.q_begin);
  const Index first_key = e_.sub(keys.kv, e_.index(t_.key.tiling.q_tile - 1));
  const Int least = e_.sub(keys.begin, e_.narrow(e_.sub(t_.item.q_count, e_.index(1))));
  const std::vector<bool> wanted = ir::reachable(t_.tables.program, indices_of(sum.id));
  e_.for_range("sums.diagonals", e_.index(0), diagonals_of(keys), e_.index(e_.lanes()), [&](Index diagonal) {
    Float value = e_.load_reals(diagonals_at(sum, e_.index(0), diagonal), static_cast<int>(e_.real_bytes()));
    for (int copy = 1; copy < t_.key.tiling.micro_rows; ++copy) {
      value = e_.add(value, e_.load_reals(diagonals_at(sum, e_.index(copy), diagonal), static_cast<int>(e_.real_bytes())));
    }
    Scope scope = t_.tables.without_flags();
    const Int kv_idx = e_.add(e_.narrow(e_.add(first_key, diagonal)), e_.lane_numbers());
    if (llvm::Value** leaf = t_.tables.leaf(scope, Op::kQIdx)) *leaf = query.value;
    if (llvm::Value** leaf = t_.tables.leaf(scope, Op::kKvIdx)) *leaf = kv_idx.value;
    for (const Level level : {Level::kRow, Level::kColumn, Level::kDiagonal, Level::kElement})
      t_.tables.expressions.evaluate(scope, level, wanted);
    Bool lanes = e_.logical_and(e_.compare(llvm::CmpInst::ICMP_SGE, kv_idx, least),
                                e_.compare(llvm::CmpInst::ICMP_SLT, kv_idx, keys.end));
    if (const Bool is_inside = inside(scope, sum.id)) lanes = e_.logical_and(lanes, is_inside);
    add_lanes(scope, sum, lanes, value);
  });
}

// An element of each lane, in whole and side by side.
void Accumulations::add_side_by_side(const Scope& scope, const Sum& sum, Float value) const {
  const Target& target = target_of(sum.id);
  const Int offsets = offset(scope, indices_of(sum.id), target.strides);
  Index first{e_.ir().CreateExtractElement(offsets.value, std::uint64_t{0})};
  llvm::Value* lanes = e_.broadcast(value).value;
  if (sum.lie == Lie::kDescending) {
    first = e_.sub(first, e_.index(e_.lanes() - 1));
    lanes = e_.ir().CreateVectorReverse(lanes);
  }
  const Ptr at = e_.at_real(target.data, first);
  e_.store(e_.add(e_.load_reals(at, static_cast<int>(e_.real_bytes())), Float{lanes}).value, at,
           static_cast<int>(e_.real_bytes()));
}

// for (d = 0; d < extent; ++d) target[offset of the lane + d] += value * other[offset of the lane + d]
void Accumulations::add_dot_row(const Sum& sum, Index lane, Float value) const {
  const ir::Program& program = t_.tables.program;
  const ir::DotInfo& dot = program.dot(sum.id);
  const DType dtype = program.buffers()[dot.buffer_b].dtype;
  const Target& target = target_of(sum.id);
  const BufferFields& other = buffers_[dot.buffer_b];
  const auto of_lane = [&](int which) { return e_.load_index(e_.at(lane_offsets(which), e_.mul(lane, e_.index(2)))); };
  const Index to = of_lane(0), from = of_lane(1);
  e_.for_range("sums.dot", e_.index(0), e_.index(dot.extent), e_.index(1), [&](Index d) {
    const Ptr factor = at_element(e_, other.data, e_.add(from, e_.mul(d, other.strides.back())), dtype);
    const Float x = e_.to_real(load_element(e_, factor, dtype));
    add_to_element(target, e_.add(to, e_.mul(d, target.strides.back())), e_.mul(value, x));
  });
}

// for each lane of `lanes`, in their order: its element += its value
void Accumulations::add_one_by_one(const Scope& scope, const Sum& sum, Bool lanes, Float value) const {
  const Target& target = target_of(sum.id);
  const Ptr values = e_.at_byte(t_.item.scratch, section_);
  e_.store(e_.broadcast(value).value, values, vector_bytes(e_));
  e_.store(e_.broadcast(offset(scope, indices_of(sum.id), target.strides)).value, lane_offsets(0));
  if (sum.of_dot) {
    const BufferFields& other = buffers_[t_.tables.program.dot(sum.id).buffer_b];
    e_.store(e_.broadcast(offset(scope, other_indices_of(sum.id), other.strides)).value, lane_offsets(1));
  }
  const Index bits = e_.lane_bits(e_.broadcast(lanes));
  e_.for_range("sums.lane", e_.index(0), e_.index(e_.lanes()), e_.index(1), [&](Index lane) {
    e_.if_then("sums.counts", e_.equal(e_.bit_and(e_.lshr(bits, lane), e_.index(1)), e_.index(1)), [&] {
      const Float of_lane = e_.load_real(e_.at_real(values, lane));
      if (sum.of_dot) return add_dot_row(sum, lane, of_lane);
      add_to_element(target, e_.load_index(e_.at(lane_offsets(0), e_.mul(lane, e_.index(2)))), of_lane);
    });
  });
}

// All lanes at once if they lie side by side, else one by one.
void Accumulations::add_lanes(const Scope& scope, const Sum& sum, Bool lanes, Float value) const {
  const auto one_by_one = [&] { add_one_by_one(scope, sum, lanes, value); };
  if (sum.lie == Lie::kAnywhere) return one_by_one();
  const Index all = e_.index((std::int64_t{1} << e_.lanes()) - 1);
  const Bool at_once =
      e_.logical_and(e_.equal(e_.lane_bits(e_.broadcast(lanes)), all), e_.equal(target_of(sum.id).strides.back(), e_.index(1)));
  e_.if_else("sums.at_once", at_once, [&] { add_side_by_side(scope, sum, value); }, one_by_one);
}

// at[lane] += value where lanes
void Accumulations::add_to_vector(Ptr at, Bool lanes, Float value) const {
  const auto alignment = static_cast<int>(e_.real_bytes());
  const Float counted = e_.select(e_.broadcast(lanes), value, e_.broadcast(e_.real(0.0)));
  e_.store(e_.add(e_.load_reals(at, alignment), counted).value, at, alignment);
}

void Accumulations::emit_add(const Scope& scope, Index row, Index column, Bool allowed) {
  const ir::Program& program = t_.tables.program;
  for (const Sum& sum : sums_) {
    Bool lanes{scope.value[program.operand(sum.id, 0).index]};
    if (allowed) lanes = e_.logical_and(lanes, allowed);
    const Float value = e_.broadcast(e_.to_real(Float{scope.value[program.operand(sum.id, 1).index]}));
    switch (sum.first) {
      case First::kLanes:
      case First::kLanesOfRow: add_to_vector(lanes_at(sum, row), lanes, value); continue;
      case First::kDiagonals: {
        const Index copy{e_.ir().CreateURem(row.value, e_.index(t_.key.tiling.micro_rows).value)};
        add_to_vector(diagonals_at(sum, copy, t_.tables.diagonal_of(row, column)), lanes, value);
        continue;
      }
      case First::kNothing: break;
    }
    if (const Bool is_inside = inside(scope, sum.id)) lanes = e_.logical_and(lanes, is_inside);
    add_lanes(scope, sum, lanes, value);
  }
}

}  // namespace flexjit::codegen
