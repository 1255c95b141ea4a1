// `flexjit doctor`: whether everything that flexjit needs on this machine works, and what to do where it does not.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "command_line/colour.h"
#include "command_line/options.h"
#include "commands/report.h"
#include "data/output_file.h"
#include "flexjit/engine.h"
#include "flexjit/kernel_files.h"
#include "measure/peak.h"
#include "measure/timing.h"

namespace flexjit::tools {

namespace {

struct Finding {
  std::string name, text;
  bool usable = true;
};

// A small causal attention, compiled for this machine without any cache and compared with the reference.
Finding self_test() {
  EngineOptions options;
  options.cache_dir.clear();
  Engine engine(options);
  AttentionSpec spec;
  spec.mask_mod = "q_idx >= kv_idx";
  spec.head_dim = 32;
  const Result<Attention> attention = engine.compile(spec);
  if (!attention) return {"kernel", render(attention.diagnostics()), false};
  constexpr int kLength = 100, kDim = 32;
  std::vector<float> x(kLength * kDim), out(x.size()), expected(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i));
  RunArgs args;
  args.q = args.k = args.v = TensorView(x.data(), DType::kF32, {1, 1, kLength, kDim});
  args.out = MutableTensorView(out.data(), DType::kF32, {1, 1, kLength, kDim});
  const Result<RunStats> ran = attention->run(args);
  args.out = MutableTensorView(expected.data(), DType::kF32, {1, 1, kLength, kDim});
  const Result<RunStats> reference = attention->run_reference(args);
  if (!ran || !reference) return {"kernel", render((ran ? reference : ran).diagnostics()), false};
  float worst = 0;
  for (std::size_t i = 0; i < out.size(); ++i) worst = std::max(worst, std::abs(out[i] - expected[i]));
  const bool right = worst < 1e-5F;
  return {"kernel",
          fmt::format("compiled in {:.0f} ms; off by {:.1e} from fp64{}", attention->compile_ms(), worst,
                      right ? "" : ", which is wrong: please report this machine"),
          right};
}

// Whether what one engine compiles another finds there.
bool keeps_kernels(const std::string& directory) {
  AttentionSpec spec;
  spec.head_dim = 8;
  const auto source = [&] {
    EngineOptions options;
    options.cache_dir = directory;
    const Result<Attention> attention = Engine(options).compile(spec);
    return attention ? attention->kernel_source() : KernelSource::kReference;
  };
  (void)source();
  if (source() != KernelSource::kDisk) return false;
  // It may have lain there before: whether more fits says only a file.
  const std::string probe = (std::filesystem::path(directory) / "doctor.probe").string();
  const bool written = write_file(probe, std::string(1 << 16, '\0')).has_value();
  std::error_code ignored;
  std::filesystem::remove(probe, ignored);
  return written;
}

Finding cache_directory() {
  const std::string directory = EngineOptions::default_cache_dir();
  if (directory.empty()) {
    const bool wished = std::getenv("FLEXJIT_CACHE_DIR") != nullptr;
    return {"cache",
            wished
                ? "none, as FLEXJIT_CACHE_DIR is empty: each process compiles anew"
                : "none, as there is no home directory: set FLEXJIT_CACHE_DIR to a folder that can be written, or to nothing",
            wished};
  }
  if (const std::string problem = kernel_files_problem(directory); !problem.empty()) {
    return {"cache", fmt::format("{} is not used: {}", directory, problem), false};
  }
  if (!keeps_kernels(directory)) {
    return {"cache",
            fmt::format("{} takes no kernel: it or the folder above it cannot be written, or the disk is full; set "
                        "FLEXJIT_CACHE_DIR to another folder, or to nothing",
                        directory),
            false};
  }
  std::int64_t bytes = 0;
  const std::vector<KernelFile> files = list_kernel_files(directory);
  for (const KernelFile& file : files) bytes += file.bytes;
  return {"cache", fmt::format("{}: {} kernels, {:.1f} KiB", directory, files.size(), static_cast<double>(bytes) / 1024), true};
}

Finding limits() {
  const Peak peak = Peak::kFmaF32;
  std::vector<std::byte> memory(std::size_t{64} << 20, std::byte{1});
  double gbps = 0;
  for (int i = 0; i < 3; ++i) gbps = std::max(gbps, measure_read_gbps(memory, {}, 1));
  return {"limits", fmt::format("{:.0f} GFLOP/s of fp32 multiply-adds and {:.0f} GB/s of reading, one thread",
                                measure_peak_gflops(peak, "host", 1), gbps)};
}

}  // namespace

int doctor_command(const DoctorOptions& options) {
  const std::array findings = {
      Finding{"version", fmt::format("flexjit {}, built for LLVM {}", FLEXJIT_VERSION, FLEXJIT_LLVM_VERSION)},
      Finding{"target", describe_host()},
      Finding{"threads", fmt::format("{}", resolve_threads(0))},
      self_test(),
      cache_directory(),
      limits(),
  };
  bool usable = true;
  nlohmann::json json = nlohmann::json::object();
  for (const Finding& finding : findings) {
    usable = usable && finding.usable;
    json[finding.name] = {{"text", finding.text}, {"usable", finding.usable}};
    if (options.output == Output::kTable)
      fmt::print("{} {:<8} {}\n", finding.usable ? coloured("ok ", Ink::kGood, stdout) : coloured("BAD", Ink::kBad, stdout),
                 finding.name, finding.text);
  }
  if (options.output == Output::kJson) fmt::print("{}\n", json.dump(2));
  return static_cast<int>(usable ? ExitCode::kFine : ExitCode::kFailed);
}

}  // namespace flexjit::tools
