// An elementary function as the kernels compute it, compiled alone for one instruction set, to be run over many floats: here
// where this machine has the instructions, under an emulator for AArch64.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "codegen/emit/emitter.h"
#include "function_arguments.h"
#include "plan/target.h"

namespace flexjit::test {

using UnaryBody = std::function<codegen::Float(codegen::Emitter&, codegen::Float)>;
using BinaryBody = std::function<codegen::Float(codegen::Emitter&, codegen::Float, codegen::Float)>;
// Everything between the beginning and the end of a function, whose argument points to FunctionArguments.
using WholeBody = std::function<void(codegen::Emitter&, codegen::Ptr arguments)>;

// Whether an EmittedFunction for `isa` can be called: by this machine or by an emulator that the build has found.
bool can_call(plan::Isa isa);

// What the body gets as its second operand.
enum class SecondOperand : std::uint8_t {
  kElementwise,  // b[i]
  kUniform,      // b[0], a scalar known outside the loops
};

// y[i] = body(a[i], b[i]) with vectors, and for the last elements that fill no vector, with scalars: both shapes are exercised.
// Or what a whole body makes of a and b, from which it may take whatever bits it likes.
class EmittedFunction {
 public:
  EmittedFunction(plan::Isa isa, const WholeBody& body);
  EmittedFunction(plan::Isa isa, const BinaryBody& body, SecondOperand second = SecondOperand::kElementwise);
  ~EmittedFunction();
  EmittedFunction(const EmittedFunction&) = delete;
  EmittedFunction& operator=(const EmittedFunction&) = delete;
  void operator()(std::span<const float> a, std::span<const float> b, std::span<float> y) const;

 private:
  void call_emulated(std::span<const float> a, std::span<const float> b, std::span<float> y) const;
  bool emulated_;
  std::vector<std::uint8_t> image_;
  std::uint64_t offset_ = 0;
  void* code_ = nullptr;  // null: emulated
};

}  // namespace flexjit::test
