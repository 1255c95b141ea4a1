// Files of the source tree that the command carries inside: made by cmake/Embed.cmake.
#pragma once

#include <span>
#include <string_view>

namespace flexjit::tools {

struct EmbeddedFile {
  std::string_view name, text;
};

std::span<const EmbeddedFile> embedded_peers();     // bench/peers/*.py
std::span<const EmbeddedFile> embedded_examples();  // dsl-examples/*.flex
std::span<const EmbeddedFile> embedded_report();    // tools/report_html/*.{html,css,js}

// The text of dsl-examples/<name>.flex; empty where there is none.
inline std::string_view embedded_example(std::string_view name) {
  for (const EmbeddedFile& file : embedded_examples())
    if (file.name.substr(0, file.name.size() - 5) == name) return file.text;
  return {};
}

}  // namespace flexjit::tools
