// Marks point from expressions to nodes; here they are turned around. Users come after operands, so that one backward loop
// hands expressions down to nodes that have none.
#include "study/subject/origin.h"

#include "ir/program/origins.h"
#include "study/subject/source_texts.h"

namespace flexjit::study {

Origins::Origins(const Subject& subject)
    : subject_(subject), expressions_(ir::expressions_of(subject.program, subject.interface)) {}

std::string Origins::text_of(ir::Id node) const {
  const auto& expression = expressions_[node.index];
  if (!expression) return std::string(ir::mnemonic(subject_.program.node(node).op));
  const std::string& text = subject_.interface.texts[expression->text].text;
  std::string words;
  for (char c : text.substr(expression->begin, expression->end - expression->begin)) {
    const bool space = c == ' ' || c == '\n' || c == '\t' || c == '\r';
    if (!space)
      words += c;
    else if (!words.empty() && words.back() != ' ')
      words += ' ';
  }
  return words;
}

Json Origins::json_of(ir::Id node) const {
  const auto& expression = expressions_[node.index];
  if (!expression) return nullptr;
  const ir::Text& text = subject_.interface.texts[expression->text];
  const dsl::Location at = dsl::locate(text.text, {expression->text, expression->begin, expression->end});
  return {{"text", text_of(node)}, {"source", text.name}, {"line", at.line}, {"column", at.column}, {"length", at.length}};
}

std::string describe(const Origins& origins, const std::optional<plan::Provenance>& from) {
  if (!from) return "not known";
  std::string text(plan::title_of(from->part));
  if (from->node) text += ": " + origins.text_of(*from->node);
  return text;
}

Json origin_json(const Origins& origins, const std::optional<plan::Provenance>& from) {
  if (!from) return {{"part", nullptr}, {"node", nullptr}, {"expression", nullptr}};
  Json json{{"part", plan::title_of(from->part)}, {"node", nullptr}, {"expression", nullptr}};
  if (from->node) {
    json["node"] = from->node->index;
    json["expression"] = origins.json_of(*from->node);
  }
  return json;
}

}  // namespace flexjit::study
