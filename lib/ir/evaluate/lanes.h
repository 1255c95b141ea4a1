// Vectors of values for one node of a Program and the evaluation of one operation over them: the whole meaning of every
// operation that is neither a leaf nor a read. The interpreter runs it on up to 256 keys, the constant folder on one value.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "ir/program/program.h"

namespace flexjit::ir {

// One value a lane: floats in f, ints and bools in i, longs in l; the other vectors are empty.
struct Lanes {
  std::vector<double> f;
  std::vector<std::int32_t> i;
  std::vector<std::int64_t> l;
};

struct LaneOperation {
  Op op = Op::kConst;
  Type operand_type = Type::kInt;  // of the last operand: a choice is told apart by its arms
  Precision precision = Precision::kFp32;
  std::array<const Lanes*, kMaxOperands> operands{};
};

// Writes the first `count` lanes of `out`, which is sized by the caller.
void evaluate(const LaneOperation& operation, Lanes& out, int count);

}  // namespace flexjit::ir
