// Program -> every node as a person writes it in the language: "slope[h] * float(kv_idx - q_idx)", with no more parentheses
// than needed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ir/program/interface.h"
#include "ir/program/program.h"

namespace flexjit::ir {

class ExpressionTexts {
 public:
  // Above it a node is "%7" in what uses it: shared nodes would make texts grow without bound.
  static constexpr std::size_t kMaxOperand = 160;

  // `names`, by node: what stands for a node in those that use it; "" or missing: the node written out. The arguments need not
  // outlive this.
  ExpressionTexts(const Program& program, const Interface& interface, const std::vector<std::string>& names = {});

  // The node written out, even where it has a name.
  const std::string& operator[](Id id) const { return texts_[id.index].text; }

 private:
  // How strongly an expression holds together, as in the grammar.
  enum class Binding : std::uint8_t {
    kConditional,
    kOr,
    kAnd,
    kCompare,
    kBitOr,
    kBitXor,
    kBitAnd,
    kShift,
    kSum,
    kProduct,
    kUnary,
    kAtom
  };
  struct Text {
    std::string text;
    Binding binding = Binding::kAtom;
  };
  friend class ExpressionWriter;
  std::vector<Text> texts_;
};

}  // namespace flexjit::ir
