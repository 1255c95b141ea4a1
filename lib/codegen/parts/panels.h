// Rows (kv, dims) of keys or values -> panels [panel of kv][depth][lanes] of cells, whose lanes run along kv.
#pragma once

#include <optional>

#include "codegen/emit/launch_fields.h"
#include "flexjit/tensor.h"

namespace flexjit::codegen {

// Of K and V of a run; empty where they are not quantised.
struct KeyScales {
  std::optional<GroupScales> k, v;
};
KeyScales load_key_scales(Emitter& e, const plan::KernelKey& key, Ptr run);

// Rows of one tensor as they lie. `pairs`: two dims make a cell, the last one beside a 0 where the dims are odd.
struct PanelSource {
  Rows rows;
  DType dtype;
  std::int64_t dims;
  bool pairs;
  std::optional<GroupScales> scales{};

  std::int64_t depth() const { return pairs ? (dims + 1) / 2 : dims; }
};
// Keys [begin, end), begin a multiple of the panel; columns from `length` on are 0.
struct PanelKeys {
  Index begin, end, length;
};
// `panels`: of key 0.
void emit_panels(Emitter& e, const PanelSource& source, const PanelKeys& keys, Ptr panels);

Ptr row_of(Emitter& e, const Rows& rows, DType dtype, Index row);
// first | second << 16, lane by lane, of 16-bit integers.
llvm::Value* paired(Emitter& e, llvm::Value* first, llvm::Value* second);

}  // namespace flexjit::codegen
