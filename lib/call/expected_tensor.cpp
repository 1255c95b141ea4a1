// Extents are looked at before strides: a view whose extents are wrong has no reach to speak of.
#include "call/expected_tensor.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <functional>
#include <span>
#include <utility>

namespace flexjit::engine {

bool usable_extents(const TensorView& view) {
  return std::all_of(view.shape.begin(), view.shape.begin() + view.rank,
                     [](std::int64_t extent) { return extent >= 0 && extent <= kMaxLength; });
}

namespace {

std::uint64_t magnitude(std::int64_t stride) {
  return stride < 0 ? 0 - static_cast<std::uint64_t>(stride) : static_cast<std::uint64_t>(stride);
}

// Whether kMaxReach holds the view; its extents are usable.
bool is_within_reach(const TensorView& view) {
  std::uint64_t left = static_cast<std::uint64_t>(kMaxReach) / size_of(view.dtype);
  for (std::size_t d = 0; d < static_cast<std::size_t>(view.rank); ++d) {
    if (view.shape[d] <= 1) continue;
    const auto steps = static_cast<std::uint64_t>(view.shape[d] - 1);
    if (magnitude(view.strides[d]) > left / steps) return false;
    left -= magnitude(view.strides[d]) * steps;
  }
  return true;
}

}  // namespace

TensorView as_const(const MutableTensorView& view) {
  TensorView result;
  result.data = view.data;
  result.dtype = view.dtype;
  result.rank = view.rank;
  result.shape = view.shape;
  result.strides = view.strides;
  return result;
}

// True when a stride does not clear everything that the smaller strides reach.
bool overlaps_itself(const TensorView& view) {
  std::array<std::pair<std::uint64_t, std::uint64_t>, kMaxRank> steps{};  // stride, how often it is taken
  for (std::size_t d = 0; d < static_cast<std::size_t>(view.rank); ++d) {
    if (view.shape[d] <= 0) return false;
    if (view.shape[d] > 1) steps[d] = {magnitude(view.strides[d]), static_cast<std::uint64_t>(view.shape[d] - 1)};
  }
  if (!usable_extents(view) || !is_within_reach(view)) return false;
  std::ranges::sort(steps);
  std::uint64_t reach = 0;
  for (const auto& [stride, times] : steps) {
    if (times > 0 && stride <= reach) return true;
    reach += stride * times;
  }
  return false;
}

namespace {

// steps of `step` bytes, taken 0 to `times` times.
struct Steps {
  std::int64_t step = 0, times = 0;
};

// Bytes that lie together, and how often they are repeated.
struct Pieces {
  std::int64_t begin = 0, bytes = 0;  // of the first piece in memory
  std::array<Steps, kMaxRank> steps{};
};

Pieces pieces_of(const TensorView& view) {
  const auto size = static_cast<std::int64_t>(size_of(view.dtype));
  Pieces pieces{static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(view.data)), size, {}};
  for (std::size_t d = 0; d < static_cast<std::size_t>(view.rank); ++d) {
    const std::int64_t times = view.shape[d] - 1, step = view.strides[d] * (times > 0 ? size : 0);
    if (step == 0) continue;
    pieces.begin += std::min<std::int64_t>(0, step * times);
    pieces.steps[d] = {std::abs(step), times};
  }
  std::ranges::sort(pieces.steps, {}, &Steps::step);
  for (Steps& steps : pieces.steps) {
    if (steps.step > pieces.bytes) break;
    pieces.bytes += steps.step * steps.times;
    steps = {};
  }
  return pieces;
}

// Whether some sum of `steps`, each taken 0 to its number of times, is in lo..hi. Of tensors whose larger strides clear what
// the smaller ones reach, two or three choices are left at each step; `budget` bounds the search where strides have no such
// order.
bool meets(std::span<const Steps> steps, std::int64_t lo, std::int64_t hi, int& budget) {
  std::int64_t reach = 0;
  for (const Steps& one : steps) reach += one.step * one.times;
  if (hi < 0 || lo > reach || --budget < 0) return false;
  if (lo <= 0 || hi >= reach) return true;
  const Steps first = steps.front();
  const std::int64_t rest = reach - first.step * first.times;
  const std::int64_t least = lo <= rest ? 0 : (lo - rest + first.step - 1) / first.step;
  const std::int64_t most = std::min(first.times, hi / first.step);
  for (std::int64_t taken = least; taken <= most; ++taken) {
    if (meets(steps.subspan(1), lo - taken * first.step, hi - taken * first.step, budget)) return true;
  }
  return false;
}

// a + sum of steps of a - (b + sum of steps of b) must lie in -bytes of a + 1 to bytes of b - 1 for a byte of both. The steps
// of b are counted from their ends, which makes all of them additions; equal ones are one.
bool have_common_bytes(const Pieces& a, const Pieces& b) {
  std::array<Steps, std::size_t{2} * kMaxRank> steps;
  std::ranges::copy(b.steps, std::ranges::copy(a.steps, steps.begin()).out);
  std::int64_t begin = a.begin - b.begin;
  for (const Steps& one : b.steps) begin -= one.step * one.times;
  std::ranges::sort(steps, std::greater<>{}, &Steps::step);
  std::size_t last = 0;
  for (std::size_t i = 1; i < steps.size(); ++i) {
    if (steps[i].step == steps[last].step)
      steps[last].times += steps[i].times;
    else
      steps[++last] = steps[i];
  }
  int budget = 1 << 14;
  return meets({steps.data(), last + 1}, -a.bytes + 1 - begin, b.bytes - 1 - begin, budget);
}

bool has_elements(const TensorView& view) {
  const bool known = view.data != nullptr && view.rank >= 0 && view.rank <= kMaxRank;
  if (!known || !usable_extents(view) || !is_within_reach(view)) return false;
  return std::all_of(view.shape.begin(), view.shape.begin() + view.rank, [](std::int64_t extent) { return extent > 0; });
}

// Bytes from the first to behind the last one.
struct Reach {
  std::uintptr_t begin, end;
};

Reach reach_of(const TensorView& view) {
  const auto address = reinterpret_cast<std::uintptr_t>(view.data);
  Reach reach{address, address + size_of(view.dtype)};
  for (std::size_t d = 0; d < static_cast<std::size_t>(view.rank); ++d) {
    const std::int64_t last = (view.shape[d] - 1) * view.strides[d] * static_cast<std::int64_t>(size_of(view.dtype));
    (last < 0 ? reach.begin : reach.end) += static_cast<std::uintptr_t>(last);
  }
  return reach;
}

// Most tensors are apart as a whole.
bool share_memory(const TensorView& a, const TensorView& b) {
  if (!has_elements(a) || !has_elements(b)) return false;
  const Reach of_a = reach_of(a), of_b = reach_of(b);
  return of_a.begin < of_b.end && of_b.begin < of_a.end && have_common_bytes(pieces_of(a), pieces_of(b));
}

void check_apart_from_buffers(const Bindings* bindings, const Named& written, Report& report) {
  if (bindings == nullptr) return;
  for (const auto& [name, buffer] : bindings->buffers) {
    if (share_memory(buffer, written.view))
      report.add(Finding::kSharedMemory, fmt::format("buffer `{}`", name), written.name, written.name);
  }
}

}  // namespace

