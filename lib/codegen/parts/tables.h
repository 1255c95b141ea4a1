// What of a program is computed outside the innermost loop: its uniform values, and tables in the scratch of what depends on a
// row, a column or a diagonal alone. A table has a slot for each value and for each flag, that a checked read was in range.
#pragma once

#include "codegen/program/expression.h"
#include "plan/hoisting.h"

namespace flexjit::codegen {

// Byte offset in the scratch, and the entries of one slot.
struct TableSection {
  std::int64_t section = 0;
  std::int64_t entries = 0;
};
// What carries the offset of a slot, the pointer to the table or the index into it: the same address.
enum class SlotOffset : std::uint8_t { kInPointer, kInIndex };
struct TableLayout {
  Ptr scratch;
  TableSection row, column;
  SlotOffset slot_offset;
  TableSection diagonal{};
  std::int32_t last_row = 0;  // row r and column c meet in diagonal c - r + last_row
};

// A bool as 0 or -1, else the value itself.
llvm::Value* to_entry(Emitter& e, llvm::Value* value);

enum class Stored : std::uint8_t { kValues, kFlags, kBoth };

struct Tables {
  Tables(Emitter& e, const plan::KernelKey& key, const LaunchFields& launch, const ItemIndices& item,
         const TableLayout& layout);
  Tables(const Tables&) = delete;
  Tables& operator=(const Tables&) = delete;

  // A leaf of the program in `scope`; null where the program has none.
  llvm::Value** leaf(Scope& scope, ir::Op op) const;
  // The uniform values without their flags.
  Scope without_flags() const;
  // Evaluates all nodes of the level.
  void evaluate(Scope& scope, plan::Level level);
  // for (i = 0; i < count; i += 1 or lanes) { body(scope, i); table of `level` at i = scope; }
  // Returns `fine` (empty: not asked for) and that all checked reads of the level are in range.
  Bool fill(const char* name, plan::Level level, Index count, Bool fine, llvm::function_ref<void(Scope&, Index)> body);
  // The same for the columns of [kv, kv + count); body(scope, column) with their values.
  Bool fill_columns(Index kv, Index count, Bool fine, llvm::function_ref<void(const Scope&, Index)> body = nullptr);
  void load(Scope& scope, plan::Level level, Index at, Stored what) const;
  Index diagonal_of(Index row, Index column) const { return e.add(e.sub(column, row), e.index(layout.last_row)); }
  // Where a value of `width` entries lies, from `slot` on.
  Ptr entry_at(plan::Level level, std::int32_t slot, Index at, std::int32_t width) const;

  Emitter& e;
  const ir::Program& program;
  const plan::Hoisting hoisting;
  const Int kv_len;
  ExpressionEmitter expressions;
  const Scope uniform;
  const TableLayout layout;

 private:
  Bool store(const Scope& scope, plan::Level level, Index at, Bool fine);
};

}  // namespace flexjit::codegen
