// A shared library of flexjit that is opened when it is first needed -> its door, a struct of functions behind one exported
// function. Both libraries must be of one build, because C++ values cross.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace flexjit::support {

// What the door's function must return a pointer to begins with this.
struct DoorHead {
  const char* build_id;
};

struct DoorRequest {
  const char* library;  // "libflexjit-compiler.so.0"
  const char* symbol;   // extern "C" const Door* symbol()
  const char* called;   // "a flexjit compiler", for the failures
  std::string_view build_id;
};

// Where it is looked for: `path` alone, or if that is empty beside libflexjit and then by name where the dynamic loader looks.
std::vector<std::string> library_candidates(const std::string& path, const char* library);

// Null, with what the loader said of each candidate in `failures`, where none opens. What is opened stays open for the life of
// the process: static state of LLVM does not survive being unloaded and loaded again. Its symbols meet nobody else's.
const DoorHead* open_door(const DoorRequest& request, const std::string& path, std::vector<std::string>& failures);

}  // namespace flexjit::support
