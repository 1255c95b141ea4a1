// link_shared by libflexjit-linker, which lies beside the library that this is in, or where the dynamic loader looks.
#include <dlfcn.h>

#include <string>
#include <string_view>

#include "jit/library/link_shared.h"
#include "jit/object/internal_error.h"
#include "plan/compiler_door.h"

namespace flexjit::jit {
namespace {

std::string beside_this_library() {
  Dl_info self{};
  if (::dladdr(reinterpret_cast<const void*>(&beside_this_library), &self) == 0 || self.dli_fname == nullptr) return {};
  const std::string_view file = self.dli_fname;
  return std::string(file.substr(0, file.rfind('/') + 1)) + FLEXJIT_LINKER_NAME;
}

const LinkerDoor* open(std::string& failures) {
  for (const std::string& path : {beside_this_library(), std::string(FLEXJIT_LINKER_NAME)}) {
    void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    void* symbol = library != nullptr ? ::dlsym(library, kLinkerDoorSymbol) : nullptr;
    if (symbol == nullptr) {
      failures += "\n  " + std::string(::dlerror());
      continue;
    }
    const LinkerDoor* door = reinterpret_cast<const LinkerDoor* (*)()>(symbol)();
    if (std::string_view(door->build_id) == plan::kBuildId) return door;
    failures += "\n  " + path + ": it is build " + door->build_id + ", this compiler is build " + plan::kBuildId;
  }
  return nullptr;
}

}  // namespace

Result<std::vector<std::uint8_t>> link_shared(llvm::ArrayRef<char> object, llvm::ArrayRef<char> stub,
                                              const std::string& soname) {
  std::string failures;
  if (const LinkerDoor* door = open(failures)) return door->link_shared(object, stub, soname);
  Diagnostic diagnostic;
  diagnostic.kind = "no-compiler";
  diagnostic.source_name = "build";
  diagnostic.message = "cannot open the linker library, which shared libraries need:" + failures;
  return diagnostic;
}

}  // namespace flexjit::jit
