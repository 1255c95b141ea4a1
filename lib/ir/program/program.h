// The flat expression IR: a topologically ordered vector of hash-consed nodes addressed by typed ids. Operands always
// precede their users, so simplify, intervals, interpret and emit are each one forward loop.
// A Program holds no names and no text positions: two spellings of one pattern are one Program, and one kernel.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "flexjit/tensor.h"
#include "ir/program/ops.h"
#include "ir/program/roots.h"
#include "support/precision.h"

namespace flexjit::ir {

// `payload` by op: Const: the bits of the i32 or bool (0/1), or index into the program's wide constants; Param: slot in
// Program::params(); Read, Accumulate: index into reads(); Dot, AccumulateRow: index into dots(); otherwise 0.
struct Node {
  Op op = Op::kConst;
  Type type = Type::kInt;
  std::uint16_t operand_count = 0;
  std::uint32_t first_operand = 0;
  std::uint32_t payload = 0;
  bool operator==(const Node&) const = default;
};

// What a kernel must know of a captured buffer; extents and strides are runtime.
struct BufferType {
  DType dtype = DType::kF32;
  std::uint8_t rank = 1;
  bool operator==(const BufferType&) const = default;
};

// The IR type of a buffer's elements: bool for kBool, long for kI64, int for the other integer dtypes, else float.
Type element_type(DType dtype);

// Operands of a Read: guard (bool), then one int per dimension. Those of an Accumulate: guard, value (float), then the same.
//
// The guard of an Accumulate says whether to add and is never dropped; `checked` only says whether the index may be outside.
// Where it is, the read whose gradient this is has reported it, and nothing is added.
struct ReadInfo {
  std::uint32_t buffer = 0;
  std::uint32_t site = 0;  // index into Interface::sites, for the error message
  bool checked = true;     // false: the index is proved in range for every unmasked and masked position inside the lengths
  bool operator==(const ReadInfo&) const = default;
};

// Operands of a Dot: guard (bool), then rank-1 indices of a, then rank-1 indices of b. Both innermost extents are `extent`.
// Those of an AccumulateRow, which adds to the gradient of a: guard, value (float), then the same.
struct DotInfo {
  std::uint32_t buffer_a = 0;
  std::uint32_t buffer_b = 0;
  std::uint32_t extent = 0;
  std::uint32_t site = 0;
  bool checked = true;
  bool operator==(const DotInfo&) const = default;
};

// By mark: the node that computes what was marked, invalid where it vanished. Passes carry marks along for those who show a
// program beside its text; they are no part of what a program is, and nothing that is computed may depend on them.
struct Marks {
  std::vector<Id> nodes;
  bool operator==(const Marks&) const { return true; }
};

using support::Precision;

// One pattern: the roots of roots.def, any of which may be invalid, and what it adds to gradients of captured buffers.
class Program {
 public:
  // What its floats are.
  Precision precision() const { return precision_; }
  std::span<const Node> nodes() const { return nodes_; }
  std::size_t size() const { return nodes_.size(); }
  const Node& node(Id id) const { return nodes_[id.index]; }
  std::span<const Id> operands(Id id) const { return {operands_.data() + node(id).first_operand, node(id).operand_count}; }
  Id operand(Id id, int i) const { return operands_[node(id).first_operand + static_cast<std::uint32_t>(i)]; }

  const Roots& roots() const { return roots_; }
  Id score() const { return roots_[Root::kScore]; }
  Id mask() const { return roots_[Root::kMask]; }
  Id weight_factor() const { return roots_[Root::kWeightFactor]; }
  Id feature() const { return roots_[Root::kFeature]; }
  Id gate() const { return roots_[Root::kGate]; }
  // Each an Accumulate or AccumulateRow, for the pairs that the mask allows. One that stands here twice is added twice.
  std::span<const Id> accumulations() const { return accumulations_; }
  std::span<const BufferType> buffers() const { return buffers_; }
  std::span<const Type> params() const { return params_; }
  std::span<const Id> marks() const { return marks_.nodes; }
  const ReadInfo& read(Id id) const { return reads_[node(id).payload]; }
  const DotInfo& dot(Id id) const { return dots_[node(id).payload]; }
  // Of a node of the Variadic family, after the guard and, where it adds, the value.
  std::span<const Id> indices(Id id) const { return operands(id).subspan(accumulates(node(id).op) ? 2 : 1); }

