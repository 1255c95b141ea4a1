// See fake_kernel.h.
#include "fake_kernel.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "support/random.h"

namespace flexjit::test {

namespace {

constexpr float kMinusInf = -std::numeric_limits<float>::infinity();

FakeState& state_of(const plan::LaunchArg& launch) {
  return *reinterpret_cast<FakeState*>(const_cast<std::uint64_t*>(launch.params));
}

void expect(FakeState& state, bool promise) {
  if (!promise) ++state.broken_promises;
}

bool aligned(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 64 == 0; }

void pack(const plan::PackArg* arg) {
  FakeState& state = state_of(*arg->launch);
  const int panel = state.layout.lanes, head_dim = state.layout.head_dim, padded = state.layout.v_padded;
  expect(state, arg->kv_begin % panel == 0 && arg->kv_begin < arg->kv_end && arg->kv_end <= arg->kv_len);
  expect(state, aligned(arg->k_panels) && (arg->v_rows != nullptr) == state.layout.packs_v);
  expect(state, arg->v_rows == nullptr || aligned(arg->v_rows));
  state.packed_columns += arg->kv_end - arg->kv_begin;
  const int padded_end = (arg->kv_end + panel - 1) / panel * panel;
  for (int kv = arg->kv_begin; kv < padded_end; ++kv) {
    float* column = static_cast<float*>(arg->k_panels) + std::int64_t{kv / panel} * head_dim * panel + kv % panel;
    const float* k = static_cast<const float*>(arg->run->k) + kv * arg->run->k_stride;
    for (int d = 0; d < head_dim; ++d) column[d * panel] = kv < arg->kv_len ? k[d] : 0.0F;
    if (arg->v_rows == nullptr || kv >= arg->kv_len) continue;
    const float* v = static_cast<const float*>(arg->run->v) + kv * arg->run->v_stride;
    float* row = static_cast<float*>(arg->v_rows) + std::int64_t{kv} * padded;
    for (int d = 0; d < padded; ++d) row[d] = d < state.layout.v_head_dim ? v[d] : 0.0F;
  }
}

void check_tile(FakeState& state, const plan::TileArg& tile) {
  const plan::LaunchArg& launch = *tile.launch;
  const int panel = state.layout.lanes;
  expect(state, tile.q_begin >= 0 && tile.q_count > 0 && tile.q_count <= state.layout.q_tile);
  expect(state, tile.q_begin + tile.q_count <= tile.q_len);
  for (int row = 0; row < tile.q_count; ++row)
    expect(state, tile.rows[row].h == tile.h && tile.rows[row].q_idx == tile.q_begin + row);
  expect(state, tile.kv_head == tile.h / (launch.num_heads / launch.num_kv_heads));
  expect(state, aligned(tile.scratch) && tile.scratch != nullptr && tile.fault->raised == 0);
  int end = 0;
  for (int i = 0; i < tile.span_count; ++i) {
    const plan::SpanArg& span = tile.spans[i];
    expect(state, span.begin >= end && span.begin < span.end && span.end <= tile.kv_len);
    expect(state, span.kind != plan::SpanKind::kWhole || (span.begin % panel == 0 && span.end % panel == 0));
    end = span.end;
  }
}

void attend_row(const plan::TileArg& tile, const plan::QueryRow& row) {
  const plan::LaunchArg& launch = *tile.launch;
  FakeState& state = state_of(launch);
  const int panel = state.layout.lanes, head_dim = state.layout.head_dim;
  auto* scores = static_cast<float*>(tile.scratch);
  const auto* q = static_cast<const float*>(row.q);
  auto* out = static_cast<float*>(row.out);
  float highest = kMinusInf;
  for (int i = 0; i < tile.span_count; ++i) {
    for (int kv = tile.spans[i].begin; kv < tile.spans[i].end; ++kv) {
      const float* column = static_cast<const float*>(tile.k_panels) + std::int64_t{kv / panel} * head_dim * panel + kv % panel;
      float dot = 0;
      for (int d = 0; d < head_dim; ++d) dot += q[d] * column[d * panel];
      const bool open = tile.spans[i].kind != plan::SpanKind::kMasked || state.allowed(tile.b, row.h, row.q_idx, kv);
      scores[kv] = open ? dot * launch.scale : kMinusInf;
      highest = std::max(highest, scores[kv]);
    }
  }
  float sum = 0;
  std::fill(out, out + state.layout.v_head_dim, 0.0F);
  for (int i = 0; i < tile.span_count && highest > kMinusInf; ++i) {
    for (int kv = tile.spans[i].begin; kv < tile.spans[i].end; ++kv) {
      const float weight = std::exp(scores[kv] - highest);
      sum += weight;
      for (int d = 0; d < state.layout.v_head_dim; ++d)
        out[d] += weight * static_cast<const float*>(tile.v_rows)[kv * tile.v_stride + d];
    }
  }
  for (int d = 0; d < state.layout.v_head_dim && sum > 0; ++d) out[d] /= sum;
  *static_cast<float*>(row.lse) = sum > 0 ? highest + std::log(sum) : kMinusInf;
}

void attend(const plan::TileArg* tile) {
  const plan::LaunchArg& launch = *tile->launch;
  FakeState& state = state_of(launch);
  check_tile(state, *tile);
  {
    const std::lock_guard lock(state.mutex);
    state.panels.insert(tile->k_panels);
  }
  ++state.attended_items;
  const int tiles = (tile->q_len + state.layout.q_tile - 1) / state.layout.q_tile;
  const std::int64_t item = (std::int64_t{tile->b} * launch.num_heads + tile->h) * tiles + tile->q_begin / state.layout.q_tile;
  if (state.faulty_items.contains(item)) *tile->fault = {.raised = 1, .site = 7, .dimension = 2, .reserved = 0, .index = item};
  for (int row = 0; row < tile->q_count; ++row) attend_row(*tile, tile->rows[row]);
}

}  // namespace

plan::TensorArg arg_of(test::Tensor& tensor) {
  const MutableTensorView view = tensor.view();
  return {view.data, view.strides[0], view.strides[1], view.strides[2]};
}

LaunchProblem::LaunchProblem(const test::Shape& s, bool packs_v) : test::Problem(s) {
  test::Random random(seed);
  for (test::Tensor* tensor : {&q, &k, &v}) tensor->fill([&](std::size_t) { return random.integer(-4, 4) / 4.0; });
  launch.q = arg_of(q);
  launch.k = arg_of(k);
  launch.v = arg_of(v);
  launch.out = arg_of(out);
  launch.lse.data = lse.data();
  launch.lse.stride_batch = std::int64_t{s.q_heads} * s.q_len;
  launch.lse.stride_head = s.q_len;
  launch.lse.stride_row = 1;
  launch.params = reinterpret_cast<const std::uint64_t*>(&state);
  launch.batch_size = s.batch;
  launch.num_heads = s.q_heads;
  launch.num_kv_heads = s.kv_heads;
  launch.q_len = s.q_len;
  launch.kv_len = s.kv_len;
  launch.scale = 0.5F;
  state.layout.lanes = 16;
  state.layout.strip = 16;
  state.layout.q_tile = 12;
  state.layout.kv_tile = 64;
  state.layout.head_dim = s.head_dim;
  state.layout.k_depth = s.head_dim;
  state.layout.v_head_dim = s.value_dim();
  state.layout.v_padded = (s.value_dim() + 7) / 8 * 8;
  state.layout.packs_v = packs_v;
  state.layout.scratch_bytes = 4 * (std::int64_t{s.kv_len} + 1);
}

runtime::LaunchOutcome LaunchProblem::run(const BlockMask* mask, int threads, Trace* trace) {
  const std::vector<plan::Sequence> sequences = plan::batch_of(launch.batch_size, launch.q_len, launch.kv_len);
  return runtime::launch({.attend = attend, .pack = pack, .layout = state.layout}, launch, runtime::work_of(sequences, mask),
                         {threads, trace});
}

::testing::AssertionResult LaunchProblem::is_exact(const test::Bound& bound) const {
  const auto allowed = [&](const test::Position& p) { return state.allowed(p.b, p.h, p.q_idx, p.kv_idx); };
  return test::is_attention(*this, {.mask = allowed, .scale = launch.scale}, {bound, bound});
}

}  // namespace flexjit::test
