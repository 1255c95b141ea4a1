// The only symbol that libflexjit-cxx exports: texts through the gate, Clang and the translator into the text of a program.
#include "cxx/findings.h"
#include "cxx/graph/print.h"
#include "cxx/parse/gate.h"
#include "cxx/parse/parse.h"
#include "cxx/translate/translator.h"
#include "dsl/parse/lexer.h"
#include "flexjit/export.h"
#include "languages/cxx_door.h"

namespace flexjit::cxx {
namespace {

using languages::CxxRequest;
using languages::CxxTranslation;

CxxTranslation made_of(const CxxRequest& request, const Translator& translator) {
  Printed printed = print(translator.graph(), translator.declarations(), translator.outputs());
  auto origin = std::make_shared<dsl::Origin>();
  origin->texts = request.texts;
  origin->pieces = std::move(printed.pieces);
  CxxTranslation made;
  made.program = {.name = request.texts[0].name, .text = std::move(printed.text), .origin = std::move(origin)};
  return made;
}

Result<CxxTranslation> translate(const CxxRequest& request) {
  Findings findings(request.texts);
  Unit unit(request.texts, request.names);
  if (!pass_gate(unit, findings)) return findings.take();
  const Tree tree(unit, findings);
  if (findings.has_errors()) return findings.take();
  Translator translator(tree, findings, request.precision);
  translator.run();
  if (findings.has_errors()) return findings.take();
  CxxTranslation made = made_of(request, translator);
  if (made.program.text.size() > dsl::kMaxSourceBytes) {
    const dsl::Span place = translator.outputs().front().place;
    findings.add(Finding::kProgramTooLong, place, made.program.text.size(), dsl::kMaxSourceBytes);
    return findings.take();
  }
  made.warnings = findings.take();
  return made;
}

}  // namespace
}  // namespace flexjit::cxx

extern "C" FLEXJIT_API const flexjit::languages::CxxDoor* flexjit_cxx_door();

const flexjit::languages::CxxDoor* flexjit_cxx_door() {
  static const flexjit::languages::CxxDoor door{{flexjit::languages::kCxxBuildId}, &flexjit::cxx::translate};
  return &door;
}
