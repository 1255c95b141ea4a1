// Rotary embeddings by their formula, y = x cos + rotate_half(x) sin, in fp64: tables, and rows rotated by them.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "flexjit/rotary.h"
#include "support/problem.h"

namespace flexjit::conformance {

struct RotaryTables {
  RotaryTables(std::int64_t positions, std::int64_t rotary_dim, RotaryPairing of, DType dtype = DType::kF32)
      : pairs(static_cast<std::size_t>(rotary_dim / 2)),
        pairing(of),
        cos(dtype, {1, 1, positions, rotary_dim / 2}),
        sin(dtype, {1, 1, positions, rotary_dim / 2}) {
    const auto angle = [&](std::size_t i) {
      const auto position = static_cast<double>(i / pairs), pair = static_cast<double>(i % pairs);
      return position * std::pow(100.0, -pair / static_cast<double>(pairs));
    };
    cos.fill([&](std::size_t i) { return std::cos(angle(i)); });
    sin.fill([&](std::size_t i) { return std::sin(angle(i)); });
  }

  Rotary arg() const { return {table(cos), table(sin), pairing}; }

  std::vector<double> rotated(std::vector<double> row, std::int64_t position) const {
    const std::vector<double> x = row;
    const auto at = static_cast<std::size_t>(position) * pairs;
    for (std::size_t d = 0; d < 2 * pairs; ++d) {
      const bool interleaved = pairing == RotaryPairing::kInterleaved;
      const std::size_t pair = interleaved ? d / 2 : d % pairs;
      const bool is_second = interleaved ? d % 2 == 1 : d >= pairs;
      const std::size_t step = interleaved ? 1 : pairs;
      const double half = is_second ? x[d - step] : -x[d + step];
      row[d] = x[d] * cos[at + pair] + half * sin[at + pair];
    }
    return row;
  }

  std::size_t pairs;
  RotaryPairing pairing;
  test::Tensor cos, sin;

 private:
  static TensorView table(const test::Tensor& of) {
    const TensorView view = of.view();
    return {view.data, view.dtype, {view.shape[2], view.shape[3]}};
  }
};

}  // namespace flexjit::conformance
