// Reads of captured buffers: a scalar load where every index is the same for all lanes, a vector load where lanes lie side by
// side, else a gather. A lane that is inactive, unguarded or out of range touches no memory of the buffer and gives 0.
#pragma once

#include "codegen/emit/launch_fields.h"

namespace flexjit::codegen {

// Where elements lie and which lanes may touch them. `pointer` and `allowed` are scalars or vectors together.
struct ElementAddress {
  llvm::Value* pointer = nullptr;
  Bool allowed;  // empty: every lane
};

class CapturedReads {
 public:
  explicit CapturedReads(Emitter& e);

  // The address of buffer[index...]; missing innermost indices count as 0.
  ElementAddress address(const BufferFields& buffer, DType dtype, llvm::ArrayRef<Int> index, Bool allowed);
  // The elements, `step` (a scalar; may be empty) elements further on, as the IR type of `dtype`.
  llvm::Value* load(const ElementAddress& at, DType dtype, Index step);

  // One vector from buffer[index...], whose last index is a vector of consecutive numbers; every lane must be in range and
  // the innermost stride 1.
  llvm::Value* load_side_by_side(const BufferFields& buffer, DType dtype, llvm::ArrayRef<Int> index);
  // That all lanes of such a read may be loaded.
  Bool may_load_side_by_side(const BufferFields& buffer, llvm::ArrayRef<Int> index);

  // Every index inside its extent.
  Bool in_range(const BufferFields& buffer, llvm::ArrayRef<Int> index);

 private:
  llvm::Value* gather(const ElementAddress& at, llvm::Type* element);
  llvm::Value* load_lane_by_lane(const ElementAddress& at, llvm::Type* element);
  Emitter& e_;
  llvm::Constant* zero_;  // what a forbidden lane reads instead
};

}  // namespace flexjit::codegen
