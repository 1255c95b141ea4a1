// Modified scores of some rows -> a picture: how large each is, and where the mask forbids one.
#pragma once

#include <string>

#include "data/array.h"
#include "flexjit/attention.h"
#include "flexjit/result.h"

namespace flexjit::tools {

struct HeatMap {
  std::string title, subtitle;
  const Array& scores;  // fp32, rows x keys, row by row; -inf: masked
  PositionRange rows;   // of the queries
};

// A pixel that stands for several scores shows the largest. Error: `unwritable-file`.
Status write_heat_map(const std::string& path, const HeatMap& map);

}  // namespace flexjit::tools
