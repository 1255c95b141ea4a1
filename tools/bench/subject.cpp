// Buffers are those that `flexjit run` generates, but for documents, whose lengths the case gives.
#include "bench/subject.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "flexjit/engine.h"
#include "flexjit/row_order.h"
#include "flexjit/trace.h"

namespace flexjit::tools::bench {
namespace {

// The ids of consecutive documents whose lengths vary between half and one and a half times `mean`.
void fill_documents(Array& ids, std::int64_t mean) {
  std::int32_t* id = ids.as<std::int32_t>();
  std::uint64_t state = 1;
  std::int64_t left = 0;
  std::int32_t document = -1;
  for (std::int64_t i = 0; i < ids.count(); ++i, --left) {
    if (left == 0) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      left = mean / 2 + static_cast<std::int64_t>((state >> 33) % static_cast<std::uint64_t>(mean + 1));
      left = std::max<std::int64_t>(left, 1);
      ++document;
    }
    id[i] = document;
  }
}

}  // namespace

RunOptions run_options_of(const Case& test) {
  const Sizes& s = test.sizes;
  RunOptions options;
  options.sizes = {s.batch, s.heads, s.kv_heads, s.q_len, s.kv_len, s.head_dim, s.v_head_dim};
  options.dtypes = test.dtypes;
  options.files.layout = test.layout;
  if (test.linear) options.pattern.flags.weights = Weights::kLinear;
  if (test.lengths.empty()) return options;
  options.sizes.batch = options.sizes.q_len = options.sizes.kv_len = std::nullopt;
  for (const SequenceLengths& one : test.lengths) options.sequences.lengths.push_back(fmt::format("{}x{}", one.q, one.kv));
  options.sequences.page_size = test.page_size;
  options.sequences.cache_rows = test.cache_rows;
  return options;
}

namespace {

Result<Attention> compile_case(const SubjectRequest& request) {
  const Case& test = request.test;
  AttentionSpec spec;
  spec.program = test.program;
  spec.program_name = test.pattern;
  spec.dropout = test.dropout;
  if (test.linear) {
    spec.weights = Weights::kLinear;
    spec.linear = *test.linear;
  }
  apply_options(run_options_of(test), test.sizes, spec);
  EngineOptions engine;
  engine.cache_dir.clear();
  engine.threads = request.threads;
  engine.target = request.target;
  return Engine(engine).compile(spec);
}

// The order of a case's windows, in the place of what was generated for it, and their blocks.
Diagnostics take_windows(const SwinOptions& image, const Sizes& sizes, Subject& subject) {
  Result<std::vector<std::int32_t>> order = window_order(image);
  if (!order) return order.diagnostics();
  subject.order = *std::move(order);
  subject.names.bindings.buffers["row_order"] = TensorView(subject.order.data(), DType::kI32, {sizes.q_len});
  const std::int32_t window = image.window.front() * image.window.back();
  Result<BlockMask> blocks = subject.attention.create_block_mask({.q_len = static_cast<std::int32_t>(sizes.q_len),
                                                                  .kv_len = static_cast<std::int32_t>(sizes.kv_len),
                                                                  .q_block = window,
                                                                  .kv_block = window},
                                                                 &subject.names.bindings);
  if (!blocks) return blocks.diagnostics();
  subject.blocks = *std::move(blocks);
  return {};
}

Result<std::unique_ptr<Subject>> bind_case(const SubjectRequest& request, const Attention& attention) {
  const Case& test = request.test;
  Result<BoundNames> names = bind_names(attention, {}, request.problem.sizes);
  if (!names) return names.diagnostics();
  for (Array& buffer : names->storage)
    if (test.document_length > 0 && buffer.dtype == DType::kI32) fill_documents(buffer, test.document_length);
  auto subject = std::make_unique<Subject>(
      Subject{test.pass, attention, *std::move(names), {request.problem.make_output(), request.problem.make_lse()}, {}});
  subject->compile_ms = attention.compile_ms();
  if (test.windows) {
    if (Diagnostics errors = take_windows(*test.windows, test.sizes, *subject); !errors.empty()) return errors;
  }
  if (test.pass == Pass::kForward) return subject;
  Result<Array> out = generated_output_gradient(request.problem, 0);
  if (!out) return out.diagnostics();
  subject->gradients = make_gradients(request.problem, subject->names.bindings, *std::move(out), test.gradients);
  const Result<RunStats> forward = attention.run(subject->arguments(request.problem));
  if (!forward) return forward.diagnostics();
  return subject;
}

double compile_ms_of(const Trace& trace) {
  double ms = 0;
  for (const TraceEvent& event : trace.events())
    if (event.kind == TraceKind::kCompile) ms += static_cast<double>(event.end_ns - event.begin_ns) / 1e6;
  return ms;
}

constexpr std::int64_t kSmallLength = 32;

// By a call so small that the memory which it leaves for later calls is hardly any.
Result<double> compile_gradients(const SubjectRequest& request, const Attention& attention) {
  Case small = request.test;
  small.sizes.q_len = small.sizes.kv_len = kSmallLength;
  const Result<Problem> problem = make_problem(run_options_of(small));
  if (!problem) return problem.diagnostics();
  auto subject = bind_case({small, *problem, request.target, request.threads}, attention);
  if (!subject) return subject.diagnostics();
  Trace trace;
  RunArgs args = (*subject)->arguments(*problem);
  args.trace = &trace;
  const Result<RunStats> stats = run_backward(attention, args, gradients_of((*subject)->gradients, *problem));
  if (!stats) return stats.diagnostics();
  return compile_ms_of(trace);
}

}  // namespace