  std::int32_t const_int(Id id) const { return static_cast<std::int32_t>(node(id).payload); }
  double const_float(Id id) const { return std::bit_cast<double>(wide_[node(id).payload]); }
  std::int64_t const_long(Id id) const { return std::bit_cast<std::int64_t>(wide_[node(id).payload]); }
  bool const_bool(Id id) const { return node(id).payload != 0; }

  bool operator==(const Program&) const = default;

 private:
  friend class ProgramBuilder;
  Precision precision_ = Precision::kFp32;
  std::vector<Node> nodes_;
  std::vector<Id> operands_;
  std::vector<ReadInfo> reads_;
  std::vector<DotInfo> dots_;
  std::vector<std::uint64_t> wide_;  // bits of the f64 or i64 of each constant that has 64
  std::vector<BufferType> buffers_;
  std::vector<Type> params_;
  Roots roots_;
  std::vector<Id> accumulations_;
  Marks marks_;
};

// By node: `root`, or an operand of what is reached. An invalid root reaches nothing.
std::vector<bool> reachable(const Program& program, Id root);
std::vector<bool> reachable(const Program& program, std::span<const Id> roots);
// By slot: whether a read or a dot that the root reaches reads the buffer.
std::vector<bool> buffers_read_by(const Program& program, Id root);
// What a derivative computes: the gradient of the score, if it has one, and the accumulations.
std::vector<Id> gradients_of(const Program& program);

// Appends hash-consed nodes: making the same node twice gives the same id. Broken type rules are our own defects
// (FLEXJIT_CHECK); users' type errors are found before, by dsl::check.
class ProgramBuilder {
 public:
  explicit ProgramBuilder(Precision precision = Precision::kFp32) { program_.precision_ = precision; }

  std::uint32_t add_buffer(BufferType type);
  std::uint32_t add_param(Type type);

  Id const_int(std::int32_t value);
  Id const_float(double value);  // rounded to the program's precision
  Id const_long(std::int64_t value);
  Id const_bool(bool value);
  Id variable(Op op);  // one of the Variable ops but Param
  Id param(std::uint32_t slot);
  Id make(Op op, std::initializer_list<Id> operands);
  Id make(Op op, std::span<const Id> operands);
  Id read(const ReadInfo& info, std::span<const Id> operands);  // equal reads at two sites share the first site
  Id dot(const DotInfo& info, std::span<const Id> operands);
  // A node that is added to the gradient as often as add_accumulation is called with it.
  Id accumulate(const ReadInfo& info, std::span<const Id> operands);
  Id accumulate_row(const DotInfo& info, std::span<const Id> operands);
  void add_accumulation(Id id);
  // Those of `program`, whose node i became copies[i]; such as became something else add nothing.
  void copy_accumulations(const Program& program, std::span<const Id> copies);

  void mark(Id id) { program_.marks_.nodes.push_back(id); }  // may be invalid
  // The marks of `program`, whose node i became copies[i].
  void copy_marks(const Program& program, std::span<const Id> copies);

  const Program& program() const { return program_; }
  // Sets the roots and hands the program over. Nodes that no root reaches are dropped and the rest renumbered, operands
  // before users, in the order of a depth-first walk from root to root and then from accumulation to accumulation.
  Program finish(const Roots& roots) &&;
  // Of a program with no other roots.
  Program finish(Id score, Id mask) &&;

 private:
  Id const_wide(Type type, std::uint64_t bits);
  Id append(Node node, std::span<const Id> operands);
  void check_access(Op op, std::size_t indices, std::span<const Id> operands) const;
  Id element_access(Op op, const ReadInfo& info, std::span<const Id> operands);
  Id row_access(Op op, const DotInfo& info, std::span<const Id> operands);
  std::uint64_t payload_identity(const Node& node) const;
  bool same_payload(const Node& a, const Node& b) const;
  Program program_;
  std::unordered_multimap<std::uint64_t, std::uint32_t> index_;
};

}  // namespace flexjit::ir
