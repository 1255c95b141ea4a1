// K rows (kv, head_dim) -> panels [panel of kv][k_depth][lanes] of cells, through lanes x lanes register transposes; V rows ->
// rows of cells padded with zeros to whole vectors. Other element types are widened on the way, pairs of bf16 stay as they are.
#include "codegen/parts/pack.h"

#include <cstddef>

#include "codegen/emit/cells.h"
#include "codegen/emit/lane_transpose.h"
#include "codegen/emit/launch_fields.h"
#include "codegen/emit/storage.h"
#include "plan/kernel_abi.h"

namespace flexjit::codegen {
namespace {

using plan::PackArg;

class Packer {
 public:
  Packer(Emitter& e, const plan::KernelKey& key)
      : e_(e), key_(key), layout_(plan::layout_of(key)), pairs_(layout_.v_group == 2) {}
  void emit();

 private:
  void load_arguments(Ptr arg);
  void emit_whole_panel(Ptr source, Ptr panel);
  void emit_ragged_panel(Ptr source, Ptr panel, Index count);
  void emit_value_rows();
  void emit_value_row(Index row);
  Ptr row_of(const Rows& rows, Index row) {
    const Index bytes = e_.mul(rows.stride, e_.index(static_cast<std::int64_t>(size_of(key_.types.kv))));
    return e_.anywhere(rows.data, e_.mul(row, bytes));
  }
  // The cells d, d + 1, ... of one key; one cell.
  llvm::Value* load_key_cells(Ptr key, Index d);
  llvm::Value* load_key_cell(Ptr key, Index d);
  llvm::Value* zero_cell();
  void store_cell(llvm::Value* cell, Ptr address) { e_.store(cell, address); }
  // `lanes` value dims, or one, of the row (or pair of rows) `row`.
  llvm::Value* load_value_cells(Index row, Index d);
  llvm::Value* load_value_cell(Index row, Index d);
  llvm::Value* paired(llvm::Value* first, llvm::Value* second);
  Index second_row(Index row) { return e_.min(e_.add(row, e_.index(1)), e_.sub(kv_len_, e_.index(1))); }

