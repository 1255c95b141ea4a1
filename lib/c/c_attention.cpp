// The part of c_api.h about compiled patterns: running them, looking at what they do, what they want bound.
#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <vector>

#include "c/c_convert.h"
#include "c/c_handles.h"

namespace {

using flexjit::Status;
using flexjit::Unit;
using flexjit::engine::c_call;
using flexjit::engine::complete;
using flexjit::engine::fill;
using flexjit::engine::Finding;
using flexjit::engine::Report;
using flexjit::engine::require;
using flexjit::engine::run_with;

template <typename Run>
Status run_handle(const flexjit_attention* attention, const flexjit_run_args* args, flexjit_run_stats* stats, Report& report,
                  const Run& run) {
  require(attention, "attention", report);
  if (!report.empty()) return report.take();
  return run_with([&](const flexjit::RunArgs& r) { return run(attention->attention, r); }, args, stats, report);
}

Status run_reference(const flexjit_attention* attention, const flexjit_run_args* args, const flexjit::ReferenceRows& rows,
                     flexjit_run_stats* stats, Report& report) {
  return run_handle(attention, args, stats, report,
                    [&](const flexjit::Attention& a, const flexjit::RunArgs& r) { return a.run_reference(r, rows); });
}

using BackwardFunction = flexjit::Result<flexjit::RunStats> (*)(const flexjit::Attention&, const flexjit::RunArgs&,
                                                                const flexjit::Gradients&);

// What both backward calls are given.
struct BackwardArguments {
  const flexjit_attention* attention;
  const flexjit_run_args* forward;
  const flexjit_gradients* gradients;
  flexjit_run_stats* stats;
};

Status run_backward_by(BackwardFunction run, const BackwardArguments& given, Report& report) {
  const auto full = complete(given.gradients, "flexjit_gradients", flexjit_gradients_init, report);
  if (!full) return report.take();
  const flexjit::Gradients gradients = flexjit::engine::to_gradients(*full, report);
  return run_handle(given.attention, given.forward, given.stats, report,
                    [&](const flexjit::Attention& a, const flexjit::RunArgs& r) { return run(a, r, gradients); });
}

flexjit::ScoreRows to_score_rows(const flexjit_score_rows& rows) {
  flexjit::ScoreRows result{.q = {rows.q_begin, rows.q_end}};
  if (rows.b != -1) result.b = rows.b;
  if (rows.h != -1) result.h = rows.h;
  return result;
}

// Attention::scores or Attention::weights, and what C calls them.
struct RowNumbers {
  const char *call, *what, *count;
  flexjit::Result<std::vector<float>> (flexjit::Attention::*of)(const flexjit::RunArgs&, const flexjit::ScoreRows&) const;
};

flexjit::Result<flexjit::RunStats> copy_numbers(const RowNumbers& numbers, const flexjit::Attention& attention,
                                                const flexjit::RunArgs& args, const flexjit::ScoreRows& rows,
                                                std::span<float> target) {
  const flexjit::Result<std::vector<float>> found = (attention.*numbers.of)(args, rows);
  if (!found) return found.diagnostics();
  if (found->size() != target.size()) {
    return flexjit::engine::single_finding(numbers.what, Finding::kBadOption, numbers.count, target.size(),
                                           fmt::format("these rows have {} {}", found->size(), numbers.what));
  }
  std::ranges::copy(*found, target.begin());
  return flexjit::RunStats{};
}

struct RowCall {
  const flexjit_attention* attention;
  const flexjit_run_args* args;
  const flexjit_score_rows* rows;
  float* target;
  size_t count;
};
flexjit_status copy_rows(const RowNumbers& numbers, const RowCall& call, flexjit_error** error) {
  return c_call(numbers.call, error, [&](Report& report) -> Status {
    require(call.target, numbers.what, report);
    const auto full = complete(call.rows, "flexjit_score_rows", flexjit_score_rows_init, report);
    if (!report.empty()) return report.take();
    return run_handle(call.attention, call.args, nullptr, report, [&](const flexjit::Attention& a, const flexjit::RunArgs& r) {
      return copy_numbers(numbers, a, r, to_score_rows(*full), {call.target, call.count});
    });
  });
}

// The index-th of what a handle has.
template <typename Element, typename Use>
flexjit_status with_element(const char* call, flexjit_error** error, const std::vector<Element>* elements, std::size_t index,
                            const void* target, const Use& use) {
  return c_call(call, error, [&](Report& report) -> Status {
    require(elements, "attention", report);
    require(target, "the place for the answer", report);
    if (!report.empty()) return report.take();
    if (index < elements->size()) return use((*elements)[index]), Unit{};
    report.add(Finding::kBadOption, "index", index, fmt::format("there are {}, numbered from 0", elements->size()));
    return report.take();
  });
}

}  // namespace

flexjit_status flexjit_attention_run(const flexjit_attention* attention, const flexjit_run_args* args, flexjit_run_stats* stats,
                                     flexjit_error** error) {
  return c_call("flexjit_attention_run", error, [&](Report& report) {
    return run_handle(attention, args, stats, report,
                      [](const flexjit::Attention& a, const flexjit::RunArgs& r) { return a.run(r); });
  });
}

flexjit_status flexjit_attention_run_reference(const flexjit_attention* attention, const flexjit_run_args* args,
                                               flexjit_run_stats* stats, flexjit_error** error) {
  return c_call("flexjit_attention_run_reference", error,
                [&](Report& report) { return run_reference(attention, args, {}, stats, report); });
}

