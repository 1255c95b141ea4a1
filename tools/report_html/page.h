// The views of one compilation and the picture of its mask -> one HTML page that loads nothing.
#pragma once

#include <span>
#include <string>

#include "data/problem.h"
#include "flexjit/inspect.h"

namespace flexjit::tools {

struct ReportPage {
  std::string pattern;                // the name of its file
  Sizes sizes;                        // of the call that the views show
  std::span<const Inspection> views;  // every view
  std::string mask_svg;
};

std::string render_report(const ReportPage& page);

}  // namespace flexjit::tools
