// The texts, and rows of a part out of the whole and back.
#include "mpi/cases.h"

#include <mpi.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <numeric>

#include "flexjit/backward.h"
#include "mpi/collective.h"
#include "support/encodings.h"
#include "support/random.h"

namespace flexjit::mpi {

AttentionSpec spec_of(const std::string& program) {
  AttentionSpec spec;
  spec.program = program;
  spec.head_dim = 16;
  spec.v_head_dim = 8;
  return spec;
}

namespace {

std::vector<std::int32_t> document_ids(std::int32_t length, const std::vector<std::int32_t>& lengths) {
  std::vector<std::int32_t> ids;
  for (std::size_t d = 0; static_cast<std::int32_t>(ids.size()) < length; ++d)
    ids.insert(ids.end(), static_cast<std::size_t>(lengths[d % lengths.size()]), static_cast<std::int32_t>(d));
  ids.resize(static_cast<std::size_t>(length));
  return ids;
}

constexpr const char* kDocuments = R"(buffer doc : i32[q_len]
mask = doc[q_idx] == doc[kv_idx] && q_idx >= kv_idx)";
// BD3-LM: a noised half that sees its own block and the clean blocks before, and a clean half.
constexpr const char* kBlockDiffusion = R"(param size : int = 24
let half = q_len // 2
let q_clean = q_idx >= half
let kv_clean = kv_idx >= half
let q_at = (q_clean ? q_idx - half : q_idx) // size
let kv_at = (kv_clean ? kv_idx - half : kv_idx) // size
mask = (q_clean == kv_clean && q_at == kv_at) || (kv_clean && q_at > kv_at))";
constexpr const char* kRandomBlocks = R"(buffer drawn : bool[?, ?]
mask = drawn[q_idx // 16, kv_idx // 16] || q_idx == kv_idx)";
constexpr const char* kLearned = R"(buffer slope : f32[num_heads]
buffer bias : f32[num_heads, ?]
let d = q_idx - kv_idx
score = score - slope[h] * abs(d) + bias[h, clamp(d, -9, 9) + 9]
mask = q_idx >= kv_idx && h + kv_head < num_heads + num_kv_heads)";

std::vector<float> random_floats(std::size_t count, std::uint64_t seed) { return test::Random(seed).normals(count, 0.3F); }

Case random_blocks() {
  Case made{.name = "random blocks",
            .spec = spec_of(kRandomBlocks),
            .sizes = {.q_heads = 2, .kv_heads = 1, .length = 190, .block = 16}};
  std::vector<bool> drawn;
  test::Random random(5);
  for (int i = 0; i < 144; ++i) drawn.push_back(random.chance(0.3));
  made.captures.add("drawn", {12, 12}, drawn);
  return made;
}

Case documents(const std::vector<std::int32_t>& lengths, std::int32_t length, std::int32_t block) {
  Case made{.name = "documents of " + std::to_string(lengths[0]) + " and others",
            .spec = spec_of(kDocuments),
            .sizes = {.q_heads = 4, .kv_heads = 2, .length = length, .block = block}};
  made.captures.add("doc", {length}, document_ids(length, lengths));
  return made;
}

Case learned(std::string name, SequenceSizes sizes) {
  Case made{.name = std::move(name), .spec = spec_of(kLearned), .sizes = sizes, .gradients = {"slope", "bias"}};
  const auto heads = static_cast<std::size_t>(sizes.q_heads);
  std::vector<float> slopes;  // small: scores, hence lse and what its rounding does to gradients, stay so
  for (std::size_t h = 0; h < heads; ++h) slopes.push_back(0.01F * static_cast<float>(h + 1));
  made.captures.add("slope", {sizes.q_heads}, slopes);
  made.captures.add("bias", {sizes.q_heads, 19}, random_floats(heads * 19, 4));
  return made;
}

Case flags() {
  Case made{.name = "flags and dropout",
            .spec = spec_of(""),
            .sizes = {.batch = 2, .q_heads = 2, .kv_heads = 2, .length = 130, .block = 16}};
  made.spec.causal = true;
  made.spec.softcap = 3.0;
  made.spec.alibi = true;
  made.spec.window = Window{.left = 70, .right = -1};
  made.spec.dropout = Dropout{.p = 0.25};
  made.captures.add("alibi_slopes", {2, 2}, random_floats(4, 8));
  return made;
}

