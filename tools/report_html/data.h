// Views -> the one JSON object that the scripts of the report draw from.
#pragma once

#include <string>

#include "report_html/page.h"

namespace flexjit::tools {

// ASCII without `<`, so that it can stand in a script element.
std::string report_data(const ReportPage& page);

}  // namespace flexjit::tools
