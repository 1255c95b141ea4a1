// The mask patterns. Names of the formulas: W window, D dilation, S sinks or stride, C chunk, P prefix, B block.
// Where one buffer is read at q_idx and at kv_idx its extent is `?`, so those reads are checked in the kernel; the others
// declare q_len or kv_len and are proved. Both ways are wanted here.
#include <algorithm>

#include "patterns.h"

namespace flexjit::conformance {
namespace {

// Segment numbers that grow along the sequence: 0 0 0 1 1 2 2 2 2 ...
std::vector<std::int32_t> segments(std::int32_t length, std::int32_t typical) {
  Random random(17);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(length));
  std::int32_t id = 0;
  for (std::size_t i = 1; i < ids.size(); ++i) ids[i] = random.integer(1, typical) == 1 ? ++id : id;
  return ids;
}

// The first position of every segment, and the length at the end.
std::vector<std::int32_t> starts(const std::vector<std::int32_t>& ids) {
  std::vector<std::int32_t> first{0};
  for (std::size_t i = 1; i < ids.size(); ++i)
    if (ids[i] != ids[i - 1]) first.push_back(static_cast<std::int32_t>(i));
  first.push_back(static_cast<std::int32_t>(ids.size()));
  return first;
}

std::int64_t count(const std::vector<std::int32_t>& values) { return static_cast<std::int64_t>(values.size()); }

void add_per_batch(const Shape& s, Captures& c, const std::string& name, std::int32_t first) {
  std::vector<std::int32_t> values;
  for (std::int32_t b = 0; b < s.batch; ++b) values.push_back(first + 11 * b);
  c.add(name, {s.batch}, values);
}

void bind_head_window(const Shape& s, Captures& c) {
  std::vector<std::int32_t> windows;
  for (std::int32_t h = 0; h < s.q_heads; ++h) windows.push_back(3 + 20 * h);
  c.add("W", {s.q_heads}, windows);
}

void bind_segments(const Shape& s, Captures& c) {
  std::vector<std::int32_t> ids = segments(s.max_len(), 24);
  c.add("seg", {count(ids)}, ids);
}

void bind_segment_starts(const Shape& s, Captures& c) {
  bind_segments(s, c);
  std::vector<std::int32_t> first = starts(segments(s.max_len(), 24));
  c.add("off", {count(first)}, first);
}

void bind_shared_prefix(const Shape& s, Captures& c) {
  std::vector<std::int32_t> ids = segments(s.max_len(), 24), first = starts(ids);
  std::vector<std::int32_t> prefix;  // every third document leans on the one that opens its group
  for (std::int32_t d = 0; d + 1 < static_cast<std::int32_t>(first.size()); ++d) prefix.push_back(d - d % 3);
  c.add("doc", {count(ids)}, ids).add("off", {count(first)}, first).add("pre", {count(prefix)}, prefix);
}

void bind_global(const Shape& s, Captures& c) {
  std::vector<bool> global(static_cast<std::size_t>(s.max_len()));
  for (std::size_t i = 0; i < global.size(); i += 37) global[i] = true;
  c.add("g", {s.max_len()}, global);
}

void bind_bigbird(const Shape& s, Captures& c) {
  bind_global(s, c);
  Random random(5);
  std::int32_t rows = (s.q_len + 15) / 16, columns = (s.kv_len + 15) / 16;
  std::vector<bool> chosen(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns));
  for (std::size_t i = 0; i < chosen.size(); ++i) chosen[i] = random.chance(0.1);
  c.add("rnd", {rows, columns}, chosen);
}

void bind_columns(const Shape& s, Captures& c) {
  Random random(9);
  std::vector<std::int32_t> begin, end;
  for (std::int32_t k = 0; k < s.kv_len; ++k) {
    begin.push_back(k + random.integer(1, 20));
    end.push_back(begin.back() + random.integer(0, 30));
  }
  c.add("s", {s.kv_len}, begin).add("e", {s.kv_len}, end);
}

void bind_spans(const Shape& s, Captures& c) {
  std::vector<std::int32_t> span;
  for (std::int32_t q = 0; q < s.q_len; ++q) {
    span.push_back(q - q % 30);
    span.push_back(q - q % 30 + (q % 60 < 30 ? 12 : -1));
  }
  c.add("r", {s.q_len, 2}, span);
}

