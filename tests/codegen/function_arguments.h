// What an EmittedFunction's code is called with, shared with the program that calls it under an emulator.
#pragma once

#include <cstdint>

namespace flexjit::test {

struct FunctionArguments {
  const float* a;
  const float* b;
  float* y;
  std::int64_t count;
};

using EntryPoint = void (*)(const FunctionArguments*);

}  // namespace flexjit::test
