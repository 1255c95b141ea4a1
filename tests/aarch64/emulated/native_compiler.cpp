// A libflexjit-compiler that holds no compiler: it hands the key to a program of the emulating machine, which an emulated
// process may start like any other, and reads back the image.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "../key_transfer.h"
#include "plan/compiler_door.h"

namespace flexjit::test {
namespace {

Diagnostic failure(const std::string& message) {
  Diagnostic diagnostic;
  diagnostic.kind = "internal";
  diagnostic.source_name = "compile";
  diagnostic.message = message;
  return diagnostic;
}

Result<plan::CodeImage> compile(const plan::KernelKey& key) {
  const char* program = std::getenv("FLEXJIT_COMPILE_IMAGE");
  if (program == nullptr) return failure("FLEXJIT_COMPILE_IMAGE names no program");
  const auto base = std::filesystem::temp_directory_path() / ("flexjit-aarch64-" + std::to_string(::getpid()));
  const std::string request_path = base.string() + ".key", image_path = base.string() + ".image";
  {
    std::ofstream request(request_path);
    write_key(request, key);
  }
  const std::string command = "'" + std::string(program) + "' '" + request_path + "' '" + image_path + "'";
  const int status = std::system(command.c_str());
  plan::CodeImage image;
  image.key_text = plan::canonical_text(key);
  std::ifstream in(image_path, std::ios::binary);
  std::size_t size = 0;
  for (std::uint64_t& entry : image.entries) in >> entry;
  in >> size;
  in.get();
  image.bytes.resize(size);
  in.read(reinterpret_cast<char*>(image.bytes.data()), static_cast<std::streamsize>(size));
  const bool complete = status == 0 && in.good() && size > 0;
  std::filesystem::remove(request_path);
  std::filesystem::remove(image_path);
  if (!complete) return failure("the native compiler failed: " + command);
  return image;
}

}  // namespace
}  // namespace flexjit::test

extern "C" __attribute__((visibility("default"))) const flexjit::plan::CompilerDoor* flexjit_compiler_door() {
  static const flexjit::plan::CompilerDoor door{{flexjit::plan::kBuildId}, &flexjit::test::compile};
  return &door;
}
