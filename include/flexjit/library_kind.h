// What file a built library is.
#pragma once

#include <cstdint>

namespace flexjit {

// One ELF object, an archive with an object a pattern (a program links only those that it calls), or a shared library that
// needs libflexjit.
enum class LibraryKind : std::uint8_t { kObject, kArchive, kShared };

}  // namespace flexjit
