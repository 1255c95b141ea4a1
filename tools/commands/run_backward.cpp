// The gradient of the output -> timed backward passes -> verification -> files.
#include "commands/run_backward.h"

#include <fmt/format.h>

#include <algorithm>

#include "command_line/failure.h"
#include "data/generate.h"
#include "data/npy.h"
#include "measure/limit.h"
#include "measure/timing.h"

namespace flexjit::tools {
namespace {

// NAME or NAME=FILE.
struct BufferFile {
  std::string name, file;
};

BufferFile buffer_file_of(const std::string& option) {
  const std::size_t equals = option.find('=');
  return {option.substr(0, equals), equals == std::string::npos ? "" : option.substr(equals + 1)};
}

Result<Array> output_gradient(const BackwardRequest& request) {
  const std::string& file = request.options.backward.grad_out;
  if (file.empty()) {
    if (inputs_of(request.options) == Inputs::kFromFiles && request.options.names.unbound != Unbound::kGenerated) {
      return failure("missing-input", "--grad-out",
                     "is not given, and other inputs come from files, so that made-up values would give a result of neither; "
                     "give it, or have it made up with --generate");
    }
    return generated_output_gradient(request.problem, request.options.names.seed);
  }
  Result<Array> array = read_npy(file);
  if (!array) return array.diagnostics();
  const Array wanted = request.problem.make_output();
  if (array->shape != wanted.shape) {
    return failure("size-conflict", file,
                   fmt::format("has shape {}; the output has {}", shape_text(array->shape), shape_text(wanted.shape)));
  }
  return convert(*array, wanted.dtype, file);
}

// Fills what is timed.
Diagnostics time_passes(const BackwardRequest& request, RunArgs forward, const Gradients& gradients, const Progress& progress,
                        BackwardReport& report) {
  const bool reference = request.attention.kernel_source() == KernelSource::kReference;
  const Work work = backward_work(request.problem, request.allowed_pairs);
  LimitMeter meter(request.problem, work, request.options.target, request.threads);
  std::vector<double> times;
  const int first = reference ? 1 : 0, last = request.repeat + (request.trace != nullptr && !reference ? 1 : 0);
  for (int i = first; i <= last; ++i) {
    const bool timed = i > 0 && i <= request.repeat;  // the first warms up
    forward.trace = timed && !reference ? nullptr : request.trace;
    progress.show(fmt::format("backward: {} of {}", std::min(i, request.repeat), request.repeat));
    const auto begin = Clock::now();
    const Result<RunStats> stats = run_backward(request.attention, forward, gradients);
    if (!stats) return stats.diagnostics();
    if (timed) times.push_back(ms_since(begin));
  }
  report.ms = median(std::move(times));
  report.useful_gflops = report.ms > 0 ? work.operations / (report.ms * 1e6) : 0;
  report.peak_gflops = meter.finish(report.ms).gflops;
  return {};
}

Diagnostics write(const BackwardOptions& options, const GradientArrays& arrays) {
  Diagnostics errors;
  const auto save = [&errors](const std::string& path, const Array& array) {
    if (path.empty()) return;
    if (const Status status = write_npy(path, array); !status) errors = status.diagnostics();
  };
  save(options.dq, arrays.q);
  save(options.dk, arrays.k);
  save(options.dv, arrays.v);
  for (const std::string& option : options.buffers) {
    const BufferFile buffer = buffer_file_of(option);
    save(buffer.file, arrays.buffers.at(buffer.name));
  }
  return errors;
}

bool is_verified(const BackwardRequest& request) {
  const std::optional<int>& rows = request.options.verify_rows;
  return rows ? *rows > 0 : backward_check_is_quick(request.problem);
}

}  // namespace

std::vector<FileUse> backward_inputs_of(const BackwardOptions& options) { return {{"--grad-out", options.grad_out}}; }

std::vector<FileUse> backward_outputs_of(const BackwardOptions& options) {
  std::vector<FileUse> uses{{"--dq", options.dq}, {"--dk", options.dk}, {"--dv", options.dv}};
  for (const std::string& option : options.buffers) {
    const BufferFile buffer = buffer_file_of(option);
    uses.push_back({"--dbuffer " + buffer.name, buffer.file});
  }
  return uses;
}

Result<BackwardReport> measure_backward(const BackwardRequest& request, const Progress& progress) {
  Result<Array> out = output_gradient(request);
  if (!out) return out.diagnostics();
  std::vector<std::string> buffers;
  for (const std::string& option : request.options.backward.buffers) buffers.push_back(buffer_file_of(option).name);
  GradientArrays arrays = make_gradients(request.problem, request.bindings, *std::move(out), buffers);
  const RunArgs forward = arguments_of(request.problem, request.outputs, request.bindings);
  const Gradients gradients = gradients_of(arrays, request.problem);
  BackwardReport report;
  if (Diagnostics errors = time_passes(request, forward, gradients, progress, report); !errors.empty()) return errors;
  if (is_verified(request)) {
    progress.show("verifying gradients");
    const Result<BackwardErrors> errors = verify_backward(request.attention, forward, request.problem, arrays);
    if (!errors) return errors.diagnostics();
    report.errors = *errors;
  }
  if (Diagnostics errors = write(request.options.backward, arrays); !errors.empty()) return errors;
  return report;
}

}  // namespace flexjit::tools
