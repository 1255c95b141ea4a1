// Every size has up to three sources (an option, a file's shape, another size) and they must agree. SizeSolver remembers who
// said what first, so that a conflict names both.
#include "data/problem.h"
#include "data/quantised.h"

#include <fmt/format.h>

#include <algorithm>
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

  KnownSize batch, heads, kv_heads, q_len, kv_len, head_dim, v_head_dim;
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
  const Input inputs[] = {
      {&files.q, &problem.q, {&solver.batch, &solver.heads, &solver.q_len, &solver.head_dim}},
      {&files.k, &problem.k, {&solver.batch, &solver.kv_heads, &solver.kv_len, &solver.head_dim}},
      {&files.v, &problem.v, {&solver.batch, &solver.kv_heads, &solver.kv_len, &solver.v_head_dim}},
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

double product(std::initializer_list<std::int64_t> extents) {
  double n = 1;
  for (std::int64_t extent : extents) n *= static_cast<double>(extent);
  return n;
}

// Before anything is made: one tensor beyond what is meant, or all together beyond what there is.
Diagnostics too_large(const Problem& problem) {
  constexpr double kGiB = 1 << 30;
  const Sizes& s = problem.sizes;
  const double q = product({s.batch, s.heads, s.q_len, s.head_dim}), out = product({s.batch, s.heads, s.q_len, s.v_head_dim});
  const double k = product({s.batch, s.kv_heads, s.kv_len, s.head_dim});
  const double v = product({s.batch, s.kv_heads, s.kv_len, s.v_head_dim});
  const double largest = std::max({q, k, v, out});
  if (largest > static_cast<double>(kMaxElements))
    return {failure("size-conflict", "run",
                    fmt::format("one tensor would need {:.0f} GiB; use smaller sizes", largest * 4 / kGiB))};
  const auto bytes = [](double elements, DType dtype) { return elements * static_cast<double>(size_of(dtype)); };
  const DType kv = problem.dtypes.kv_dtype();
  const double lse = product({s.batch, s.heads, s.q_len});
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

Array Problem::make_output() const {
  return Array(out_dtype, shape_in(layout, {sizes.batch, sizes.heads, sizes.q_len, sizes.v_head_dim}));
}
Array Problem::make_lse() const { return Array(DType::kF32, {sizes.batch, sizes.heads, sizes.q_len}); }

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

Sizes sizes_without_files(const SizeOptions& options) { return SizeSolver(options).solve(); }

Result<Problem> make_problem(const RunOptions& options) {
  Problem problem;
  problem.layout = options.files.layout;
  SizeSolver solver(options.sizes);
  if (Diagnostics found = load_inputs(solver, problem, options); !found.empty()) return found;
  problem.out_dtype = problem.dtypes.out_dtype();
  problem.weights = options.pattern.flags.weights;
  const Sizes s = problem.sizes = solver.solve();
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
  generate(problem.q, {s.batch, s.heads, s.q_len, s.head_dim}, problem.dtypes.q, 0);
  generate(problem.k, {s.batch, s.kv_heads, s.kv_len, s.head_dim}, kv, 1);
  generate(problem.v, {s.batch, s.kv_heads, s.kv_len, s.v_head_dim}, kv, 2);
  if (options.pattern.flags.sinks.given()) {
    Result<Array> sinks = make_sinks(options, s.heads);
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
