// dlopen, the door's symbol, and the build id that both libraries must share.
#include "cache/compiler_loader.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace flexjit::cache {

namespace {

std::string last_loader_error() {
  const char* text = ::dlerror();
  return text != nullptr ? text : "unknown error of the dynamic loader";
}

// RTLD_LOCAL: LLVM's symbols must not meet those of another LLVM in the process.
const plan::CompilerDoor* open_door(const std::string& path, std::vector<std::string>& failures) {
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    failures.push_back(last_loader_error());
    return nullptr;
  }
  void* symbol = ::dlsym(library, plan::kDoorSymbol);
  if (symbol == nullptr) {
    failures.push_back(fmt::format("{}: not a flexjit compiler ({})", path, last_loader_error()));
    return nullptr;
  }
  const plan::CompilerDoor* door = reinterpret_cast<const plan::CompilerDoor* (*)()>(symbol)();
  if (std::string_view(door->build_id) != plan::kBuildId) {
    failures.push_back(fmt::format("{}: it is build {}, this libflexjit is build {}", path, door->build_id, plan::kBuildId));
    return nullptr;
  }
  return door;
}

}  // namespace

std::vector<std::string> CompilerLoader::candidates() const {
  if (!path_.empty()) return {path_};
  std::vector<std::string> paths;
  Dl_info self{};
  if (::dladdr(reinterpret_cast<const void*>(&open_door), &self) != 0 && self.dli_fname != nullptr) {
    std::string_view file = self.dli_fname;
    if (auto slash = file.rfind('/'); slash != std::string_view::npos) {
      paths.push_back(fmt::format("{}/{}", file.substr(0, slash), FLEXJIT_COMPILER_NAME));
    }
  }
  paths.emplace_back(FLEXJIT_COMPILER_NAME);
  return paths;
}

OpenedCompiler CompilerLoader::open() {
  std::lock_guard lock(mutex_);
  OpenedCompiler opened;
  for (const std::string& path : candidates()) {
    if (door_ != nullptr) break;
    door_ = open_door(path, opened.failures);
  }
  opened.door = door_;
  return opened;
}

}  // namespace flexjit::cache
