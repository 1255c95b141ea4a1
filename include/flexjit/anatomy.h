// What a pattern's text consists of, so that a tool can say what each part costs: every part comes with the pattern that lacks
// it, and measuring both is the caller's business. An engine needs none of this.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "flexjit/attention.h"
#include "flexjit/engine.h"
#include "flexjit/vocabulary.h"

namespace flexjit {

// Where a part stands in the text; as in Diagnostic.
struct TextPlace {
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  std::uint32_t length = 0;
  std::string snippet;
};

// Where a kernel computes a value.
enum class Loop : std::uint8_t {
  kTile,      // once a tile of query rows; when decoding, once a kv head and range of keys
  kRow,       // once a query row of a tile
  kColumn,    // once a key of a tile
  kDiagonal,  // once a value of kv_idx - q_idx of a tile; not when decoding
  kScore,     // for every score
};
FLEXJIT_API std::string_view name_of(Loop loop) noexcept;  // "tile", "row", "column", "diagonal", "score"

struct PatternPart {
  PartRole role = PartRole::kTerm;
  std::string text;  // as written, on one line
  TextPlace place;
  std::string replacement;    // what stands in its place in `variant`
  std::int32_t parent = -1;   // the part that this one is inside of, an earlier one; -1: none
  bool decides_mask = false;  // the variant's mask is another one
  bool depends_on_score = false;
  std::optional<Loop> loop;           // of the part alone; absent where it stands on names of an inner scope
  std::string function;               // kCall: its name
  std::vector<std::string> divisors;  // kDivision: the params that its right side depends on
  AttentionSpec variant;              // compiles; a run may fail, where the part kept a read inside its buffer
};

// A read of a captured buffer, as the kernel makes it.
struct CapturedRead {
  std::string buffer;
  TextPlace place;  // line 0 where it is proved and the text reads the buffer in several places
  Loop loop = Loop::kScore;
  bool in_mask = false;     // the mask needs it; the score may, too
  bool contiguous = false;  // kScore: neighbouring keys read neighbouring elements, where the innermost stride is 1
  bool proved = false;      // in range for every call; otherwise each read is checked
};

struct PatternAnatomy {
  std::vector<PatternPart> parts;  // at most 64, each with another kernel than the rest
  std::vector<CapturedRead> reads;
  bool decodes = false;    // loops are those of the kernel for few query rows
  std::int32_t lanes = 0;  // key columns, or elements of v, of one vector of the kernel's arithmetic
};

// `spec` has its text in `program`. Flags of the spec are in every variant, and are no parts. The sizes of `call` say which of
// the pattern's kernels is meant. Thread-safe. Errors: those of Engine::compile() about the text and the target; `bad-option`
// without a program.
FLEXJIT_API Result<PatternAnatomy> dissect(const AttentionSpec& spec, const EngineOptions& options,
                                           const BlockMaskOptions& call = {.q_len = 1024, .kv_len = 1024});

// The program with param `name` as a const of this value: another kernel for each value, without the param. A float must be
// finite. Errors: those of the text, before and after; `unknown-binding`, `bad-option`.
FLEXJIT_API Result<AttentionSpec> with_constant(const AttentionSpec& spec, const std::string& name, const Scalar& value);

// The program with these extents of buffer `name` declared, one a dimension, as in BufferDeclaration::extents. Errors: those of
// the text that results; `unknown-binding`, `bad-option`.
FLEXJIT_API Result<AttentionSpec> with_extents(const AttentionSpec& spec, const std::string& name,
                                               const std::vector<std::string>& extents);

}  // namespace flexjit