Case of_types(DType q, DType kv) {
  Case made{.name = std::string(name_of(q)) + " with keys of " + std::string(name_of(kv)),
            .spec = spec_of("mask = q_idx >= kv_idx"),
            .sizes = {.q_heads = 2, .kv_heads = 2, .length = 160, .block = 16}};
  made.spec.dtype = q;
  made.spec.kv_dtype = kv;
  made.tolerance = q == DType::kF32 ? 1e-5 : 0x1p-6;
  return made;
}

// Those that every way of exchanging keys must compute.
std::vector<Case> patterns() {
  const SequenceSizes sizes{.q_heads = 4, .kv_heads = 2, .length = 203, .block = 16};
  return {{.name = "causal", .spec = spec_of("mask = q_idx >= kv_idx"), .sizes = sizes},
          {.name = "window", .spec = spec_of("mask = abs(q_idx - kv_idx) <= 20"), .sizes = sizes},
          {.name = "no mask", .spec = spec_of("score = score - 0.01 * abs(q_idx - kv_idx)"), .sizes = sizes},
          {.name = "block diffusion",
           .spec = spec_of(kBlockDiffusion),
           .sizes = {.q_heads = 2, .kv_heads = 2, .length = 192, .block = 16}},
          documents({40, 3, 77, 1}, 203, 16),
          random_blocks(),
          learned("learned biases", sizes),
          {.name = "sinks", .spec = spec_of("mask = q_idx > kv_idx"), .sizes = sizes, .sinks = {-1.0F, 0.5F, 2.0F, -HUGE_VALF}},
          flags()};
}

// The product of ways, each named after its case.
std::vector<Case> with_options(const std::vector<Case>& all, const std::string& name, const SequenceOptions& options) {
  std::vector<Case> made = all;
  for (Case& one : made) {
    one.name += ", " + name;
    one.options = options;
  }
  return made;
}

std::vector<Case> edges() {
  const AttentionSpec causal = spec_of("mask = q_idx >= kv_idx");
  std::vector<Case> made{of_types(DType::kBF16, DType::kBF16), of_types(DType::kF32, DType::kBF16),
                         of_types(DType::kF16, DType::kF16)};
  made[0].pitfall = "C2";
  made[0].tolerance = 0x1p-8;  // of one rounding, whatever the number of ranks
  const auto add = [&](Case one, const char* pitfall) { made.emplace_back(std::move(one)).pitfall = pitfall; };
  add({.name = "large scores",
       .spec = spec_of("score = score + (kv_idx < 48 ? -100 : 100)\nmask = q_idx >= kv_idx"),
       .sizes = {.length = 96, .block = 8},
       .tolerance = 3e-5},
      "C1");
  add({.name = "no mask, in zigzag",
       .spec = spec_of("score = score - 0.01 * abs(q_idx - kv_idx)"),
       .sizes = {.length = 8, .block = 1},
       .options = {.dealing = Dealing::kZigzag}},
      "C3");
  add(documents({3, 5}, 8, 1), "C3");
  add({.name = "each key seen by others", .spec = spec_of("mask = q_idx != kv_idx"), .sizes = {.length = 64, .block = 8}},
      "C5");
  add({.name = "two tokens", .spec = causal, .sizes = {.length = 2, .block = 1}}, "C6");
  add({.name = "all masked", .spec = spec_of("mask = kv_idx > q_idx + q_len"), .sizes = {.length = 70, .block = 16}}, "C6");
  add({.name = "messages of 64 bytes", .spec = causal, .sizes = {.length = 40, .block = 4}, .options = {.message_bytes = 64}},
      "C9");
  add({.name = "seven tokens in blocks of four", .spec = causal, .sizes = {.length = 7, .block = 4}}, "C11");
  return made;
}

template <typename T>
T* data_or_null(std::vector<T>& values) {
  return values.empty() ? nullptr : values.data();
}

void broadcast(std::vector<float>& values) {
  auto size = static_cast<int>(values.size());
  MPI_Bcast(&size, 1, MPI_INT, 0, MPI_COMM_WORLD);
  values.resize(static_cast<std::size_t>(size));
  MPI_Bcast(values.data(), size, MPI_FLOAT, 0, MPI_COMM_WORLD);
}

std::vector<unsigned char> encoded(DType dtype, const std::vector<float>& values) {
  return test::encode(dtype, std::vector<double>(values.begin(), values.end()));
}

