// Values of nodes <-> entries of the tables in the scratch: reals, ints and longs as they are, bools as 0 and -1. Entries have
// 4 bytes; a value of 8 takes two (plan::width_of).
#include "codegen/parts/tables.h"

namespace flexjit::codegen {
namespace {

// `bool_shape`: i1, or a vector of them for as many entries.
llvm::Value* from_entry(Emitter& e, Ptr address, ir::Type type, llvm::Type* bool_shape) {
  const bool vector = bool_shape->isVectorTy();
  if (type == ir::Type::kFloat) {
    const auto alignment = static_cast<int>(e.real_bytes());
    return vector ? e.load_reals(address, alignment).value : e.load_real(address).value;
  }
  if (type == ir::Type::kLong) return vector ? e.load_long_vector(address).value : e.load_long(address).value;
  const Int bits = vector ? e.load_int_vector(address) : e.load_int(address);
  if (type == ir::Type::kInt) return bits.value;
  return e.compare(llvm::CmpInst::ICMP_NE, bits, e.constant_int(0)).value;
}

}  // namespace

using ir::Id;
using plan::Level;

llvm::Value* to_entry(Emitter& e, llvm::Value* value) {
  if (!value->getType()->getScalarType()->isIntegerTy(1)) return value;
  return e.ir().CreateSExt(value, e.shaped(e.ir().getInt32Ty(), value));
}

Tables::Tables(Emitter& emitter, const plan::KernelKey& key, const LaunchFields& launch, const ItemIndices& item,
               const TableLayout& where)
    : e(emitter),
      program(key.program),
      hoisting(plan::hoist(key.program, key.nest)),
      kv_len(launch.kv_len),
      expressions(e, program, hoisting, launch),
      uniform(expressions.uniform_scope(item)),
      layout(where) {}

llvm::Value** Tables::leaf(Scope& scope, ir::Op op) const {
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    if (program.nodes()[i].op == op) return &scope.value[i];
  }
  return nullptr;
}

Scope Tables::without_flags() const {
  Scope scope = uniform;
  scope.flag.assign(program.size(), nullptr);
  return scope;
}

void Tables::evaluate(Scope& scope, Level level) {
  expressions.evaluate(scope, level, std::vector<bool>(program.size(), true));
}

Bool Tables::fill(const char* name, Level level, Index count, Bool fine, llvm::function_ref<void(Scope&, Index)> body) {
  const Values init = fine ? Values{fine.value} : Values{};
  const auto step = [&](Index at, const Values& so_far) {
    Scope scope = uniform;
    body(scope, at);
    const Bool here = store(scope, level, at, fine);
    return fine ? Values{e.logical_and(Bool{so_far[0]}, here).value} : Values{};
  };
  const Index entries = e.index(level == Level::kRow ? 1 : e.lanes());
  const Values all = e.for_range(name, e.index(0), count, entries, init, step);
  return fine ? Bool{all[0]} : fine;
}

// for (c = 0; c < count; c += lanes) { kv_idx = kv + c + lane; column_values[slot][c..] = ...; }
Bool Tables::fill_columns(Index kv, Index count, Bool fine, llvm::function_ref<void(const Scope&, Index)> body) {
  const SourceScope part = e.part(plan::Part::kColumnTables);
  if (hoisting.column_slots == 0) return fine;
  return fill("column_values", Level::kColumn, count, fine, [&](Scope& scope, Index column) {
    const Int columns = e.add(e.narrow(e.add(kv, column)), e.lane_numbers());
    *leaf(scope, ir::Op::kKvIdx) = columns.value;
    scope.active = e.compare(llvm::CmpInst::ICMP_SLT, columns, kv_len);
    evaluate(scope, Level::kColumn);
    if (body) body(scope, column);
  });
}

// Stores what `level` keeps of `scope` at entry `at`; returns that every checked read of the level is in range there.
Bool Tables::store(const Scope& scope, Level level, Index at, Bool fine) {
  Bool here = e.constant_bool(true);
  const auto store = [&](std::int32_t slot, std::int32_t width, llvm::Value* value) {
    if (level != Level::kRow) value = e.broadcast(Int{value}).value;
    e.store(to_entry(e, value), entry_at(level, slot, at, width));
  };
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    if (hoisting.level[i] != level) continue;
    if (const auto slot = hoisting.value_slot[i]; slot >= 0) store(slot, plan::width_of(program, Id{i}), scope.value[i]);
    if (const auto slot = hoisting.flag_slot[i]; slot >= 0) {
      store(slot, 1, scope.flag[i]);
      if (fine) here = e.logical_and(here, e.logical_not(e.any(expressions.faulty_lanes(scope, Id{i}))));
    }
  }
  return here;
}

void Tables::load(Scope& scope, Level level, Index at, Stored what) const {
  llvm::Type* one = e.ir().getInt1Ty();
  llvm::Type* shape = level == Level::kRow ? one : llvm::FixedVectorType::get(one, static_cast<unsigned>(e.lanes()));
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    if (hoisting.level[i] != level) continue;
    if (const auto slot = hoisting.value_slot[i]; slot >= 0 && what != Stored::kFlags) {
      const Ptr address = entry_at(level, slot, at, plan::width_of(program, Id{i}));
      scope.value[i] = from_entry(e, address, program.nodes()[i].type, shape);
    }
    if (const auto slot = hoisting.flag_slot[i]; slot >= 0 && what != Stored::kValues) {
      scope.flag[i] = from_entry(e, entry_at(level, slot, at, 1), ir::Type::kBool, shape);
    }
  }
}

Ptr Tables::entry_at(Level level, std::int32_t slot, Index at, std::int32_t width) const {
  TableSection table;
  switch (level) {
    case Level::kRow: table = layout.row; break;
    case Level::kColumn: table = layout.column; break;
    case Level::kDiagonal: table = layout.diagonal; break;
    case Level::kUniform:
    case Level::kElement: break;
  }
  const std::int64_t offset = slot * table.entries;
  switch (layout.slot_offset) {
    case SlotOffset::kInPointer:
      if (width != 1) at = e.mul(at, e.index(width));
      return e.at(e.at_byte(layout.scratch, table.section + 4 * offset), at);
    case SlotOffset::kInIndex:
      return e.at(e.at_byte(layout.scratch, table.section), e.add(e.index(offset), e.mul(at, e.index(width))));
  }
  return {};
}

}  // namespace flexjit::codegen