flexjit_status flexjit_attention_run_reference_rows(const flexjit_attention* attention, const flexjit_run_args* args,
                                                    const flexjit_reference_rows* rows, flexjit_run_stats* stats,
                                                    flexjit_error** error) {
  return c_call("flexjit_attention_run_reference_rows", error, [&](Report& report) -> Status {
    const auto full = complete(rows, "flexjit_reference_rows", flexjit_reference_rows_init, report);
    if (!full) return report.take();
    return run_reference(attention, args, {full->q_begin, full->q_count}, stats, report);
  });
}

flexjit_status flexjit_attention_scores(const flexjit_attention* attention, const flexjit_run_args* args,
                                        const flexjit_score_rows* rows, float* scores, size_t score_count,
                                        flexjit_error** error) {
  constexpr RowNumbers kScores{"flexjit_attention_scores", "scores", "score_count", &flexjit::Attention::scores};
  return copy_rows(kScores, {attention, args, rows, scores, score_count}, error);
}

flexjit_status flexjit_attention_weights(const flexjit_attention* attention, const flexjit_run_args* args,
                                         const flexjit_score_rows* rows, float* weights, size_t weight_count,
                                         flexjit_error** error) {
  constexpr RowNumbers kWeights{"flexjit_attention_weights", "weights", "weight_count", &flexjit::Attention::weights};
  return copy_rows(kWeights, {attention, args, rows, weights, weight_count}, error);
}

flexjit_status flexjit_run_backward(const flexjit_attention* attention, const flexjit_run_args* forward,
                                    const flexjit_gradients* gradients, flexjit_run_stats* stats, flexjit_error** error) {
  return c_call("flexjit_run_backward", error, [&](Report& report) {
    return run_backward_by(flexjit::run_backward, {attention, forward, gradients, stats}, report);
  });
}

flexjit_status flexjit_run_backward_reference(const flexjit_attention* attention, const flexjit_run_args* forward,
                                              const flexjit_gradients* gradients, flexjit_run_stats* stats,
                                              flexjit_error** error) {
  return c_call("flexjit_run_backward_reference", error, [&](Report& report) {
    return run_backward_by(flexjit::run_backward_reference, {attention, forward, gradients, stats}, report);
  });
}

flexjit_kernel_source flexjit_attention_kernel_source(const flexjit_attention* attention) {
  if (attention == nullptr) return FLEXJIT_SOURCE_NONE;
  return static_cast<flexjit_kernel_source>(attention->attention.kernel_source());
}

double flexjit_attention_compile_ms(const flexjit_attention* attention) {
  return attention != nullptr ? attention->attention.compile_ms() : -1;
}

const char* flexjit_attention_target(const flexjit_attention* attention) {
  return attention != nullptr ? attention->target.c_str() : nullptr;
}

const char* flexjit_attention_warnings(const flexjit_attention* attention) {
  return attention != nullptr ? attention->warnings.c_str() : nullptr;
}

const char* flexjit_kernel_source_name(flexjit_kernel_source source) {
  const auto known = flexjit::engine::enum_of<flexjit::KernelSource>(source, FLEXJIT_SOURCE_BUILT);
  return known ? flexjit::name_of(*known).data() : nullptr;
}

size_t flexjit_attention_buffer_count(const flexjit_attention* attention) {
  return attention != nullptr ? attention->buffers.size() : 0;
}

flexjit_status flexjit_attention_buffer(const flexjit_attention* attention, size_t index, flexjit_buffer_info* info,
                                        flexjit_error** error) {
  const auto describe = [&](const flexjit::BufferDeclaration& buffer) {
    flexjit_buffer_info filled{0, buffer.name.c_str(), static_cast<flexjit_dtype>(buffer.dtype), buffer.rank, {}};
    for (std::size_t d = 0; d < buffer.extents.size(); ++d) filled.extents[d] = buffer.extents[d].c_str();
    fill(info, filled, sizeof(*info));
  };
  const auto* buffers = attention != nullptr ? &attention->buffers : nullptr;
  return with_element("flexjit_attention_buffer", error, buffers, index, info, describe);
}

size_t flexjit_attention_param_count(const flexjit_attention* attention) {
  return attention != nullptr ? attention->params.size() : 0;
}

flexjit_status flexjit_attention_param(const flexjit_attention* attention, size_t index, flexjit_param* param,
                                       flexjit_error** error) {
  const auto describe = [&](const flexjit::ParamDeclaration& declared) {
    *param = {declared.name.c_str(), flexjit::engine::from_scalar(declared.default_value)};
  };
  const auto* params = attention != nullptr ? &attention->params : nullptr;
  return with_element("flexjit_attention_param", error, params, index, param, describe);
}

void flexjit_attention_destroy(flexjit_attention* attention) { delete attention; }

flexjit_status flexjit_quantize_kv(const flexjit_quantize_args* args, flexjit_error** error) {
  return c_call("flexjit_quantize_kv", error, [&](Report& report) -> Status {
    const auto full = complete(args, "flexjit_quantize_args", flexjit_quantize_args_init, report);
    if (!full) return report.take();
    const flexjit::QuantizeArgs converted = flexjit::engine::to_quantize_args(*full, report);
    if (!report.empty()) return report.take();
    return flexjit::quantize_kv(converted);
  });
}

flexjit_status flexjit_merge_states(const flexjit_merge_args* args, flexjit_error** error) {
  return c_call("flexjit_merge_states", error, [&](Report& report) -> Status {
    const auto full = complete(args, "flexjit_merge_args", flexjit_merge_args_init, report);
    if (!full) return report.take();
    std::vector<flexjit::AttentionState> states;
    const flexjit::MergeArgs converted = flexjit::engine::to_merge_args(*full, states, report);
    if (!report.empty()) return report.take();
    return flexjit::merge_states(converted);
  });
}