Result<RunStats> Subject::run(const Problem& problem) {
  if (blocks) {
    RunArgs args = arguments(problem);
    args.block_mask = &*blocks;
    return run_in_order(attention, order, args);
  }
  switch (pass) {
    case Pass::kForward: return attention.run(arguments(problem));
    case Pass::kBackward: break;
  }
  return run_backward(attention, arguments(problem), gradients_of(gradients, problem));
}

// Views of the packed rows of each sequence.
Result<RunStats> Subject::run_one_by_one(const Problem& problem) {
  const RunArgs all = arguments(problem);
  RunStats stats;
  std::int64_t key = 0;
  for (std::size_t i = 0; i < problem.ragged->lengths().size(); ++i) {
    const SequenceLengths& lengths = problem.ragged->lengths()[i];
    const std::int64_t query = problem.ragged->place_of(i, 0)[1];
    const auto rows_of = [](auto view, std::int64_t begin, std::int64_t count) {
      const auto address = reinterpret_cast<std::uintptr_t>(view.data) +
                           static_cast<std::uintptr_t>(begin * view.strides[2]) * size_of(view.dtype);
      view.data = reinterpret_cast<decltype(view.data)>(address);  // NOLINT(performance-no-int-to-ptr)
      view.shape[2] = count;
      return view;
    };
    RunArgs one = all;
    one.sequences = nullptr;
    one.q = rows_of(all.q, query, lengths.q);
    one.out = rows_of(all.out, query, lengths.q);
    one.lse = rows_of(all.lse, query, lengths.q);
    one.k = rows_of(all.k, key, lengths.kv);
    one.v = rows_of(all.v, key, lengths.kv);
    key += lengths.kv;
    const Result<RunStats> ran = attention.run(one);
    if (!ran) return ran;
    stats.scores_visited += ran->scores_visited;
  }
  return stats;
}

Result<double> compile_ms_of(const SubjectRequest& request) {
  const Result<Attention> attention = compile_case(request);
  if (!attention) return attention.diagnostics();
  if (request.test.pass == Pass::kForward) return attention->compile_ms();
  return compile_gradients(request, *attention);
}

Result<std::unique_ptr<Subject>> make_subject(const SubjectRequest& request) {
  const Result<Attention> attention = compile_case(request);
  if (!attention) return attention.diagnostics();
  std::optional<double> gradients_ms;
  if (request.test.pass == Pass::kBackward) {
    const Result<double> ms = compile_gradients(request, *attention);
    if (!ms) return ms.diagnostics();
    gradients_ms = *ms;
  }
  Result<std::unique_ptr<Subject>> subject = bind_case(request, *attention);
  if (subject && gradients_ms) (*subject)->compile_ms = *gradients_ms;
  return subject;
}

}  // namespace flexjit::tools::bench
