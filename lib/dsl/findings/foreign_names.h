// What other attention engines and libraries call our names: where one of theirs is unknown here, the diagnostic leads to ours.
// An edit distance would lead elsewhere, as from `q_head` to `kv_head`.
#pragma once

#include <string>
#include <string_view>

namespace flexjit::dsl {

// "; the query head is `h`", or "" for names that are not theirs. Case and underscores do not matter.
std::string foreign_value_hint(std::string_view name);
std::string foreign_function_hint(std::string_view name);
// For names that results of a pattern have elsewhere: "; a mask is set by `mask = ...`".
std::string foreign_result_hint(std::string_view name);

}  // namespace flexjit::dsl
