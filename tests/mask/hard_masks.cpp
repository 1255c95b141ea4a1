// The texts are as users write them; the predicates share nothing with them but the numbers.
#include "hard_masks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <random>

#include "ir/lower/lower.h"
#include "ir/passes/passes.h"

namespace flexjit::test {

namespace {

using Table = std::shared_ptr<std::vector<std::int32_t>>;

HardMask mask_of(std::string name, std::string text) {
  HardMask mask;
  mask.name = std::move(name);
  mask.text = std::move(text);
  dsl::Source source;
  source.file = dsl::SourceText{.name = mask.name, .text = mask.text};
  const Result<ir::Lowered> lowered = ir::lower_source(source);
  if (!lowered) {
    ADD_FAILURE() << mask.text << "\n" << render(lowered.diagnostics());
    return mask;
  }
  mask.program = ir::prove_reads(ir::simplify(lowered->program), lowered->interface);
  for (const ir::ParamInterface& param : lowered->interface.params) mask.params.push_back(param.default_value);
  return mask;
}

// In the order of the text's buffers.
Table bind(HardMask& mask, std::vector<std::int32_t> values, std::initializer_list<std::int64_t> extents) {
  mask.memory.push_back(std::make_shared<std::vector<std::int32_t>>(std::move(values)));
  mask.buffers.emplace_back(mask.memory.back()->data(), DType::kI32, extents);
  return mask.memory.back();
}

std::size_t at(int index) { return static_cast<std::size_t>(index); }

// Positions that start anew after 1 to 2 * mean.
std::vector<std::int32_t> packed_positions(int length, int mean, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::int32_t> positions;
  int position = 0, end = 1;
  for (int i = 0; i < length; ++i, ++position) {
    if (position == end) position = 0, end = 1 + static_cast<int>(random() % static_cast<unsigned>(2 * mean));
    positions.push_back(position);
  }
  return positions;
}

int begin_of_window(int i, int count, int size) { return std::clamp(i - size / 2, 0, count - size); }

bool in_window(int i, int j, int count, int size) {
  const int begin = begin_of_window(i, count, size);
  return j >= begin && j < begin + size;
}

}  // namespace

ir::Environment HardMask::environment(const BlockMaskShape& shape) const {
  return {.batch_size = shape.batch,
          .num_heads = shape.heads,
          .num_kv_heads = shape.heads,
          .q_len = shape.q_len,
          .kv_len = shape.kv_len,
          .buffers = buffers,
          .params = params};
}

HardMask radial(int tokens, int least) {
  HardMask mask = mask_of("radial", "param tokens : int = " + std::to_string(tokens) +
                                        "\nparam least : float = " + std::to_string(least) + ".0\n" + R"(
let fi = q_idx // tokens
let fj = kv_idx // tokens
let d = abs(fi - fj)
let group = d > 0 ? int(floor(log2(d))) + 1 : 0
let bits = int(floor(log2(tokens))) + 1
let decay = exp2(bits - group)
let width = d <= 1 ? float(tokens) : max(decay, least)
let split = decay >= least ? 1 : int(least / min(decay, least))
mask = fj == 0 || abs(q_idx % tokens - kv_idx % tokens) <= width && d % split == 0
)");
  mask.allowed = [=](int, int, int q, int kv) {
    const int d = std::abs(q / tokens - kv / tokens);
    int group = 0, bits = 0;
    while ((1 << group) <= d) ++group;
    while ((1 << bits) <= tokens) ++bits;
    const double decay = std::ldexp(1.0, bits - group), width = d <= 1 ? tokens : std::max<double>(decay, least);
    const int split = decay >= least ? 1 : static_cast<int>(least / decay);
    return kv / tokens == 0 || (std::abs(q % tokens - kv % tokens) <= width && d % split == 0);
  };
  return mask;
}

HardMask chosen_blocks(int length, int block, int count, DType dtype) {
  std::string list;
  for (int i = 0; i < count; ++i) list += (i > 0 ? ", " : "") + std::string("sel[q_idx, ") + std::to_string(i) + "]";
  HardMask mask = mask_of("chosen_blocks", std::string("buffer sel : ") + (dtype == DType::kI64 ? "i64" : "i32") + "[q_len, " +
                                               std::to_string(count) + "]\nlet blk = kv_idx // " + std::to_string(block) +
                                               "\nmask = kv_idx <= q_idx && blk in {" + list + "}");
  std::mt19937 random(1);
  std::vector<std::int32_t> chosen;
  for (int q = 0; q < length; ++q) {
    // Neighbouring queries choose alike: itself, the first, and some that change slowly.
    for (int i = 0; i < count; ++i) {
      const int own = q / block;
      const int far =
          static_cast<int>(random() % 40) == 0 ? static_cast<int>(random() % at(own + 1)) : (q / 50 * 7 + i) % (own + 1);
      chosen.push_back(i == 0 ? 0 : i == 1 ? own : i % 5 == 4 ? -1 : far);
    }
  }
  const Table table = bind(mask, std::move(chosen), {length, count});
  if (dtype == DType::kI64) {
    mask.wide_memory.push_back(std::make_shared<std::vector<std::int64_t>>(table->begin(), table->end()));
    mask.buffers[0] = TensorView(mask.wide_memory[0]->data(), DType::kI64, {length, count});
  }
  mask.allowed = [=](int, int, int q, int kv) {
    const auto row = table->begin() + q * count;
    return kv <= q && std::find(row, row + count, kv / block) != row + count;
  };
  return mask;
}

HardMask position_reset(int length, int mean) {
  HardMask mask = mask_of("position_reset",
                          "buffer pos : i32[q_len]\nmask = q_idx >= kv_idx && pos[q_idx] - pos[kv_idx] == q_idx - kv_idx");
  const Table pos = bind(mask, packed_positions(length, mean, 2), {length});
  mask.allowed = [=](int, int, int q, int kv) { return q >= kv && (*pos)[at(q)] - (*pos)[at(kv)] == q - kv; };
  return mask;
}

HardMask unguarded_position_reset(int length, int mean) {
  HardMask mask =
      mask_of("unguarded_position_reset", "buffer pos : i32[q_len]\nmask = q_idx - kv_idx == pos[q_idx] - pos[kv_idx]");
  const Table pos = bind(mask, packed_positions(length, mean, 2), {length});
  mask.allowed = [=](int, int, int q, int kv) { return (*pos)[at(q)] - (*pos)[at(kv)] == q - kv; };
  return mask;
}

HardMask position_reset_by_batch(int length, int batch) {
  HardMask mask = mask_of("position_reset_by_batch", R"(
buffer pos : i32[batch_size, q_len]
mask = q_idx >= kv_idx && !(q_idx - pos[b, q_idx] + 3 != kv_idx - (pos[b, kv_idx] - 3))
)");
  std::vector<std::int32_t> all;
  for (int b = 0; b < batch; ++b) {
    const auto positions = packed_positions(length, 20 + 30 * b, 3 + static_cast<unsigned>(b));
    all.insert(all.end(), positions.begin(), positions.end());
  }
  const Table pos = bind(mask, std::move(all), {batch, length});
  mask.by_batch = true;
  mask.allowed = [=](int b, int, int q, int kv) {
    return q >= kv && q - (*pos)[at(b * length + q)] == kv - (*pos)[at(b * length + kv)];
  };
  return mask;
}

HardMask window_3d(int frames, int rows, int columns) {
  const auto constant = [](const char* name, int value) {
    return std::string("const ") + name + " : int = " + std::to_string(value) + "\n";
  };
  HardMask mask = mask_of("window_3d", constant("T", frames) + constant("Y", rows) + constant("X", columns) + R"(
def start(i, n, k) = clamp(i - k // 2, 0, n - k)
def inside(i, j, n, k) = (let s = start(i, n, k); j >= s && j < s + k)
let qt = q_idx // (Y * X)
let kt = kv_idx // (Y * X)
mask = inside(qt, kt, T, 3) && inside(q_idx // X % Y, kv_idx // X % Y, Y, 5) && inside(q_idx % X, kv_idx % X, X, 5)
)");
  mask.allowed = [=](int, int, int q, int kv) {
    const int frame = rows * columns;
    return in_window(q / frame, kv / frame, frames, 3) && in_window(q / columns % rows, kv / columns % rows, rows, 5) &&
           in_window(q % columns, kv % columns, columns, 5);
  };
  return mask;
}

HardMask stripes(int window, int period, int from) {
  HardMask mask = mask_of("stripes", "mask = q_idx >= kv_idx && ((q_idx - kv_idx) < " + std::to_string(window) +
                                         " || kv_idx % " + std::to_string(period) + " >= " + std::to_string(from) + ")");
  mask.allowed = [=](int, int, int q, int kv) { return q >= kv && (q - kv < window || kv % period >= from); };
  return mask;
}

HardMask strided(int stride) {
  const std::string s = std::to_string(stride);
  HardMask mask =
      mask_of("strided", "mask = q_idx >= kv_idx && (q_idx - kv_idx < " + s + " || (q_idx - kv_idx) % " + s + " == 0)");
  mask.allowed = [=](int, int, int q, int kv) { return q >= kv && (q - kv < stride || (q - kv) % stride == 0); };
  return mask;
}

HardMask nested_digits(int inner, int outer) {
  const std::string digit = " // " + std::to_string(inner) + " % " + std::to_string(outer);
  HardMask mask = mask_of("nested_digits", "mask = q_idx" + digit + " == kv_idx" + digit + " && (q_idx ^ kv_idx) & 4 == 0");
  mask.allowed = [=](int, int, int q, int kv) { return q / inner % outer == kv / inner % outer && ((q ^ kv) & 4) == 0; };
  return mask;
}

HardMask range_list(int length) {
  HardMask mask = mask_of("range_list", R"(
buffer at : i32[q_len, 2]
buffer s : i32[?, 5]
def inside(n) = n >= 0 && kv_idx >= s[n, 2] && kv_idx < s[n, 3] && (s[n, 4] % 2 == 0 || kv_idx - s[n, 3] <= q_idx - s[n, 1])
mask = inside(at[q_idx, 0]) || inside(at[q_idx, 1])
)");
  std::mt19937 random(4);
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  std::vector<std::int32_t> slices, places;
  std::vector<std::int32_t> last = {-1, -1};
  int end = 0;
  for (int q = 0; q < length; ++q) {
    if (q == end) {
      end = std::min(length, q + 1 + below(length / 4 + 1));
      for (std::int32_t& place : last) {
        place = below(4) == 0 ? -1 : static_cast<std::int32_t>(slices.size() / 5);
        if (place < 0) continue;
        const int begin = below(length);
        for (int value : {q, end, begin, std::min(length, begin + 1 + below(length / 3 + 1)), below(2)})
          slices.push_back(value);
      }
    }
    places.insert(places.end(), last.begin(), last.end());
  }
  const auto count = static_cast<std::int64_t>(slices.size() / 5);
  const Table at_query = bind(mask, std::move(places), {length, 2}), s = bind(mask, std::move(slices), {count, 5});
  mask.allowed = [=](int, int, int q, int kv) {
    for (int i = 0; i < 2; ++i) {
      const int n = (*at_query)[at(2 * q + i)];
      if (n < 0) continue;
      const std::int32_t* slice = s->data() + 5 * n;
      if (kv >= slice[2] && kv < slice[3] && (slice[4] % 2 == 0 || kv - slice[3] <= q - slice[1])) return true;
    }
    return false;
  };
  return mask;
}

HardMask rule_matrix(int length) {
  HardMask mask = mask_of("rule_matrix", R"(
buffer group : i32[q_len]
buffer time : i32[q_len]
buffer rule : i32[5, 5]
let r = rule[group[q_idx], group[kv_idx]]
let dt = time[q_idx] - time[kv_idx]
mask = r == 1 && dt >= 0 || r == 2 && dt == 0 || r == 3 && dt > 0
)");
  std::mt19937 random(5);
  std::vector<std::int32_t> groups, times, rules;
  for (int i = 0; i < length; ++i) groups.push_back(static_cast<int>(random() % 5)), times.push_back(i / 37);
  for (int i = 0; i < 25; ++i) rules.push_back(static_cast<int>(random() % 4));
  const Table group = bind(mask, std::move(groups), {length}), time = bind(mask, std::move(times), {length}),
              rule = bind(mask, std::move(rules), {5, 5});
  mask.allowed = [=](int, int, int q, int kv) {
    const int r = (*rule)[at((*group)[at(q)] * 5 + (*group)[at(kv)])], dt = (*time)[at(q)] - (*time)[at(kv)];
    return (r == 1 && dt >= 0) || (r == 2 && dt == 0) || (r == 3 && dt > 0);
  };
  return mask;
}

HardMask global_tokens(int length) {
  HardMask mask = mask_of("global_tokens", R"(
buffer g : i32[q_len]
mask = abs(q_idx - kv_idx) <= 9 || g[q_idx] > 0 || g[kv_idx] > 0
)");
  std::mt19937 random(6);
  std::vector<std::int32_t> chosen;
  for (int i = 0; i < length; ++i) chosen.push_back(random() % 61 == 0 ? 1 : 0);
  const Table g = bind(mask, std::move(chosen), {length});
  mask.allowed = [=](int, int, int q, int kv) { return std::abs(q - kv) <= 9 || (*g)[at(q)] > 0 || (*g)[at(kv)] > 0; };
  return mask;
}

std::vector<HardMask> hard_masks(int length) {
  std::vector<HardMask> masks;
  masks.push_back(radial(56, 8));
  masks.push_back(radial(64, 16));
  masks.push_back(chosen_blocks(length, 16, 16));
  masks.push_back(chosen_blocks(length, 8, 4));
  masks.push_back(chosen_blocks(length, 16, 16, DType::kI64));
  masks.push_back(position_reset(length, 60));
  masks.push_back(position_reset(length, 2));
  masks.push_back(unguarded_position_reset(length, 30));
  masks.push_back(position_reset_by_batch(length, 2));
  masks.push_back(window_3d(std::max(5, length / 48), 8, 6));
  masks.push_back(window_3d(5, 8, 6));  // queries beyond the last frame look at it
  masks.push_back(stripes(20, 64, 60));
  masks.push_back(stripes(3, 50, 47));
  masks.push_back(strided(7));
  masks.push_back(strided(64));
  masks.push_back(nested_digits(6, 10));
  masks.push_back(nested_digits(8, 4));
  masks.push_back(range_list(length));
  masks.push_back(rule_matrix(length));
  masks.push_back(global_tokens(length));
  return masks;
}

}  // namespace flexjit::test
