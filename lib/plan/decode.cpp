// Sizes of the decode nest, and its levels: those of the prefill nest but for h.
#include "plan/decode.h"

#include "support/check.h"

namespace flexjit::plan {
namespace {

using ir::Id;
using ir::Op;

constexpr std::int64_t kCacheLine = 64;
constexpr std::int32_t kMaxRows = 32;
// Keys between K and V: short, so that both streams advance together and prefetching stays just ahead of them.
constexpr std::int32_t kKeyStep = 16;

std::int64_t round_up(std::int64_t value, std::int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

Level join(Level a, Level b) {
  if (a == Level::kUniform) return b;
  if (b == Level::kUniform || a == b) return a;
  return Level::kElement;
}

bool is_checked(const ir::Program& program, Id id) {
  const Op op = program.node(id).op;
  return (op == Op::kRead && program.read(id).checked) || (op == Op::kDot && program.dot(id).checked);
}

std::vector<Level> levels_of(const ir::Program& program) {
  std::vector<Level> level(program.size(), Level::kUniform);
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    const Op op = program.nodes()[i].op;
    if (op == Op::kScore) level[i] = Level::kElement;
    if (op == Op::kQIdx || op == Op::kHead) level[i] = Level::kRow;
    if (op == Op::kKvIdx) level[i] = Level::kColumn;
    for (Id operand : program.operands(Id{i})) level[i] = join(level[i], level[operand.index]);
  }
  return level;
}

// What an element-level node, a root or the report of a bad index needs from its own loop's table.
std::vector<bool> stored_nodes(const ir::Program& program, const std::vector<Level>& level) {
  std::vector<bool> stored(program.size(), false);
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    if (level[i] != Level::kElement && !is_checked(program, Id{i})) continue;
    for (Id operand : program.operands(Id{i})) stored[operand.index] = true;
  }
  if (program.score().valid()) stored[program.score().index] = true;
  if (program.mask().valid()) stored[program.mask().index] = true;
  return stored;
}

}  // namespace

bool can_decode(const ElementTypes& types) {
  return types.q != DType::kF64 && types.kv != DType::kF64 && types.out != DType::kF64;
}

// Two products of micro_rows x 4 accumulators each: 4 keys, or micro_vectors vectors of value dims.
Tiling decode_tiling(Isa isa) {
  const std::int32_t rows = vector_registers_of(isa) == 32 ? 4 : 2;
  return {.q_tile = kMaxRows, .kv_tile = kKeyStep, .micro_rows = rows, .micro_vectors = 4};
}

DecodeScratch decode_scratch_of(const KernelKey& key) {
  FLEXJIT_CHECK(can_decode(key.types));
  const std::int64_t lanes = lanes_of(key.target.isa);
  const std::int64_t rows = key.tiling.q_tile;
  const Hoisting hoisting = hoist_for_decode(key.program);
  DecodeScratch scratch;
  std::int64_t end = 0;
  const auto place = [&end](std::int64_t bytes) {
    const std::int64_t at = end;
    end += round_up(bytes, kCacheLine);
    return at;
  };
  const bool pairs = arithmetic_of(key.types, key.target) == Arithmetic::kBF16;
  scratch.q_stride = round_up(key.head_dim, pairs ? 2 * lanes : lanes);
  scratch.q = place(rows * scratch.q_stride * (pairs ? 2 : 4));
  scratch.s = place(rows * key.tiling.kv_tile * 4);
  scratch.keys = place(key.tiling.kv_tile * 4);
  scratch.sum_lanes = place(rows * lanes * 4);
  scratch.row_values = place(hoisting.row_slots * rows * 4);
  scratch.column_values = place(std::int64_t{hoisting.column_slots} * key.tiling.kv_tile * 4);
  scratch.bytes = end;
  return scratch;
}

KernelLayout decode_layout_of(const KernelKey& key) {
  KernelLayout layout;
  layout.lanes = lanes_of(key.target.isa);
  layout.strip = key.tiling.kv_tile;
  layout.q_tile = key.tiling.q_tile;
  layout.kv_tile = key.tiling.kv_tile;
  layout.head_dim = key.head_dim;
  layout.v_head_dim = key.v_head_dim;
  const bool pairs = arithmetic_of(key.types, key.target) == Arithmetic::kBF16;
  layout.v_padded = static_cast<std::int32_t>(round_up(key.v_head_dim, (pairs ? 2 : 1) * layout.lanes));
  layout.scratch_bytes = decode_scratch_of(key).bytes;
  return layout;
}

Hoisting hoist_for_decode(const ir::Program& program) {
  Hoisting hoisting = hoist(program);
  hoisting.level = levels_of(program);
  hoisting.value_slot.assign(program.size(), Hoisting::kNoSlot);
  hoisting.flag_slot.assign(program.size(), Hoisting::kNoSlot);
  hoisting.row_slots = hoisting.column_slots = 0;
  const std::vector<bool> stored = stored_nodes(program, hoisting.level);
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    if (hoisting.level[i] != Level::kRow && hoisting.level[i] != Level::kColumn) continue;
    std::int32_t& slots = hoisting.level[i] == Level::kRow ? hoisting.row_slots : hoisting.column_slots;
    if (stored[i]) hoisting.value_slot[i] = slots++;
    if (is_checked(program, Id{i})) hoisting.flag_slot[i] = slots++;
  }
  return hoisting;
}

}  // namespace flexjit::plan
