// What is wrong with a distribution, as the one finding that calls return.
#pragma once

#include <string>
#include <utility>

#include "flexjit/diagnostic.h"

namespace flexjit::mpi {

inline Diagnostics failure(std::string kind, std::string message, std::string call = "distribute") {
  Diagnostic found;
  found.kind = std::move(kind);
  found.source_name = std::move(call);
  found.message = std::move(message);
  return {std::move(found)};
}

}  // namespace flexjit::mpi
