// Panels through lanes x lanes register transposes; the dims that fill no vector, and the panel that the length cuts, cell by
// cell.
#include "codegen/parts/panels.h"

#include <cstddef>

#include "codegen/emit/cells.h"
#include "codegen/emit/lane_transpose.h"
#include "codegen/emit/storage.h"
#include "plan/kernel_abi.h"
#include "support/dtype.h"

namespace flexjit::codegen {
namespace {

struct PanelPacker {
  Emitter& e;
  const PanelSource& from;

  // Reals of the key that is `number`, times their scale.
  llvm::Value* scaled(Float reals, Index number, Index d) const {
    return (from.scales ? e.mul(reals, from.scales->of(number, d)) : reals).value;
  }

  // The cells d, d + 1, ... of one key.
  llvm::Value* load_cells_of(Ptr key, Index number, Index d) const {
    if (!from.pairs) return scaled(load_elements(e, at_element(e, key, d, from.dtype), from.dtype), number, d);
    auto* vector = llvm::FixedVectorType::get(e.ir().getInt32Ty(), static_cast<unsigned>(e.lanes()));
    return e.ir().CreateAlignedLoad(vector, at_cell(e, key, d).value, llvm::Align(2));
  }

  llvm::Value* load_cell_of(Ptr key, Index number, Index d) const {
    if (!from.pairs) return scaled(load_element(e, at_element(e, key, d, from.dtype), from.dtype), number, d);
    const auto half = [&](Index dim) {
      return e.ir().CreateAlignedLoad(e.ir().getInt16Ty(), at_element(e, key, dim, DType::kBF16).value, llvm::Align(2));
    };
    const Index dim = e.mul(d, e.index(2));
    if (from.dims % 2 == 0) return paired(e, half(dim), half(e.add(dim, e.index(1))));
    // The last cell of an odd number of dims has no second half; the first is read in its place and dropped.
    const Index next = e.min(e.add(dim, e.index(1)), e.index(from.dims - 1));
    const Bool exists = e.less(dim, e.index(from.dims - 1));
    return paired(e, half(dim), e.ir().CreateSelect(exists.value, half(next), e.ir().getInt16(0)));
  }

  // for (d = 0; d < depth; d += lanes) transpose lanes keys x lanes cells; the last cells one by one
  void emit_whole(Index number, Ptr source, Ptr panel) const {
    const std::int64_t in_memory = from.pairs ? from.dims / 2 : from.dims;
    const std::int64_t whole = in_memory / e.lanes() * e.lanes();
    const auto key_at = [&](Index i) { return at_element(e, source, e.mul(i, from.rows.stride), from.dtype); };
    const auto cell_at = [&](Index d, Index key) { return at_cell(e, panel, e.add(e.mul(d, e.index(e.lanes())), key)); };
    e.for_range("pack.dims", e.index(0), e.index(whole), e.index(e.lanes()), [&](Index d) {
      llvm::SmallVector<llvm::Value*, 16> rows;
      Ptr key = source;
      for (int i = 0; i < e.lanes(); ++i) {
        rows.push_back(load_cells_of(key, e.add(number, e.index(i)), d));
        key = at_element(e, key, from.rows.stride, from.dtype);
      }
      transpose(e, rows);
      const Ptr first = e.opaque(cell_at(d, e.index(0)));
      const auto bytes = static_cast<int>(e.lanes() * (from.pairs ? 4 : e.real_bytes()));
      for (int i = 0; i < e.lanes(); ++i) {
        e.store(rows[static_cast<std::size_t>(i)], at_cell(e, first, e.index(std::int64_t{i} * e.lanes())), bytes);
      }
    });
    e.for_range("pack.tail_dims", e.index(whole), e.index(from.depth()), e.index(1), [&](Index d) {
      e.for_range("pack.tail_dim", e.index(0), e.index(e.lanes()), e.index(1),
                  [&](Index i) { e.store(load_cell_of(key_at(i), e.add(number, i), d), cell_at(d, i)); });
    });
  }

  // for (d) for (i) panel[d][i] = i < count ? key[i][d] : 0;
  void emit_ragged(Index number, Ptr source, Ptr panel, Index count) const {
    llvm::Value* zero = llvm::Constant::getNullValue(from.pairs ? e.ir().getInt32Ty() : e.real_type());
    e.for_range("pack.ragged", e.index(0), e.index(from.depth()), e.index(1), [&](Index d) {
      const Ptr row = at_cell(e, panel, e.mul(d, e.index(e.lanes())));
      e.for_range("pack.copy", e.index(0), count, e.index(1), [&](Index i) {
        const Ptr key = at_element(e, source, e.mul(i, from.rows.stride), from.dtype);
        e.store(load_cell_of(key, e.add(number, i), d), at_cell(e, row, i));
      });
      e.for_range("pack.zero", count, e.index(e.lanes()), e.index(1), [&](Index i) { e.store(zero, at_cell(e, row, i)); });
    });
  }
};

}  // namespace

KeyScales load_key_scales(Emitter& e, const plan::KernelKey& key, Ptr run) {
  if (!support::is_quantised(key.types.kv)) return {};
  const auto group = [&](std::int64_t dims) { return key.types.scale_dims == 0 ? dims : key.types.scale_dims; };
  return {GroupScales{load_scales(e, run, offsetof(plan::KeyRun, k_scales)), group(key.head_dim)},
          GroupScales{load_scales(e, run, offsetof(plan::KeyRun, v_scales)), group(key.v_head_dim)}};
}

Ptr row_of(Emitter& e, const Rows& rows, DType dtype, Index row) {
  const Index bytes = e.mul(rows.stride, e.index(static_cast<std::int64_t>(size_of(dtype))));
  return e.anywhere(rows.data, e.mul(row, bytes));
}

llvm::Value* paired(Emitter& e, llvm::Value* first, llvm::Value* second) {
  auto& ir = e.ir();
  auto* type = e.shaped(ir.getInt32Ty(), first);
  return e.bit_or(Int{ir.CreateZExt(first, type)}, e.shl(Int{ir.CreateZExt(second, type)}, e.constant_int(16))).value;
}

// for (kv = begin; kv < end; kv += lanes) kv + lanes <= length ? whole(kv) : ragged(kv)
void emit_panels(Emitter& e, const PanelSource& source, const PanelKeys& keys, Ptr panels) {
  const PanelPacker packer{e, source};
  e.for_range("pack.panel", keys.begin, keys.end, e.index(e.lanes()), [&](Index kv) {
    const Ptr rows = row_of(e, source.rows, source.dtype, kv);
    const Ptr panel = at_cell(e, panels, e.mul(kv, e.index(source.depth())));
    const Index left = e.sub(keys.length, kv);
    e.if_else(
        "pack.is_ragged", e.less(left, e.index(e.lanes())), [&] { packer.emit_ragged(kv, rows, panel, left); },
        [&] { packer.emit_whole(kv, rows, panel); });
  });
}

}  // namespace flexjit::codegen
