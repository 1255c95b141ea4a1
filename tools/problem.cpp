// Every size has up to three sources (an option, a file's shape, another size) and they must agree. SizeSolver remembers who
// said what first, so that a conflict names both.
#include "problem.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "failure.h"
#include "generate.h"
#include "npy.h"

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

// A tensor of rank 4 as `dtype`.
Result<Array> read_input(const std::string& path, DType dtype) {
  Result<Array> array = read_npy(path);
  if (!array) return array.diagnostics();
  if (array->shape.size() != 4)
    return failure("size-conflict", path,
                   fmt::format("has shape {}; expected four dimensions: batch, heads, length, dim (or --layout bshd)",
                               shape_text(array->shape)));
  return convert(*array, dtype, path);
}

std::vector<std::int64_t> shape_in(Layout layout, std::array<std::int64_t, 4> bhsd) {
  if (layout == Layout::kBshd) std::swap(bhsd[1], bhsd[2]);
  return {bhsd.begin(), bhsd.end()};
}

struct Input {
  const std::string* path;
  DType dtype;
  Array* array;
  std::array<KnownSize*, 4> sizes;
};

Diagnostics load_inputs(SizeSolver& solver, Problem& problem, const RunOptions& options) {
  const FileOptions& files = options.files;
  const DType q = options.dtypes.q, kv = options.dtypes.kv_dtype();
  const Input inputs[] = {
      {&files.q, q, &problem.q, {&solver.batch, &solver.heads, &solver.q_len, &solver.head_dim}},
      {&files.k, kv, &problem.k, {&solver.batch, &solver.kv_heads, &solver.kv_len, &solver.head_dim}},
      {&files.v, kv, &problem.v, {&solver.batch, &solver.kv_heads, &solver.kv_len, &solver.v_head_dim}},
  };
  for (const Input& input : inputs) {
    if (input.path->empty()) continue;
    Result<Array> array = read_input(*input.path, input.dtype);
    if (!array) {
      solver.conflicts.insert(solver.conflicts.end(), array.diagnostics().begin(), array.diagnostics().end());
      continue;
    }
    *input.array = std::move(*array);
    solver.file(*input.path, view_of(*input.array, problem.layout), input.sizes);
  }
  return solver.conflicts;
}

Diagnostics too_large(const Sizes& s) {
  const auto product = [](std::initializer_list<std::int64_t> extents) {
    double n = 1;
    for (std::int64_t extent : extents) n *= static_cast<double>(extent);
    return n;
  };
  const double largest = std::max({product({s.batch, s.heads, s.q_len, std::max(s.head_dim, s.v_head_dim)}),
                                   product({s.batch, s.kv_heads, s.kv_len, std::max(s.head_dim, s.v_head_dim)})});
  if (largest <= static_cast<double>(kMaxElements)) return {};
  return {failure("size-conflict", "run",
                  fmt::format("one tensor would need {:.0f} GiB; use smaller sizes", largest * 4 / (1 << 30)))};
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
  return {.q = view_of(problem.q, problem.layout),
          .k = view_of(problem.k, problem.layout),
          .v = view_of(problem.v, problem.layout),
          .out = mutable_view_of(outputs.out, problem.layout),
          .lse = mutable_lse_view(outputs.lse),
          .bindings = &bindings};
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
  spec.out_dtype = options.dtypes.out;
}

Sizes sizes_without_files(const SizeOptions& options) { return SizeSolver(options).solve(); }

Result<Problem> make_problem(const RunOptions& options) {
  Problem problem;
  problem.layout = options.files.layout;
  problem.out_dtype = options.dtypes.out_dtype();
  SizeSolver solver(options.sizes);
  if (Diagnostics found = load_inputs(solver, problem, options); !found.empty()) return found;
  const Sizes s = problem.sizes = solver.solve();
  if (Diagnostics found = too_large(s); !found.empty()) return found;

  const auto generate = [&](Array& array, std::array<std::int64_t, 4> shape, DType dtype, std::uint64_t stream) {
    if (!array.shape.empty()) return;
    array = normal_array(shape_in(problem.layout, shape), {options.names.seed, stream});
    array = convert(array, dtype, "generated").value();  // float to float cannot fail
  };
  const DType kv = options.dtypes.kv_dtype();
  generate(problem.q, {s.batch, s.heads, s.q_len, s.head_dim}, options.dtypes.q, 0);
  generate(problem.k, {s.batch, s.kv_heads, s.kv_len, s.head_dim}, kv, 1);
  generate(problem.v, {s.batch, s.kv_heads, s.kv_len, s.v_head_dim}, kv, 2);
  return problem;
}

}  // namespace flexjit::tools
