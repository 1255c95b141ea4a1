// A library with the door of some other build, for the loader's test.
#include "plan/compiler_door.h"

extern "C" __attribute__((visibility("default"))) const flexjit::plan::CompilerDoor* flexjit_compiler_door() {
  static const flexjit::plan::CompilerDoor door{{"ancient"}, nullptr};
  return &door;
}
