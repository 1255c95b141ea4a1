// The system's reason goes into the message: a full disk and a missing folder need different answers.
#include "output_file.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "failure.h"

namespace flexjit::tools {

Status write_file(const std::string& path, std::string_view bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  out.close();
  if (!out) return failure("unwritable-file", path, fmt::format("cannot be written: {}", std::strerror(errno)));
  return Unit{};
}

}  // namespace flexjit::tools
