// numpy's .npy files (format versions 1 to 3): little-endian f2 f4 f8 i1 i4 i8 u1 b1, and u2 for bf16, which numpy does not
// have: the bits; C order, at most four dimensions. A file that lies about its size or shape is an error that says so; nothing
// is read or allocated beyond what the file holds.
#pragma once

#include <string>

#include "data/array.h"
#include "flexjit/result.h"

namespace flexjit::tools {

// Errors: `unreadable-file`, `bad-npy`.
Result<Array> read_npy(const std::string& path);

// Writes version 1. Error: `unwritable-file`.
Status write_npy(const std::string& path, const Array& array);

}  // namespace flexjit::tools
