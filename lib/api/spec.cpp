// AttentionSpec as a value: declarations from bindings, equality and hash.
#include <algorithm>
#include <bit>
#include <functional>
#include <optional>
#include <string>

#include "api/pattern.h"
#include "flexjit/attention.h"

namespace flexjit {

namespace {

template <typename Declarations>
bool declares(const Declarations& declarations, const std::string& name) {
  return std::ranges::any_of(declarations, [&](const auto& declaration) { return declaration.name == name; });
}

bool same_bits(std::optional<float> a, std::optional<float> b) {
  if (!a || !b) return a.has_value() == b.has_value();
  return std::bit_cast<std::uint32_t>(*a) == std::bit_cast<std::uint32_t>(*b);
}

bool same_scalar(const Scalar& a, const Scalar& b) {
  if (a.index() != b.index()) return false;
  if (const float* value = std::get_if<float>(&a)) return same_bits(*value, std::get<float>(b));
  return a == b;
}

bool same_buffer(const BufferDeclaration& a, const BufferDeclaration& b) {
  return a.name == b.name && a.dtype == b.dtype && a.rank == b.rank;
}

bool same_param(const ParamDeclaration& a, const ParamDeclaration& b) {
  return a.name == b.name && same_scalar(a.default_value, b.default_value);
}

}  // namespace

AttentionSpec& AttentionSpec::declare(const Bindings& bindings) {
  if (!program.empty()) return *this;  // a program declares its own names
  for (const auto& [name, view] : bindings.buffers) {
    if (!declares(buffers, name)) buffers.push_back({.name = name, .dtype = view.dtype, .rank = view.rank});
  }
  for (const auto& [name, value] : bindings.params) {
    if (!declares(params, name)) params.push_back({.name = name, .default_value = value});
  }
  return *this;
}

namespace api {

bool SpecEqual::operator()(const AttentionSpec& a, const AttentionSpec& b) const {
  return a.score_mod == b.score_mod && a.mask_mod == b.mask_mod && a.program == b.program && a.program_name == b.program_name &&
         a.dtype == b.dtype && a.head_dim == b.head_dim && a.v_head_dim == b.v_head_dim && same_bits(a.scale, b.scale) &&
         std::ranges::equal(a.buffers, b.buffers, same_buffer) && std::ranges::equal(a.params, b.params, same_param);
}

// Fields that rarely differ alone are left to SpecEqual.
std::size_t SpecHash::operator()(const AttentionSpec& spec) const {
  const std::hash<std::string> hash;
  std::size_t seed = hash(spec.score_mod);
  const auto mix = [&](std::size_t value) { seed = (seed ^ value) * 0x9E3779B97F4A7C15ULL + (seed >> 29); };
  mix(hash(spec.mask_mod));
  mix(hash(spec.program));
  mix(static_cast<std::size_t>(spec.head_dim));
  mix(static_cast<std::size_t>(spec.v_head_dim));
  mix(spec.scale ? std::bit_cast<std::uint32_t>(*spec.scale) : 0U);
  return seed;
}

}  // namespace api
}  // namespace flexjit
