// Bytes -> a file that a command was told to write.
#pragma once

#include <string>
#include <string_view>

#include "flexjit/result.h"

namespace flexjit::tools {

// Replaces what was there. Error: `unwritable-file`.
Status write_file(const std::string& path, std::string_view bytes);

}  // namespace flexjit::tools
