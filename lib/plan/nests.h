// Which loop nest a kernel has, and the functions that its code has: nests.def as values.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace flexjit::plan {

// Tiles of query rows over packed keys, few query rows that stream K and V as they lie, the gradients of tiles of both, or
// features of queries and keys that meet in a state, and what of rows alone its gradients need.
enum class Nest : std::uint8_t {
#define FLEXJIT_NEST(name, text, item, row, heads_by_row, diagonals, pairs) k##name,
#include "plan/nests.def"
};

struct NestFacts {
  std::string_view name;
  std::string_view item, row;
  bool heads_by_row, diagonals, pairs;
};
inline constexpr std::array kNestFacts = {
#define FLEXJIT_NEST(name, text, item, row, heads_by_row, diagonals, pairs) \
  NestFacts{text, item, row, heads_by_row, diagonals, pairs},
#include "plan/nests.def"
};
constexpr const NestFacts& facts_of(Nest nest) { return kNestFacts[static_cast<std::size_t>(nest)]; }
constexpr std::string_view name_of(Nest nest) { return facts_of(nest).name; }

enum class Entry : std::uint8_t {
#define FLEXJIT_ENTRY(nest, name, function, type) k##name,
#include "plan/nests.def"
};

struct EntryFacts {
  Nest nest;
  std::string_view function;  // its symbol
};
inline constexpr std::array kEntryFacts = {
#define FLEXJIT_ENTRY(nest, name, function, type) EntryFacts{Nest::k##nest, #function},
#include "plan/nests.def"
};

// Where the entries of a kernel begin, in bytes of its code; 0 for those of other nests.
class EntryOffsets {
 public:
  std::uint64_t& operator[](Entry entry) { return offsets_[static_cast<std::size_t>(entry)]; }
  std::uint64_t operator[](Entry entry) const { return offsets_[static_cast<std::size_t>(entry)]; }
  auto begin() const { return offsets_.begin(); }
  auto end() const { return offsets_.end(); }
  auto begin() { return offsets_.begin(); }
  auto end() { return offsets_.end(); }
  bool operator==(const EntryOffsets&) const = default;

 private:
  std::array<std::uint64_t, kEntryFacts.size()> offsets_{};
};

}  // namespace flexjit::plan
