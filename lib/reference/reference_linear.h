// Naive attention with linear weights in fp64: every pair, row by row, as it is written down. The oracle of the nest that is
// linear in the lengths, and what computes masks that it does not have.
#pragma once

#include <functional>
#include <span>

#include "reference/reference_attention.h"

namespace flexjit::reference {

// What a pattern says of linear weights. Functions return false to stop the whole computation (the caller keeps the reason).
struct LinearReference {
  std::int32_t features = 0;
  bool normalised = true;
  double eps = 0;
  // The features of a row of q or k, of the row's sequence and head.
  std::function<bool(const ReferenceRow& of, std::span<const double> elements, std::span<double> features)> map;
  // Weights of one row where the mask allows the pair, -inf elsewhere.
  ReferencePattern mask;
  // The gates of all keys of the row's sequence and head. Empty: 1.
  std::function<bool(const ReferenceRow& of, std::span<double> gates)> gates{};
  // The last key whose gate fades the row's weights; beside gates.
  std::function<std::int32_t(const ReferenceRow&)> last_key{};
};

// out = sum w v / max(sum w, eps), or sum w v, with w_ij = phi(q_i) . phi(k_j) times the gates after j up to the last key of i.
// A row without an allowed key is 0. launch.q/k/v/out hold elements of kernel.types; what is written is rounded once.
// Single-threaded. Returns false when a row stopped it.
bool reference_linear(const plan::Operands& launch, const ReferenceKernel& kernel, const ReferenceQueries& queries,
                      const LinearReference& linear);

}  // namespace flexjit::reference
