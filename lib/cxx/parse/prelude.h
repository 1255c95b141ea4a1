// What a mod finds declared: the names of <flexjit/mod.h> and what is used of the standard library, a hundred lines in the
// place of <cmath>, whose headers take a hundred times as long to read.
#pragma once

namespace flexjit::cxx {

// C++. A function that is annotated with "flexjit:NAME" is translated by its name (translate/functions.cpp).
const char* prelude();

}  // namespace flexjit::cxx
