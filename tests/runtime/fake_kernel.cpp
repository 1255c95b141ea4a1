// The fake kernel and the dense attention that it is compared with.
#include "fake_kernel.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace flexjit::testing {

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
  *row.lse = sum > 0 ? highest + std::log(sum) : kMinusInf;
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

std::vector<float> random_quarters(std::int64_t size, std::mt19937& random) {
  std::vector<float> values(static_cast<std::size_t>(size));
  for (float& value : values) value = static_cast<float>(static_cast<int>(random() % 9) - 4) / 4.0F;
  return values;
}

plan::TensorArg dense(std::vector<float>& values, int heads, int length, int dim) {
  return {values.data(), std::int64_t{heads} * length * dim, std::int64_t{length} * dim, dim};
}

}  // namespace

Problem::Problem(const Dims& size, bool packs_v, std::uint32_t seed) : dims(size) {
  std::mt19937 random(seed);
  const std::int64_t q_rows = std::int64_t{dims.batch} * dims.q_heads * dims.q_len;
  const std::int64_t kv_rows = std::int64_t{dims.batch} * dims.kv_heads * dims.kv_len;
  q = random_quarters(q_rows * dims.head_dim, random);
  k = random_quarters(kv_rows * dims.head_dim, random);
  v = random_quarters(kv_rows * dims.v_head_dim, random);
  out.assign(static_cast<std::size_t>(q_rows * dims.v_head_dim), 1e30F);
  lse.assign(static_cast<std::size_t>(q_rows), 1e30F);
  launch.q = dense(q, dims.q_heads, dims.q_len, dims.head_dim);
  launch.k = dense(k, dims.kv_heads, dims.kv_len, dims.head_dim);
  launch.v = dense(v, dims.kv_heads, dims.kv_len, dims.v_head_dim);
  launch.out = dense(out, dims.q_heads, dims.q_len, dims.v_head_dim);
  launch.lse.data = lse.data();
  launch.lse.stride_batch = std::int64_t{dims.q_heads} * dims.q_len;
  launch.lse.stride_head = dims.q_len;
  launch.lse.stride_row = 1;
  launch.params = reinterpret_cast<const std::uint64_t*>(&state);
  launch.batch_size = dims.batch;
  launch.num_heads = dims.q_heads;
  launch.num_kv_heads = dims.kv_heads;
  launch.q_len = dims.q_len;
  launch.kv_len = dims.kv_len;
  launch.scale = 0.5F;
  state.layout.lanes = 16;
  state.layout.strip = 16;
  state.layout.q_tile = 12;
  state.layout.kv_tile = 64;
  state.layout.head_dim = dims.head_dim;
  state.layout.k_depth = dims.head_dim;
  state.layout.v_head_dim = dims.v_head_dim;
  state.layout.v_padded = (dims.v_head_dim + 7) / 8 * 8;
  state.layout.packs_v = packs_v;
  state.layout.scratch_bytes = 4 * (std::int64_t{dims.kv_len} + 1);
}

runtime::LaunchOutcome Problem::run(const BlockMask* mask, int threads, Trace* trace) {
  return runtime::launch({.attend = attend, .pack = pack, .layout = state.layout}, launch, mask, {threads, trace});
}

std::vector<double> Problem::row_weights(int b, int h, int row, double& lse_value) const {
  const int kv_head = h / (dims.q_heads / dims.kv_heads);
  const float* query = q.data() + ((std::int64_t{b} * dims.q_heads + h) * dims.q_len + row) * dims.head_dim;
  const float* keys = k.data() + (std::int64_t{b} * dims.kv_heads + kv_head) * dims.kv_len * dims.head_dim;
  std::vector<double> weights(static_cast<std::size_t>(dims.kv_len), 0.0);
  double sum = 0;
  for (int kv = 0; kv < dims.kv_len; ++kv) {
    if (!state.allowed(b, h, row, kv)) continue;
    double dot = 0;
    for (int d = 0; d < dims.head_dim; ++d) {
      dot += static_cast<double>(query[d]) * static_cast<double>(keys[std::int64_t{kv} * dims.head_dim + d]);
    }
    sum += weights[static_cast<std::size_t>(kv)] = std::exp(dot * static_cast<double>(launch.scale));
  }
  for (double& weight : weights) weight = sum > 0 ? weight / sum : 0;
  lse_value = std::log(sum);
  return weights;
}

std::vector<double> Problem::expected_out() const {
  std::vector<double> expected(out.size(), 0.0);
  auto row_out = expected.begin();
  for (int b = 0; b < dims.batch; ++b) {
    for (int h = 0; h < dims.q_heads; ++h) {
      const int kv_head = h / (dims.q_heads / dims.kv_heads);
      const float* values = v.data() + (std::int64_t{b} * dims.kv_heads + kv_head) * dims.kv_len * dims.v_head_dim;
      for (int row = 0; row < dims.q_len; ++row, row_out += dims.v_head_dim) {
        double ignored = 0;
        const std::vector<double> weights = row_weights(b, h, row, ignored);
        for (std::size_t kv = 0; kv < weights.size(); ++kv) {
          for (int d = 0; d < dims.v_head_dim; ++d) row_out[d] += weights[kv] * static_cast<double>(*values++);
        }
        values -= std::int64_t{dims.kv_len} * dims.v_head_dim;
      }
    }
  }
  return expected;
}

std::vector<double> Problem::expected_lse() const {
  std::vector<double> expected;
  for (int b = 0; b < dims.batch; ++b) {
    for (int h = 0; h < dims.q_heads; ++h) {
      for (int row = 0; row < dims.q_len; ++row) row_weights(b, h, row, expected.emplace_back());
    }
  }
  return expected;
}

}  // namespace flexjit::testing
