// The nearest known name to a misspelt one, for "did you mean".
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace flexjit::dsl {

// "; did you mean `kv_idx`?", or "" when nothing is near: at most one edit (insert, delete, replace, swap of neighbours) for
// every three characters. The first of equally near candidates wins.
std::string did_you_mean(std::string_view name, std::span<const std::string_view> candidates);

}  // namespace flexjit::dsl
