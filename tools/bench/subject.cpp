// Buffers are those that `flexjit run` generates, but for documents, whose lengths the case gives.
#include "bench/subject.h"

#include <algorithm>

#include "flexjit/engine.h"

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
  return options;
}

Result<Attention> compile_case(const SubjectRequest& request) {
  const Case& test = request.test;
  AttentionSpec spec;
  spec.program = request.program;
  spec.program_name = test.pattern;
  apply_options(run_options_of(test), test.sizes, spec);
  EngineOptions engine;
  engine.cache_dir.clear();
  engine.threads = request.threads;
  engine.target = request.target;
  return Engine(engine).compile(spec);
}

Result<std::unique_ptr<Subject>> make_subject(const SubjectRequest& request) {
  const Case& test = request.test;
  Result<Attention> attention = compile_case(request);
  if (!attention) return attention.diagnostics();
  Result<BoundNames> names = bind_names(*attention, {}, test.sizes);
  if (!names) return names.diagnostics();
  for (Array& buffer : names->storage)
    if (test.document_length > 0 && buffer.dtype == DType::kI32) fill_documents(buffer, test.document_length);
  return std::make_unique<Subject>(
      Subject{std::move(*attention), std::move(*names), {request.problem.make_output(), request.problem.make_lse()}});
}

}  // namespace flexjit::tools::bench
