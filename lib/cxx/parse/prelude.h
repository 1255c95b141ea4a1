// What a mod finds declared: the names of <flexjit/mod.h> and what is used of the standard library, a hundred lines in the
// place of <cmath>, whose headers take a hundred times as long to read. It is parsed when flexjit is built
// (precompile_main.cpp); of what Clang keeps of it, a mod loads what it names.
#pragma once

#include <string_view>

namespace flexjit::cxx {

// C++. A function that is annotated with "flexjit:NAME" is translated by its name (translate/functions.cpp).
const char* prelude();

// Its syntax tree as Clang writes it for itself. For the life of the program; thread-safe.
std::string_view precompiled_prelude();

}  // namespace flexjit::cxx
