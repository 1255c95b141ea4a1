// Products of queries and keys -> modified scores: mask_mod, score_mod, and the checks of what they read from captured buffers.
#pragma once

#include "codegen/parts/tables.h"

namespace flexjit::codegen {

// One row and a vector of columns, as entries of the tables, and which of them count.
struct Place {
  Index row;
  Index column{};
  Bool inside{};  // lanes whose keys are in the span
  Bool masked{};  // the mask decides; else every key inside is allowed
  Bool fine{};    // whether reads of outer loops need no check; empty: their flags are in the scope, like all others
};

struct MaskedScores {
  Float score;  // -inf where it is not allowed
  Bool allowed;
};

// What `scope` needs of rows, columns and diagonals must be loaded.
struct Scores {
  Emitter& e;
  Tables& tables;
  Ptr fault;
  Index rows{};     // rows from here on pad the last ones, and find no fault; empty: none
  Float product{};  // what products are multiplied with before score_mod; empty: 1

  // score_mod(score)
  Float modified(Scope& scope, Float score) const;
  // allowed = inside && (mask_mod || !masked); allowed ? score_mod(score) : -inf
  MaskedScores masked(Scope& scope, Float score, const Place& at) const;
  // What the weights of these pairs are multiplied with after the softmax; empty: 1
  Float weight_factor(Scope& scope) const;
  // The gradient of the score that came in, of that of the modified score.
  Float pulled_back(Scope& scope, Float gradient) const;
  // Reports reads of the wanted nodes that are out of range where `counts`.
  void check(const Scope& scope, const Place& at, const std::vector<bool>& wanted, Bool counts) const;
};

}  // namespace flexjit::codegen
