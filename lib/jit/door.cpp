// The only symbol that libflexjit-compiler exports.
#include <new>

#include "flexjit/export.h"
#include "jit/library/write_library.h"
#include "jit/listing/list_code.h"
#include "jit/object/compile.h"
#include "jit/object/reserve.h"

namespace flexjit::jit {
namespace {

// A function behind the door. What it made out of the reserve goes before it could be seen outside, where nobody could free it.
template <auto kFunction, typename Signature = decltype(kFunction)>
struct Guarded;
template <auto kFunction, typename T, typename... Args>
struct Guarded<kFunction, Result<T> (*)(Args...)> {
  static Result<T> call(Args... args) {
    reserve::begin();
    Result<T> made(Diagnostics{});
    try {
      made = kFunction(args...);
    } catch (const std::bad_alloc&) {
      made = Diagnostics{};
    }
    if (reserve::is_taken()) made = Diagnostics{};
    return made;
  }
};

}  // namespace
}  // namespace flexjit::jit

extern "C" FLEXJIT_API const flexjit::plan::CompilerDoor* flexjit_compiler_door();

const flexjit::plan::CompilerDoor* flexjit_compiler_door() {
  namespace jit = flexjit::jit;
  static const flexjit::plan::CompilerDoor door{
      {flexjit::plan::kBuildId},
      &jit::Guarded<&jit::compile>::call,
      &jit::Guarded<&jit::print_ir>::call,
      &jit::Guarded<&jit::list_code>::call,
      &jit::Guarded<&jit::compile_counting>::call,
      &jit::Guarded<&jit::time_passes>::call,
      &jit::Guarded<&jit::write_library>::call,
  };
  return &door;
}
