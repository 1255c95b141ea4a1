// The frame page.html with style sheet, scripts and data in their places. What comes from the pattern is in the data alone.
#include "report_html/page.h"

#include <array>
#include <string_view>
#include <utility>

#include "data/embedded.h"
#include "report_html/data.h"

namespace flexjit::tools {
namespace {

std::string_view file(std::string_view name) {
  for (const EmbeddedFile& file : embedded_report())
    if (file.name == name) return file.text;
  return {};
}

// One scope holds all of them; main.js uses the others at once.
std::string scripts() {
  std::string text;
  for (const std::string_view name :
       {"dom.js", "source.js", "assembly.js", "selection.js", "charts.js", "tables.js", "main.js"})
    text += file(name);
  return text;
}

}  // namespace

std::string render_report(const ReportPage& page) {
  const std::array<std::pair<std::string_view, std::string>, 3> parts = {{
      {"{{style}}", std::string(file("style.css"))},
      {"{{data}}", report_data(page)},
      {"{{scripts}}", scripts()},
  }};
  std::string_view frame = file("page.html");
  std::string html;
  for (const auto& [mark, text] : parts) {
    const std::size_t at = frame.find(mark);
    html += frame.substr(0, at);
    html += text;
    frame.remove_prefix(at + mark.size());
  }
  html += frame;
  return html;
}

}  // namespace flexjit::tools
