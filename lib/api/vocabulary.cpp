// The language's own tables, as they are.
#include "flexjit/vocabulary.h"

#include "dsl/vocabulary.h"

namespace flexjit {

std::span<const std::string_view> words_of(WordKind kind) noexcept {
  switch (kind) {
    case WordKind::kStatement: return dsl::statement_words();
    case WordKind::kValue: return dsl::value_names();
    case WordKind::kFunction: return dsl::function_names();
    case WordKind::kOperator: return dsl::operator_words();
    case WordKind::kType: return dsl::type_names();
    case WordKind::kElementType: return dsl::dtype_names();
  }
  return {};
}

}  // namespace flexjit
