// The fields of an item, and the program's roots over vectors of keys or of features.
#include "codegen/linear/chunk.h"

#include <bit>
#include <cstddef>

#include "codegen/parts/element_rows.h"
#include "plan/kernel_abi.h"

namespace flexjit::codegen {

using ir::Id;
using plan::LinearArg;

LinearItem load_linear_item(Emitter& e, Ptr arg) {
  const ArgFields fields{e, arg};
  LinearItem item;
  item.launch = load_launch(
      e, arg,
      {offsetof(LinearArg, q_len), offsetof(LinearArg, kv_len), offsetof(LinearArg, q_offset), offsetof(LinearArg, kv_offset)});
  item.indices = {fields.integer(offsetof(LinearArg, b), "b"), fields.integer(offsetof(LinearArg, h), "h"),
                  fields.integer(offsetof(LinearArg, kv_head), "kv_head")};
  item.heads = fields.index(offsetof(LinearArg, heads), "heads");
  item.q_count = fields.index(offsetof(LinearArg, q_count), "q_count");
  item.kv_begin = fields.index(offsetof(LinearArg, kv_begin), "kv_begin");
  item.kv_count = fields.index(offsetof(LinearArg, kv_count), "kv_count");
  const auto rows = [&](std::size_t data, std::size_t stride) { return Rows{fields.pointer(data), fields.long_index(stride)}; };
  item.q = rows(offsetof(LinearArg, q), offsetof(LinearArg, q_row));
  item.out = rows(offsetof(LinearArg, out), offsetof(LinearArg, out_row));
  item.k = rows(offsetof(LinearArg, k), offsetof(LinearArg, k_row));
  item.v = rows(offsetof(LinearArg, v), offsetof(LinearArg, v_row));
  item.q_head = fields.long_index(offsetof(LinearArg, q_head), "q_head");
  item.out_head = fields.long_index(offsetof(LinearArg, out_head), "out_head");
  item.w_rows = fields.pointer(offsetof(LinearArg, w_rows), "w_rows");
  item.w_panels = fields.pointer(offsetof(LinearArg, w_panels), "w_panels");
  item.eps = load_f64(e, e.at_byte(arg, offsetof(LinearArg, eps)), "eps");
  item.as_f32 = fields.index(offsetof(LinearArg, as_f32), "as_f32");
  item.state = fields.pointer(offsetof(LinearArg, state), "state");
  item.scratch = fields.pointer(offsetof(LinearArg, scratch), "scratch");
  item.fault = fields.pointer(offsetof(LinearArg, fault), "fault");
  return item;
}

// Half of the registers are accumulators.
int LinearChunk::tile_rows(int vectors) const {
  const auto most = static_cast<unsigned>(plan::facts_of(e.isa()).vector_registers / 2 / vectors);
  return static_cast<int>(std::bit_floor(most));
}

ChunkSizes LinearChunk::value_chunks() const {
  return {layout.v_padded, e.lanes(), equal_width(layout.v_padded / e.lanes(), key.tiling.micro_vectors)};
}

Bool LinearChunk::lanes_there(Index column) const {
  const Int left = e.narrow(e.sub(item.kv_count, column));
  return e.compare(llvm::CmpInst::ICMP_SLT, e.lane_numbers(), left);
}

Int LinearChunk::positions(Index column) const { return e.add(e.narrow(e.add(item.kv_begin, column)), e.lane_numbers()); }

bool LinearChunk::uses(ir::Op op) const {
  return std::ranges::any_of(program.nodes(), [&](const ir::Node& node) { return node.op == op; });
}

llvm::Value* LinearChunk::evaluate(Id root, Leaves leaves, Bool active) {
  Scope scope = uniform;
  scope.active = active;
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    for (const auto& [op, value] : leaves)
      if (program.nodes()[i].op == op) scope.value[i] = value;
  }
  const std::vector<bool> wanted = ir::reachable(program, root);
  for (const plan::Level level : {plan::Level::kRow, plan::Level::kColumn, plan::Level::kElement})
    expressions.evaluate(scope, level, wanted);
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    if (!wanted[i] || scope.flag[i] == nullptr) continue;
    const Bool faulty = expressions.faulty_lanes(scope, Id{i});
    e.if_then("fault", e.any(faulty), [&] { expressions.emit_fault_report(scope, Id{i}, faulty, item.fault); });
  }
  return scope.value[root.index];
}

Float LinearChunk::feature(Float elements, Float sum_of_squares, Int number) {
  const Leaves leaves = {
      {ir::Op::kRowValue, elements.value}, {ir::Op::kSumSq, sum_of_squares.value}, {ir::Op::kFeature, number.value}};
  return e.broadcast(e.to_real(Float{evaluate(program.feature(), leaves, {})}));
}

void for_row_groups(Emitter& e, const char* name, int rows, int most, llvm::function_ref<void(Index, int)> body) {
  const int whole = rows / most * most;
  e.for_range(name, e.index(0), e.index(whole), e.index(most), [&](Index row) { body(row, most); });
  if (rows > whole) body(e.index(whole), rows - whole);
}

}  // namespace flexjit::codegen
