// The kernel as LLVM IR, from the compiler library.
#include <algorithm>
#include <string_view>
#include <vector>

#include "study/views/view.h"

namespace flexjit::study {
namespace {

// The lines of a text, without their newlines.
std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

std::string_view between(std::string_view line, char before, char after) {
  const std::size_t begin = line.find(before) + 1;
  return line.substr(begin, line.find(after, begin) - begin);
}

// LLVM's text, by function and block: {"functions": [{"name", "blocks": [{"name", "instructions": [...]}]}], "other": [...]}.
Json llvm_json(std::string_view text) {
  Json functions = Json::array(), other = Json::array();
  bool inside = false;
  for (std::string_view line : lines_of(text)) {
    if (line.starts_with("define ")) {
      functions.push_back({{"name", between(line, '@', '(')}, {"blocks", Json::array()}});
      inside = true;
    } else if (line == "}") {
      inside = false;
    } else if (line.empty()) {
      continue;
    } else if (!inside) {
      other.push_back(line);
    } else if (!line.starts_with(' ')) {
      const std::string_view name = line.substr(0, line.find(':'));
      functions.back()["blocks"].push_back({{"name", name}, {"instructions", Json::array()}});
    } else {
      functions.back()["blocks"].back()["instructions"].push_back(line.substr(line.find_first_not_of(' ')));
    }
  }
  return {{"functions", std::move(functions)}, {"other", std::move(other)}};
}

}  // namespace

Result<ViewResult> make_llvm_view(const Subject& subject) {
  const Result<const plan::CompilerDoor*> door = subject.open_compiler();
  if (!door) return door.diagnostics();
  Result<std::string> text = (*door)->print_ir(subject.key);
  if (!text) return text.diagnostics();
  Json json = llvm_json(*text);
  return ViewResult{std::move(*text), std::move(json)};
}

}  // namespace flexjit::study
