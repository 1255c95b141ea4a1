// Products of queries and keys -> modified scores: mask_mod, score_mod, and the checks of what they read from captured buffers.
#pragma once

#include "codegen/parts/tables.h"

namespace flexjit::codegen {

// Where reads are checked. Their flags are in the scope; those of outer loops are not, where `fine` says whether they need be.
struct Place {
  Index row;
  Index column{};  // in the tables
  Bool fine{};
};

// Of one vector of scores.
struct Masking {
  Bool inside;  // the lanes whose keys are in the span
  Bool masked;  // the mask decides; else every key inside is allowed
};
struct MaskedScores {
  Float score;  // -inf where it is not allowed
  Bool allowed;
};

struct Scores {
  Emitter& e;
  Tables& tables;
  Ptr fault;
  Index rows{};     // rows from here on pad the last ones, and find no fault; empty: none
  Float product{};  // what products are multiplied with before score_mod; empty: 1

  // score_mod of products; what `scope` needs of rows, columns and diagonals must be loaded.
  Float modified(Scope& scope, Float score) const;
  void check_score_reads(const Scope& scope, const Place& at) const;
  // allowed = inside && (mask_mod || !masked); allowed ? score_mod(score) : -inf
  MaskedScores masked(Scope& scope, Float score, const Place& at, const Masking& masking) const;

 private:
  // Of the wanted nodes, where `counts`: elsewhere the mask that reads does not decide.
  struct Faults {
    const std::vector<bool>& wanted;
    Bool counts;
  };
  Bool mask(Scope& scope, const Place& at, const Masking& masking) const;
  void check(const Scope& scope, const Place& at, const Faults& faults) const;
  void check_known(const Scope& scope, Index row, const Faults& faults) const;
};

}  // namespace flexjit::codegen
