// One text a flag, most of them presets. Their reads are proved in range: a tensor of a flag is repeated to its declared
// extents when it is bound.
#include "pattern/flags.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "dsl/check/check.h"
#include "flexjit/presets.h"
#include "ir/lower/lower.h"
#include "ir/program/compose.h"
#include "pattern/dropout.h"
#include "pattern/pattern.h"
#include "support/check.h"

namespace flexjit::engine {

namespace {

// Unlike the preset, with slopes by batch and head.
constexpr std::string_view kAlibi = R"(buffer alibi_slopes : f32[batch_size, num_heads]
score = score - alibi_slopes[b, h] * abs(q_idx + kv_len - q_len - kv_idx)
)";

// The text of a flag that has a diagonal, which then ends at the sequence's own length, as in FlashAttention, and not where the
// padding does.
std::string with_own_length(std::string_view text) {
  constexpr std::string_view kLength = "kv_len";
  std::string result = "buffer key_lengths : i32[batch_size]\nlet filled = min(key_lengths[b], kv_len)\n";
  for (std::size_t at = text.find(kLength); at != std::string_view::npos; at = text.find(kLength)) {
    result.append(text.substr(0, at)).append("filled");
    text.remove_prefix(at + kLength.size());
  }
  return result.append(text);
}

std::string_view preset_text(std::string_view name) { return find_preset(name).value().text; }

// -inf wins over whatever the caller's score is there, NaN included.
std::string attention_mask_text(const MaskTensor& mask) {
  static constexpr const char* kExtents[] = {"batch_size, num_heads, ", "num_heads, ", ""};
  static constexpr const char* kIndices[] = {"b, h, ", "h, ", ""};
  const int missing = std::clamp(kMaxRank - mask.rank, 0, 2);
  const std::string declaration =
      fmt::format("buffer attention_mask : {}[{}q_len, kv_len]\n", name_of(mask.dtype), kExtents[missing]);
  const std::string element = fmt::format("attention_mask[{}q_idx, kv_idx]", kIndices[missing]);
  if (mask.dtype == DType::kBool) return declaration + "mask = " + element + "\n";
  return declaration + "let bias = " + element + "\nscore = where(bias == -inf, -inf, score + bias)\n";
}

bool is_mask_dtype(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16 || dtype == DType::kBool;
}

void check_mask_tensor(const MaskTensor& mask, Report& report) {
  if (!is_mask_dtype(mask.dtype)) {
    report.add(Finding::kUnsupportedDType, "attention_mask.dtype", name_of(mask.dtype), "f32, bf16, f16 or bool");
  }
  if (mask.rank < 2 || mask.rank > kMaxRank) {
    report.add(Finding::kBadOption, "attention_mask.rank", mask.rank,
               "give 2 for (q_len, kv_len), 3 with q_heads, 4 with batch");
  }
}

ir::Lowered lower_flag(const Flag& flag) {
  Result<ir::Lowered> lowered =
      flag.generator ? make_dropout(*flag.generator, flag.precision) : ir::lower_source(flag.source());
  FLEXJIT_CHECK(lowered.has_value(), render(lowered.diagnostics()));
  for (ir::BufferInterface& buffer : lowered->interface.buffers) buffer.broadcasts = true;
  for (ir::ParamInterface& param : lowered->interface.params) {
    const auto value = std::ranges::find(flag.values, param.name, &FlagValue::name);
    FLEXJIT_CHECK(value != flag.values.end(), param.name);
    param.default_value = value->value;
    param.has_default = true;
    param.domain = value->domain;
  }
  return std::move(*lowered);
}

void check_names(const Flag& flag, const ir::Interface& text, Report& report) {
  const auto check = [&](const auto& declared) {
    if (flag.uses(declared.name)) report.add(Finding::kFlagName, declared.name, flag.name);
  };
  std::ranges::for_each(text.buffers, check);
  std::ranges::for_each(text.params, check);
}

// And finite, in kernels of every precision.
bool is_positive_fp32(double value) {
  const auto rounded = static_cast<float>(value);
  return std::isfinite(rounded) && rounded > 0;
}

bool inside(ir::ParamDomain domain, const Scalar& value) {
  switch (domain) {
    case ir::ParamDomain::kAny: return true;
    case ir::ParamDomain::kFromMinusOne: return std::get<std::int32_t>(value) >= -1;
    case ir::ParamDomain::kProbability: return std::get<double>(value) >= 0 && std::get<double>(value) <= 1;
    case ir::ParamDomain::kReductionBound: return std::get<std::int32_t>(value) <= dsl::kMaxParamBound;
    case ir::ParamDomain::kPositive: return is_positive_fp32(std::get<double>(value));
  }
  return true;
}

}  // namespace

