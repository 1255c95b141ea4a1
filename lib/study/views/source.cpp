// The text itself, every expression with the loop that computes it: what a person wrote, beside how often the kernel does it.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <tuple>

#include "dsl/parse/source_location.h"
#include "plan/hoisting.h"
#include "study/views/view.h"

namespace flexjit::study {
namespace {

using plan::Level;

// Absent: a constant, or an expression that vanished.
using Place = std::optional<Level>;

constexpr Place kPlaces[] = {Level::kUniform, Level::kRow, Level::kColumn, Level::kDiagonal, Level::kElement, std::nullopt};

std::string_view place_name(Place place) { return place ? plan::name_of(*place) : "folded"; }

char letter_of(Place place) {
  if (!place) return 'F';
  switch (*place) {
    case Level::kUniform: return 'U';
    case Level::kRow: return 'R';
    case Level::kColumn: return 'C';
    case Level::kDiagonal: return 'D';
    case Level::kElement: return 'E';
  }
  return ' ';
}

std::string meaning_of(Place place, plan::Nest nest) {
  if (!place) return "nothing: known when the kernel is compiled, or part of another expression";
  switch (*place) {
    case Level::kUniform: return fmt::format("once a work item: {}", plan::facts_of(nest).item);
    case Level::kRow: return fmt::format("once {}", plan::facts_of(nest).row);
    case Level::kColumn: return "once a key column of a tile";
    case Level::kDiagonal: return "once a diagonal (kv_idx - q_idx) of a tile";
    case Level::kElement: return "for each score";
  }
  return "";
}

// All values that one stretch of text stands for: several where it is used several times.
struct Stretch {
  ir::Expression at;
  std::vector<ir::Id> nodes;
  Place place;
};

std::vector<Stretch> stretches_of(const Subject& subject) {
  const plan::Hoisting hoisting = plan::hoist(subject.program, subject.key.nest);
  std::map<std::tuple<std::uint32_t, std::uint32_t, std::uint32_t>, Stretch> found;
  const auto marks = subject.program.marks();
  for (std::size_t i = 0; i < marks.size(); ++i) {
    const ir::Expression& at = subject.interface.expressions[i];
    Stretch& stretch = found[{at.text, at.begin, ~at.end}];  // an expression comes before its parts
    stretch.at = at;
    if (!marks[i].valid() || std::ranges::find(stretch.nodes, marks[i]) != stretch.nodes.end()) continue;
    stretch.nodes.push_back(marks[i]);
    if (ir::type_rule(subject.program.node(marks[i]).op) == ir::TypeRule::kConst) continue;
    stretch.place = std::max(stretch.place, Place(hoisting.level[marks[i].index]));
  }
  std::vector<Stretch> stretches;
  for (auto& [key, stretch] : found) stretches.push_back(std::move(stretch));
  return stretches;
}

struct Run {
  std::string text;  // within one line
  std::optional<std::size_t> stretch;
};
using Lines = std::vector<std::vector<Run>>;

// A text cut where the shortest expression around a character changes, and at line ends.
Lines lines_of(std::uint32_t number, std::string_view text, const std::vector<Stretch>& stretches) {
  std::vector<std::optional<std::size_t>> inner(text.size());
  for (std::size_t i = 0; i < stretches.size(); ++i) {
    const ir::Expression& at = stretches[i].at;
    if (at.text == number) std::fill(inner.begin() + at.begin, inner.begin() + at.end, i);
  }
  Lines lines(1);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n') {
      lines.emplace_back();
      continue;
    }
    std::vector<Run>& line = lines.back();
    if (line.empty() || line.back().stretch != inner[i]) line.push_back({"", inner[i]});
    line.back().text += text[i];
  }
  if (lines.back().empty()) lines.pop_back();
  return lines;
}

// One letter a stretch of one level, drawn out below its text: "E-------U-------D--".
std::string letters_below(const std::vector<Run>& line, const std::vector<Stretch>& stretches) {
  std::string letters;
  char last = ' ';
  for (const Run& run : line) {
    const char letter = run.stretch ? letter_of(stretches[*run.stretch].place) : ' ';
    for (const char c : run.text) {
      if ((static_cast<unsigned char>(c) & 0xc0) == 0x80) continue;  // within a character of UTF-8
      letters += c == '\t' ? '\t' : (letter == ' ' || letter != last ? letter : '-');
      last = letter;
    }
  }
  letters.erase(letters.find_last_not_of(" \t") + 1);
  return letters;
}

Json stretch_json(const Stretch& stretch, const Subject& subject) {
  const ir::Text& text = subject.interface.texts[stretch.at.text];
  const dsl::Location at = dsl::locate(text.text, {stretch.at.text, stretch.at.begin, stretch.at.end});
  Json nodes = Json::array();
  for (ir::Id id : stretch.nodes) nodes.push_back(id.index);
  return {{"text", text.text.substr(stretch.at.begin, stretch.at.end - stretch.at.begin)},
          {"source", text.name},
          {"line", at.line},
          {"column", at.column},
          {"length", at.length},
          {"begin", stretch.at.begin},
          {"end", stretch.at.end},
          {"nodes", std::move(nodes)},
          {"op", stretch.nodes.empty() ? Json() : Json(ir::mnemonic(subject.program.node(stretch.nodes.front()).op))},
          {"level", place_name(stretch.place)}};
}

Json lines_json(const Lines& lines) {
  Json json = Json::array();
  for (const std::vector<Run>& line : lines) {
    Json runs = Json::array();
    for (const Run& run : line) runs.push_back({{"text", run.text}, {"expression", run.stretch ? Json(*run.stretch) : Json()}});
    json.push_back(std::move(runs));
  }
  return json;
}

}  // namespace

Result<ViewResult> make_source_view(const Subject& subject) {
  const std::vector<Stretch> stretches = stretches_of(subject);
  ViewResult view{.json = {{"levels", Json::array()}, {"texts", Json::array()}, {"expressions", Json::array()}}};
  for (Place place : kPlaces) {
    view.text += fmt::format("{}  {}\n", letter_of(place), meaning_of(place, subject.key.nest));
    view.json["levels"].push_back({{"name", place_name(place)},
                                   {"letter", std::string(1, letter_of(place))},
                                   {"meaning", meaning_of(place, subject.key.nest)}});
  }
  for (std::uint32_t i = 0; i < subject.interface.texts.size(); ++i) {
    const ir::Text& text = subject.interface.texts[i];
    const Lines lines = lines_of(i, text.text, stretches);
    view.text += fmt::format("\n# {}\n", text.name);
    for (const std::vector<Run>& line : lines) {
      for (const Run& run : line) view.text += run.text;
      view.text += "\n";
      if (const std::string letters = letters_below(line, stretches); !letters.empty()) view.text += letters + "\n";
    }
    view.json["texts"].push_back({{"name", text.name}, {"lines", lines_json(lines)}});
  }
  for (const Stretch& stretch : stretches) view.json["expressions"].push_back(stretch_json(stretch, subject));
  return view;
}

}  // namespace flexjit::study
