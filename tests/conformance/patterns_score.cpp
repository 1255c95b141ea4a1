// The score patterns, with tables sized for any pair of lengths.
#include "patterns.h"

namespace flexjit::conformance {
namespace {

std::size_t size(const Captures::Extents& extents) {
  std::size_t total = 1;
  for (std::int64_t extent : extents) total *= static_cast<std::size_t>(extent);
  return total;
}

void add_normal(Captures& c, const std::string& name, const Captures::Extents& extents, std::uint64_t seed = 3) {
  c.add(name, extents, Random(seed).normals(size(extents)));
}

void add_positive(Captures& c, const std::string& name, const Captures::Extents& extents, std::uint64_t seed = 4) {
  std::vector<float> values = Random(seed).normals(size(extents));
  for (float& value : values) value = 0.05F + 0.2F * value * value;
  c.add(name, extents, values);
}

void bind_slopes(const Shape& s, Captures& c) {
  std::vector<float> slopes;
  for (std::int32_t h = 0; h < s.q_heads; ++h) slopes.push_back(0.25F / static_cast<float>(h + 1));
  c.add("slope", {s.q_heads}, slopes);
}

void bind_relative(const Shape& s, Captures& c) { add_normal(c, "t", {s.q_heads, s.q_len + s.kv_len - 1}); }

void bind_full(const Shape& s, Captures& c) { add_normal(c, "bias", {s.batch, s.q_heads, s.q_len, s.kv_len}); }

// The shape of `bias_full`, but batch and heads repeat the same memory.
void bind_expanded(const Shape& s, Captures& c) {
  add_normal(c, "bias", {1, 1, s.q_len, s.kv_len});
  TensorView& view = c.bindings().buffers["bias"];
  view.shape = {s.batch, s.q_heads, s.q_len, s.kv_len};
  view.strides[0] = view.strides[1] = 0;
}

void bind_forgetting(const Shape& s, Captures& c) {
  std::vector<float> gates;
  Random random(6);
  for (std::int32_t plane = 0; plane < s.batch * s.q_heads; ++plane) {
    float sum = 0;
    for (std::int32_t i = 0; i < s.max_len(); ++i) {
      sum -= 0.02F * static_cast<float>(random.unit());
      gates.push_back(sum);
    }
  }
  c.add("c", {s.batch, s.q_heads, s.max_len()}, gates);
}

void bind_graph(const Shape& s, Captures& c) {
  Captures::Extents extents{s.batch, s.q_len, s.kv_len};
  c.add("dist", extents, Random(8).integers(size(extents), 0, 6));
  add_normal(c, "t", {s.q_heads, 7});
}

void bind_sandwich(const Shape& s, Captures& c) {
  add_normal(c, "rel", {s.q_len + s.kv_len - 1});
  add_positive(c, "hs", {s.q_heads});
}

void bind_quant(const Shape& s, Captures& c) {
  add_positive(c, "qs", {s.batch, s.q_heads, (s.q_len + 15) / 16}, 21);
  add_positive(c, "ks", {s.batch, s.q_heads, (s.kv_len + 31) / 32}, 22);
}

void bind_rope_part(const Shape& s, Captures& c) {
  add_normal(c, "qp", {s.batch, s.q_heads, s.q_len, 8}, 31);
  add_normal(c, "kp", {s.batch, s.kv_heads, s.kv_len, 8}, 32);
}

void bind_kerple(const Shape& s, Captures& c) {
  add_positive(c, "r1", {s.q_heads}, 41);
  add_positive(c, "r2", {s.q_heads}, 42);
}

void bind_two_sided(const Shape& s, Captures& c) {
  bind_slopes(s, c);
  add_positive(c, "right", {s.q_heads});
}

constexpr Pattern kScores[] = {
    {"alibi_formula", "score = score + (kv_idx - q_idx) * exp2(-(h + 1) * 8.0 / num_heads)"},
    {"alibi_slopes", "buffer slope : f32[num_heads]\nscore = score + slope[h] * (kv_idx - q_idx)", bind_slopes},
    {"alibi_causal_window",
     "param window : int = 29\nbuffer slope : f32[num_heads]\nlet d = q_idx - kv_idx\n"
     "score = score - slope[h] * d\nmask = d >= 0 && d < window",
     bind_slopes},
    {"softcap", "param cap : float = 3.0\nscore = cap * tanh(score / cap)"},
    {"softcap_const", "const cap : float = 30.0\nscore = cap * tanh(score / cap)\nmask = q_idx >= kv_idx"},
    {"relative_bias", "buffer t : f32[num_heads, ?]\nscore = score + t[h, q_idx - kv_idx + kv_len - 1]", bind_relative},
    {"bias_full", "buffer bias : f32[batch_size, num_heads, q_len, kv_len]\nscore = score + bias[b, h, q_idx, kv_idx]",
     bind_full},
    {"bias_per_head", "buffer bias : f32[num_heads, q_len, kv_len]\nscore = score + bias[h, q_idx, kv_idx]",
     [](const Shape& s, Captures& c) { add_normal(c, "bias", {s.q_heads, s.q_len, s.kv_len}); }},
    {"bias_shared", "buffer bias : f32[q_len, kv_len]\nscore = score + bias[q_idx, kv_idx]",
     [](const Shape& s, Captures& c) { add_normal(c, "bias", {s.q_len, s.kv_len}); }},
    {"bias_per_key", "buffer bias : f32[batch_size, kv_len]\nscore = score + bias[b, kv_idx]",
     [](const Shape& s, Captures& c) { add_normal(c, "bias", {s.batch, s.kv_len}); }},
    {"bias_expanded", "buffer bias : f32[batch_size, num_heads, q_len, kv_len]\nscore = score + bias[b, h, q_idx, kv_idx]",
     bind_expanded},
    {"t5_buckets",
     "const nb : int = 32; const M : int = 128\nbuffer t : f32[32, num_heads]\n"
     "let n = abs(kv_idx - q_idx)\nlet base = kv_idx > q_idx ? nb // 2 : 0\nlet m = nb // 4\n"
     "let far = min(m + int(log(n / m) / log(M / m) * (nb // 2 - m)), nb // 2 - 1)\n"
     "score = score + t[base + (n < m ? n : far), h]",
     [](const Shape& s, Captures& c) { add_normal(c, "t", {32, s.q_heads}); }},
    {"swin_bias",
     "const W : int = 12; const M : int = 4\nbuffer t : f32[num_heads, 49]\n"
     "def row(i) = i // W\ndef col(i) = i % W\n"
     "let dr = row(q_idx) % M - row(kv_idx) % M + M - 1\nlet dc = col(q_idx) % M - col(kv_idx) % M + M - 1\n"
     "score = score + t[h, dr * (2 * M - 1) + dc]",
     [](const Shape& s, Captures& c) { add_normal(c, "t", {s.q_heads, 49}); }},
    {"kerple",
     "buffer r1 : f32[num_heads]; buffer r2 : f32[num_heads]\nscore = score - r1[h] * log(1 + r2[h] * abs(q_idx - kv_idx))",
     bind_kerple},
    {"forgetting",
     "buffer c : f32[batch_size, num_heads, ?]\nscore = score + c[b, h, q_idx] - c[b, h, kv_idx]\nmask = q_idx >= kv_idx",
     bind_forgetting},
    {"graph_distance",
     "buffer dist : i32[batch_size, q_len, kv_len]; buffer t : f32[num_heads, 7]\nscore = score + t[h, dist[b, q_idx, kv_idx]]",
     bind_graph},
    {"sandwich", "buffer rel : f32[?]; buffer hs : f32[num_heads]\nscore = score + rel[q_idx - kv_idx + kv_len - 1] * hs[h]",
     bind_sandwich},
    {"block_quant_scales",
     "const BQ : int = 16; const BK : int = 32\n"
     "buffer qs : f32[batch_size, num_heads, ?]; buffer ks : f32[batch_size, num_heads, ?]\n"
     "score = score * qs[b, h, q_idx // BQ] * ks[b, h, kv_idx // BK]",
     bind_quant},
    {"mla_rope_part",
     "param c : float = 0.3\n"
     "buffer qp : f32[batch_size, num_heads, q_len, 8]; buffer kp : f32[batch_size, num_kv_heads, kv_len, 8]\n"
     "score = score + c * dot(qp[b, h, q_idx, :], kp[b, kv_head, kv_idx, :])",
     bind_rope_part},
    {"decay", "score = score + 0.1 * exp(-abs(q_idx - kv_idx) / 16.0)"},
    {"two_sided",
     "buffer slope : f32[num_heads]; buffer right : f32[num_heads]\n"
     "score = score - (q_idx > kv_idx ? slope[h] * (q_idx - kv_idx) : right[h] * (kv_idx - q_idx))",
     bind_two_sided},
    {"select_as_mask", "score = where(q_idx >= kv_idx, score, -inf)"},
    // Squares amplify the rounding of the dot product, as the wider tolerance of the golden results says.
    {"square", "score = score * score", nullptr, 1e-4},
    {"scaled_square", "buffer w : f32[kv_len]\nscore = w[kv_idx] * score * score",
     [](const Shape& s, Captures& c) { add_positive(c, "w", {s.kv_len}); }, 1e-4},
    {"bits", "score = score + ((q_idx ^ kv_idx) & 255) * 0.001"},
    {"log_distance", "score = score - log1p(abs(q_idx - kv_idx))"},
};

}  // namespace

std::span<const Pattern> score_patterns() { return kScores; }

}  // namespace flexjit::conformance
