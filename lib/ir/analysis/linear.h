// Linear forms over the runtime values of a call, c0 + sum of c_i * symbol_i, and what is known of their least value: indices
// lie inside their lengths, lengths in [1, 2^30], num_kv_heads <= num_heads. Exact in 64 bits, because a form that grows
// too large does not come into being.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ir/program/program.h"

namespace flexjit::ir {

inline constexpr std::int64_t kMaxLength = std::int64_t{1} << 30;

class Linear {
 public:
  static Linear constant(std::int64_t value);
  // The int variable `op`; a param has its slot in `payload`.
  static Linear symbol(Op op, std::uint32_t payload);

  // Empty when a coefficient would leave the range in which sums cannot overflow.
  std::optional<Linear> plus(const Linear& other, std::int64_t factor) const;
  std::optional<Linear> times(std::int64_t factor) const;

  // A lower bound of the form over every call. `nonnegative_params`: slots known to be at least 0.
  std::int64_t least(const std::vector<bool>& nonnegative_params) const;

  bool operator==(const Linear&) const = default;

 private:
  struct Term {
    Op op;
    std::uint32_t param;
    std::int64_t factor;
    bool operator==(const Term&) const = default;
  };
  std::int64_t constant_ = 0;
  std::vector<Term> terms_;  // ascending by (op, param), no zero factor
};

}  // namespace flexjit::ir
