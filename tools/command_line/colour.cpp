// The eight colours that every terminal has, so that they follow the reader's own palette.
#include "command_line/colour.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>

namespace flexjit::tools {
namespace {

std::string_view code_of(Ink ink) {
  switch (ink) {
    case Ink::kGood: return "32";
    case Ink::kBad: return "1;31";
    case Ink::kWarning: return "1;33";
    case Ink::kMark: return "36";
  }
  return "";
}

std::string painted(std::string_view text, Ink ink) { return fmt::format("\x1b[{}m{}\x1b[0m", code_of(ink), text); }

bool is_set(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0';
}

std::string painted_line(const std::string& line) {
  if (line.find_first_not_of(" ^~") == std::string::npos && line.find('^') != std::string::npos)
    return painted(line, Ink::kMark);
  for (const auto& [word, ink] : {std::pair{"error", Ink::kBad}, std::pair{"warning", Ink::kWarning}}) {
    const std::string marked = fmt::format(": {}: ", word);
    if (const std::size_t at = line.find(marked); at != std::string::npos)
      return line.substr(0, at + 2) + painted(word, ink) + line.substr(at + marked.size() - 2);
  }
  return line;
}

}  // namespace

bool has_colours(std::FILE* stream) {
  const char* terminal = std::getenv("TERM");
  return isatty(fileno(stream)) == 1 && !is_set("NO_COLOR") && terminal != nullptr && std::string_view(terminal) != "dumb";
}

std::string coloured(std::string_view text, Ink ink, std::FILE* stream) {
  return has_colours(stream) ? painted(text, ink) : std::string(text);
}

std::string coloured_diagnostics(const std::string& rendered, std::FILE* stream) {
  if (!has_colours(stream)) return rendered;
  std::string text;
  for (std::size_t begin = 0; begin < rendered.size();) {
    const std::size_t end = std::min(rendered.find('\n', begin), rendered.size());
    text += painted_line(rendered.substr(begin, end - begin));
    if (end < rendered.size()) text += '\n';
    begin = end + 1;
  }
  return text;
}

}  // namespace flexjit::tools
