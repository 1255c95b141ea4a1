// A C++ text -> the program that it is, by libflexjit-cxx.
#pragma once

#include "flexjit/result.h"
#include "languages/cxx_door.h"

namespace flexjit::languages {

// Opens the library at the first call; a failure is not remembered: once the library is installed, the next call finds it.
// Thread-safe. Errors: `no-cxx`, and those of the texts.
Result<CxxTranslation> translate_cxx(const CxxRequest& request);

}  // namespace flexjit::languages
