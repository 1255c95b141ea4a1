// What has no position, a sequence without keys or queries, asks for none.
#include "call/rotary.h"

#include <algorithm>
#include <span>
#include <string>

namespace flexjit::engine {

namespace {

// False where nothing more can be said of it.
bool check_table(const char* name, const TensorView& view, Report& report) {
  if (view.dtype != DType::kF32 && view.dtype != DType::kBF16 && view.dtype != DType::kF16)
    report.add(Finding::kUnsupportedDType, name, name_of(view.dtype), "f32, bf16 or f16");
  if (view.rank != 2) {
    report.add(Finding::kTensorRank, name, view.rank, 2, "(positions, rotary_dim / 2)");
    return false;
  }
  check_view(name, view, report);
  if (view.shape[1] > 1 && view.strides[1] != 1) report.add(Finding::kInnerStride, name, view.strides[1]);
  return true;
}

}  // namespace

plan::RotaryArg check_rotary(const Rotary& rotary, std::int64_t head_dim, std::int64_t positions, Report& report) {
  const TensorView &cos = rotary.cos, &sin = rotary.sin;
  if (rotary.pairing != RotaryPairing::kInterleaved && rotary.pairing != RotaryPairing::kHalves)
    report.add(Finding::kBadOption, "rotary.pairing", static_cast<int>(rotary.pairing),
               "say kInterleaved for dims (0, 1), (2, 3) or kHalves for (j, j + rotary_dim / 2)");
  const bool has_cos = check_table("rotary.cos", cos, report), has_sin = check_table("rotary.sin", sin, report);
  if (!has_cos || !has_sin) return {};
  if (sin.dtype != cos.dtype)
    report.add(Finding::kUnsupportedDType, "rotary.sin", name_of(sin.dtype),
               std::string(name_of(cos.dtype)) + ", as rotary.cos");
  const char* const dimensions[] = {"positions", "columns"};
  for (std::size_t d = 0; d < 2; ++d) {
    if (sin.shape[d] != cos.shape[d])
      report.add(Finding::kTensorShape, "rotary.sin", dimensions[d], sin.shape[d], "rotary.cos", cos.shape[d]);
  }
  const std::int64_t most = head_dim / 2;
  if (cos.shape[1] > most)
    report.add(Finding::kBadOption, "the number of columns of rotary.cos", cos.shape[1],
               fmt::format("rows of {} elements have {} pairs at most", head_dim, most));
  if (cos.shape[0] < positions)
    report.add(Finding::kBadOption, "the number of positions in rotary.cos", cos.shape[0],
               fmt::format("position {} is looked up", positions - 1));
  return {.cos = cos.data,
          .sin = sin.data,
          .cos_stride = cos.strides[0],
          .sin_stride = sin.strides[0],
          .dtype = cos.dtype,
          .dim = static_cast<std::int32_t>(2 * std::clamp<std::int64_t>(cos.shape[1], 0, most)),
          .pairing = rotary.pairing == RotaryPairing::kInterleaved ? plan::RotaryArg::Pairing::kInterleaved
                                                                   : plan::RotaryArg::Pairing::kHalves};
}

plan::RotaryArg check_query_rotary(const RunArgs& args, std::span<const plan::Sequence> sequences, Report& report) {
  const bool by_query = args.rotary_positions == RotaryPositions::kOfEachQuery;
  if (!by_query && args.rotary_positions != RotaryPositions::kPastLen)
    report.add(Finding::kBadOption, "rotary_positions", static_cast<int>(args.rotary_positions),
               "say kOfEachQuery or kPastLen");
  std::int64_t positions = 0;
  for (const plan::Sequence& sequence : sequences) {
    if (sequence.q_len == 0 || sequence.kv_len == 0) continue;
    if (sequence.q_len > sequence.kv_len) {
      report.add(Finding::kSequenceOption,
                 fmt::format("sequence {} has {} queries and {} keys, so that its first query has no position to rotate at",
                             sequence.b, sequence.q_len, sequence.kv_len));
      return {};
    }
    const std::int64_t last_query = by_query ? sequence.q_len - 1 : 0;
    positions = std::max(positions, sequence.kv_len - sequence.q_len + last_query + 1);
  }
  plan::RotaryArg rotary = check_rotary(*args.rotary, args.q.shape[3], positions, report);
  rotary.by_query = by_query;
  return rotary;
}

}  // namespace flexjit::engine
