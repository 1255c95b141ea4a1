// What is bound to the pattern is bound to every variant; only what a variant no longer declares is left out.
#include "explain/trials.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace flexjit::tools {
namespace {

std::size_t unproved(const PatternAnatomy& anatomy) {
  return static_cast<std::size_t>(std::ranges::count(anatomy.reads, false, &CapturedRead::proved));
}

const Scalar* value_of(const Subject& subject, const std::vector<ParamDeclaration>& params, const std::string& name) {
  const auto bound = subject.names.bindings.params.find(name);
  if (bound != subject.names.bindings.params.end()) return &bound->second;
  const auto declared = std::ranges::find(params, name, &ParamDeclaration::name);
  return declared != params.end() ? &declared->default_value : nullptr;
}

// `array` with its last dimension widened by zeros.
Array widened(const Array& array, std::int64_t width) {
  Array wide(array.dtype, {array.shape[0], array.shape[1], array.shape[2], width});
  const std::size_t size = size_of(array.dtype);
  const auto row = static_cast<std::size_t>(array.shape[3]) * size, wide_row = static_cast<std::size_t>(width) * size;
  for (std::size_t i = 0; i * row < array.bytes.size(); ++i)
    std::memcpy(wide.bytes.data() + i * wide_row, array.bytes.data() + i * row, row);
  return wide;
}

}  // namespace

void Trials::add(Advice advice, const AttentionSpec& spec, std::optional<Bindings> bindings) {
  Result<Attention> attention = subject_.engine.compile(spec);
  if (!attention) return;
  contenders_.push_back(subject_.contender(std::move(*attention)));
  contenders_.back().own_bindings = std::move(bindings);
  advice_.push_back(std::move(advice));
}

void Trials::add_problem(Advice advice, const AttentionSpec& spec, Problem problem) {
  const std::size_t before = contenders_.size();
  add(std::move(advice), spec);
  if (contenders_.size() == before) return;
  OtherProblem& other = problems_.emplace_back(OtherProblem{std::move(problem), {}});
  other.outputs = {other.problem.make_output(), other.problem.make_lse()};
  contenders_.back().problem = &other.problem;
  contenders_.back().outputs = &other.outputs;
}

void Trials::try_constant(Advice advice, const std::string& param) {
  const std::vector<ParamDeclaration> params = subject_.attention->params();
  const Scalar* value = value_of(subject_, params, param);
  if (value == nullptr) return;
  const Result<AttentionSpec> spec = with_constant(subject_.spec, param, *value);
  if (!spec) return;
  Bindings rest = subject_.names.bindings;
  rest.params.erase(param);
  add(std::move(advice), *spec, std::move(rest));
}

void Trials::try_extents(Advice advice, const CapturedRead& read) {
  const std::string& buffer = read.buffer;
  const std::vector<BufferDeclaration> buffers = subject_.attention->buffers();
  const auto declared = std::ranges::find(buffers, buffer, &BufferDeclaration::name);
  const Result<PatternAnatomy> now = dissect(subject_.spec, subject_.engine.options());
  if (declared == buffers.end() || !now) return;
  const TensorView& view = subject_.names.bindings.buffers.at(buffer);
  const Sizes& s = subject_.problem.sizes;
  const std::pair<const char*, std::int64_t> names[] = {
      {"kv_len", s.kv_len}, {"q_len", s.q_len}, {"num_heads", s.heads}, {"num_kv_heads", s.kv_heads}, {"batch_size", s.batch}};
  for (std::size_t d = 0; d < declared->extents.size(); ++d) {
    std::vector<std::string> candidates;
    for (const auto& [name, size] : names) {
      if (size == view.shape[d]) candidates.emplace_back(name);
    }
    candidates.push_back(fmt::format("{}", view.shape[d]));
    std::erase(candidates, declared->extents[d]);
    for (const std::string& candidate : candidates) {
      std::vector<std::string> extents = declared->extents;
      extents[d] = candidate;
      const Result<AttentionSpec> spec = with_extents(subject_.spec, buffer, extents);
      const Result<PatternAnatomy> then = spec ? dissect(*spec, subject_.engine.options()) : Result<PatternAnatomy>(*now);
      if (!spec || !then || unproved(*then) >= unproved(*now)) continue;
      advice.text += fmt::format(": declare its extents as [{}]", fmt::join(extents, ", "));
      return add(std::move(advice), *spec);
    }
  }
  // What proves the read at a query does not prove the one at a key.
  const bool proved_elsewhere =
      std::ranges::any_of(now->reads, [&](const CapturedRead& other) { return other.buffer == buffer && other.proved; });
  advice.text +=
      proved_elsewhere
          ? ": where one tensor is read at q_idx and at kv_idx, declare and bind it twice, as [q_len] and as [kv_len]"
          : ": no declared extent proves it; clamp the index, or make it a sum of positions and constants";
  facts_.push_back(std::move(advice));
}

void Trials::try_kept_mask(Advice advice) {
  add(std::move(advice), subject_.spec);
  contenders_.back().block_mask = &*subject_.blocks;
}

void Trials::try_v_head_dim(Advice advice, std::int64_t v_head_dim) {
  if (subject_.problem.layout != Layout::kBhsd) return;
  Problem problem = subject_.problem;
  problem.v = widened(problem.v, v_head_dim);
  problem.sizes.v_head_dim = v_head_dim;
  AttentionSpec spec = subject_.spec;
  spec.v_head_dim = static_cast<std::int32_t>(v_head_dim);
  add_problem(std::move(advice), spec, std::move(problem));
}

void Trials::try_bf16_keys(Advice advice) {
  Problem problem = subject_.problem;
  for (Array* array : {&problem.k, &problem.v}) *array = convert(*array, DType::kBF16, "K and V").value();
  AttentionSpec spec = subject_.spec;
  spec.kv_dtype = DType::kBF16;
  add_problem(std::move(advice), spec, std::move(problem));
}

Diagnostics Trials::run(int threads, std::vector<Advice>& advice) {
  if (contenders_.empty()) return {};
  constexpr double kShare = 0.4;
  const auto compared = compare(subject_.contender(*subject_.attention), contenders_,
                                {.threads = threads, .seconds = subject_.seconds * kShare}, subject_.progress);
  if (!compared) return compared.diagnostics();
  for (std::size_t i = 0; i < contenders_.size(); ++i) {
    const Result<Comparison>& result = (*compared)[i];
    if (!result) continue;
    Advice& found = advice_[i];
    // By run: the change may alter what is computed.
    Comparison by_run = *result;
    by_run.rival_scores = by_run.base_scores;
    found.gain = cost_of(by_run);
    advice.push_back(std::move(found));
  }
  return {};
}

}  // namespace flexjit::tools
