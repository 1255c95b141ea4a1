// Query rows -> the scratch, scaled, as products read them; and in which units the products, the scores, are then.
#pragma once

#include "codegen/parts/item.h"
#include "codegen/parts/real_rows.h"

namespace flexjit::codegen {

// Scores are in units in which exp(score) is 2^(exponent * score).
struct Units {
  Float query;  // what queries are multiplied with
  Float exponent;
  Float natural{};  // one unit in natural units; empty: 1
  Float product{};  // what q k is multiplied with before score_mod; empty: 1
};
// Where the factor of a scale goes that queries of bf16 do not take.
enum class RestGoes : std::uint8_t { kToProducts, kToExponent };
Units units_of(Emitter& e, Float scale, RestGoes rest);

// Rows as they are multiplied cell by cell.
void emit_query_rows(Emitter& e, const plan::KernelKey& key, const PrefillItem& item, const RealRows& q, Float factor);
// Rows as they are multiplied lane by lane (streamed_rows.h), padded with zeros to whole vectors.
void emit_query_rows(Emitter& e, const plan::KernelKey& key, const DecodeItem& item, const RealRows& q, Float factor);

}  // namespace flexjit::codegen
