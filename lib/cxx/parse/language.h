// The C++ that mods are written in.
#pragma once

#include <clang/Basic/LangOptions.h>

namespace flexjit::cxx {

// C++20 without exceptions, types at run time and modules, with bounds on what recurses or repeats.
clang::LangOptions mod_language();

}  // namespace flexjit::cxx
