// Linux says it in /proc and /sys; elsewhere the fields stay empty.
#include <fmt/format.h>

#include <charconv>
#include <fstream>

#include "bench/results.h"
#include "measure/timing.h"

namespace flexjit::tools::bench {
namespace {

std::string first_line(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

std::string processor_model() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);)
    if (const std::size_t colon = line.find(": "); line.starts_with("model name") && colon != std::string::npos)
      return line.substr(colon + 2);
  return {};
}

// "32768K" -> "32 MiB".
std::string cache_size(const std::string& text) {
  int kib = 0;
  std::from_chars(text.data(), text.data() + text.size(), kib);
  return kib >= 1024 && kib % 1024 == 0 ? fmt::format("{} MiB", kib / 1024) : fmt::format("{} KiB", kib);
}

std::string cache_sizes() {
  std::string out;
  for (int index = 0; index < 8; ++index) {
    const std::string folder = fmt::format("/sys/devices/system/cpu/cpu0/cache/index{}/", index);
    const std::string type = first_line(folder + "type"), size = first_line(folder + "size");
    if (size.empty() || type == "Instruction") continue;
    out += fmt::format("{}L{}{} {}", out.empty() ? "" : ", ", first_line(folder + "level"), type == "Data" ? "d" : "",
                       cache_size(size));
  }
  return out;
}

}  // namespace

Machine describe_machine() { return {processor_model(), resolve_threads(0), cache_sizes()}; }

}  // namespace flexjit::tools::bench
