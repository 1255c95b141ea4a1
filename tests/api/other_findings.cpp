// Reads out of range, exceptions from below, kernels that there are not, and what only C callers can do wrong.
#include <cstring>
#include <new>
#include <stdexcept>
#include <system_error>

#include "c/c_convert.h"
#include "diagnostics/guard.h"
#include "finding_cases.h"
#include "flexjit/inspect.h"
#include "support/check.h"

namespace flexjit::test {

namespace {

template <typename Exception>
FindingCase throwing(std::string kind, std::string expected, Exception exception) {
  return {std::move(kind), std::move(expected), [exception] {
            const auto body = [&]() -> Status { throw exception; };
            return engine::guarded("run", body).diagnostics();
          }};
}

template <typename Body>
FindingCase reporting(std::string kind, std::string expected, const Body& body) {
  return {std::move(kind), std::move(expected), [body] {
            engine::Report report("flexjit_compile");
            body(report);
            return report.take();
          }};
}

// A C enum with a number that its type does not list.
template <typename Enum>
void set_number(Enum& value, int number) {
  std::memcpy(&value, &number, sizeof(number));
}

std::vector<FindingCase> c_cases() {
  return {
      reporting(
          "null-argument", "flexjit_compile: error: flexjit_spec is NULL\n",
          [](engine::Report& report) { engine::complete<flexjit_spec>(nullptr, "flexjit_spec", flexjit_spec_init, report); }),
      reporting("struct-size",
                "flexjit_compile: error: struct_size of flexjit_spec is 0, but this library knows " +
                    std::to_string(sizeof(flexjit_spec)) + " bytes; call flexjit_spec_init first\n",
                [](engine::Report& report) {
                  const flexjit_spec spec = {};
                  engine::complete(&spec, "flexjit_spec", flexjit_spec_init, report);
                }),
      reporting("bad-enum", "flexjit_compile: error: the dtype of the spec is 11, which is no flexjit_dtype\n",
                [](engine::Report& report) {
                  flexjit_spec spec;
                  flexjit_spec_init(&spec);
                  set_number(spec.dtype, 11);
                  (void)engine::to_spec(spec, report);
                }),
      reporting("bad-enum", "flexjit_compile: error: the backend is -1, which is no flexjit_backend\n",
                [](engine::Report& report) {
                  flexjit_engine_options options;
                  flexjit_engine_options_init(&options);
                  set_number(options.backend, -1);
                  (void)engine::to_options(options, report);
                }),
  };
}

std::vector<FindingCase> read_cases() {
  static const std::vector<float> table(3);
  return {
      broken("buffer-read",
             "score_mod:1:9: error: a read of `table` is out of range: index 3 in dimension 0, whose extent is 3; guard the "
             "read or "
             "mask the position\n"
             "  score + table[kv_idx]\n"
             "          ^~~~~~~~~~~~~\n",
             [](Sample& s) {
               s.spec.score_mod = "score + table[kv_idx]";
               s.bindings.buffers["table"] = TensorView(table.data(), DType::kF32, {3});
               s.spec.declare(s.bindings);
             }),
      broken("buffer-read",
             "program:3:17: error: a read of `last` is out of range: index -1 in dimension 0, whose extent is 1; guard the "
             "read or "
             "mask the position\n"
             "  score = score + dot(first[q_idx, :], last[q_idx - 1, :])\n"
             "                  ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~\n",
             [](Sample& s) {
               s.spec.program =
                   "buffer first : f32[q_len, 1]\n"
                   "buffer last : f32[?, 1]\n"
                   "score = score + dot(first[q_idx, :], last[q_idx - 1, :])\n";
               s.bindings.buffers["first"] = TensorView(table.data(), DType::kF32, {3, 1});
               s.bindings.buffers["last"] = TensorView(table.data(), DType::kF32, {1, 1});
             }),
  };
}

}  // namespace

std::vector<FindingCase> other_cases() {
  std::vector<FindingCase> cases = {
      throwing("out-of-memory", "run: error: not enough memory\n", std::bad_alloc()),
      throwing("system", "run: error: the system refused: cannot make memory executable: Permission denied\n",
               std::system_error(EACCES, std::generic_category(), "cannot make memory executable")),
      throwing("out-of-memory", "run: error: not enough memory\n",
               std::system_error(ENOMEM, std::generic_category(), "cannot map memory for machine code")),
      {"empty-handle",
       "run: error: the attention is empty, made by its default constructor or moved from; assign one that Engine::compile() "
       "gave\n",
       [] { return Attention().run({}).diagnostics(); }},
      throwing("internal", "run: error: a defect of flexjit, please report it: x.cpp:1: check failed: a == b\n",
               support::InternalError("x.cpp:1: check failed: a == b")),
      throwing("internal", "run: error: a defect of flexjit, please report it: an exception of unknown type\n", 42),
      {"inspect-kernel", "inspect: error: the decode kernel cannot be shown: there is none of f64\n",
       [] {
         Sample sample;
         sample.spec.dtype = DType::kF64;
         return inspect(sample.spec, sample.options, {.kernel = InspectKernel::kDecode}).diagnostics();
       }},
  };
  for (FindingCase& one : c_cases()) cases.push_back(std::move(one));
  for (FindingCase& one : read_cases()) cases.push_back(std::move(one));
  return cases;
}

}  // namespace flexjit::test