template <typename T>
std::vector<T> rows_out(const std::vector<T>& whole, std::int64_t planes, std::int64_t length,
                        std::span<const std::int32_t> at) {
  const auto width = static_cast<std::ptrdiff_t>(whole.size()) / (planes * length);
  std::vector<T> part;
  for (std::int64_t plane = 0; plane < planes; ++plane)
    for (const std::int32_t row : at) {
      const auto begin = whole.begin() + (plane * length + row) * width;
      part.insert(part.end(), begin, begin + width);
    }
  return part;
}

testing::AssertionResult close(const std::string& what, const std::vector<float>& actual, const std::vector<float>& expected,
                               double tolerance) {
  if (actual.size() != expected.size())
    return testing::AssertionFailure() << what << " has " << actual.size() << " elements of " << expected.size();
  for (std::size_t i = 0; i < actual.size(); ++i) {
    if (actual[i] == expected[i]) continue;
    const double error = std::abs(double{actual[i]} - double{expected[i]});
    if (!(error <= tolerance * (1 + std::abs(double{expected[i]}))))
      return testing::AssertionFailure() << what << "[" << i << "] is " << actual[i] << ", must be " << expected[i];
  }
  return testing::AssertionSuccess();
}

DType kv_of(const Case& of) { return of.spec.kv_dtype.value_or(of.spec.dtype); }

template <typename Args>
void give_sinks(const Case& of, Args& args) {
  if (of.sinks.empty()) return;
  args.sinks = TensorView(of.sinks.data(), DType::kF32, {of.sizes.q_heads});
}

template <typename Wanted>
void want_sinks(const Case& of, std::vector<float>& into, Wanted& gradients) {
  if (of.sinks.empty()) return;
  gradients.sinks = MutableTensorView(into.data(), DType::kF32, {of.sizes.q_heads});
}

// What must be, by the reference.
void compute(const Case& of, Whole& whole) {
  const SequenceSizes& s = of.sizes;
  const std::int64_t d = of.spec.head_dim, dv = of.spec.v_head_dim;
  AttentionSpec spec = of.spec;
  spec.out_dtype = DType::kF32;
  const Attention attention = Engine({.backend = Backend::kReference}).compile(spec).value();
  RunArgs args{.q = TensorView(whole.q.data(), spec.dtype, {s.batch, s.q_heads, s.length, d}),
               .k = TensorView(whole.k.data(), kv_of(of), {s.batch, s.kv_heads, s.length, d}),
               .v = TensorView(whole.v.data(), kv_of(of), {s.batch, s.kv_heads, s.length, dv}),
               .out = MutableTensorView(whole.out.data(), DType::kF32, {s.batch, s.q_heads, s.length, dv}),
               .lse = MutableTensorView(whole.lse.data(), DType::kF32, {s.batch, s.q_heads, s.length}),
               .bindings = &of.captures.bindings()};
  give_sinks(of, args);
  static_cast<void>(attention.run_reference(args).value());
  Gradients gradients{.out = TensorView(whole.d_out.data(), DType::kF32, {s.batch, s.q_heads, s.length, dv}),
                      .lse = TensorView(whole.d_lse.data(), DType::kF32, {s.batch, s.q_heads, s.length}),
                      .q = MutableTensorView(whole.dq.data(), DType::kF32, {s.batch, s.q_heads, s.length, d}),
                      .k = MutableTensorView(whole.dk.data(), DType::kF32, {s.batch, s.kv_heads, s.length, d}),
                      .v = MutableTensorView(whole.dv.data(), DType::kF32, {s.batch, s.kv_heads, s.length, dv})};
  for (std::size_t i = 0; i < of.gradients.size(); ++i) {
    MutableTensorView view;
    const TensorView& bound = of.captures.bindings().buffers.at(of.gradients[i]);
    view = MutableTensorView(whole.d_buffers[i].data(), DType::kF32,
                             std::span(bound.shape).first(static_cast<std::size_t>(bound.rank)));
    gradients.buffers[of.gradients[i]] = view;
  }
  want_sinks(of, whole.d_sinks, gradients);
  static_cast<void>(run_backward_reference(attention, args, gradients).value());
}

}  // namespace

std::vector<Case> cases() {
  const std::vector<Case> all = patterns();
  std::vector<Case> made = with_options(all, "ring", {});
  const auto add = [&](const std::vector<Case>& more) { made.insert(made.end(), more.begin(), more.end()); };
  add(edges());
  add(with_options({all[0], all[4], all[6]}, "gathered", {.exchange = Exchange::kAllGather}));
  add(with_options({all[0], all[1]}, "dealt", {.dealing = Dealing::kDealt}));
  if (world_size() % 2 == 0) {
    add(with_options({all[0], all[4], all[6], all[7]}, "heads shared by two", {.head_ranks = 2}));
  }
  return made;
}

