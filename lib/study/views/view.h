// The views: each a function from the subject to a text and a JSON object, in a file of its own.
#pragma once

#include <string>
#include <string_view>

#include "flexjit/inspect.h"
#include "flexjit/result.h"
#include "study/subject/json.h"
#include "study/subject/subject.h"

namespace flexjit::study {

struct ViewResult {
  std::string text{};
  Json json{};
};

// make_tokens_view, make_ast_view, ...
#define FLEXJIT_VIEW(view, name, description) Result<ViewResult> make_##name##_view(const Subject& subject);
#include "flexjit/inspect_views.def"
#undef FLEXJIT_VIEW

Result<ViewResult> make_view(InspectView view, const Subject& subject);

}  // namespace flexjit::study
