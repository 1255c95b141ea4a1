// Expression IR -> instructions, one node at a time. A Scope holds what is known in one place of the loop nest; nodes of outer
// loops come in as scalars (uniform, row) or vectors loaded from the column table, so that only what varies is computed here.
#pragma once

#include <vector>

#include "codegen/emit/launch_fields.h"
#include "codegen/math/philox.h"
#include "codegen/program/captured_read.h"
#include "ir/program/program.h"
#include "plan/hoisting.h"

namespace flexjit::codegen {

struct Scope {
  std::vector<llvm::Value*> value;      // by node; null: not known here
  std::vector<llvm::Value*> flag;       // by node: a checked read was in range (i1, scalar or vector)
  Bool active;                          // lanes that count; empty: all
  llvm::BasicBlock* outside = nullptr;  // all scalars above are known at its end, and it ends before lanes vary; null: no such
  std::vector<llvm::Value*>* following = nullptr;  // by node: takes random numbers of the next vector of keys that come with
                                                   // those of this; null: nobody wants them
  bool whole = false;  // every lane exists, and contiguous reads have unit strides: nothing needs to be checked
};

// Of vectors of keys that follow one another, two at a time.
struct ScopesOfPairs {
  std::vector<llvm::Value*> following{};

  // The scope of vector `number` of `count`, before anything is evaluated in it, and after that of the vector before.
  void open(Scope& scope, int number, int count) {
    if (number % 2 == 0) {
      following.assign(scope.value.size(), nullptr);
      scope.following = number + 1 < count ? &following : nullptr;
      return;
    }
    for (std::size_t i = 0; i < following.size(); ++i)
      if (following[i] != nullptr) scope.value[i] = following[i];
  }
};

// The (batch, head) of the work item.
struct ItemIndices {
  Int b, h, kv_head;
};

class ExpressionEmitter {
 public:
  ExpressionEmitter(Emitter& e, const ir::Program& program, const plan::Hoisting& hoisting, const LaunchFields& fields);

  // Everything that is the same for the whole work item.
  Scope uniform_scope(const ItemIndices& item);
  // Evaluates, in order, the nodes of `level` that are not yet known and that `wanted` (by node) asks for.
  void evaluate(Scope& scope, plan::Level level, const std::vector<bool>& wanted);
  // The same for nodes of every level but the uniform.
  void evaluate_along_diagonal(Scope& scope);
  // Every contiguous read of `level` has a unit stride.
  Bool unit_strides(plan::Level level);
  // Lanes (or the one scalar) whose checked read `id` is out of range in `scope` although active and, as far as is known,
  // guarded.
  Bool faulty_lanes(const Scope& scope, ir::Id id);
  // Stores the first faulty lane's site, dimension and index into the FaultArg, unless an earlier fault is there.
  void emit_fault_report(const Scope& scope, ir::Id id, Bool faulty, Ptr fault);

 private:
  llvm::Value* node(Scope& scope, ir::Id id);
  llvm::Value* leaf(ir::Id id);
  llvm::Value* arithmetic(const Scope& scope, ir::Id id);
  llvm::Value* logic(const Scope& scope, ir::Id id);
  llvm::Value* select(const Scope& scope, ir::Id id);
  llvm::Value* comparison(const Scope& scope, ir::Id id);
  llvm::Value* function(const Scope& scope, ir::Id id);
  llvm::Value* conversion(const Scope& scope, ir::Id id);
  llvm::Value* random(const Scope& scope, ir::Id id);
  PhiloxOperands philox_operands(const Scope& scope, ir::Id id) const;
  Int random_word(const Scope& scope, ir::Id id);
  llvm::Value* as_random(ir::Id id, Int word);
  llvm::Value* read(Scope& scope, ir::Id id);
  llvm::Value* read_lanes(const Scope& scope, ir::Id id, llvm::ArrayRef<Int> index, Bool allowed);
  llvm::Value* dot(Scope& scope, ir::Id id);
  Bool allowed_lanes(Scope& scope, ir::Id id, Bool in_range);
  Bool lanes_in_range(Scope& scope, ir::Id id, Bool in_range);
  bool is_guarded(ir::Id id) const;  // by a condition that is known where it is read
  llvm::SmallVector<Int, 4> indices(const Scope& scope, ir::Id id, std::size_t first, std::size_t count) const;
  // In order: for each index of a Read, or of a then b of a Dot, the index and the extent that it must stay below.
  struct Bound {
    Int index, extent;
  };
  llvm::SmallVector<Bound, 8> bounds(const Scope& scope, ir::Id id) const;

  Emitter& e_;
  const ir::Program& program_;
  const plan::Hoisting& hoisting_;
  LaunchFields fields_;
  std::vector<BufferFields> buffers_;
  CapturedReads reads_;
  std::vector<bool> from_score_;
  std::vector<bool>
      only_compared_;  // by node: a random number of which is only asked whether it is less than something uniform
  llvm::BasicBlock* uniform_block_ = nullptr;  // where uniform values are known
  std::vector<Int> threshold_;                 // by node: of uniform floats with which such numbers are compared
};

}  // namespace flexjit::codegen