bool Flag::uses(std::string_view declared) const {
  return std::ranges::find(tensors, declared) != tensors.end() ||
         std::ranges::find(values, declared, &FlagValue::name) != values.end();
}

dsl::Source Flag::source() const {
  dsl::Source source;
  source.file = dsl::SourceText{name, text};
  source.precision = precision;
  return source;
}

std::vector<Flag> flags_of(const AttentionSpec& spec) {
  std::vector<Flag> flags;
  const auto add = [&](std::string name, std::string_view text) -> Flag& {
    return flags.emplace_back(Flag{.name = std::move(name), .text = std::string(text), .precision = precision_of(spec)});
  };
  if (spec.softcap) add("softcap", preset_text("softcap")).values = {{"softcap", *spec.softcap, ir::ParamDomain::kPositive}};
  const auto add_diagonal = [&](std::string name, std::string_view text) -> Flag& {
    return add(std::move(name), spec.key_lengths ? with_own_length(text) : std::string(text));
  };
  if (spec.alibi) add_diagonal("alibi", kAlibi).tensors = {"alibi_slopes"};
  if (spec.causal) add_diagonal("causal", preset_text("causal"));
  if (spec.window) {
    add_diagonal("window", preset_text("window")).values = {
        {"window_left", spec.window->left, ir::ParamDomain::kFromMinusOne},
        {"window_right", spec.window->right, ir::ParamDomain::kFromMinusOne}};
  }
  if (spec.key_lengths) add("key_lengths", preset_text("key_lengths")).tensors = {"key_lengths"};
  if (spec.key_mask) add("key_mask", preset_text("key_mask")).tensors = {"key_mask"};
  if (spec.attention_mask) {
    Flag& flag = add("attention_mask", attention_mask_text(*spec.attention_mask));
    flag.tensors = {"attention_mask"};
    flag.place = FlagPlace::kAfterText;
  }
  if (spec.dropout) {
    Flag& flag = add("dropout", "");
    flag.values = {{kDropoutP, spec.dropout->p, ir::ParamDomain::kProbability},
                   {kDropoutSeed, kDefaultSeed, ir::ParamDomain::kAny},
                   {kDropoutOffset, kDefaultOffset, ir::ParamDomain::kAny}};
    flag.generator = spec.dropout->generator;
  }
  return flags;
}

void check_domain(const ir::ParamInterface& param, const Scalar& value, Report& report) {
  if (inside(param.domain, value)) return;
  if (param.domain == ir::ParamDomain::kReductionBound) {
    report.add(Finding::kParamRange, param.name, std::get<std::int32_t>(value),
               fmt::format("at most {}, because a reduction runs up to it; `min({}, constant)` as its bound allows more",
                           dsl::kMaxParamBound, param.name));
  } else if (const auto* integer = std::get_if<std::int32_t>(&value)) {
    report.add(Finding::kParamRange, param.name, *integer, "0 or more, or -1 for unbounded");
  } else {
    const bool is_probability = param.domain == ir::ParamDomain::kProbability;
    report.add(Finding::kParamRange, param.name, std::get<double>(value),
               is_probability ? "from 0 to 1" : "finite and above 0");
  }
}

ir::Lowered compose_flags(const AttentionSpec& spec, ir::Lowered text, Report& report) {
  const std::vector<Flag> flags = flags_of(spec);
  if (flags.empty()) return text;
  Report wrong(report.call());
  if (spec.attention_mask) check_mask_tensor(*spec.attention_mask, wrong);
  for (const Flag& flag : flags) check_names(flag, text.interface, wrong);
  if (!wrong.empty()) {
    report.add_all(wrong.take());
    return text;
  }
  std::vector<ir::Lowered> before, after;
  for (const Flag& flag : flags) {
    ir::Lowered& stage = (flag.place == FlagPlace::kBeforeText ? before : after).emplace_back(lower_flag(flag));
    for (const ir::ParamInterface& param : stage.interface.params) check_domain(param, param.default_value, report);
  }
  std::vector<ir::Lowered> stages = std::move(before);
  stages.push_back(std::move(text));
  std::ranges::move(after, std::back_inserter(stages));
  return ir::compose(stages);
}

}  // namespace flexjit::engine
