// dlopen, the door's symbol, and the build id.
#include "support/library_door.h"

#include <dlfcn.h>
#include <fmt/format.h>

namespace flexjit::support {
namespace {

std::string last_loader_error() {
  const char* text = ::dlerror();
  return text != nullptr ? text : "unknown error of the dynamic loader";
}

const DoorHead* open_one(const DoorRequest& request, const std::string& path, std::vector<std::string>& failures) {
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    failures.push_back(last_loader_error());
    return nullptr;
  }
  void* symbol = ::dlsym(library, request.symbol);
  if (symbol == nullptr) {
    failures.push_back(fmt::format("{}: not {} ({})", path, request.called, last_loader_error()));
    return nullptr;
  }
  const DoorHead* door = reinterpret_cast<const DoorHead* (*)()>(symbol)();
  if (std::string_view(door->build_id) != request.build_id) {
    failures.push_back(fmt::format("{}: it is build {}, this libflexjit is build {}", path, door->build_id, request.build_id));
    return nullptr;
  }
  return door;
}

}  // namespace

std::vector<std::string> library_candidates(const std::string& path, const char* library) {
  if (!path.empty()) return {path};
  std::vector<std::string> paths;
  Dl_info self{};
  if (::dladdr(reinterpret_cast<const void*>(&open_one), &self) != 0 && self.dli_fname != nullptr) {
    std::string_view file = self.dli_fname;
    if (auto slash = file.rfind('/'); slash != std::string_view::npos) {
      paths.push_back(fmt::format("{}/{}", file.substr(0, slash), library));
    }
  }
  paths.emplace_back(library);
  return paths;
}

const DoorHead* open_door(const DoorRequest& request, const std::string& path, std::vector<std::string>& failures) {
  for (const std::string& candidate : library_candidates(path, request.library)) {
    if (const DoorHead* door = open_one(request, candidate, failures)) return door;
  }
  return nullptr;
}

}  // namespace flexjit::support
