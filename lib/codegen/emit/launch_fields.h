// kernel_abi.h's structs as seen from emitted code: loads of their fields, and the captured buffers and runtime scalars that a
// program names.
#pragma once

#include <vector>

#include "codegen/emit/emitter.h"
#include "ir/program/program.h"

namespace flexjit::codegen {

// An argument struct, whose fields lie at these offsets.
struct ArgFields {
  Emitter& e;
  Ptr arg;

  Int integer(std::size_t offset, const char* name = "") const {
    return e.load_int(e.at_byte(arg, static_cast<std::int64_t>(offset)), name);
  }
  Index index(std::size_t offset, const char* name = "") const { return e.widen(integer(offset, name)); }
  Index long_index(std::size_t offset, const char* name = "") const {
    return e.load_index(e.at_byte(arg, static_cast<std::int64_t>(offset)), name);
  }
  Ptr pointer(std::size_t offset, const char* name = "") const {
    return e.load_pointer(e.at_byte(arg, static_cast<std::int64_t>(offset)), name);
  }
};

// Rows that lie evenly.
struct Rows {
  Ptr data;      // row 0
  Index stride;  // elements between two rows
};

// Of plan::ScaleRun: scales of quantised rows.
struct RowScales {
  Emitter& e;
  Ptr first;  // of row 0
  Index by_row, by_group;

  Ptr at(Index row) const { return e.anywhere(first, e.mul(e.mul(row, by_row), e.index(4))); }
  // A row of the run.
  Float of(Index row, Index group) const { return e.load(e.at(at(row), e.mul(group, by_group))); }
};
// `offset`: in the struct at `arg`.
RowScales load_scales(Emitter& e, Ptr arg, std::size_t offset);

// Of plan::KeyRun.
struct KeyRows {
  Rows k, v;
};
KeyRows load_key_run(Emitter& e, Ptr run);

// The values that a program's uniform leaves stand for.
struct LaunchFields {
  Ptr launch;
  Int batch_size, num_heads, num_kv_heads;
  Int q_len, kv_len, q_offset, kv_offset;  // of the item's sequence
  Float scale;                             // a real
};

// Of quantised rows, of which every `dims` dims share one.
struct GroupScales {
  RowScales scales;
  std::int64_t dims;

  // Of the dims from `d` on that share one with it, of a row of the run; `further`: of that many groups on.
  Float of(Index row, Index d, std::int64_t further = 0) const {
    Emitter& e = scales.e;
    return scales.of(row, e.add(Index{e.ir().CreateUDiv(d.value, e.index(dims).value)}, e.index(further)));
  }
};

struct BufferFields {
  Ptr data;
  llvm::SmallVector<Index, 4> strides;
  llvm::SmallVector<Int, 4> extents;  // at most INT_MAX: any int index is compared with it unsigned
  Bool unit_stride;                   // of the innermost dimension
};

Float load_f64(Emitter& e, Ptr address, const char* name = "");  // as a real
Float load_scale(Emitter& e, Ptr launch);
// Whether lse of rows are doubles; empty: never.
Bool emit_lse_f64(Emitter& e, Ptr launch);
// Offsets of the fields of an item that say which sequence it belongs to.
struct SequenceFields {
  std::size_t q_len, kv_len, q_offset, kv_offset;
};
// Of an item that begins with its launch.
LaunchFields load_launch(Emitter& e, Ptr item, SequenceFields of);
std::vector<BufferFields> load_buffers(Emitter& e, Ptr launch, const ir::Program& program);
// The runtime scalar in `slot` as a real, Int or Bool.
llvm::Value* load_param(Emitter& e, Ptr launch, std::uint32_t slot, ir::Type type);

}  // namespace flexjit::codegen