Whole whole_of(const Case& of) {
  const SequenceSizes& s = of.sizes;
  const std::int64_t d = of.spec.head_dim, dv = of.spec.v_head_dim;
  const auto count = [&](std::int64_t heads, std::int64_t dim) {
    return static_cast<std::size_t>(s.batch * heads * s.length * dim);
  };
  Whole whole;
  test::Random random(11);
  whole.q = encoded(of.spec.dtype, random.normals(count(s.q_heads, d)));
  whole.k = encoded(kv_of(of), random.normals(count(s.kv_heads, d)));
  whole.v = encoded(kv_of(of), random.normals(count(s.kv_heads, dv)));
  whole.d_out = random.normals(count(s.q_heads, dv));
  whole.d_lse = random.normals(count(s.q_heads, 1));
  whole.out.resize(count(s.q_heads, dv));
  whole.lse.resize(count(s.q_heads, 1));
  whole.dq.resize(count(s.q_heads, d));
  whole.dk.resize(count(s.kv_heads, d));
  whole.dv.resize(count(s.kv_heads, dv));
  for (const std::string& name : of.gradients) {
    std::size_t size = 1;
    for (int i = 0; i < of.captures.bindings().buffers.at(name).rank; ++i)
      size *= static_cast<std::size_t>(of.captures.bindings().buffers.at(name).shape[static_cast<std::size_t>(i)]);
    whole.d_buffers.emplace_back(size);
  }
  whole.d_sinks.resize(of.sinks.size());
  if (world_rank() == 0) compute(of, whole);
  for (std::vector<float>* values : {&whole.out, &whole.lse, &whole.dq, &whole.dk, &whole.dv, &whole.d_sinks})
    broadcast(*values);
  for (std::vector<float>& values : whole.d_buffers) broadcast(values);
  return whole;
}

Part part_of(const Case& of, const Whole& whole, const ShardedAttention& attention) {
  const std::int64_t q_planes = std::int64_t{of.sizes.batch} * of.sizes.q_heads,
                     kv_planes = std::int64_t{of.sizes.batch} * of.sizes.kv_heads;
  const auto at = attention.positions();
  const auto rows = [&](const auto& values, std::int64_t planes) { return rows_out(values, planes, of.sizes.length, at); };
  Part part{.tokens = static_cast<std::int64_t>(at.size()),
            .q = rows(whole.q, q_planes),
            .k = rows(whole.k, kv_planes),
            .v = rows(whole.v, kv_planes)};
  const float nan = std::nanf("");
  const auto poisoned = [&](std::int64_t planes, std::int64_t dim) {
    return std::vector<float>(static_cast<std::size_t>(planes * part.tokens * dim), nan);
  };
  part.out.assign(static_cast<std::size_t>(q_planes * part.tokens * of.spec.v_head_dim) * size_of(of.spec.dtype), 0xff);
  part.lse = poisoned(q_planes, 1);
  part.d_out = rows(whole.d_out, q_planes);
  part.d_lse = rows(whole.d_lse, q_planes);
  part.dq = poisoned(q_planes, of.spec.head_dim);
  part.dk = poisoned(kv_planes, of.spec.head_dim);
  part.dv = poisoned(kv_planes, of.spec.v_head_dim);
  for (const auto& values : whole.d_buffers) part.d_buffers.emplace_back(values.size(), nan);
  part.d_sinks.assign(whole.d_sinks.size(), nan);
  return part;
}

ShardArgs args_of(const Case& of, Part& part) {
  const SequenceSizes& s = of.sizes;
  ShardArgs made{
      .q = TensorView(data_or_null(part.q), of.spec.dtype, {s.batch, s.q_heads, part.tokens, of.spec.head_dim}),
      .k = TensorView(data_or_null(part.k), kv_of(of), {s.batch, s.kv_heads, part.tokens, of.spec.head_dim}),
      .v = TensorView(data_or_null(part.v), kv_of(of), {s.batch, s.kv_heads, part.tokens, of.spec.v_head_dim}),
      .out = MutableTensorView(data_or_null(part.out), of.spec.dtype, {s.batch, s.q_heads, part.tokens, of.spec.v_head_dim}),
      .lse = MutableTensorView(data_or_null(part.lse), DType::kF32, {s.batch, s.q_heads, part.tokens}),
      .bindings = &of.captures.bindings()};
  give_sinks(of, made);
  return made;
}

