// The compiler's door, found once.
#include "cache/compiler_loader.h"

#include <mutex>

#include "support/library_door.h"

namespace flexjit::cache {

OpenedCompiler CompilerLoader::open() {
  std::lock_guard lock(mutex_);
  OpenedCompiler opened;
  if (door_ == nullptr) {
    const support::DoorRequest request{.library = FLEXJIT_COMPILER_NAME,
                                       .symbol = plan::kDoorSymbol,
                                       .called = "a flexjit compiler",
                                       .build_id = plan::kBuildId};
    door_ = static_cast<const plan::CompilerDoor*>(support::open_door(request, path_, opened.failures));
  }
  opened.door = door_;
  return opened;
}

}  // namespace flexjit::cache
