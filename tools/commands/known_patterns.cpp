// Keys and the inspector print programs alike, but for the names of buffers and params, which keys number, and the places of
// checked reads, which are numbers there too.
#include "commands/known_patterns.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <sstream>
#include <string_view>
#include <vector>

#include "data/embedded.h"
#include "flexjit/inspect.h"
#include "flexjit/presets.h"

namespace flexjit::tools {
namespace {

std::vector<std::string> words_of(const std::string& line) {
  std::vector<std::string> words;
  std::string word;
  for (const char c : line) {
    if (c == ' ' || c == ',' || c == '[' || c == ']') {
      if (!word.empty()) words.push_back(std::exchange(word, ""));
    } else {
      word += c;
    }
  }
  if (!word.empty()) words.push_back(word);
  return words;
}

// A line of the program in words, with numbers for names.
class Canonical {
 public:
  std::string add(const std::string& line) {
    std::vector<std::string> words = words_of(line);
    if (words.size() > 1 && (words[0] == "buffer" || words[0] == "param")) {
      words[1] = numbers_.try_emplace(words[0] + words[1], fmt::format("#{}", counts_[words[0]]++)).first->second;
    } else {
      for (std::size_t i = 1; i < words.size(); ++i) number(words, i);
    }
    return fmt::format("{}\n", fmt::join(words, " "));
  }

 private:
  void number(std::vector<std::string>& words, std::size_t i) {
    const std::string& before = words[i - 1];
    if (before == "at") words[i] = "";
    const char* kind = before == "param" ? "param" : before == "read" || before == "dot" ? "buffer" : nullptr;
    if (kind == nullptr) return;
    const auto found = numbers_.find(kind + words[i]);
    if (found != numbers_.end()) words[i] = found->second;
  }

  std::map<std::string, std::string> numbers_;  // by kind and name
  std::map<std::string, int> counts_;           // by kind
};

bool is_of_program(const std::string& line) {
  for (std::string_view begin : {"buffer ", "param ", "%", "score = ", "mask = "})
    if (line.starts_with(begin)) return true;
  return false;
}

std::string canonical(const std::string& text) {
  Canonical lines;
  std::string program;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);)
    if (is_of_program(line)) program += lines.add(line);
  return program;
}

std::string_view infix_of(const std::string& op) {
  static const std::map<std::string, std::string_view> kInfix = {
      {"add", "+"}, {"sub", "-"}, {"mul", "*"}, {"div", "/"}, {"floordiv", "//"}, {"mod", "%"}, {"lt", "<"}, {"le", "<="},
      {"gt", ">"},  {"ge", ">="}, {"eq", "=="}, {"ne", "!="}, {"and", "&"},       {"or", "|"},  {"xor", "^"}};
  const auto found = kInfix.find(op);
  return found != kInfix.end() ? found->second : "";
}

std::string without_parentheses(const std::string& text) {
  return text.starts_with('(') && text.ends_with(')') ? text.substr(1, text.size() - 2) : text;
}

// "mask = kv_idx <= q_idx", of canonical lines such as "%10 = le %5 %4 : bool".
std::string expressions(const std::string& program) {
  std::map<std::string, std::string> texts;
  std::string results;
  std::istringstream in(program);
  for (std::string line; std::getline(in, line);) {
    const std::vector<std::string> words = words_of(line);
    if (words.size() < 3 || words[1] != "=") continue;
    std::vector<std::string> operands;
    for (std::size_t i = 3; i < words.size() && words[i] != ":" && words[i] != "if"; ++i)
      operands.push_back(texts.contains(words[i]) ? texts[words[i]] : words[i]);
    std::string text = words[2];
    if (const std::string_view infix = infix_of(text); operands.size() == 2 && !infix.empty())
      text = fmt::format("({} {} {})", operands[0], infix, operands[1]);
    else if (text == "const" && !operands.empty())
      text = operands[0];
    else if (!operands.empty())
      text = fmt::format("{}({})", text, fmt::join(operands, ", "));
    if (!words[0].starts_with("%"))
      results += fmt::format("{}{} = {}", results.empty() ? "" : "; ", words[0],
                             without_parentheses(texts.contains(words[2]) ? texts[words[2]] : text));
    texts[words[0]] = std::move(text);
  }
  return results.empty() ? "plain attention" : results;
}

}  // namespace

KnownPatterns::KnownPatterns() {
  const auto add = [this](std::string_view name, std::string_view text) {
    AttentionSpec spec;
    spec.program = text;
    const auto views = inspect(spec, {}, {.views = {InspectView::kSimplified}});
    if (!views) return;
    const std::string program = canonical(views->front().text);
    if (!program.empty()) names_.emplace(program, name);
  };
  for (const Preset& preset : presets()) add(preset.name, preset.text);
  for (const EmbeddedFile& example : embedded_examples()) {
    const std::string_view file = example.name;
    add(file.substr(0, file.rfind('.')), example.text);
  }
}

std::string KnownPatterns::describe(const std::string& key) const {
  constexpr std::size_t kWidth = 64;
  const std::string program = canonical(key);
  if (const auto known = names_.find(program); known != names_.end()) return known->second;
  const std::string text = expressions(program);
  return text.size() <= kWidth ? text : text.substr(0, kWidth - 3) + "...";
}

}  // namespace flexjit::tools
