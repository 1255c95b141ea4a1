// The least value is found by elimination: each symbol is replaced by the bound that makes the form smaller, indices by bounds
// in their lengths first, so that `kv_len - 1 - kv_idx` comes out as 0 whatever kv_len is.
#include "ir/analysis/linear.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <tuple>

#include "ir/evaluate/arithmetic.h"

namespace flexjit::ir {
namespace {

constexpr std::int64_t kMaxFactor = std::int64_t{1} << 20;
constexpr std::int64_t kMaxConstant = std::int64_t{1} << 40;
constexpr std::size_t kMaxTerms = 16;  // 16 * 2^20 * 2^32 < 2^63

// An index, and the length that it is below.
constexpr std::array<std::pair<Op, Op>, 5> kIndices = {{{Op::kBatch, Op::kBatchSize},
                                                        {Op::kHead, Op::kNumHeads},
                                                        {Op::kQIdx, Op::kQLen},
                                                        {Op::kKvIdx, Op::kKvLen},
                                                        {Op::kKvHead, Op::kNumKvHeads}}};

}  // namespace

Linear Linear::constant(std::int64_t value) {
  Linear form;
  form.constant_ = value;
  return form;
}

Linear Linear::symbol(Op op, std::uint32_t payload) {
  Linear form;
  form.terms_.push_back({op, payload, 1});
  return form;
}

std::optional<Linear> Linear::plus(const Linear& other, std::int64_t factor) const {
  const auto scaled = other.times(factor);
  if (!scaled) return std::nullopt;
  Linear sum;
  sum.constant_ = constant_ + scaled->constant_;
  auto key = [](const Term& term) { return std::tuple(term.op, term.param); };
  std::vector<Term> all = terms_;
  all.insert(all.end(), scaled->terms_.begin(), scaled->terms_.end());
  std::ranges::sort(all, {}, key);
  for (const Term& term : all) {
    if (!sum.terms_.empty() && key(sum.terms_.back()) == key(term)) {
      sum.terms_.back().factor += term.factor;
    } else {
      sum.terms_.push_back(term);
    }
  }
  std::erase_if(sum.terms_, [](const Term& term) { return term.factor == 0; });
  return sum.times(1);
}

std::optional<Linear> Linear::times(std::int64_t factor) const {
  auto fits = [](std::int64_t value, std::int64_t limit) { return -limit <= value && value <= limit; };
  // The first test keeps the products of the others inside 64 bits.
  if (factor == 0 || !fits(factor, kMaxConstant) || terms_.size() > kMaxTerms) {
    return factor == 0 ? std::optional(Linear()) : std::nullopt;
  }
  if (!fits(constant_, kMaxConstant / std::abs(factor))) return std::nullopt;
  Linear product = *this;
  product.constant_ *= factor;
  for (Term& term : product.terms_) {
    if (!fits(term.factor, kMaxFactor / std::abs(factor))) return std::nullopt;
    term.factor *= factor;
  }
  return product;
}

std::int64_t Linear::least(const std::vector<bool>& nonnegative_params) const {
  std::array<std::int64_t, kOpCount> factor{};
  std::int64_t bound = constant_;
  for (const Term& term : terms_) {
    if (term.op != Op::kParam) {
      factor[static_cast<std::size_t>(term.op)] += term.factor;
    } else if (term.factor < 0) {
      bound += term.factor * kInt32Max;
    } else if (!nonnegative_params[term.param]) {
      bound += term.factor * kInt32Min;
    }
  }
  auto of = [&](Op op) -> std::int64_t& { return factor[static_cast<std::size_t>(op)]; };
  for (auto [index, length] : kIndices) {  // 0 <= index <= length - 1
    if (of(index) >= 0) continue;
    of(length) += of(index);
    bound -= of(index);
  }
  if (of(Op::kNumKvHeads) < 0) {  // num_kv_heads <= num_heads
    of(Op::kNumHeads) += of(Op::kNumKvHeads);
    of(Op::kNumKvHeads) = 0;
  }
  for (Op length : {Op::kQLen, Op::kKvLen, Op::kNumHeads, Op::kNumKvHeads, Op::kBatchSize}) {
    bound += of(length) * (of(length) > 0 ? 1 : kMaxLength);
  }
  for (Op offset : {Op::kQOffset, Op::kKvOffset}) bound += std::min<std::int64_t>(of(offset), 0) * kMaxLength;
  return bound;
}

}  // namespace flexjit::ir