void bind_images(const Shape& s, Captures& c) {
  std::vector<std::int32_t> image;
  for (std::int32_t i = 0; i < s.max_len(); ++i) image.push_back(i % 40 < 15 ? i / 40 : -1);
  c.add("img", {s.max_len()}, image);
}

void bind_cross_images(const Shape& s, Captures& c) {
  std::vector<std::int32_t> image, visible;
  for (std::int32_t k = 0; k < s.kv_len; ++k) image.push_back(k / 16);
  std::int32_t images = (s.kv_len + 15) / 16;
  for (std::int32_t i = 0; i < images; ++i) {
    visible.push_back(s.q_len * i / images);
    visible.push_back(s.q_len * (i + 2) / images);
  }
  c.add("img", {s.kv_len}, image).add("iv", {images, 2}, visible);
}

// Physical page p of a batch entry holds logical page p2l[b][p]; -1 is a hole.
void bind_pages(const Shape& s, Captures& c) {
  std::int32_t pages = (s.kv_len + 15) / 16;
  std::vector<std::int32_t> logical;
  for (std::int32_t b = 0; b < s.batch; ++b)
    for (std::int32_t p = 0; p < pages; ++p) logical.push_back(p % 5 == 3 ? -1 : pages - 1 - p);
  c.add("p2l", {s.batch, pages}, logical);
  add_per_batch(s, c, "len", s.kv_len - 20);
}

// Up to four of the ranges that start somewhere and have one of four kinds, for each query; -1 for none.
void bind_range_lists(const Shape& s, Captures& c) {
  Random random(21);
  std::vector<std::int32_t> at, ranges;
  const std::int32_t count = 9;
  for (std::int32_t n = 0; n < count; ++n) {
    const std::int32_t q = s.q_len * n / count, k = random.integer(0, s.kv_len - 1);
    const std::int32_t size = random.integer(1, std::max(1, s.kv_len / 2));
    for (std::int32_t value : {q, q + s.q_len / count + 1, k, std::min(s.kv_len, k + size), random.integer(0, 3)})
      ranges.push_back(value);
  }
  for (std::int32_t q = 0; q < s.q_len; ++q) {
    for (std::int32_t slot = 0; slot < 4; ++slot)
      at.push_back((q + slot) % 3 == 0 ? -1 : (q * count / s.q_len + 2 * slot) % count);
  }
  c.add("at", {s.q_len, 4}, at).add("s", {count, 5}, ranges);
}

void bind_rules(const Shape& s, Captures& c) {
  Random random(23);
  const auto length = static_cast<std::size_t>(s.max_len());
  std::vector<std::int32_t> time;
  for (std::int32_t i = 0; i < s.max_len(); ++i) time.push_back(i / 37);
  c.add("group", {s.max_len()}, random.integers(length, 0, 4)).add("time", {s.max_len()}, time);
  c.add("rule", {5, 5}, random.integers(25, 0, 3));
}

