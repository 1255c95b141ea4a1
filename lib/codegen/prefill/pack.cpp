// K rows (kv, head_dim) -> panels (panels.h); V rows -> rows of cells padded with zeros to whole vectors. Other element types
// are widened on the way, quantised ones times their scales; pairs of bf16 stay as they are.
#include "codegen/prefill/pack.h"

#include <cstddef>

#include "codegen/emit/cells.h"
#include "codegen/emit/launch_fields.h"
#include "codegen/emit/storage.h"
#include "codegen/parts/panels.h"
#include "plan/kernel_abi.h"

namespace flexjit::codegen {
namespace {

using plan::PackArg;

// V, whose cells are values, or pairs of the values of two keys.
struct ValueRows {
  Emitter& e;
  const plan::KernelKey& key;
  const plan::KernelLayout layout;
  Rows v;
  std::optional<GroupScales> scales;
  Index kv_len;
  Ptr target;

  bool pairs() const { return layout.v_group == 2; }
  Index second_row(Index row) const { return e.min(e.add(row, e.index(1)), e.sub(kv_len, e.index(1))); }

  // `lanes` value dims of the row (or pair of rows) `row`.
  llvm::Value* load_cells_of(Index row, Index d) const {
    if (!pairs()) return scaled(load_elements(e, element_at(row, d), key.types.kv), row, d);
    auto& ir = e.ir();
    auto* vector = llvm::FixedVectorType::get(ir.getInt16Ty(), static_cast<unsigned>(e.lanes()));
    const auto half = [&](Index r) { return ir.CreateAlignedLoad(vector, element_at(r, d).value, llvm::Align(2)); };
    const Bool exists = e.less(e.add(row, e.index(1)), kv_len);
    return paired(e, half(row), ir.CreateSelect(exists.value, half(second_row(row)), llvm::Constant::getNullValue(vector)));
  }

  // One of them.
  llvm::Value* load_cell_of(Index row, Index d) const {
    if (!pairs()) return scaled(load_element(e, element_at(row, d), key.types.kv), row, d);
    auto& ir = e.ir();
    const auto half = [&](Index r) { return ir.CreateAlignedLoad(ir.getInt16Ty(), element_at(r, d).value, llvm::Align(2)); };
    const Bool exists = e.less(e.add(row, e.index(1)), kv_len);
    return paired(e, half(row), ir.CreateSelect(exists.value, half(second_row(row)), ir.getInt16(0)));
  }

  // target[row / v_group][d] = d < v_head_dim ? v[row][d], beside it v[row + 1][d] or 0 : 0
  void emit_row(Index row) const {
    const std::int64_t whole = key.v_head_dim / e.lanes() * e.lanes();
    const Index cell_row{e.ir().CreateLShr(row.value, layout.v_group - 1)};
    const Ptr to = at_cell(e, target, e.mul(cell_row, e.index(layout.v_padded)));
    e.for_range("pack.v.vector", e.index(0), e.index(whole), e.index(e.lanes()),
                [&](Index d) { e.store(load_cells_of(row, d), at_cell(e, to, d)); });
    e.for_range("pack.v.tail", e.index(whole), e.index(key.v_head_dim), e.index(1),
                [&](Index d) { e.store(load_cell_of(row, d), at_cell(e, to, d)); });
    llvm::Value* zero = llvm::Constant::getNullValue(pairs() ? e.ir().getInt32Ty() : e.real_type());
    e.for_range("pack.v.zero", e.index(key.v_head_dim), e.index(layout.v_padded), e.index(1),
                [&](Index d) { e.store(zero, at_cell(e, to, d)); });
  }

 private:
  llvm::Value* scaled(Float reals, Index row, Index d) const {
    return (scales ? e.mul(reals, scales->of(row, d)) : reals).value;
  }
  Ptr element_at(Index row, Index d) const { return at_element(e, row_of(e, v, key.types.kv, row), d, key.types.kv); }
};

}  // namespace

// panels of K; then, where rows of V are wanted, for (row = kv_begin; row < min(kv_end, kv_len); row += v_group) row of V
void emit_pack(Emitter& e, const plan::KernelKey& key) {
  const plan::KernelLayout layout = plan::layout_of(key);
  const Ptr arg = e.begin_function("pack", "arg");
  const SourceScope setup = e.part(plan::Part::kSetup);
  const ArgFields fields{e, arg};
  const PanelKeys keys{.begin = fields.index(offsetof(PackArg, kv_begin)),
                       .end = fields.index(offsetof(PackArg, kv_end)),
                       .length = fields.index(offsetof(PackArg, kv_len))};
  const Ptr run_at = fields.pointer(offsetof(PackArg, run));
  const KeyRows run = load_key_run(e, run_at);
  const KeyScales scales = load_key_scales(e, key, run_at);
  const Ptr k_panels = fields.pointer(offsetof(PackArg, k_panels)), v_rows = fields.pointer(offsetof(PackArg, v_rows));
  {
    const SourceScope part = e.part(plan::Part::kPackKeys);
    const PanelSource k{
        .rows = run.k, .dtype = key.types.kv, .dims = key.head_dim, .pairs = layout.v_group == 2, .scales = scales.k};
    emit_panels(e, k, keys, k_panels);
  }
  const SourceScope part = e.part(plan::Part::kPackValues);
  e.if_then("pack.values", Bool{e.ir().CreateIsNotNull(v_rows.value)}, [&] {
    const ValueRows values{e, key, layout, run.v, scales.v, keys.length, v_rows};
    e.for_range("pack.v", keys.begin, e.min(keys.end, keys.length), e.index(layout.v_group),
                [&](Index row) { values.emit_row(row); });
  });
  e.end_function();
}

}  // namespace flexjit::codegen
