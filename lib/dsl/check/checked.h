// What the checker hands to the lowering: a typed expression graph with every name resolved and every function inlined, plus
// the declarations. It owns its texts and refers to nothing else. A `let` used twice is one node with two users.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "dsl/parse/ast.h"
#include "dsl/vocabulary/vocabulary.h"
#include "flexjit/bindings.h"
#include "flexjit/diagnostic.h"
#include "support/precision.h"
#include "support/typed_id.h"

namespace flexjit::dsl {

using TypedId = support::TypedId<struct TypedTag>;

enum class TypedKind : std::uint8_t {
  kConst,     // its value is `constant`
  kBuiltin,   // payload: Builtin
  kParam,     // payload: slot
  kRead,      // payload: buffer slot; operands: the indices
  kDot,       // payload: index into Checked::dots; operands: the indices of a, then those of b
  kOperator,  // op; && and || evaluate their right side only where the left side leaves it open
  kSelect,    // condition, yes, no: only the chosen side is evaluated
  kMember,    // x, elements: x equals one of them
  kConvert,   // to `type`
  kCall       // function, one of the rules kNumeric and kFloat
};

// A value that is known when the text is checked: the bits of an i32, an f64 or a bool (0/1). Floats hold no more digits than
// the program's precision.
struct Constant {
  Type type = Type::kInt;
  std::uint64_t bits = 0;

  static Constant of(std::int32_t value) { return {Type::kInt, static_cast<std::uint32_t>(value)}; }
  static Constant of(double value) { return {Type::kFloat, std::bit_cast<std::uint64_t>(value)}; }
  static Constant of(bool value) { return {Type::kBool, value ? 1U : 0U}; }
  std::int32_t as_int() const { return static_cast<std::int32_t>(bits); }
  double as_float() const { return std::bit_cast<double>(bits); }
  bool as_bool() const { return bits != 0; }
};

struct TypedNode {
  TypedKind kind = TypedKind::kConst;
  Type type = Type::kInt;
  Operator op = Operator::kNone;
  Function function = Function::kAbs;
  bool reads = false;       // it or something below it reads a buffer
  bool from_score = false;  // it or something below it is the score
  std::uint16_t depth = 1;
  std::uint32_t first_operand = 0;
  std::uint32_t operand_count = 0;
  std::uint32_t payload = 0;
  std::optional<Constant> constant;  // its value, where known
  Span span;
};

struct DotRead {
  std::uint32_t buffer_a = 0;
  std::uint32_t buffer_b = 0;
  std::uint32_t extent = 0;
};

struct CheckedExtent {
  enum class Kind : std::uint8_t { kAny, kLiteral, kBuiltin, kParam };
  Kind kind = Kind::kAny;
  std::int32_t literal = 0;
  Builtin builtin = Builtin::kQLen;
  std::uint32_t param = 0;  // slot
};

struct CheckedBuffer {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<CheckedExtent> extents;
};

struct CheckedParam {
  std::string name;
  Type type = Type::kInt;
  Scalar default_value;
  bool has_default = false;
  std::optional<std::int32_t> largest{};  // a reduction runs up to it
};

struct Checked {
  std::vector<SourceText> texts;
  std::vector<TypedNode> nodes;
  std::vector<TypedId> operands;
  std::vector<DotRead> dots;
  std::vector<CheckedBuffer> buffers;  // by slot, in the order of declaration
  std::vector<CheckedParam> params;
  support::Precision precision = support::Precision::kFp32;
  TypedId score;                              // a number; invalid: the score is left as it is
  TypedId mask;                               // bool; invalid: everything is allowed
  TypedId feature;                            // a number; invalid: weights are not linear
  TypedId gate;                               // a number; invalid: 1
  std::optional<std::uint32_t> projection{};  // slot of the buffer that rows are multiplied with before `feature` sees them
  Diagnostics warnings;

  const TypedNode& node(TypedId id) const { return nodes[id.index]; }
  std::span<const TypedId> operands_of(TypedId id) const {
    return {operands.data() + node(id).first_operand, node(id).operand_count};
  }
};

}  // namespace flexjit::dsl
