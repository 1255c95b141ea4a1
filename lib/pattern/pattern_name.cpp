// A name is what tools print in a column, so it is one line of bounded length without control characters.
#include "pattern/pattern_name.h"

#include <sstream>
#include <string_view>

namespace flexjit::engine {

namespace {

constexpr std::size_t kMaxText = 60;

// Names that say nothing: the default, and what a command calls text that lies in no file, as "-e".
bool names_nothing(std::string_view name) {
  return name.empty() || name.starts_with('-') || name == AttentionSpec{}.program_name;
}

std::string_view stem_of(std::string_view path) {
  path.remove_prefix(path.rfind('/') + 1);  // npos + 1 is 0
  const std::size_t dot = path.rfind('.');
  return dot == std::string_view::npos || dot == 0 ? path : path.substr(0, dot);
}

// Statements in one line, without comments and without what spaces repeat.
std::string one_line(const std::string& program) {
  std::string text;
  std::istringstream lines(program);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    std::string statement;
    for (std::string word; words >> word;) statement += (statement.empty() ? "" : " ") + word;
    if (!statement.empty()) text += (text.empty() ? "" : "; ") + statement;
  }
  return text;
}

// The beginning, which never ends inside a character of UTF-8.
std::string cut(const std::string& text) {
  std::size_t end = kMaxText - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return text.substr(0, end);
}

std::string text_of(const AttentionSpec& spec) {
  if (!spec.program.empty()) return one_line(spec.program);
  const std::string score = one_line(spec.score_mod), mask = one_line(spec.mask_mod);
  std::string text = score.empty() ? "" : "score = " + score;
  if (!mask.empty()) text += (text.empty() ? "mask = " : "; mask = ") + mask;
  return text;
}

std::string names_of_flags(const AttentionSpec& spec) {
  std::string text;
  const auto add = [&](bool given, const char* flag) {
    if (given) text += flag;
  };
  add(spec.softcap.has_value(), "+softcap");
  add(spec.alibi, "+alibi");
  add(spec.causal, "+causal");
  add(spec.window.has_value(), "+window");
  add(spec.key_lengths, "+key_lengths");
  add(spec.key_mask, "+key_mask");
  add(spec.attention_mask.has_value(), "+attention_mask");
  add(spec.dropout.has_value(), "+dropout");
  return text;
}

}  // namespace

std::string pattern_name(const AttentionSpec& spec) {
  std::string name(names_nothing(spec.program_name) || spec.program.empty() ? "" : stem_of(spec.program_name));
  if (name.empty()) name = text_of(spec);
  if (name.empty()) name = "attention";
  if (name.size() > kMaxText) name = cut(name) + "...";
  for (char& letter : name) {
    if (static_cast<unsigned char>(letter) < ' ' || letter == '\x7f') letter = ' ';
  }
  return name + names_of_flags(spec);
}

}  // namespace flexjit::engine
