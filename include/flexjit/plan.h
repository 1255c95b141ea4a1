// Plan is what a call's lengths and tables come to, made once for a batch and used by all layers.
#pragma once

#include <memory>
#include <utility>

#include "flexjit/export.h"

namespace flexjit {

// Of Attention::plan(). Immutable and cheap to copy; several threads may run with it at once. An empty one is refused by run().
class FLEXJIT_API Plan {
 public:
  Plan() noexcept = default;
  bool empty() const noexcept { return impl_ == nullptr; }

  struct Impl;  // lib/engine
  explicit Plan(std::shared_ptr<const Impl> impl) noexcept : impl_(std::move(impl)) {}
  const Impl& impl() const noexcept { return *impl_; }

 private:
  std::shared_ptr<const Impl> impl_;
};

}  // namespace flexjit
