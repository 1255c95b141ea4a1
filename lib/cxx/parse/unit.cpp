#include "cxx/parse/unit.h"

#include <algorithm>

namespace flexjit::cxx {

Unit::Unit(const std::vector<dsl::SourceText>& texts, const std::vector<std::string>& names)
    : texts_(texts), is_program_(names.empty()) {
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (!names.empty()) code_ += "constexpr auto " + names[i] + " =\n";
    const std::size_t begin = code_.size();
    code_ += texts[i].text;
    chunks_.push_back({begin, code_.size()});
    code_ += names.empty() ? "\n" : "\n;\n";
  }
}

void Unit::blank(std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < end; ++i) {
    if (code_[i] != '\n') code_[i] = ' ';
  }
}

dsl::Span Unit::place(std::size_t begin, std::size_t end) const {
  std::uint32_t text = 0;
  while (text + 1 < chunks_.size() && begin >= chunks_[text + 1].begin) ++text;
  const Chunk& chunk = chunks_[text];
  const auto inside = [&](std::size_t at) {
    return static_cast<std::uint32_t>(std::clamp(at, chunk.begin, chunk.end) - chunk.begin);
  };
  return {text, inside(begin), std::max(inside(begin), inside(end))};
}

}  // namespace flexjit::cxx
