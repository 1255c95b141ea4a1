// AttentionSpec as a value: declarations from bindings, equality and hash.
#include <algorithm>
#include <bit>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "flexjit/spec.h"
#include "pattern/flags.h"
#include "pattern/pattern.h"

namespace flexjit {

namespace {

template <typename Declarations>
bool declares(const Declarations& declarations, const std::string& name) {
  return std::ranges::any_of(declarations, [&](const auto& declaration) { return declaration.name == name; });
}

bool same_bits(std::optional<double> a, std::optional<double> b) {
  if (!a || !b) return a.has_value() == b.has_value();
  return std::bit_cast<std::uint64_t>(*a) == std::bit_cast<std::uint64_t>(*b);
}

bool same_scalar(const Scalar& a, const Scalar& b) {
  if (a.index() != b.index()) return false;
  if (const double* value = std::get_if<double>(&a)) return same_bits(*value, std::get<double>(b));
  return a == b;
}

bool same_buffer(const BufferDeclaration& a, const BufferDeclaration& b) {
  return a.name == b.name && a.dtype == b.dtype && a.rank == b.rank;
}

bool same_param(const ParamDeclaration& a, const ParamDeclaration& b) {
  return a.name == b.name && same_scalar(a.default_value, b.default_value);
}

bool same_dropout(const std::optional<Dropout>& a, const std::optional<Dropout>& b) {
  if (!a || !b) return a.has_value() == b.has_value();
  return same_bits(a->p, b->p) && a->generator == b->generator;
}

bool same_flags(const AttentionSpec& a, const AttentionSpec& b) {
  return a.causal == b.causal && a.window == b.window && same_bits(a.softcap, b.softcap) && a.alibi == b.alibi &&
         a.key_lengths == b.key_lengths && a.key_mask == b.key_mask && a.attention_mask == b.attention_mask &&
         same_dropout(a.dropout, b.dropout);
}

}  // namespace

AttentionSpec AttentionSpec::declare(const Bindings& bindings) && { return std::move(declare(bindings)); }

AttentionSpec& AttentionSpec::declare(const Bindings& bindings) & {
  if (!program.empty() || language == TextLanguage::kCxx) return *this;  // its text declares its own names
  const std::vector<engine::Flag> flags = engine::flags_of(*this);
  const auto is_of_flag = [&](const std::string& name) {
    return std::ranges::any_of(flags, [&](const engine::Flag& flag) { return flag.uses(name); });
  };
  for (const auto& [name, view] : bindings.buffers) {
    if (!declares(buffers, name) && !is_of_flag(name))
      buffers.push_back({.name = name, .dtype = view.dtype, .rank = view.rank});
  }
  for (const auto& [name, value] : bindings.params) {
    if (!declares(params, name) && !is_of_flag(name)) params.push_back({.name = name, .default_value = value});
  }
  return *this;
}

namespace engine {

bool SpecEqual::operator()(const AttentionSpec& a, const AttentionSpec& b) const {
  return a.language == b.language && a.score_mod == b.score_mod && a.mask_mod == b.mask_mod && a.program == b.program &&
         a.program_name == b.program_name && types_of(a) == types_of(b) && a.weights == b.weights && same_flags(a, b) &&
         a.head_dim == b.head_dim && a.v_head_dim == b.v_head_dim && same_bits(a.scale, b.scale) &&
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
  const plan::ElementTypes types = types_of(spec);
  mix(static_cast<std::size_t>(types.q) << 16 | static_cast<std::size_t>(types.kv) << 8 | static_cast<std::size_t>(types.out));
  mix(spec.window ? static_cast<std::size_t>(spec.window->left) : 0U);
  mix(spec.softcap ? std::bit_cast<std::uint64_t>(*spec.softcap) : 0U);
  mix(spec.scale ? std::bit_cast<std::uint64_t>(*spec.scale) : 0U);
  return seed;
}

}  // namespace engine
}  // namespace flexjit
