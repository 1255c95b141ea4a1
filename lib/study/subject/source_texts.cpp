// A Source is one file or up to two expressions; views of texts take them all the same.
#include "study/subject/source_texts.h"

namespace flexjit::study {

std::vector<SourceText> source_texts(const Subject& subject) {
  std::vector<SourceText> all;
  for (const Text& text : subject.texts) {
    const std::string heading = text.flag.empty() ? "" : "# flag " + text.flag + "\n";
    const dsl::Source& source = text.source;
    if (source.file) all.push_back({.text = &*source.file, .flag = text.flag, .heading = heading});
    for (const auto* expression : {&source.score, &source.mask}) {
      if (!*expression) continue;
      const std::string title = "# " + (*expression)->name + "\n";
      all.push_back({.text = &**expression, .form = dsl::Form::kExpression, .flag = text.flag, .heading = heading + title});
    }
  }
  return all;
}

Json place_json(const dsl::SourceText& text, dsl::Span span) {
  const dsl::Location location = dsl::locate(text.text, span);
  return {{"line", location.line}, {"column", location.column}, {"length", location.length}};
}

}  // namespace flexjit::study