  Emitter& e_;
  const plan::KernelKey& key_;
  const plan::KernelLayout layout_;
  const bool pairs_;
  Index kv_begin_, kv_end_, kv_len_;
  Rows k_, v_;
  Ptr k_panels_, v_rows_;
};

void Packer::load_arguments(Ptr arg) {
  const ArgFields fields{e_, arg};
  kv_begin_ = fields.index(offsetof(PackArg, kv_begin));
  kv_end_ = fields.index(offsetof(PackArg, kv_end));
  kv_len_ = fields.index(offsetof(PackArg, kv_len));
  const ArgFields run{e_, fields.pointer(offsetof(PackArg, run))};
  k_ = {run.pointer(offsetof(plan::KeyRun, k)), run.long_index(offsetof(plan::KeyRun, k_stride))};
  v_ = {run.pointer(offsetof(plan::KeyRun, v)), run.long_index(offsetof(plan::KeyRun, v_stride))};
  k_panels_ = fields.pointer(offsetof(PackArg, k_panels));
  v_rows_ = fields.pointer(offsetof(PackArg, v_rows));
}

// for (kv = kv_begin; kv < kv_end; kv += lanes) kv + lanes <= kv_len ? whole_panel(kv) : ragged_panel(kv); then the rows of V
void Packer::emit() {
  const Ptr arg = e_.begin_function("pack", "arg");
  const SourceScope setup = e_.part(plan::Part::kSetup);
  load_arguments(arg);
  const SourceScope keys = e_.part(plan::Part::kPackKeys);
  e_.for_range("pack.panel", kv_begin_, kv_end_, e_.index(layout_.lanes), [&](Index kv) {
    const Ptr source = row_of(k_, kv);
    const Ptr panel = at_cell(e_, k_panels_, e_.mul(kv, e_.index(layout_.k_depth)));
    const Index left = e_.sub(kv_len_, kv);
    e_.if_else(
        "pack.is_ragged", e_.less(left, e_.index(layout_.lanes)), [&] { emit_ragged_panel(source, panel, left); },
        [&] { emit_whole_panel(source, panel); });
  });
  e_.if_then("pack.values", Bool{e_.ir().CreateIsNotNull(v_rows_.value)}, [&] { emit_value_rows(); });
  e_.end_function();
}

llvm::Value* Packer::load_key_cells(Ptr key, Index d) {
  if (!pairs_) return load_elements(e_, at_element(e_, key, d, key_.types.kv), key_.types.kv).value;
  auto* vector = llvm::FixedVectorType::get(e_.ir().getInt32Ty(), static_cast<unsigned>(e_.lanes()));
  return e_.ir().CreateAlignedLoad(vector, at_cell(e_, key, d).value, llvm::Align(2));
}

llvm::Value* Packer::load_key_cell(Ptr key, Index d) {
  if (!pairs_) return load_element(e_, at_element(e_, key, d, key_.types.kv), key_.types.kv).value;
  const auto half = [&](Index dim) {
    return e_.ir().CreateAlignedLoad(e_.ir().getInt16Ty(), at_element(e_, key, dim, DType::kBF16).value, llvm::Align(2));
  };
  const Index dim = e_.mul(d, e_.index(2));
  if (key_.head_dim % 2 == 0) return paired(half(dim), half(e_.add(dim, e_.index(1))));
  // The last cell of an odd head dim has no second half; the first is read in its place and dropped.
  const Index next = e_.min(e_.add(dim, e_.index(1)), e_.index(key_.head_dim - 1));
  const Bool exists = e_.less(dim, e_.index(key_.head_dim - 1));
  return paired(half(dim), e_.ir().CreateSelect(exists.value, half(next), e_.ir().getInt16(0)));
}

llvm::Value* Packer::zero_cell() { return llvm::Constant::getNullValue(pairs_ ? e_.ir().getInt32Ty() : e_.real_type()); }

// first | second << 16
llvm::Value* Packer::paired(llvm::Value* first, llvm::Value* second) {
  auto& ir = e_.ir();
  auto* type = e_.shaped(ir.getInt32Ty(), first);
  return e_.bit_or(Int{ir.CreateZExt(first, type)}, e_.shl(Int{ir.CreateZExt(second, type)}, e_.constant_int(16))).value;
}

// for (d = 0; d < k_depth; d += lanes) transpose lanes keys x lanes cells; the last cells one by one
void Packer::emit_whole_panel(Ptr source, Ptr panel) {
  const std::int64_t in_memory = pairs_ ? key_.head_dim / 2 : key_.head_dim;
  const std::int64_t whole = in_memory / e_.lanes() * e_.lanes();
  const auto key_at = [&](Index i) { return at_element(e_, source, e_.mul(i, k_.stride), key_.types.kv); };
  const auto cell_at = [&](Index d, Index key) { return at_cell(e_, panel, e_.add(e_.mul(d, e_.index(e_.lanes())), key)); };
  e_.for_range("pack.dims", e_.index(0), e_.index(whole), e_.index(e_.lanes()), [&](Index d) {
    llvm::SmallVector<llvm::Value*, 16> rows;
    Ptr key = source;
    for (int i = 0; i < e_.lanes(); ++i) {
      rows.push_back(load_key_cells(key, d));
      key = at_element(e_, key, k_.stride, key_.types.kv);
    }
    transpose(e_, rows);
    const Ptr first = e_.opaque(cell_at(d, e_.index(0)));
    for (int i = 0; i < e_.lanes(); ++i) {
      const Ptr cells = at_cell(e_, first, e_.index(std::int64_t{i} * e_.lanes()));
      e_.store(rows[static_cast<std::size_t>(i)], cells, e_.lanes() * layout_.cell_bytes);
    }
  });
  e_.for_range("pack.tail_dims", e_.index(whole), e_.index(layout_.k_depth), e_.index(1), [&](Index d) {
    e_.for_range("pack.tail_dim", e_.index(0), e_.index(e_.lanes()), e_.index(1),
                 [&](Index i) { store_cell(load_key_cell(key_at(i), d), cell_at(d, i)); });
  });
}

// The panel that kv_len cuts: for (d) for (i) panel[d][i] = i < count ? key[i][d] : 0;
void Packer::emit_ragged_panel(Ptr source, Ptr panel, Index count) {
  e_.for_range("pack.ragged", e_.index(0), e_.index(layout_.k_depth), e_.index(1), [&](Index d) {
    const Ptr row = at_cell(e_, panel, e_.mul(d, e_.index(e_.lanes())));
    e_.for_range("pack.copy", e_.index(0), count, e_.index(1), [&](Index i) {
      const Ptr key = at_element(e_, source, e_.mul(i, k_.stride), key_.types.kv);
      store_cell(load_key_cell(key, d), at_cell(e_, row, i));
    });
    e_.for_range("pack.zero", count, e_.index(e_.lanes()), e_.index(1),
                 [&](Index i) { store_cell(zero_cell(), at_cell(e_, row, i)); });
  });
}

// for (row = kv_begin; row < min(kv_end, kv_len); row += v_group) value_row(row)
void Packer::emit_value_rows() {
  const SourceScope part = e_.part(plan::Part::kPackValues);
  e_.for_range("pack.v", kv_begin_, e_.min(kv_end_, kv_len_), e_.index(layout_.v_group),
               [&](Index row) { emit_value_row(row); });
}

// v_rows[row / v_group][d] = d < v_head_dim ? v[row][d], beside it v[row + 1][d] or 0 : 0
void Packer::emit_value_row(Index row) {
  const std::int64_t whole = key_.v_head_dim / e_.lanes() * e_.lanes();
  const Index cell_row{e_.ir().CreateLShr(row.value, layout_.v_group - 1)};
  const Ptr target = at_cell(e_, v_rows_, e_.mul(cell_row, e_.index(layout_.v_padded)));
  e_.for_range("pack.v.vector", e_.index(0), e_.index(whole), e_.index(e_.lanes()),
               [&](Index d) { e_.store(load_value_cells(row, d), at_cell(e_, target, d)); });
  e_.for_range("pack.v.tail", e_.index(whole), e_.index(key_.v_head_dim), e_.index(1),
               [&](Index d) { store_cell(load_value_cell(row, d), at_cell(e_, target, d)); });
  e_.for_range("pack.v.zero", e_.index(key_.v_head_dim), e_.index(layout_.v_padded), e_.index(1),
               [&](Index d) { store_cell(zero_cell(), at_cell(e_, target, d)); });
}

llvm::Value* Packer::load_value_cells(Index row, Index d) {
  if (!pairs_) return load_elements(e_, at_element(e_, row_of(v_, row), d, key_.types.kv), key_.types.kv).value;
  auto& ir = e_.ir();
  auto* vector = llvm::FixedVectorType::get(ir.getInt16Ty(), static_cast<unsigned>(e_.lanes()));
  const auto half = [&](Index r) {
    return ir.CreateAlignedLoad(vector, at_element(e_, row_of(v_, r), d, DType::kBF16).value, llvm::Align(2));
  };
  const Bool exists = e_.less(e_.add(row, e_.index(1)), kv_len_);
  return paired(half(row), ir.CreateSelect(exists.value, half(second_row(row)), llvm::Constant::getNullValue(vector)));
}

llvm::Value* Packer::load_value_cell(Index row, Index d) {
  if (!pairs_) return load_element(e_, at_element(e_, row_of(v_, row), d, key_.types.kv), key_.types.kv).value;
  auto& ir = e_.ir();
  const auto half = [&](Index r) {
    return ir.CreateAlignedLoad(ir.getInt16Ty(), at_element(e_, row_of(v_, r), d, DType::kBF16).value, llvm::Align(2));
  };
  const Bool exists = e_.less(e_.add(row, e_.index(1)), kv_len_);
  return paired(half(row), ir.CreateSelect(exists.value, half(second_row(row)), ir.getInt16(0)));
}

}  // namespace

void emit_pack(Emitter& e, const plan::KernelKey& key) { Packer(e, key).emit(); }

}  // namespace flexjit::codegen
