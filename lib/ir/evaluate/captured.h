// Reads of captured buffers lane by lane, with every bound checked: the interpreter's half of the memory safety that the
// compiled kernel is compared with.
#pragma once

#include <array>
#include <optional>
#include <span>

#include "flexjit/tensor.h"
#include "ir/evaluate/interpreter.h"
#include "ir/evaluate/lanes.h"

namespace flexjit::ir {

// The earliest lane whose read failed, over all reads of one evaluation.
struct FirstFault {
  int lane = 0;
  std::optional<ReadFault> fault;
  void note(int at, const ReadFault& found) {
    if (fault && lane <= at) return;
    lane = at;
    fault = found;
  }
};

struct Access {
  std::uint32_t site = 0;
  bool checked = true;
  Precision precision = Precision::kFp32;
  const Lanes* guard = nullptr;
  std::span<const std::uint8_t> active;  // one a lane
};

// One captured buffer and the index of each of its dimensions. For a dot the innermost dimension has none.
struct Indexed {
  const TensorView* view = nullptr;
  std::array<const Lanes*, kMaxRank> index{};
};

// out = the element, 0 where inactive, unguarded or outside.
void read_lanes(const Access& access, const Indexed& source, Lanes& out, FirstFault& fault);

// out = the sum of `extent` products, in fp64 and stored as asked; 0 as above. A fault's dimension counts through the indices
// of a, then b.
void dot_lanes(const Access& access, const std::array<Indexed, 2>& sources, std::int64_t extent, Lanes& out, FirstFault& fault);

}  // namespace flexjit::ir