ShardGradients gradients_of(const Case& of, Part& part) {
  const SequenceSizes& s = of.sizes;
  ShardGradients made{
      .out = TensorView(data_or_null(part.d_out), DType::kF32, {s.batch, s.q_heads, part.tokens, of.spec.v_head_dim}),
      .lse = TensorView(data_or_null(part.d_lse), DType::kF32, {s.batch, s.q_heads, part.tokens}),
      .q = MutableTensorView(data_or_null(part.dq), DType::kF32, {s.batch, s.q_heads, part.tokens, of.spec.head_dim}),
      .k = MutableTensorView(data_or_null(part.dk), DType::kF32, {s.batch, s.kv_heads, part.tokens, of.spec.head_dim}),
      .v = MutableTensorView(data_or_null(part.dv), DType::kF32, {s.batch, s.kv_heads, part.tokens, of.spec.v_head_dim})};
  for (std::size_t i = 0; i < of.gradients.size(); ++i) {
    const TensorView& bound = of.captures.bindings().buffers.at(of.gradients[i]);
    made.buffers[of.gradients[i]] = MutableTensorView(part.d_buffers[i].data(), DType::kF32,
                                                      std::span(bound.shape).first(static_cast<std::size_t>(bound.rank)));
  }
  want_sinks(of, part.d_sinks, made);
  return made;
}

testing::AssertionResult is_forward(const Case& of, const Whole& whole, const ShardedAttention& attention, const Part& part) {
  const std::int64_t planes = std::int64_t{of.sizes.batch} * of.sizes.q_heads;
  std::vector<float> out;
  for (std::size_t at = 0; at < part.out.size(); at += size_of(of.spec.dtype))
    out.push_back(static_cast<float>(test::read_element(of.spec.dtype, part.out.data() + at)));
  const auto rows = [&](const std::vector<float>& values) {
    return rows_out(values, planes, of.sizes.length, attention.positions());
  };
  if (auto found = close("out", out, rows(whole.out), of.tolerance); !found) return found;
  return close("lse", part.lse, rows(whole.lse), of.tolerance);
}

testing::AssertionResult is_backward(const Case& of, const Whole& whole, const ShardedAttention& attention, const Part& part) {
  const std::int64_t batch = of.sizes.batch;
  const auto rows = [&](const std::vector<float>& values, std::int32_t heads) {
    return rows_out(values, batch * heads, of.sizes.length, attention.positions());
  };
  if (auto found = close("dq", part.dq, rows(whole.dq, of.sizes.q_heads), of.tolerance); !found) return found;
  if (auto found = close("dk", part.dk, rows(whole.dk, of.sizes.kv_heads), of.tolerance); !found) return found;
  if (auto found = close("dv", part.dv, rows(whole.dv, of.sizes.kv_heads), of.tolerance); !found) return found;
  if (auto found = close("gradient of sinks", part.d_sinks, whole.d_sinks, 4 * of.tolerance); !found) return found;
  // Many rows add to an element.
  for (std::size_t i = 0; i < of.gradients.size(); ++i)
    if (auto found = close("gradient of " + of.gradients[i], part.d_buffers[i], whole.d_buffers[i], 4 * of.tolerance); !found)
      return found;
  return testing::AssertionSuccess();
}

testing::AssertionResult is_whole(const Case& of) {
  const ShardedAttention attention =
      ShardedAttention::make(default_engine(), of.spec, of.sizes, of.options, &of.captures.bindings()).value();
  const Whole whole = whole_of(of);
  Part part = part_of(of, whole, attention);
  Part again = part;
  for (Part* one : {&part, &again}) {
    static_cast<void>(attention.run(args_of(of, *one)).value());
    static_cast<void>(attention.run_backward(args_of(of, *one), gradients_of(of, *one)).value());
  }
  if (auto found = everywhere(is_forward(of, whole, attention, part)); !found) return found << " of " << of.name;
  if (auto found = everywhere(is_backward(of, whole, attention, part)); !found) return found << " of " << of.name;
  return everywhere(part == again ? testing::AssertionSuccess() : testing::AssertionFailure() << "two runs differ");
}

}  // namespace flexjit::mpi
