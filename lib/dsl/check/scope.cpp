// Linear searches from the innermost name outwards: a text has tens of names.
#include "dsl/check/scope.h"

#include <algorithm>

namespace flexjit::dsl {
namespace {

template <typename Symbols>
auto* find_last(Symbols& symbols, std::size_t first, std::size_t last, std::string_view name) {
  for (std::size_t i = last; i > first; --i) {
    if (symbols[i - 1].name == name) return &symbols[i - 1];
  }
  return static_cast<decltype(&symbols[0])>(nullptr);
}

}  // namespace

std::string_view describe(SymbolKind kind) {
  switch (kind) {
    case SymbolKind::kValue: return "a value";
    case SymbolKind::kConst: return "a const";
    case SymbolKind::kParam: return "a param";
    case SymbolKind::kBuffer: return "a buffer";
    case SymbolKind::kFunction: return "a function";
    case SymbolKind::kBroken: return "in error";
  }
  return "";
}

void Scope::define_global(const Symbol& symbol) {
  globals_.push_back(symbol);
  visible_globals_ = globals_.size();
}

void Scope::drop_globals(std::size_t count) {
  globals_.resize(count);
  visible_globals_ = count;
}

Symbol* Scope::find(std::string_view name) {
  Symbol* local = find_last(locals_, local_base_, locals_.size(), name);
  return local != nullptr ? local : find_last(globals_, 0, visible_globals_, name);
}

const Symbol* Scope::find_global(std::string_view name) const { return find_last(globals_, 0, globals_.size(), name); }

const Symbol* Scope::find_local(std::string_view name, std::size_t first) const {
  return find_last(locals_, first, locals_.size(), name);
}

Scope::Frame Scope::enter_function(std::size_t visible_globals) {
  const Frame caller{local_base_, visible_globals_};
  local_base_ = locals_.size();
  visible_globals_ = visible_globals;
  return caller;
}

void Scope::leave_function(const Frame& caller) {
  locals_.resize(local_base_);
  local_base_ = caller.local_base;
  visible_globals_ = caller.visible_globals;
}

std::vector<std::string_view> Scope::visible_names() const {
  std::vector<std::string_view> names;
  for (std::size_t i = local_base_; i < locals_.size(); ++i) names.push_back(locals_[i].name);
  for (std::size_t i = 0; i < visible_globals_; ++i) names.push_back(globals_[i].name);
  return names;
}

}  // namespace flexjit::dsl
