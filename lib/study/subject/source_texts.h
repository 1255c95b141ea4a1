// The texts of a subject one after another, each with the heading that tells it from the others, and places in them.
#pragma once

#include <string>
#include <vector>

#include "dsl/parse/parser.h"
#include "dsl/parse/source_location.h"
#include "study/subject/json.h"
#include "study/subject/subject.h"

namespace flexjit::study {

// Refers into the subject.
struct SourceText {
  const dsl::SourceText* text = nullptr;
  dsl::Form form = dsl::Form::kFile;
  std::string flag;     // empty: the caller's
  std::string heading;  // "# flag causal\n"; empty for the caller's file

  Json flag_json() const { return flag.empty() ? Json() : Json(flag); }
};

std::vector<SourceText> source_texts(const Subject& subject);

// {"line", "column", "length"}, as in Diagnostic.
Json place_json(const dsl::SourceText& text, dsl::Span span);

}  // namespace flexjit::study
