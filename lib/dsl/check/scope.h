// Names -> what they stand for. Global names in order of definition, and a stack of local ones; a function body sees its own
// locals and the globals that were defined before it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dsl/check/checked.h"

namespace flexjit::dsl {

enum class SymbolKind : std::uint8_t { kValue, kConst, kParam, kBuffer, kFunction, kBroken };

struct Symbol {
  std::string_view name;
  SymbolKind kind = SymbolKind::kBroken;
  TypedId value{};                         // kValue, kConst; invalid: in error
  std::uint32_t slot = 0;                  // kParam, kBuffer, kFunction
  Span span{};                             // of the definition; empty for names that the caller declared
  std::optional<std::size_t> statement{};  // that defines it; none for locals and for names that the caller declared
  bool is_read = false;
};

// "a buffer", "a param", ...
std::string_view describe(SymbolKind kind);

class Scope {
 public:
  // What a function body hides while it is inlined.
  struct Frame {
    std::size_t local_base = 0;
    std::size_t visible_globals = 0;
  };

  void define_global(const Symbol& symbol);
  void define_local(const Symbol& symbol) { locals_.push_back(symbol); }

  Symbol* find(std::string_view name);
  const Symbol* find_global(std::string_view name) const;
  // Among the locals from number `first` on.
  const Symbol* find_local(std::string_view name, std::size_t first) const;

  std::size_t local_count() const { return locals_.size(); }
  const Symbol& local(std::size_t number) const { return locals_[number]; }
  void drop_locals(std::size_t count) { locals_.resize(count); }
  std::size_t global_count() const { return globals_.size(); }
  void drop_globals(std::size_t count);

  Frame enter_function(std::size_t visible_globals);
  void leave_function(const Frame& caller);

  std::vector<std::string_view> visible_names() const;

 private:
  std::vector<Symbol> globals_;
  std::vector<Symbol> locals_;
  std::size_t local_base_ = 0;
  std::size_t visible_globals_ = 0;
};

}  // namespace flexjit::dsl
