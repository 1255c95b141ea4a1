#include "languages/cxx.h"

#include <mutex>

#include "diagnostics/report.h"
#include "support/fork_gate.h"
#include "support/large_stack.h"
#include "support/library_door.h"

namespace flexjit::languages {
namespace {

// Clang recurses over what nests in a text, some kilobytes a level; a text has at most so many tokens (cxx/parse/gate.h).
constexpr std::size_t kStack = std::size_t{256} << 20;

Result<const CxxDoor*> find_door() {
  static support::Mutex mutex;
  static const CxxDoor* door = nullptr;
  std::lock_guard lock(mutex);
  if (door != nullptr) return door;
  std::vector<std::string> failures;
  const support::DoorRequest request{
      .library = FLEXJIT_CXX_NAME, .symbol = kCxxDoorSymbol, .called = "flexjit's reader of C++", .build_id = kCxxBuildId};
  door = static_cast<const CxxDoor*>(support::open_door(request, "", failures));
  if (door != nullptr) return door;
  std::string attempts;
  for (const std::string& failure : failures) attempts += "\n  " + failure;
  return engine::single_finding("compile", engine::Finding::kNoCxx, attempts);
}

}  // namespace

Result<CxxTranslation> translate_cxx(const CxxRequest& request) {
  const Result<const CxxDoor*> door = find_door();
  if (!door) return door.diagnostics();
  const support::Pass pass;  // Clang's locks are not met by a fork
  return support::on_large_stack([&] { return (*door)->translate(request); }, kStack);
}

}  // namespace flexjit::languages
