// A pattern of linear weights -> the keys of its gradients' kernels: its feature map with slopes, and products of rows.
#include "call/linear/linear_kernels.h"

#include <utility>

#include "ir/passes/passes.h"

namespace flexjit::engine {

namespace {

// Sums of products of rows of reals with themselves.
plan::KernelKey product_key(const plan::KernelKey& of, std::int32_t head_dim, std::int32_t v_head_dim) {
  const bool is_f64 = of.types.q == DType::kF64;
  ir::ProgramBuilder builder(is_f64 ? ir::Precision::kFp64 : ir::Precision::kFp32);
  ir::Roots roots;
  roots[ir::Root::kFeature] = builder.variable(ir::Op::kRowValue);
  const DType real = is_f64 ? DType::kF64 : DType::kF32;
  return plan::plan_kernel({.program = std::move(builder).finish(roots),
                            .nest = plan::Nest::kLinear,
                            .types = {.q = real, .kv = real, .out = real},
                            .weights = plan::Weights::kLinear,
                            .head_dim = head_dim,
                            .v_head_dim = v_head_dim,
                            .linear = {.features = head_dim, .projected = false, .normalised = false}},
                           of.target);
}

plan::KernelKey rows_key(const plan::KernelKey& of) {
  return plan::plan_kernel({.program = ir::simplify(ir::differentiate_features(of.program)),
                            .nest = plan::Nest::kLinearRows,
                            .types = of.types,
                            .weights = plan::Weights::kLinear,
                            .head_dim = of.head_dim,
                            .v_head_dim = of.v_head_dim,
                            .linear = of.linear},
                           of.target);
}

}  // namespace

Result<cache::SharedKernel> LinearKernels::find(plan::KernelKey key, Trace* trace) {
  auto hashed = std::make_shared<const cache::HashedKey>(std::move(key));
  Result<KernelStore::Found> found = store_->find_or_compile(hashed, pattern_->name, trace);
  if (!found) return found.diagnostics();
  return found->kernel;
}

Result<LinearKernels::Ready> LinearKernels::get(Trace* trace) {
  {
    const std::lock_guard lock(mutex_);
    if (ready_) return *ready_;
  }
  const plan::KernelKey& of = pattern_->key->key;
  Ready ready;
  const std::pair<cache::SharedKernel*, plan::KernelKey> wanted[] = {
      {&ready.rows, rows_key(of)},
      {&ready.to_features, product_key(of, of.v_head_dim + 1, of.linear.features)},
      {&ready.to_values, product_key(of, of.linear.features, of.v_head_dim)},
      {&ready.to_sums, product_key(of, of.linear.features, 1)}};
  for (const auto& [kernel, key] : wanted) {
    Result<cache::SharedKernel> found = find(key, trace);
    if (!found) return found.diagnostics();
    *kernel = *std::move(found);
  }
  const std::lock_guard lock(mutex_);
  ready_ = ready;
  return ready;
}

}  // namespace flexjit::engine
