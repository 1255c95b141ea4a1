// The rest of the handle: what it is made of.
#include "flexjit/attention.h"

#include <vector>

#include "call/call.h"

namespace flexjit {

std::string_view name_of(KernelSource source) noexcept {
  switch (source) {
    case KernelSource::kCompiled: return "compiled";
    case KernelSource::kMemory: return "memory";
    case KernelSource::kDisk: return "disk";
    case KernelSource::kReference: return "reference";
    case KernelSource::kBuilt: return "built";
  }
  return {};
}

KernelSource Attention::kernel_source() const noexcept { return impl_ != nullptr ? impl_->source : KernelSource::kReference; }
double Attention::compile_ms() const noexcept { return impl_ != nullptr ? impl_->compile_ms : 0; }
const Diagnostics& Attention::warnings() const& noexcept {
  return impl_ != nullptr ? impl_->pattern->warnings : no_diagnostics();
}

std::string Attention::target() const {
  return impl_ != nullptr && impl_->kernel != nullptr ? plan::name_of(impl_->pattern->key->key.target) : std::string();
}

std::vector<BufferDeclaration> Attention::buffers() const {
  if (impl_ == nullptr) return {};
  const ir::Interface& interface = impl_->pattern->interface;
  std::vector<BufferDeclaration> declarations;
  for (const ir::BufferInterface& buffer : interface.buffers) {
    BufferDeclaration& declaration = declarations.emplace_back();
    declaration.name = buffer.name;
    declaration.dtype = buffer.dtype;
    declaration.rank = static_cast<int>(buffer.extents.size());
    for (const ir::Extent& extent : buffer.extents) declaration.extents.push_back(ir::spelling_of(extent, interface));
  }
  return declarations;
}

std::vector<ParamDeclaration> Attention::params() const {
  if (impl_ == nullptr) return {};
  std::vector<ParamDeclaration> declarations;
  for (const ir::ParamInterface& param : impl_->pattern->interface.params) {
    declarations.push_back({.name = param.name, .default_value = param.default_value});
  }
  return declarations;
}

}  // namespace flexjit
