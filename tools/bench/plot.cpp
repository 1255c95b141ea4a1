// The plot is written by hand: bars, lines and text are all that it needs. It has a background of its own, so that it reads the
// same on light and dark pages, and colours that remain distinct for the colour-blind (Okabe and Ito).
#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "bench/results.h"

namespace flexjit::tools::bench {
namespace {

constexpr double kLeft = 300, kRight = 180, kPlot = 520;  // labels, values, bars
constexpr double kOurs = 12, kPeer = 5, kGap = 9, kHeading = 34, kTop = 78, kBottom = 44;
constexpr double kWidth = kLeft + kPlot + kRight;
constexpr std::string_view kOurColour = "#0072b2";

std::string_view colour_of(std::string_view peer) {
  if (peer == "pytorch-sdpa") return "#e69f00";
  if (peer == "flexattention") return "#cc79a7";
  return "#009e73";
}

std::string escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else
      out += c;
  }
  return out;
}

class Svg {
 public:
  void rect(double x, double y, double width, double height, std::string_view fill) {
    body_ += fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"{}\"/>\n", x, y, width,
                         height, fill);
  }
  void vertical(double x, double top, double bottom) {
    body_ += fmt::format("<path d=\"M{0:.1f} {1:.1f}V{2:.1f}\" stroke=\"#d0d7de\"/>\n", x, top, bottom);
  }
  // `style` is a class of the style sheet below.
  void text(double x, double y, std::string_view style, std::string_view content) {
    body_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" class=\"{}\">{}</text>\n", x, y, style, escaped(content));
  }
  std::string finish(double height) const {
    return fmt::format(
        R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0:.0f} {1:.0f}" width="{0:.0f}" height="{1:.0f}" font-family="system-ui, sans-serif">
<style>
text {{ fill: #1f2328; font-size: 12px }}
.title {{ font-size: 17px; font-weight: 600 }}
.suite {{ font-size: 13px; font-weight: 600 }}
.label {{ text-anchor: end }}
.tick {{ fill: #59636e; text-anchor: middle; font-size: 11px }}
.note {{ fill: #59636e; font-size: 11px }}
</style>
<rect width="100%" height="100%" rx="6" fill="#ffffff"/>
{2}</svg>
)",
        kWidth, height, body_);
  }

 private:
  std::string body_;
};

double height_of(const Row& row) { return kOurs + kPeer * static_cast<double>(row.peers.size()) + kGap; }

class Plot {
 public:
  explicit Plot(const Report& report) : report_(report) {
    double largest = 100;
    for (const Row& row : report.rows) {
      if (row.failed()) continue;
      largest = std::max(largest, row.percent_of_limit());
      for (const PeerTime& time : row.peers) largest = std::max(largest, row.percent_at(time.ms));
    }
    scale_ = kPlot / largest;
  }

  std::string draw() {
    const double bottom = kTop + content_height();
    for (int percent = 0; percent * scale_ <= kPlot; percent += 20) {
      svg_.vertical(kLeft + percent * scale_, kTop - 6, bottom);
      svg_.text(kLeft + percent * scale_, bottom + 16, "tick", fmt::format("{} %", percent));
    }
    svg_.text(kLeft, bottom + 34, "note", "of the arithmetic or read bandwidth measured beside each row");
    legend();
    double y = kTop;
    std::string suite;
    for (const Row& row : report_.rows) {
      if (row.failed()) continue;
      if (row.test.suite != suite) {
        suite = row.test.suite;
        svg_.text(16, y + kHeading - 12, "suite", suite);
        y += kHeading;
      }
      bars(row, y);
      y += height_of(row);
    }
    return svg_.finish(bottom + kBottom);
  }

 private:
  double content_height() const {
    double height = 0;
    std::string suite;
    for (const Row& row : report_.rows) {
      if (row.failed()) continue;
      if (row.test.suite != suite) height += kHeading;
      suite = row.test.suite;
      height += height_of(row);
    }
    return height;
  }

  void legend() {
    svg_.text(16, 30, "title", "Useful throughput in percent of the machine's limit");
    double x = 16;
    const auto entry = [&](std::string_view name, std::string_view colour) {
      svg_.rect(x, 45, 12, 12, colour);
      svg_.text(x + 18, 55, "", name);
      x += 42 + 7.0 * static_cast<double>(name.size());
    };
    entry("flexjit", kOurColour);
    for (const auto& [peer, version] : report_.peers) entry(peer, colour_of(peer));
  }

  void bars(const Row& row, double y) {
    std::string label = row.test.name + " \u00b7 " + dtype_text(row.test);
    if (row.test.threads > 1) label += fmt::format(" \u00b7 {} threads", row.test.threads);
    svg_.text(kLeft - 8, y + kOurs - 2, "label", label);
    const double ours = row.percent_of_limit() * scale_;
    svg_.rect(kLeft, y, ours, kOurs, kOurColour);
    std::string value = fmt::format("{:.0f} %", row.percent_of_limit());
    if (row.ratio_to_plain) value += fmt::format(", {:.2f} of plain", *row.ratio_to_plain);
    if (row.speedup) value += fmt::format(", {:.2f} times 1 thread", *row.speedup);
    svg_.text(kLeft + ours + 6, y + kOurs - 2, "note", value);
    double below = y + kOurs;
    for (const PeerTime& time : row.peers) {
      svg_.rect(kLeft, below, row.percent_at(time.ms) * scale_, kPeer, colour_of(time.peer));
      below += kPeer;
    }
  }

  const Report& report_;
  Svg svg_;
  double scale_ = 1;
};

}  // namespace

std::string to_svg(const Report& report) { return Plot(report).draw(); }

}  // namespace flexjit::tools::bench
