// One spec -> the subject that the inspector's views look at -> their texts and JSON.
#include "flexjit/inspect.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "cache/compiler.h"
#include "call/backward_call.h"
#include "call/call.h"
#include "call/decode_kernel.h"
#include "call/linear/linear_call.h"
#include "diagnostics/guard.h"
#include "diagnostics/report.h"
#include "ir/passes/passes.h"
#include "pattern/flags.h"
#include "pattern/pattern.h"
#include "plan/sizes/backward.h"
#include "plan/sizes/decode.h"
#include "study/counted_run.h"
#include "study/time_phases.h"
#include "study/views/view.h"

namespace flexjit {

namespace {

bool shows(const InspectRequest& request, InspectView view) {
  return std::ranges::find(request.views, view) != request.views.end();
}

// A backward pass writes as much of each tensor and each buffer that it adds to as it reads of them.
study::CallSize size_of_call(const study::Subject& subject, const engine::Call& call, const RunArgs& args) {
  const auto bytes = [](const auto& tensor) {
    if (tensor.data == nullptr) return 0.0;
    double elements = 1;
    for (int d = 0; d < std::min(tensor.rank, kMaxRank); ++d)
      elements *= static_cast<double>(tensor.shape[static_cast<std::size_t>(d)]);
    return elements * static_cast<double>(size_of(tensor.dtype));
  };
  const bool writes_gradients = subject.key.nest == plan::Nest::kBackward;
  const double times = writes_gradients ? 2 : 1;
  study::CallSize size{.scores = 0,
                       .kv_bytes = times * (bytes(args.k) + bytes(args.v)),
                       .other_bytes = times * (bytes(args.q) + bytes(args.out)) + bytes(args.lse)};
  double keys = 0;  // of all sequences, whatever room k and v have
  for (const plan::Sequence& sequence : call.sequences) {
    size.scores += 1.0 * call.shape.q_heads * sequence.q_len * sequence.kv_len;
    keys += sequence.kv_len;
  }
  const double rows = 1.0 * static_cast<double>(args.k.shape[0]) * static_cast<double>(args.k.shape[2]);
  if (call.shape.ragged && rows > 0) size.kv_bytes *= keys / rows;
  if (args.bindings == nullptr) return size;
  for (const auto& [name, view] : args.bindings->buffers) size.other_bytes += bytes(view);
  for (const plan::BufferSums& sums : plan::buffer_sums_of(subject.key)) {
    const auto bound = args.bindings->buffers.find(subject.interface.buffers[sums.buffer].name);
    if (bound != args.bindings->buffers.end()) size.other_bytes += bytes(bound->second);
  }
  return size;
}

// What the view of one call needs.
Result<std::int64_t> add_run(study::Subject& subject, const std::shared_ptr<const engine::Pattern>& pattern,
                             const InspectRequest& request) {
  const RunArgs& args = *request.run;
  const Result<engine::Call> call = engine::check_call(*pattern, args);
  if (!call) return call.diagnostics();
  const auto allowed = Attention(engine::make_handle(pattern, {})).count_allowed(args);
  if (!allowed) return allowed.diagnostics();
  subject.call_size = size_of_call(subject, *call, args);
  subject.call_size.allowed_scores = *allowed;
  subject.limits = request.limits;
  subject.run = [&subject, pattern, &args]() -> Result<study::CountedRun> {
    const Result<const plan::CompilerDoor*> door = subject.open_compiler();
    if (!door) return door.diagnostics();
    return engine::run_counted(pattern, subject.key, **door, args);
  };
  return *allowed;
}

plan::Nest shown_nest(const engine::Pattern& pattern, const InspectRequest& request) {
  switch (request.kernel) {
    case InspectKernel::kOfCall:
      return engine::suits_decode(pattern.types, request.sizes) ? plan::Nest::kDecode : plan::Nest::kPrefill;
    case InspectKernel::kPrefill: return plan::Nest::kPrefill;
    case InspectKernel::kDecode: return plan::Nest::kDecode;
    case InspectKernel::kBackward: return plan::Nest::kBackward;
  }
  return plan::Nest::kPrefill;
}

Result<plan::KernelKey> backward_key(const engine::Pattern& pattern, const InspectRequest& request) {
  if (!request.gradients) return engine::gradient_key_of(pattern.key->key, ir::differentiable_buffers(pattern.program));
  const auto slots = engine::gradient_slots(pattern, *request.gradients);
  if (!slots) return slots.diagnostics();
  return engine::gradient_key_of(pattern.key->key, *slots);
}

// The key of the kernel that is shown.
Result<plan::KernelKey> key_of(const engine::Pattern& pattern, const InspectRequest& request) {
  switch (shown_nest(pattern, request)) {
    case plan::Nest::kPrefill: return pattern.key->key;
    case plan::Nest::kBackward: return backward_key(pattern, request);
    case plan::Nest::kDecode:
    case plan::Nest::kLinear:
    case plan::Nest::kLinearRows: break;
  }
  if (!plan::can_decode(pattern.types))
    return engine::single_finding("inspect", engine::Finding::kInspectKernel, "there is none of f64");
  return plan::decode_key_of(pattern.key->key);
}

// In the order in which they apply.
std::vector<study::Text> texts_of(const AttentionSpec& spec, const engine::Pattern& pattern) {
  std::vector<study::Text> before, after;
  for (const engine::Flag& flag : engine::flags_of(spec)) {
    if (flag.text.empty()) continue;
    (flag.place == engine::FlagPlace::kBeforeText ? before : after).push_back({flag.name, flag.source()});
  }
  before.push_back({.flag = {}, .source = pattern.source});
  std::ranges::move(after, std::back_inserter(before));
  return before;
}

struct BoundCall {
  engine::Bound bound;
  std::vector<bool> known;
};

Result<BoundCall> bind_call(const engine::Pattern& pattern, const InspectRequest& request) {
  engine::Report report("inspect");
  const std::optional<engine::CallShape> shape = engine::check_mask_options(request.sizes, report);
  // Ranges need no buffers: analysis then knows nothing of their values.
  ir::Interface interface = pattern.interface;
  if (request.bindings == nullptr && !shows(request, InspectView::kMask)) interface.buffers.clear();
  BoundCall call{engine::bind_names(interface, request.bindings, shape, report), {}};
  if (!report.empty()) return report.take();
  for (const ir::BufferInterface& buffer : interface.buffers)
    call.known.push_back(std::ranges::find(request.samples, buffer.name) == request.samples.end());
  return Result<BoundCall>(std::move(call));
}

Result<std::vector<Inspection>> show(const study::Subject& subject, const std::vector<InspectView>& views) {
  std::vector<Inspection> shown;
  for (InspectView view : views) {
    Result<study::ViewResult> made = study::make_view(view, subject);
    if (!made) return made.diagnostics();
    // Texts may hold any bytes.
    shown.push_back({view, std::move(made->text), made->json.dump(-1, ' ', false, study::Json::error_handler_t::replace)});
    if (!shown.back().text.ends_with('\n')) shown.back().text += '\n';
  }
  return shown;
}

// A kernel can be shown whatever backend the caller runs.
EngineOptions with_compiler(EngineOptions options) {
  options.backend = Backend::kCompiled;
  options.gdb = false;
  return options;
}

Result<std::vector<Inspection>> inspect_pattern(const AttentionSpec& spec, const EngineOptions& options,
                                                const InspectRequest& request) {
  const auto prepared = engine::prepare_pattern(spec, with_compiler(options), engine::Purpose::kShow);
  if (!prepared) return prepared.diagnostics();
  const engine::Pattern& pattern = **prepared;
  if (Diagnostics refused = engine::refuse_linear(pattern, "inspect", "its views are of scores"); !refused.empty())
    return refused;
  const Result<plan::KernelKey> key = key_of(pattern, request);
  if (!key) return key.diagnostics();
  cache::CompilerLoader loader(options.compiler_path);
  study::Subject subject{.texts = texts_of(spec, pattern),
                         .lowered = pattern.lowered,
                         .forward = pattern.program,
                         .program = key->program,
                         .interface = pattern.interface,
                         .key = *key,
                         .asm_syntax = request.asm_syntax,
                         .open_compiler = [&] { return engine::open_compiler(loader); }};
  BoundCall call;
  if (shows(request, InspectView::kIntervals) || shows(request, InspectView::kMask)) {
    Result<BoundCall> bound = bind_call(pattern, request);
    if (!bound) return bound.diagnostics();
    call = std::move(*bound);
    subject.describe_fault = [&](const ir::ReadFault& fault) {
      return engine::describe_fault(pattern, call.bound.buffers, fault);
    };
    subject.values = {engine::mask_shape_of(request.sizes), call.bound.environment, call.known};
  }
  if (shows(request, InspectView::kTiming)) {
    const Result<const plan::CompilerDoor*> door = subject.open_compiler();
    if (!door) return door.diagnostics();
    Result<study::PhaseTimes> times = engine::time_phases(spec, pattern, *key, **door);
    if (!times) return times.diagnostics();
    subject.times = std::move(*times);
  }
  const bool runs = request.run != nullptr && plan::can_execute(pattern.key->key.target);
  if (runs && shows(request, InspectView::kRoofline)) {
    const Result<std::int64_t> added = add_run(subject, *prepared, request);
    if (!added) return added.diagnostics();
  }
  return show(subject, request.views);
}

}  // namespace

Result<std::vector<Inspection>> inspect(const AttentionSpec& spec, const EngineOptions& options,
                                        const InspectRequest& request) {
  return engine::guarded_on_large_stack("inspect", [&] { return inspect_pattern(spec, options, request); });
}

}  // namespace flexjit
