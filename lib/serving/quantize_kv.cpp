// quantize_kv: checks, then the largest magnitude of what shares a scale, then one group of a row after the other into
// elements.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include "call/validate.h"
#include "diagnostics/guard.h"
#include "flexjit/quantize.h"
#include "support/dtype.h"
#include "support/rounding.h"

namespace flexjit {

namespace {

using engine::as_const;
using engine::Finding;
using Place = std::array<std::int64_t, 4>;

constexpr const char* kKeyDimensions[] = {"batch", "kv_heads", "len", "dim"};
constexpr const char* kKeyLayout = "(batch, kv_heads, len, dim)";

bool is_source(DType dtype) { return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16; }

void check_dtype(const char* name, DType dtype, bool fits, const char* wanted, engine::Report& report) {
  if (!fits) report.add(Finding::kUnsupportedDType, name, name_of(dtype), wanted);
}

void check_shapes(const QuantizeArgs& args, engine::Report& report) {
  for (std::size_t d = 0; d < 4; ++d) {
    const std::int64_t wanted = args.source.shape[d], scales = args.scales.shape[d];
    if (args.target.shape[d] != wanted)
      report.add(Finding::kTensorShape, "target", kKeyDimensions[d], args.target.shape[d], "source", wanted);
    if (d < 3 && scales != 1 && scales != wanted)
      report.add(Finding::kScaleShape, "scales", scales, kKeyDimensions[d], wanted == 1 ? "" : fmt::format(" or {}", wanted));
  }
  const std::int64_t dim = args.source.shape[3], groups = args.scales.shape[3];
  if (groups < 1 || dim % groups != 0)
    report.add(Finding::kScaleShape, "scales", groups, "groups of dims", fmt::format(" or another divisor of {}", dim));
}

std::int64_t offset_of(const std::array<std::int64_t, 4>& strides, const Place& at) {
  std::int64_t offset = 0;
  for (std::size_t d = 0; d < 4; ++d) offset += at[d] * strides[d];
  return offset;
}

// body(place) for each index of an extent of 1 or more in every dimension.
template <typename Body>
void for_each_place(const std::array<std::int64_t, 4>& extents, const Body& body) {
  Place at{};
  for (at[0] = 0; at[0] < extents[0]; ++at[0])
    for (at[1] = 0; at[1] < extents[1]; ++at[1])
      for (at[2] = 0; at[2] < extents[2]; ++at[2])
        for (at[3] = 0; at[3] < extents[3]; ++at[3]) body(at);
}

float& scale_at(const MutableTensorView& scales, const Place& at) {
  return static_cast<float*>(scales.data)[offset_of(scales.strides, at)];
}

void check_given(const MutableTensorView& scales, engine::Report& report) {
  bool found = false;
  for_each_place(scales.shape, [&](const Place& at) {
    const float scale = scale_at(scales, at);
    if (found || (scale > 0 && std::isfinite(scale))) return;
    found = true;
    report.add(Finding::kBadScale, "scales", scale, at[0], at[1], at[2], at[3]);
  });
}

void check_places(const QuantizeArgs& args, engine::Report& report) {
  const TensorView target = as_const(args.target), scales = as_const(args.scales);
  const engine::Named of_source{"source", args.source}, of_target{"target", target}, of_scales{"scales", scales};
  engine::check_apart(of_source, of_target, report);
  engine::check_apart(of_scales, of_target, report);
  if (args.scales_are == Scales::kComputed) engine::check_apart(of_source, of_scales, report);
}

Diagnostics check_quantize(const QuantizeArgs& args) {
  engine::Report report("quantize_kv");
  const TensorView target = as_const(args.target), scales = as_const(args.scales);
  const auto check = [&](const char* name, const TensorView& view, const char* layout) {
    if (view.rank != 4) report.add(Finding::kTensorRank, name, view.rank, 4, layout);
  };
  check("source", args.source, kKeyLayout);
  check("target", target, kKeyLayout);
  check("scales", scales, "(batch, kv_heads, len, groups)");
  check_dtype("source", args.source.dtype, is_source(args.source.dtype), "f32, bf16 or f16", report);
  check_dtype("target", target.dtype, support::is_quantised(target.dtype), "i8, e4m3 or e5m2", report);
  check_dtype("scales", scales.dtype, scales.dtype == DType::kF32, "f32", report);
  if (!report.empty()) return report.take();
  engine::check_view("source", args.source, report);
  engine::check_view("target", target, report);
  engine::check_view("scales", scales, report);
  check_shapes(args, report);
  if (engine::overlaps_itself(target)) report.add(Finding::kOverlappingRows, "target");
  if (args.scales_are != Scales::kComputed && args.scales_are != Scales::kGiven)
    report.add(Finding::kBadOption, "scales_are", static_cast<int>(args.scales_are), "give Scales::kComputed or kGiven");
  if (args.scales_are == Scales::kComputed) {
    if (engine::overlaps_itself(scales)) report.add(Finding::kOverlappingRows, "scales");
  } else if (report.empty()) {
    check_given(args.scales, report);
  }
  if (report.empty()) check_places(args, report);
  return report.take();
}

// What a group of dims of one row becomes. `Rounding` adds to a float of magnitude below 2^22 what leaves an integer, to
// nearest even, in its last bits.
constexpr float kRounding = 0x1.8p23F;

std::uint8_t to_i8(float x) {
  const float bounded = std::clamp(std::isnan(x) ? 0.0F : x, -127.0F, 127.0F);
  return static_cast<std::uint8_t>(static_cast<std::int8_t>((bounded + kRounding) - kRounding));
}

// As support::round_to, which is of doubles and of every format, in a tenth of the time.
template <const support::Fp8Format& kFormat>
std::uint8_t to_fp8(float x) {
  constexpr auto kDropped = static_cast<std::uint32_t>(23 - kFormat.fraction_bits);
  constexpr auto kRebase = static_cast<std::uint32_t>(kFormat.least_exponent + 126) << kFormat.fraction_bits;
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t sign = bits >> 24 & 0x80U, magnitude = bits & 0x7fffffffU;
  const bool is_nan = magnitude > 0x7f800000U;
  const float bounded = is_nan ? 0.0F : std::min(std::bit_cast<float>(magnitude), static_cast<float>(kFormat.largest));
  const auto code_bits = std::bit_cast<std::uint32_t>(bounded);
  const std::uint32_t rounded = (code_bits + ((1U << (kDropped - 1)) - 1) + (code_bits >> kDropped & 1U)) >> kDropped;
  const float units = std::ldexp(1.0F, kFormat.fraction_bits - kFormat.least_exponent);  // of a subnormal number
  const auto subnormal = static_cast<std::uint32_t>((bounded * units + kRounding) - kRounding);
  const bool is_normal = bounded >= std::ldexp(1.0F, kFormat.least_exponent);
  const std::uint32_t code = is_normal ? rounded - kRebase : subnormal;
  return static_cast<std::uint8_t>(sign | (is_nan ? kFormat.nan_code : code));
}

float largest_of(DType dtype) {
  if (dtype == DType::kI8) return 127;
  return static_cast<float>(support::facts_of(dtype).largest);
}

class Quantizer {
 public:
  explicit Quantizer(const QuantizeArgs& args)
      : args_(args),
        group_(args.source.shape[3] / args.scales.shape[3]),
        largest_(largest_of(args.target.dtype)),
        values_(static_cast<std::size_t>(group_)) {}

