// An elementary function as the kernels compute it, compiled alone for one instruction set, to be run over many floats.
#pragma once

#include <functional>
#include <span>

#include "codegen/emitter.h"
#include "plan/target.h"

namespace flexjit::testing {

using UnaryBody = std::function<codegen::Float(codegen::Emitter&, codegen::Float)>;
using BinaryBody = std::function<codegen::Float(codegen::Emitter&, codegen::Float, codegen::Float)>;

// y[i] = body(x[i]) with vectors, and for the last elements that fill no vector, with scalars: both shapes are exercised.
class EmittedFunction {
 public:
  EmittedFunction(plan::Isa isa, const BinaryBody& body);
  ~EmittedFunction();
  EmittedFunction(const EmittedFunction&) = delete;
  EmittedFunction& operator=(const EmittedFunction&) = delete;
  void operator()(std::span<const float> a, std::span<const float> b, std::span<float> y) const;

 private:
  struct Arguments {
    const float* a;
    const float* b;
    float* y;
    std::int64_t count;
  };
  void* code_ = nullptr;
  std::size_t size_ = 0;
  void (*run_)(const Arguments*) = nullptr;
};

}  // namespace flexjit::testing
