// Every size has up to three sources (an option, a file's shape, another size) and they must agree. SizeSolver remembers who
// said what first, so that a conflict names both.
#include "data/problem.h"
#include "data/quantised.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <utility>

#include "command_line/failure.h"
#include "data/generate.h"
#include "data/memory.h"
#include "data/npy.h"

namespace flexjit::tools {
namespace {

constexpr std::int64_t kMaxElements = std::int64_t{1} << 33;  // 32 GiB of fp32: beyond it, a typing mistake is likelier

struct KnownSize {
  std::string_view name;
  std::optional<std::int64_t> value;
  std::string origin;
};

class SizeSolver {
 public:
  explicit SizeSolver(const SizeOptions& options) {
    option(batch, "batch", options.batch);
    option(kv_batch, "batch", std::nullopt);
    option(heads, "heads", options.heads);
    option(kv_heads, "kv-heads", options.kv_heads);
    option(q_len, "q-len", options.q_len);
    option(kv_len, "kv-len", options.kv_len);
    option(head_dim, "head-dim", options.head_dim);
    option(v_head_dim, "v-head-dim", options.v_head_dim);
  }

  // The shape is (batch, heads, length, dim) in this order.
  void file(const std::string& path, const TensorView& view, std::array<KnownSize*, 4> sizes) {
    for (std::size_t d = 0; d < 4; ++d) learn(*sizes[d], view.shape[d], path);
  }

  Sizes solve() {
    Sizes sizes;
    sizes.batch = batch.value.value_or(1);
    sizes.heads = heads.value.value_or(kv_heads.value.value_or(4));
    sizes.kv_heads = kv_heads.value.value_or(sizes.heads);
    sizes.q_len = q_len.value.value_or(kv_len.value.value_or(2048));
    sizes.kv_len = kv_len.value.value_or(sizes.q_len);
    sizes.head_dim = head_dim.value.value_or(64);
    sizes.v_head_dim = v_head_dim.value.value_or(sizes.head_dim);
    return sizes;
  }

  KnownSize batch, kv_batch, heads, kv_heads, q_len, kv_len, head_dim, v_head_dim;
  Diagnostics conflicts;

 private:
  static void option(KnownSize& size, std::string_view name, std::optional<std::int64_t> value) {
    size.name = name;
    size.value = value;
    size.origin = fmt::format("--{}", name);
  }

