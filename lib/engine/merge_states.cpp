// merge_states: checks, then one row after another through the merger that decoding uses. Shapes are those of the first state.
#include "flexjit/merge_states.h"

#include <cstddef>
#include <limits>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include "call/validate.h"
#include "diagnostics/guard.h"
#include "runtime/merge_states.h"
#include "runtime/parallel.h"
#include "support/dtype.h"

namespace flexjit {

namespace {

using engine::as_const;
using engine::Finding;

constexpr const char* kDimensions[] = {"batch", "heads", "q_len", "v_head_dim"};
constexpr const char* kFloats = "f32, bf16, f16 or f64";

// `rank` 4: values; 3: an lse, whose extents are the first three.
void check(const std::string& name, const TensorView& view, int rank, const TensorView& first, engine::Report& report) {
  if (view.rank != rank) {
    report.add(Finding::kTensorRank, name, view.rank, rank,
               rank == 4 ? "(batch, heads, q_len, v_head_dim)" : "(batch, heads, q_len)");
    return;
  }
  const bool fits = rank == 4 ? support::is_float(view.dtype) : view.dtype == DType::kF32;
  if (!fits) report.add(Finding::kStateDType, name, name_of(view.dtype), rank == 4 ? kFloats : "f32");
  engine::check_view(name, view, report);
  if (rank == 4 && view.shape[3] > 1 && view.strides[3] != 1) report.add(Finding::kInnerStride, name, view.strides[3]);
  if (first.rank != 4) return;
  for (std::size_t d = 0; d < static_cast<std::size_t>(rank); ++d) {
    if (view.shape[d] != first.shape[d]) {
      report.add(Finding::kTensorShape, name, kDimensions[d], view.shape[d], "states[0].v", first.shape[d]);
    }
  }
}

bool is_same(const TensorView& a, const TensorView& b) {
  return a.data == b.data && a.dtype == b.dtype && a.rank == b.rank && a.shape == b.shape && a.strides == b.strides;
}

// A row is written when all states of it are read, so that a result may lie where the like of it does, and nowhere else.
void check_places(const MergeArgs& args, engine::Report& report) {
  const TensorView out = as_const(args.out), lse = as_const(args.lse);
  for (std::size_t i = 0; i < args.states.size(); ++i) {
    const auto& [v, of_v] = args.states[i];
    const std::string name = "states[" + std::to_string(i) + "]", v_name = name + ".v", lse_name = name + ".lse";
    if (!is_same(v, out)) engine::check_apart({v_name.c_str(), v}, {"out", out}, report);
    if (!is_same(of_v, lse)) engine::check_apart({lse_name.c_str(), of_v}, {"lse", lse}, report);
    engine::check_apart({lse_name.c_str(), of_v}, {"out", out}, report);
    engine::check_apart({v_name.c_str(), v}, {"lse", lse}, report);
  }
  engine::check_apart({"lse", lse}, {"out", out}, report);
}

Diagnostics check_merge(const MergeArgs& args) {
  engine::Report report("merge_states");
  if (args.states.empty()) {
    report.add(Finding::kNoState);
    return report.take();
  }
  const TensorView& first = args.states.front().v;
  for (std::size_t i = 0; i < args.states.size(); ++i) {
    const std::string name = "states[" + std::to_string(i) + "]";
    check(name + ".v", args.states[i].v, 4, first, report);
    check(name + ".lse", args.states[i].lse, 3, first, report);
  }
  check("out", as_const(args.out), 4, first, report);
  if (args.lse.data != nullptr) check("lse", as_const(args.lse), 3, first, report);
  for (const auto& [name, view, rank] : {std::tuple{"out", as_const(args.out), 4}, {"lse", as_const(args.lse), 3}}) {
    const bool is_given = view.data != nullptr && view.rank == rank;
    if (is_given && engine::overlaps_itself(view)) report.add(Finding::kOverlappingRows, name);
  }
  if (report.empty()) check_places(args, report);
  engine::check_threads("MergeArgs::threads", args.threads, report);
  return report.take();
}

struct Row {
  std::int64_t b, h, q_idx;
};

template <typename View>
auto* at(const View& view, const Row& row) {
  const std::int64_t offset = row.b * view.strides[0] + row.h * view.strides[1] + row.q_idx * view.strides[2];
  using Byte = std::conditional_t<std::is_const_v<std::remove_pointer_t<decltype(view.data)>>, const std::byte, std::byte>;
  return static_cast<Byte*>(view.data) + offset * static_cast<std::int64_t>(size_of(view.dtype));
}

struct Merging {
  explicit Merging(std::size_t count) : merger(count), states(count) {}
  runtime::RowMerger merger;
  std::vector<runtime::RowState> states;
};

void merge_row(const MergeArgs& args, const Row& row, Merging& merging) {
  for (std::size_t i = 0; i < args.states.size(); ++i) {
    const AttentionState& state = args.states[i];
    const float lse = *reinterpret_cast<const float*>(at(state.lse, row));
    const bool empty = lse == -std::numeric_limits<float>::infinity();
    merging.states[i] = {at(state.v, row), state.v.dtype, lse, empty ? 0.0F : 1.0F};
  }
  const runtime::RowTotal total = merging.merger.merge(merging.states, args.out.shape[3], at(args.out, row), args.out.dtype);
  if (args.lse.data != nullptr) *reinterpret_cast<float*>(at(args.lse, row)) = runtime::log_sum(total);
}

}  // namespace

Status merge_states(const MergeArgs& args) {
  return engine::guarded("merge_states", [&]() -> Status {
    Diagnostics wrong = check_merge(args);
    if (!wrong.empty()) return wrong;
    const auto& shape = args.out.shape;
    const bool has_rows = shape[0] > 0 && shape[1] > 0 && shape[2] > 0;
    if (!has_rows || (shape[3] == 0 && args.lse.data == nullptr)) return Unit{};
    const int threads = runtime::threads_of(args.threads);
    // A thread cannot report that it found no memory, so what it needs is made here.
    std::vector<Merging> merging;
    for (int thread = 0; thread < threads; ++thread) merging.emplace_back(args.states.size());
    runtime::parallel_for(threads, shape[0] * shape[1], [&](std::int64_t plane, int thread) noexcept {
      for (std::int64_t q_idx = 0; q_idx < shape[2]; ++q_idx) {
        merge_row(args, {plane / shape[1], plane % shape[1], q_idx}, merging[static_cast<std::size_t>(thread)]);
      }
    });
    return Unit{};
  });
}

}  // namespace flexjit
