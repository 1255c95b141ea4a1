// What a plan holds: the checked sequences of a call, who computes each, and the block masks that were derived for them.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "call/call.h"
#include "engine/launch_outcome.h"
#include "flexjit/plan.h"

namespace flexjit {

namespace engine {

// The sequences of a call by who computes them; those without a query are nowhere. The spans may refer to those of the call.
struct Shares {
  std::vector<plan::Sequence> decoded, prefilled, without_keys;  // of a call whose sequences differ
  std::span<const plan::Sequence> decode, prefill, empty;
};
void share_out(const Attention::Impl& impl, const Call& call, Shares& shares);

Work decode_work(const Attention::Impl& impl, const RunArgs& args, const Call& call, std::span<const plan::Sequence> sequences);
Work prefill_work(const Attention::Impl& impl, const RunArgs& args, const Call& call,
                  std::span<const plan::Sequence> sequences);

// Whether args.plan was made for what the call brings; the finding where it was not.
Diagnostics check_plan(const Attention::Impl& impl, const RunArgs& args);

}  // namespace engine

struct Plan::Impl {
  std::shared_ptr<const engine::Pattern> pattern;
  std::array<std::int64_t, kMaxRank> q_shape{}, k_shape{};
  std::optional<Sequences> given{};
  std::vector<std::int32_t> numbers{};  // all that the tensors of the sequences held
  std::vector<Scalar> params{};
  engine::Planned sequences{};
  engine::Shares shares{};
  engine::Work decode{}, prefill{};  // refer to `shares`
};

}  // namespace flexjit