  void learn(KnownSize& size, std::int64_t value, const std::string& origin) {
    if (!size.value) {
      size.value = value;
      size.origin = origin;
    } else if (*size.value != value) {
      conflicts.push_back(failure("size-conflict", origin,
                                  fmt::format("has {} = {}, but {} says {}", size.name, value, size.origin, *size.value)));
    }
  }
};

// A tensor of rank 4.
Result<Array> read_input(const std::string& path) {
  Result<Array> array = read_npy(path);
  if (!array) return array.diagnostics();
  if (array->shape.size() != 4)
    return failure("size-conflict", path,
                   fmt::format("has shape {}; expected four dimensions: batch, heads, length, dim (or --layout bshd)",
                               shape_text(array->shape)));
  return array;
}

std::vector<std::int64_t> shape_in(Layout layout, std::array<std::int64_t, 4> bhsd) {
  if (layout == Layout::kBshd) std::swap(bhsd[1], bhsd[2]);
  return {bhsd.begin(), bhsd.end()};
}

struct Input {
  const std::string* path;
  Array* array;
  std::array<KnownSize*, 4> sizes;
};

bool is_half(const Array& array) { return !array.shape.empty() && (array.dtype == DType::kBF16 || array.dtype == DType::kF16); }

// What runs, with the arrays of the files as they were read.
DTypeOptions dtypes_of(const RunOptions& options, const Problem& files) {
  DTypeOptions dtypes = options.dtypes;
  if (dtypes.given) return dtypes;
  if (is_half(files.q)) dtypes.q = files.q.dtype;
  const bool keys_are_half = is_half(files.k) && files.k.dtype == files.v.dtype;
  if (!dtypes.kv && keys_are_half && dtypes.q == DType::kF32) dtypes.kv = files.k.dtype;
  return dtypes;
}

Diagnostics load_inputs(SizeSolver& solver, Problem& problem, const RunOptions& options) {
  const FileOptions& files = options.files;
  KnownSize* kv_batch = options.sequences.has_files() ? &solver.kv_batch : &solver.batch;
  const Input inputs[] = {
      {&files.q, &problem.q, {&solver.batch, &solver.heads, &solver.q_len, &solver.head_dim}},
      {&files.k, &problem.k, {kv_batch, &solver.kv_heads, &solver.kv_len, &solver.head_dim}},
      {&files.v, &problem.v, {kv_batch, &solver.kv_heads, &solver.kv_len, &solver.v_head_dim}},
  };
  Diagnostics errors;
  const auto note = [&errors](const Diagnostics& found) { errors.insert(errors.end(), found.begin(), found.end()); };
  for (const Input& input : inputs) {
    if (input.path->empty()) continue;
    Result<Array> array = read_input(*input.path);
    if (!array) {
      note(array.diagnostics());
      continue;
    }
    *input.array = std::move(*array);
    solver.file(*input.path, view_of(*input.array, problem.layout), input.sizes);
  }
  problem.dtypes = dtypes_of(options, problem);
  for (const auto& [path, scales] : {std::pair{&files.k_scales, &problem.k_scales}, {&files.v_scales, &problem.v_scales}}) {
    if (path->empty()) continue;
    Result<Array> array = read_input(*path);
    if (array)
      *scales = std::move(*array);
    else
      note(array.diagnostics());
  }
  for (const Input& input : inputs) {
    if (input.array->shape.empty()) continue;
    const bool is_q = input.array == &problem.q;
    Array& scales = input.array == &problem.k ? problem.k_scales : problem.v_scales;
    Result<Array> array = !is_q && is_quantised(problem.dtypes.kv_dtype())
                              ? as_quantised(*input.array, problem.layout, problem.dtypes, *input.path, scales)
                              : convert(*input.array, is_q ? problem.dtypes.q : problem.dtypes.kv_dtype(), *input.path);
    if (array)
      *input.array = std::move(*array);
    else
      note(array.diagnostics());
  }
  note(solver.conflicts);
  return errors;
}

// A logit a head, near those of the scores that N(0, 1) inputs give.
Result<Array> make_sinks(const RunOptions& options, std::int64_t heads) {
  constexpr std::uint64_t kSinkStream = std::uint64_t{1} << 32;  // far from those of q, k, v and buffers
  const FlagOptions& flags = options.pattern.flags;
  const std::string file = flags.sinks.file();
  if (file.empty()) return normal_array({heads}, {options.names.seed, kSinkStream});
  Result<Array> sinks = read_npy(file);
  if (sinks && sinks->dtype == DType::kF64) sinks = convert(*sinks, DType::kF32, file);
  return sinks;
}

double product(std::span<const std::int64_t> extents) {
  double n = 1;
  for (std::int64_t extent : extents) n *= static_cast<double>(extent);
  return n;
}

// (batch, heads, length, dim) of each tensor.
struct Shapes {
  std::array<std::int64_t, 4> q, k, v, out;
};
Shapes shapes_of(const Problem& problem) {
  const Sizes& s = problem.sizes;
  const Extent queries = problem.ragged ? problem.ragged->queries() : Extent{s.batch, s.q_len};
  const Extent keys = problem.ragged ? problem.ragged->keys() : Extent{s.batch, s.kv_len};
  return {.q = {queries.entries, s.heads, queries.rows, s.head_dim},
          .k = {keys.entries, s.kv_heads, keys.rows, s.head_dim},
          .v = {keys.entries, s.kv_heads, keys.rows, s.v_head_dim},
          .out = {queries.entries, s.heads, queries.rows, s.v_head_dim}};
}

// Before anything is made: one tensor beyond what is meant, or all together beyond what there is.
Diagnostics too_large(const Problem& problem) {
  constexpr double kGiB = 1 << 30;
  const Shapes shapes = shapes_of(problem);
  const double q = product(shapes.q), k = product(shapes.k), v = product(shapes.v), out = product(shapes.out);
  const double largest = std::max({q, k, v, out});
  if (largest > static_cast<double>(kMaxElements))
    return {failure("size-conflict", "run",
                    fmt::format("one tensor would need {:.0f} GiB; use smaller sizes", largest * 4 / kGiB))};
  const auto bytes = [](double elements, DType dtype) { return elements * static_cast<double>(size_of(dtype)); };
  const DType kv = problem.dtypes.kv_dtype();
  const double lse = product(std::span(shapes.out).first(3));
  const double all =
      bytes(q, problem.dtypes.q) + bytes(k, kv) + bytes(v, kv) + bytes(out, problem.out_dtype) + bytes(lse, DType::kF32);
  const auto memory = static_cast<double>(usable_memory());
  if (all <= memory) return {};
  return {
      failure("size-conflict", "run",
              fmt::format("q, k, v, the output and its log-sum-exp would need {:.1f} GiB, and there are {:.1f}; use smaller "
                          "sizes",
                          all / kGiB, memory / kGiB))};
}

template <typename Pointer>
BasicTensorView<Pointer> bhsd_view(Pointer data, const Array& array, Layout layout) {
  const auto& s = array.shape;
  if (layout == Layout::kBshd) return bshd(data, array.dtype, {s[0], s[1], s[2], s[3]});
  return {data, array.dtype, {s[0], s[1], s[2], s[3]}};
}

}  // namespace

TensorView view_of(const Array& array, Layout layout) { return bhsd_view<const void*>(array.bytes.data(), array, layout); }
MutableTensorView mutable_view_of(Array& array, Layout layout) { return bhsd_view<void*>(array.bytes.data(), array, layout); }

MutableTensorView mutable_lse_view(Array& array) {
  return {array.bytes.data(), array.dtype, {array.shape[0], array.shape[1], array.shape[2]}};
}

Array Problem::make_output() const { return Array(out_dtype, shape_in(layout, shapes_of(*this).out)); }
Array Problem::make_lse() const {
  const auto [entries, heads, rows, dim] = shapes_of(*this).out;
  return Array(DType::kF32, {entries, heads, rows});
}

double Problem::pairs() const {
  if (ragged) return ragged->pairs();
  return static_cast<double>(sizes.batch) * static_cast<double>(sizes.q_len) * static_cast<double>(sizes.kv_len);
}
std::int64_t Problem::keys() const { return ragged ? ragged->total_keys() : sizes.batch * sizes.kv_len; }

RunArgs arguments_of(const Problem& problem, Outputs& outputs, const Bindings& bindings) {
  RunArgs args{.q = view_of(problem.q, problem.layout),
               .k = view_of(problem.k, problem.layout),
               .v = view_of(problem.v, problem.layout),
               .out = mutable_view_of(outputs.out, problem.layout),
               .bindings = &bindings,
               .sinks = problem.sinks.shape.empty() ? TensorView{} : problem.sinks.view(),
               .k_scales = problem.k_scales.shape.empty() ? TensorView{} : problem.k_scales.view(),
               .v_scales = problem.v_scales.shape.empty() ? TensorView{} : problem.v_scales.view()};
  if (problem.weights == Weights::kSoftmax) args.lse = mutable_lse_view(outputs.lse);
  if (problem.ragged) args.sequences = &problem.ragged->sequences();
  return args;
}

BlockMaskOptions mask_options_of(const Sizes& sizes) {
  const auto narrow = [](std::int64_t size) { return static_cast<std::int32_t>(size); };
  return {.batch = narrow(sizes.batch),
          .heads = narrow(sizes.heads),
          .kv_heads = narrow(sizes.kv_heads),
          .q_len = narrow(sizes.q_len),
          .kv_len = narrow(sizes.kv_len)};
}

void apply_options(const RunOptions& options, const Sizes& sizes, AttentionSpec& spec) {
  spec.head_dim = static_cast<std::int32_t>(sizes.head_dim);
  spec.v_head_dim = static_cast<std::int32_t>(sizes.v_head_dim);
  spec.scale = options.scale;
  spec.dtype = options.dtypes.q;
  spec.kv_dtype = options.dtypes.kv;
  spec.kv_scale_dims = options.dtypes.scale_dims;
  spec.out_dtype = options.dtypes.out;
}

Sizes with_lengths(Sizes sizes, const std::vector<SequenceLengths>& lengths) {
  sizes.batch = static_cast<std::int64_t>(lengths.size());
  sizes.q_len = sizes.kv_len = 0;
  for (const SequenceLengths& one : lengths) {
    sizes.q_len = std::max(sizes.q_len, one.q);
    sizes.kv_len = std::max(sizes.kv_len, one.kv);
  }
  return sizes;
}

namespace {

// Files say where sequences lie in tensors of files, lengths what is made up.
Diagnostics unusable(const RunOptions& options) {
  const SequenceOptions& sequences = options.sequences;
  const bool has_files = sequences.has_files();
  if (!sequences.lengths.empty()) {
    if (has_files || options.files.gives_inputs())
      return {failure("usage", "--lengths", "is of tensors that are made up, but files are given; leave one of them out")};
    const SizeOptions& sizes = options.sizes;
    if (sizes.batch || sizes.q_len || sizes.kv_len)
      return {failure("usage", "--lengths", "says what --batch, --q-len and --kv-len say; leave these out")};
  } else if (has_files) {
    const FileOptions& files = options.files;
    if (files.q.empty() || files.k.empty() || files.v.empty())
      return {
          failure("missing-input", "run",
                  "files say where sequences lie, but in tensors that are made up; give --q, --k and --v, or have all made up "
                  "by --lengths")};
  }
  return {};
}

Diagnostics add_sequences(const RunOptions& options, Problem& problem) {
  if (!options.sequences.lengths.empty()) {
    auto ragged = Ragged::make(options.sequences, options.names.seed);
    if (!ragged) return ragged.diagnostics();
    problem.ragged = std::move(*ragged);
  } else if (options.sequences.has_files()) {
    const TensorView q = view_of(problem.q, problem.layout), k = view_of(problem.k, problem.layout);
    auto ragged = Ragged::read(options.sequences, {q.shape[0], q.shape[2]}, {k.shape[0], k.shape[2]});
    if (!ragged) return ragged.diagnostics();
    problem.ragged = std::move(*ragged);
  }
  if (problem.ragged) problem.sizes = with_lengths(problem.sizes, problem.ragged->lengths());
  return {};
}

}  // namespace

Sizes sizes_without_files(const SizeOptions& options) { return SizeSolver(options).solve(); }

Result<Problem> make_zero_problem(const RunOptions& options) {
  Problem problem;
  problem.layout = options.files.layout;
  problem.sizes = sizes_without_files(options.sizes);
  problem.dtypes = options.dtypes;
  problem.out_dtype = options.dtypes.out_dtype();
  if (Diagnostics found = add_sequences(options, problem); !found.empty()) return found;
  const Shapes shapes = shapes_of(problem);
  problem.q = Array(problem.dtypes.q, shape_in(problem.layout, shapes.q));
  problem.k = Array(problem.dtypes.kv_dtype(), shape_in(problem.layout, shapes.k));
  problem.v = Array(problem.dtypes.kv_dtype(), shape_in(problem.layout, shapes.v));
  return problem;
}

Result<Problem> make_problem(const RunOptions& options) {
  if (Diagnostics found = unusable(options); !found.empty()) return found;
  Problem problem;
  problem.layout = options.files.layout;
  SizeSolver solver(options.sizes);
  if (Diagnostics found = load_inputs(solver, problem, options); !found.empty()) return found;
  problem.out_dtype = problem.dtypes.out_dtype();
  problem.weights = options.pattern.flags.weights;
  problem.sizes = solver.solve();
  if (Diagnostics found = add_sequences(options, problem); !found.empty()) return found;
  if (Diagnostics found = too_large(problem); !found.empty()) return found;

  const auto generate = [&](Array& array, std::array<std::int64_t, 4> shape, DType dtype, std::uint64_t stream) {
    if (!array.shape.empty()) return;
    array = normal_array(shape_in(problem.layout, shape), {options.names.seed, stream});
    Array& scales = &array == &problem.k ? problem.k_scales : problem.v_scales;
    const bool quantised = is_quantised(dtype);
    array = (quantised ? as_quantised(array, problem.layout, problem.dtypes, "generated", scales)
                       : convert(array, dtype, "generated"))
                .value();  // float to float cannot fail
  };
  const DType kv = problem.dtypes.kv_dtype();
  const Shapes shapes = shapes_of(problem);
  generate(problem.q, shapes.q, problem.dtypes.q, 0);
  generate(problem.k, shapes.k, kv, 1);
  generate(problem.v, shapes.v, kv, 2);
  if (options.pattern.flags.sinks.given()) {
    Result<Array> sinks = make_sinks(options, problem.sizes.heads);
    if (!sinks) return sinks.diagnostics();
    problem.sinks = std::move(*sinks);
  }
  return problem;
}

Inputs inputs_of(const RunOptions& options) {
  return options.files.gives_inputs() || !options.pattern.flags.sinks.file().empty() ? Inputs::kFromFiles : Inputs::kGenerated;
}

Diagnostics forgotten_inputs(const RunOptions& options) {
  if (options.names.unbound == Unbound::kGenerated) return {};
  const FileOptions& files = options.files;
  const TensorFlag& sinks = options.pattern.flags.sinks;
  Diagnostics forgotten;
  const auto check = [&](const char* option, bool is_missing) {
    if (is_missing)
      forgotten.push_back(
          failure("missing-input", option,
                  "is not given, and other inputs come from files, so that made-up values would give a result of neither; give "
                  "it, or have it made up with --generate"));
  };
  if (files.gives_inputs()) {
    check("--q", files.q.empty());
    check("--k", files.k.empty());
    check("--v", files.v.empty());
  }
  check("--sinks", sinks.given() && sinks.file().empty() && (files.gives_inputs() || !options.names.buffers.empty()));
  return forgotten;
}

}  // namespace flexjit::tools