void check_apart(const Named& read, const Named& written, Report& report) {
  if (share_memory(read.view, written.view)) report.add(Finding::kSharedMemory, read.name, written.name, written.name);
}

void check_apart(std::span<const Named> read, std::span<const Named> written, const Bindings* bindings, Report& report) {
  for (std::size_t i = 0; i < written.size(); ++i) {
    if (written[i].view.data == nullptr) continue;
    for (const Named& tensor : read) check_apart(tensor, written[i], report);
    check_apart_from_buffers(bindings, written[i], report);
    for (const Named& other : written.first(i)) check_apart(other, written[i], report);
  }
}

void check_view(const std::string& name, const TensorView& view, Report& report) {
  bool empty = false;
  for (int d = 0; d < view.rank; ++d) {
    const std::int64_t extent = view.shape[d];
    empty = empty || extent == 0;
    if (extent < 0) report.add(Finding::kNegativeExtent, name, extent, d);
    if (extent > kMaxLength) report.add(Finding::kLengthLimit, fmt::format("dimension {} of {}", d, name), extent, kMaxLength);
  }
  if (!empty && usable_extents(view) && !is_within_reach(view)) report.add(Finding::kReach, name, kMaxReach);
  if (view.data == nullptr) {
    if (!empty) report.add(Finding::kNullData, name);
  } else if (reinterpret_cast<std::uintptr_t>(view.data) % std::max<std::size_t>(size_of(view.dtype), 1) != 0) {
    report.add(Finding::kMisalignedData, name, size_of(view.dtype), name_of(view.dtype));
  }
}

bool check_rank(const Expected& expected, const TensorView& view, Report& report) {
  const auto rank = static_cast<int>(expected.dimensions.size());
  if (view.rank != rank) report.add(Finding::kTensorRank, expected.name, view.rank, rank, expected.layout);
  return view.rank == rank;
}

void check_tensor(const Expected& expected, const TensorView& view, Report& report) {
  if (view.dtype != expected.dtype) {
    report.add(Finding::kTensorDType, expected.name, name_of(view.dtype), name_of(expected.dtype));
  }
  check_view(expected.name, view, report);
  for (std::size_t d = 0; d < expected.dimensions.size(); ++d) {
    const Dimension& dimension = expected.dimensions[d];
    const bool negative = view.shape[d] < 0 || dimension.extent < 0;  // reported by check_view
    if (!negative && view.shape[d] != dimension.extent) {
      report.add(Finding::kTensorShape, expected.name, dimension.name, view.shape[d], dimension.owner, dimension.extent);
    }
  }
}

void check_inner_stride(const char* name, const TensorView& view, Report& report) {
  if (view.shape[3] > 1 && view.strides[3] != 1) report.add(Finding::kInnerStride, name, view.strides[3]);
}

void check_output(const Expected& expected, const TensorView& view, Report& report) {
  check_tensor(expected, view, report);
  if (overlaps_itself(view)) report.add(Finding::kOverlappingRows, expected.name);
}

}  // namespace flexjit::engine