constexpr Pattern kMasks[] = {
    {"none", "score = score"},
    {"causal", "mask = q_idx >= kv_idx", nullptr, 1e-5, "C1"},
    {"causal_with_cache_param", "param off : int = 13\nmask = q_idx + off >= kv_idx"},
    {"causal_with_cache_buffer", "buffer off : i32[batch_size]\nmask = q_idx + off[b] >= kv_idx",
     [](const Shape& s, Captures& c) { add_per_batch(s, c, "off", 5); }},
    {"bottom_right", "mask = q_idx + kv_len - q_len >= kv_idx", nullptr, 1e-5, "C1"},
    {"sliding", "param W : int = 19\nmask = q_idx - kv_idx <= W && q_idx >= kv_idx"},
    {"sliding_per_head", "buffer W : i32[num_heads]\nmask = q_idx >= kv_idx && q_idx - kv_idx <= W[h]", bind_head_window, 1e-5,
     "F07"},
    {"symmetric_window", "param W : int = 17\nmask = abs(q_idx - kv_idx) <= W"},
    {"dilated", "param W : int = 30; param D : int = 3\nlet d = abs(q_idx - kv_idx)\nmask = d <= W && d % D == 0"},
    {"dilated_const", "const W : int = 30; const D : int = 3\nmask = abs(q - kv) <= W && abs(q - kv) % D == 0"},
    {"strided", "param S : int = 16\nmask = q_idx >= kv_idx && (q_idx - kv_idx < S || (q_idx - kv_idx) % S == 0)"},
    {"prefix_lm", "param P : int = 23\nmask = kv_idx < P || q_idx >= kv_idx"},
    {"prefix_lm_per_batch", "buffer P : i32[batch_size]\nmask = kv_idx < P[b] || q_idx >= kv_idx",
     [](const Shape& s, Captures& c) { add_per_batch(s, c, "P", 19); }, 1e-5, "F07"},
    {"padding_right", "buffer len : i32[batch_size]\nmask = kv_idx < len[b]",
     [](const Shape& s, Captures& c) { add_per_batch(s, c, "len", s.kv_len - 27); }},
    {"padding_left", "buffer lp : i32[batch_size]\nmask = kv_idx >= lp[b]",
     [](const Shape& s, Captures& c) { add_per_batch(s, c, "lp", 21); }},
    {"document", "buffer seg : i32[?]\nmask = seg[q_idx] == seg[kv_idx]", bind_segments},
    {"document_causal", "buffer seg : i32[?]\nmask = seg[q_idx] == seg[kv_idx] && q_idx >= kv_idx", bind_segments},
    {"packed_causal", "buffer seg : i32[?]; buffer off : i32[?]\nmask = kv_idx >= off[seg[q_idx]] && q_idx >= kv_idx",
     bind_segment_starts},
    {"ragged",
     "buffer seg : i32[?]; buffer off : i32[?]\n"
     "mask = seg[q_idx] == seg[kv_idx] && q_idx - off[seg[q_idx]] >= kv_idx - off[seg[kv_idx]]",
     bind_segment_starts},
    {"chunked",
     "const C : int = 24\nbuffer lp : i32[batch_size]\n"
     "mask = (q_idx - lp[b]) // C == (kv_idx - lp[b]) // C && kv_idx <= q_idx",
     [](const Shape& s, Captures& c) { add_per_batch(s, c, "lp", 7); }},
    {"stream_chunk",
     "param C : int = 16; param left : int = 2\n"
     "mask = kv_idx // C <= q_idx // C && kv_idx // C >= q_idx // C - left"},
    {"streaming_sinks",
     "param W : int = 20; const S : int = 4\n"
     "mask = (q_idx >= kv_idx && q_idx - kv_idx <= W) || (q_idx >= S && kv_idx <= S)"},
    {"global_and_window", "param W : int = 9\nbuffer g : bool[?]\nmask = abs(q_idx - kv_idx) <= W || g[q_idx] || g[kv_idx]",
     bind_global},
    {"bigbird",
     "const B : int = 16; const w : int = 1\nbuffer g : bool[?]; buffer rnd : bool[?, ?]\n"
     "mask = g[q_idx] || g[kv_idx] || abs(q_idx // B - kv_idx // B) <= w || rnd[q_idx // B, kv_idx // B]",
     bind_bigbird},
    {"shared_prefix",
     "buffer doc : i32[?]; buffer off : i32[?]; buffer pre : i32[?]\n"
     "let D = doc[q_idx]\nlet p = pre[D]\n"
     "mask = (kv_idx >= off[D] && q_idx >= kv_idx) || (D != p && kv_idx >= off[p] && kv_idx < off[p + 1])",
     bind_shared_prefix},
    {"flashmask_columns",
     "buffer s : i32[kv_len]; buffer e : i32[kv_len]\n"
     "mask = kv_idx <= q_idx && !(s[kv_idx] <= q_idx && q_idx < e[kv_idx])",
     bind_columns},
    {"bidirectional_span",
     "param W : int = 40\nbuffer r : i32[q_len, 2]\n"
     "mask = (kv_idx <= q_idx && (W <= 0 || q_idx - kv_idx < W)) || (kv_idx >= r[q_idx, 0] && kv_idx <= r[q_idx, 1])",
     bind_spans},
    {"transfusion", "buffer img : i32[?]\nmask = q_idx >= kv_idx || (img[q_idx] >= 0 && img[q_idx] == img[kv_idx])",
     bind_images},
    {"cross_image",
     "buffer img : i32[kv_len]; buffer iv : i32[?, 2]\n"
     "mask = iv[img[kv_idx], 0] <= q_idx && q_idx < iv[img[kv_idx], 1]",
     bind_cross_images},
    {"attamba",
     "const C : int = 16; const W : int = 9\nmask = q_idx >= kv_idx && ((kv_idx + 1) % C == 0 || q_idx - kv_idx < W)"},
    {"natten_2d",
     "const H : int = 9; const W : int = 8; const KH : int = 3; const KW : int = 5\n"
     "let qx = clamp(q_idx // W, KH // 2, H - 1 - KH // 2)\nlet qy = clamp(q_idx % W, KW // 2, W - 1 - KW // 2)\n"
     "mask = abs(qx - kv_idx // W) <= KH // 2 && abs(qy - kv_idx % W) <= KW // 2"},
    {"neighbourhood",
     "param W : int = 28; const R : int = 2\n"
     "mask = abs(q_idx // W - kv_idx // W) <= R && abs(q_idx % W - kv_idx % W) <= R",
     nullptr, 1e-5, "X10"},
    {"swin",
     "const H : int = 8; const W : int = 12; const M : int = 4; const s : int = 2\n"
     "def shifted(x, n) = (x - s) % n\n"
     "def region(x, n) = x < n - M ? 0 : x < n - s ? 1 : 2\n"
     "let qr = shifted(q_idx // W, H); let qc = shifted(q_idx % W, W)\n"
     "let kr = shifted(kv_idx // W, H); let kc = shifted(kv_idx % W, W)\n"
     "mask = qr // M == kr // M && qc // M == kc // M && region(qr, H) == region(kr, H) && region(qc, W) == region(kc, W)"},
    {"paged",
     "const PS : int = 16\nbuffer p2l : i32[batch_size, ?]; buffer len : i32[batch_size]\n"
     "let page = p2l[b, kv_idx // PS]\nlet kl = page * PS + kv_idx % PS\nmask = page >= 0 && kl < len[b] && q_idx >= kl",
     bind_pages},
    {"batchify", "param S : int = 32\nmask = q_idx // S == kv_idx // S && q_idx % S >= kv_idx % S"},
    {"head_choice", "param H1 : int = 1\nmask = h < H1 ? q_idx >= kv_idx : abs(q_idx - kv_idx) <= 12"},
    {"range_lists",
     "buffer at : i32[q_len, 4]; buffer s : i32[?, 5]\n"
     "def inside(n) = n >= 0 && kv_idx >= s[n, 2] && kv_idx < s[n, 3] &&\n"
     "                (s[n, 4] % 2 == 0 || kv_idx - s[n, 3] <= q_idx - s[n, 1]) &&\n"
     "                (s[n, 4] < 2 || kv_idx - s[n, 2] >= q_idx - s[n, 0])\n"
     "mask = inside(at[q_idx, 0]) || inside(at[q_idx, 1]) || inside(at[q_idx, 2]) || inside(at[q_idx, 3])",
     bind_range_lists},
    {"range_lists_reduced",
     "buffer at : i32[q_len, 4]; buffer s : i32[?, 5]; param slots : int = 3\n"
     "mask = any(i in 0..slots : (let n = at[q_idx, i]; n >= 0 && kv_idx >= s[n, 2] && kv_idx < s[n, 3]))",
     bind_range_lists},
    {"rule_matrix",
     "buffer group : i32[?]; buffer time : i32[?]; buffer rule : i32[5, 5]\n"
     "let r = rule[group[q_idx], group[kv_idx]]; let dt = time[q_idx] - time[kv_idx]\n"
     "mask = r == 1 && dt >= 0 || r == 2 && dt == 0 || r == 3 && dt > 0",
     bind_rules},
    {"literal_set", "param w : int = 6\nmask = kv_idx in {0, 1} || abs(q_idx - kv_idx) <= w"},
};

}  // namespace

std::span<const Pattern> mask_patterns() { return kMasks; }

}  // namespace flexjit::conformance
