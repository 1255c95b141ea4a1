// Attention::plan: checks, shares and masks of a call without its tensors' contents. A run with the plan compares what the
// plan was made from with what the call brings: that costs a look at each number, and a table that was changed meanwhile is an
// error and not an access to what is no page any more.
#include "flexjit/plan.h"

#include <cstring>

#include "call/linear/linear_call.h"
#include "diagnostics/guard.h"
#include "engine/planned.h"

namespace flexjit {

namespace engine {

namespace {

using Views = std::array<TensorView Sequences::*, 9>;
constexpr Views kViews = {&Sequences::cu_seqlens_q, &Sequences::seqused_q,       &Sequences::cu_seqlens_k,
                          &Sequences::total_len,    &Sequences::cache_batch_idx, &Sequences::cache_leftpad,
                          &Sequences::block_table,  &Sequences::page_indptr,     &Sequences::page_indices};

// visit(first, count) for each run of numbers that lie side by side, until it returns false.
template <typename Visit>
bool visit_numbers(const TensorView& view, const Visit& visit) {
  if (view.data == nullptr) return true;
  const auto* data = static_cast<const std::int32_t*>(view.data);
  const bool table = view.rank == 2;
  const std::int64_t rows = table ? view.shape[0] : 1, columns = view.shape[table ? 1 : 0],
                     stride = view.strides[table ? 1 : 0];
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int32_t* first = data + (table ? row * view.strides[0] : 0);
    if (stride == 1 || columns <= 1) {
      if (!visit(first, columns)) return false;
      continue;
    }
    for (std::int64_t i = 0; i < columns; ++i)
      if (!visit(first + i * stride, 1)) return false;
  }
  return true;
}

std::vector<std::int32_t> numbers_of(const Sequences* sequences) {
  std::vector<std::int32_t> numbers;
  if (sequences == nullptr) return numbers;
  for (const TensorView Sequences::* view : kViews)
    visit_numbers(sequences->*view, [&](const std::int32_t* first, std::int64_t count) {
      numbers.insert(numbers.end(), first, first + count);
      return true;
    });
  return numbers;
}

// Whether the tensors, in the same shapes, hold the same numbers in the same memory, to which a plan refers.
bool is_same(const Plan::Impl& plan, const Sequences* sequences) {
  if ((sequences != nullptr) != plan.given.has_value()) return false;
  if (sequences == nullptr) return true;
  std::size_t at = 0;
  for (const TensorView Sequences::* view : kViews) {
    const TensorView &now = sequences->*view, &then = (*plan.given).*view;
    if (now.data != then.data || now.rank != then.rank || now.shape != then.shape || now.strides != then.strides) return false;
    if (now.dtype != then.dtype) return false;
    const bool same = visit_numbers(now, [&](const std::int32_t* first, std::int64_t count) {
      const bool equal = std::memcmp(first, &plan.numbers[at], static_cast<std::size_t>(count) * sizeof(*first)) == 0;
      at += static_cast<std::size_t>(count);
      return equal;
    });
    if (!same) return false;
  }
  return true;
}

Result<Plan> make_plan(const Attention::Impl& impl, const RunArgs& args) {
  if (args.block_mask != nullptr || (args.sequences != nullptr && !args.sequences->block_masks.empty()))
    return single_finding("plan", Finding::kSequenceOption, "a block mask is given; a plan holds masks that it derives");
  Result<Call> call = check_call(*impl.pattern, args);
  if (!call) return call.diagnostics();
  auto plan = std::make_shared<Plan::Impl>();
  plan->pattern = impl.pattern;
  plan->q_shape = args.q.shape;
  plan->k_shape = args.k.shape;
  plan->numbers = numbers_of(args.sequences);
  if (args.sequences != nullptr) plan->given = *args.sequences;
  plan->params = call->bound.params;
  if (impl.kernel != nullptr && !call->has_no_rows()) {
    share_out(impl, *call, plan->shares);
    plan->decode = decode_work(impl, args, *call, plan->shares.decode);
    plan->prefill = prefill_work(impl, args, *call, plan->shares.prefill);
  }
  plan->sequences = {call->shape, std::move(call->sequences), call->page_size};
  return Plan(std::move(plan));
}

}  // namespace

Diagnostics check_plan(const Attention::Impl& impl, const RunArgs& args) {
  const auto stale = [](const char* what) { return single_finding("run", Finding::kStalePlan, what); };
  if (args.plan->empty()) return single_finding("run", Finding::kEmptyHandle, "plan", "make one by Attention::plan");
  const Plan::Impl& plan = args.plan->impl();
  if (plan.pattern != impl.pattern) return stale("another pattern");
  if (plan.q_shape != args.q.shape || plan.k_shape != args.k.shape) return stale("tensors of other shapes");
  if (!is_same(plan, args.sequences)) return stale("other lengths, places or tables");
  return {};
}

}  // namespace engine

Result<Plan> Attention::plan(const RunArgs& args) const {
  return engine::guarded("plan", *this, [&]() -> Result<Plan> {
    if (Diagnostics none = engine::refuse_linear(*impl_->pattern, "plan", "nothing is derived for a call"); !none.empty())
      return none;
    return engine::make_plan(*impl_, args);
  });
}

}  // namespace flexjit