  void run() {
    if (args_.scales_are == Scales::kComputed) compute_scales();
    for_each_group([&](const Place& group) {
      load(group);
      const float scale = scale_at(args_.scales, scale_of(group));
      switch (args_.target.dtype) {
        case DType::kE4M3: return store(group, [&](float x) { return to_fp8<support::kE4M3>(x / scale); });
        case DType::kE5M2: return store(group, [&](float x) { return to_fp8<support::kE5M2>(x / scale); });
        default: return store(group, [&](float x) { return to_i8(x / scale); });
      }
    });
  }

 private:
  // body(place): the last index counts groups.
  template <typename Body>
  void for_each_group(const Body& body) const {
    const auto& s = args_.source.shape;
    for_each_place({s[0], s[1], s[2], args_.scales.shape[3]}, body);
  }

  Place scale_of(const Place& group) const {
    Place at = group;
    for (std::size_t d = 0; d < 4; ++d) at[d] = args_.scales.shape[d] == 1 ? 0 : group[d];
    return at;
  }

  Place first_of(const Place& group) const { return {group[0], group[1], group[2], group[3] * group_}; }

  void load(const Place& group) {
    const std::int64_t first = offset_of(args_.source.strides, first_of(group)), step = args_.source.strides[3];
    support::with_element(args_.source.dtype, [&](auto element) {
      using E = decltype(element);
      const auto* from = static_cast<const typename E::Stored*>(args_.source.data) + first;
      for (std::int64_t d = 0; d < group_; ++d)
        values_[static_cast<std::size_t>(d)] = static_cast<float>(E::decode(from[d * step]));
    });
  }

  template <typename Encode>
  void store(const Place& group, const Encode& encode) {
    const std::int64_t first = offset_of(args_.target.strides, first_of(group)), step = args_.target.strides[3];
    auto* to = static_cast<std::uint8_t*>(args_.target.data) + first;
    for (std::int64_t d = 0; d < group_; ++d) to[d * step] = encode(values_[static_cast<std::size_t>(d)]);
  }

  void compute_scales() {
    for_each_place(args_.scales.shape, [&](const Place& at) { scale_at(args_.scales, at) = 0; });
    for_each_group([&](const Place& group) {
      load(group);
      float& most = scale_at(args_.scales, scale_of(group));
      for (const float x : values_) {
        const float magnitude = std::abs(x);
        most = std::isfinite(magnitude) && magnitude > most ? magnitude : most;
      }
    });
    for_each_place(args_.scales.shape, [&](const Place& at) {
      float& scale = scale_at(args_.scales, at);
      scale = scale == 0 ? 1.0F : std::max(scale / largest_, std::numeric_limits<float>::min());
    });
  }

  const QuantizeArgs& args_;
  const std::int64_t group_;
  const float largest_;
  std::vector<float> values_;
};

}  // namespace

Status quantize_kv(const QuantizeArgs& args) {
  return engine::guarded("quantize_kv", [&]() -> Status {
    Diagnostics wrong = check_quantize(args);
    if (!wrong.empty()) return wrong;
    Quantizer(args).run();
    return Unit{};
  });
}

}  // namespace flexjit
