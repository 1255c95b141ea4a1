// The text of a session: what a line of it means, and how a new statement takes the place of an old one.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "flexjit/inspect.h"
#include "flexjit/vocabulary.h"
#include "repl/session.h"

namespace flexjit::tools {
namespace {

constexpr std::string_view kWordCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

// The word at the begin of `text` behind blanks; `text` goes on after it.
std::string take_word(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  const std::string word(text.substr(0, text.find_first_not_of(kWordCharacters)));
  text.remove_prefix(word.size());
  return word;
}

// "score" and "mask" for results, else the defined name; "" for an expression.
std::string defined_name(std::string_view statement) {
  const std::string word = take_word(statement);
  const auto words = words_of(WordKind::kStatement);
  if (std::ranges::find(words, word) == words.end()) return "";
  if (word != "score" && word != "mask") return take_word(statement);
  statement.remove_prefix(std::min(statement.find_first_not_of(" \t"), statement.size()));
  return statement.starts_with('=') && !statement.starts_with("==") ? word : "";
}

bool is_kind(const Diagnostics& errors, std::string_view kind) {
  return std::ranges::any_of(errors, [&](const Diagnostic& error) { return error.kind == kind; });
}

}  // namespace

std::string Session::Text::program() const {
  std::string program;
  for (const Definition& definition : definitions) program += definition.text + "\n";
  for (const std::string& result : {score, mask}) program += result.empty() ? "" : result + "\n";
  return program;
}

void Session::Text::put(const std::string& statement) {
  const std::string name = defined_name(statement);
  if (name == "score" || name == "mask") {
    (name == "score" ? score : mask) = statement;
    return;
  }
  const auto known = std::ranges::find(definitions, name, &Definition::name);
  if (known != definitions.end())
    known->text = statement;
  else
    definitions.push_back({name, statement});
}

Diagnostics Session::check(const Text& text) const {
  const auto checked = inspect(spec(text), {}, {.views = {InspectView::kSimplified}});
  return checked ? Diagnostics{} : checked.diagnostics();
}

std::string Session::understood(const Text& text, const std::string& statement) const {
  if (!defined_name(statement).empty()) return statement;
  std::string_view rest = statement;
  const auto words = words_of(WordKind::kStatement);
  const std::string word = take_word(rest);
  // A keyword without its name is no expression either: the parser says what is missing.
  if (std::ranges::find(words, word) != words.end() && word != "score" && word != "mask") return statement;
  for (const char* result : {"mask = ", "score = "}) {
    Text candidate = text;
    candidate.put(result + statement);
    if (check(candidate).empty()) return result + statement;
  }
  // Neither: a bool that is wrong elsewhere is no score, and whatever else it is, that is said.
  Text as_score = text;
  as_score.put("score = " + statement);
  return (is_kind(check(as_score), "result-type") ? "mask = " : "score = ") + statement;
}

Reply Session::enter_text(const std::string& line) {
  Text text = text_;
  for (const std::string& statement : split_statements(line)) text.put(understood(text, statement));
  if (text.program() == text_.program()) return {};
  if (Diagnostics errors = check(text); !errors.empty()) {
    // What is defined anew may stand on what was defined since: then it goes behind it.
    if (!is_kind(errors, "used-before-definition")) return {.errors = std::move(errors)};
    Text moved = text_;
    for (const std::string& statement : split_statements(line)) {
      const std::string name = defined_name(statement);
      std::erase_if(moved.definitions, [&](const Definition& definition) { return definition.name == name; });
      moved.put(understood(moved, statement));
    }
    if (!check(moved).empty()) return {.errors = std::move(errors)};
    text = std::move(moved);
  }
  return accept(std::move(text));
}

// What stands in the program and how fast it is; the mask is drawn where it is new.
Reply Session::accept(Text text) {
  before_.push_back(std::exchange(text_, std::move(text)));
  if (!text_.has_result()) return {};
  Reply reply;
  if (!text_.mask.empty() && text_.score == before_.back().score) reply = mask("");
  if (!reply.errors.empty() || reply.interrupted) return reply;
  Reply measured = speed("");
  measured.text = reply.text + measured.text;
  measured.warnings = flexjit::check(spec(text_));
  return measured;
}

std::vector<std::string> Session::completions(const std::string& line) const {
  const std::size_t begin = line.find_last_not_of(kWordCharacters) + 1;
  const std::string prefix = line.substr(begin);
  const std::string before = line.substr(0, begin);
  std::vector<std::string> words;
  const auto add = [&](std::string_view word) {
    if (word.starts_with(prefix) && std::ranges::find(words, word) == words.end()) words.emplace_back(word);
  };
  const auto add_all = [&](WordKind kind) { std::ranges::for_each(words_of(kind), add); };
  if (before == ":") {
    for (const std::string& name : command_names()) add(name);
    return words;
  }
  if (before.starts_with(":set ")) std::ranges::for_each(setting_names(), add);
  if (before.starts_with(":inspect ")) std::ranges::for_each(view_names(), add);
  if (before.starts_with(":")) return words;
  if (before.find_first_not_of(" \t") == std::string::npos) add_all(WordKind::kStatement);
  if (before.find(':') != std::string::npos && before.find('=') == std::string::npos && before.find('[') == std::string::npos) {
    add_all(before.starts_with("buffer") ? WordKind::kElementType : WordKind::kType);
    return words;
  }
  for (const Definition& definition : text_.definitions) add(definition.name);
  for (WordKind kind : {WordKind::kValue, WordKind::kFunction, WordKind::kOperator}) add_all(kind);
  return words;
}

Reply Session::enter(const std::string& line) {
  const std::size_t begin = line.find_first_not_of(" \t\r");
  if (begin == std::string::npos) return {};
  return line[begin] == ':' ? enter_command(line.substr(begin + 1)) : enter_text(line);
}

}  // namespace flexjit::tools
