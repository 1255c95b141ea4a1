// The texts of tests/dsl/diagnostics and what they are: `*.flex` is the file form, `*.expr` the string form. Directives in
// comments declare what the API would: `#| mask`, `#| buffer NAME TYPE RANK`, `#| param NAME int|float|bool`.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "dsl/parse/source.h"

namespace flexjit::dsl_test {

struct NamedSource {
  std::string name;  // without extension
  dsl::Source source;
};

std::filesystem::path diagnostics_folder();
std::string read_text(const std::filesystem::path& path);
// Sorted by name.
std::vector<NamedSource> diagnostic_sources();

}  // namespace flexjit::dsl_test
