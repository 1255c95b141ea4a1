// Fields of buffers and params are prefixed, so that no name of a text can meet a keyword, a macro or another field. The order
// of the fields is that of aot/arguments.h.
#include "aot/c_header.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string_view>
#include <variant>

namespace flexjit::aot {

namespace {

constexpr std::string_view kOpening = R"(/* Attention compiled ahead of time by flexjit {version}, for {targets}.
 *
 *   {name}_args args;
 *   flexjit_error* error = NULL;
 *   {name}_args_init(&args);
{assignments} *   if ({name}_run(&args, &error) != FLEXJIT_OK) {{
 *     fputs(flexjit_error_message(error), stderr);
 *     flexjit_error_free(error);
 *   }}
 *
 * A program links this library and libflexjit of the same version, which holds no compiler. The first call chooses the code for
 * the best of the instruction sets above that the processor has. A tensor is a pointer, an element type, extents, and strides in
 * elements (flexjit_dense_tensor makes those of a dense one); it stays the caller's. Extents named alike in one call are equal,
 * whatever they are, and q_heads is a multiple of kv_heads; a text calls them batch_size, num_heads (of q) and num_kv_heads. q, k, v
 * and out have stride 1 in their last dimension.
 *
 * *_run returns FLEXJIT_OK; FLEXJIT_INVALID: an argument is at fault; FLEXJIT_FAILED: the machine or the installation is, and also
 * where this library was built by another version of flexjit. `error` may be NULL; else it is set to NULL on success and to a
 * new error otherwise, that flexjit_error_free() frees. Outputs are the same bits for every number of threads. All functions may
 * be called from several threads at once. */
#ifndef FLEXJIT_BUILT_{name}_H
#define FLEXJIT_BUILT_{name}_H

#include <flexjit/c_api.h>

#ifdef __cplusplus
extern "C" {{
#endif
)";

constexpr std::string_view kClosing = R"(
#ifdef __cplusplus
}
#endif

#endif
)";

constexpr std::string_view kFunctions = R"(
/* Sets {required} to "not given" and each param to its default. Call it first. */
void {name}_args_init({name}_args* args);
/* Computes `out`, and what else is wanted. */
flexjit_status {name}_run(const {name}_args* args, flexjit_error** error);
/* A handle of the same code for the other functions of flexjit/c_api.h, such as flexjit_block_mask_create() and
 * flexjit_attention_target(), which tells the chosen instruction set. flexjit_attention_destroy() frees it. */
flexjit_status {name}_attention(flexjit_attention** attention, flexjit_error** error);
)";

constexpr std::string_view kBackwardFunctions = R"(
/* Sets every gradient to "absent". Call it first. */
void {name}_gradients_init({name}_gradients* gradients);
/* Computes the wanted gradients of the call that `args` were for, with `out` and `lse` as {name}_run() left them. */
flexjit_status {name}_run_backward(const {name}_args* args, const {name}_gradients* gradients, flexjit_error** error);
)";

std::string_view c_name_of(DType dtype) {
  switch (dtype) {
#define FLEXJIT_DTYPE(name, c_name, text, stored, kind, npy, unit, largest) \
  case DType::k##name: return "FLEXJIT_" #c_name;
#include "flexjit/dtypes.def"
#undef FLEXJIT_DTYPE
  }
  return {};
}

std::string field(std::string_view type, std::string_view name, std::string_view comment) {
  const std::string declaration = fmt::format("{} {};", type, name);
  return fmt::format("  {:<42} /* {} */\n", declaration, comment);
}

std::string tensor(std::string_view name, std::string_view comment) { return field("flexjit_tensor", name, comment); }

std::string shape_of(const ir::BufferInterface& buffer, const ir::Interface& interface) {
  std::vector<std::string> extents;
  for (const ir::Extent& extent : buffer.extents) extents.push_back(ir::spelling_of(extent, interface));
  return fmt::format("({})", fmt::join(extents, ", "));
}

std::string tensor_fields(const DeclaredPattern& pattern) {
  const auto row = [](DType dtype, std::string_view heads, std::string_view length, std::int32_t dim) {
    return fmt::format("{} (batch, {}, {}, {})", c_name_of(dtype), heads, length, dim);
  };
  std::string text = tensor("q", row(pattern.types.q, "q_heads", "q_len", pattern.head_dim));
  text += tensor("k", row(pattern.types.kv, "kv_heads", "kv_len", pattern.head_dim));
  text += tensor("v", row(pattern.types.kv, "kv_heads", "kv_len", pattern.v_head_dim));
  text += tensor("out", row(pattern.types.out, "q_heads", "q_len", pattern.v_head_dim) + ": written");
  if (pattern.weights == plan::Weights::kSigmoid) {
    for (const char* name : {"lse", "max_scores", "sinks"}) text += tensor(name, "not for sigmoid weights");
    return text;
  }
  text += tensor("lse", "optional; FLEXJIT_F32 (batch, q_heads, q_len): written, ln of the sum of exp(score) of each row");
  text += tensor("max_scores", "optional; FLEXJIT_F32 (batch, q_heads, q_len): written, the largest score of each row");
  text += tensor("sinks", "optional; float (q_heads): a logit without a value in every row's softmax");
  return text;
}

std::string buffer_fields(const ir::Interface& interface) {
  std::string text;
  for (const ir::BufferInterface& buffer : interface.buffers) {
    const std::string repeats = buffer.broadcasts ? "; leading dimensions may be missing, and extents of 1 repeat" : "";
    text +=
        tensor("buffer_" + buffer.name, fmt::format("{} {}{}", c_name_of(buffer.dtype), shape_of(buffer, interface), repeats));
  }
  return text;
}

// The shortest text that reads back as the default: as few digits as the kernel's floats need.
std::string default_text(const Scalar& value, bool is_f64) {
  const auto* number = std::get_if<double>(&value);
  if (number != nullptr && !is_f64) return fmt::format("{}", static_cast<float>(*number));
  return std::visit([](auto held) { return fmt::format("{}", held); }, value);
}

std::string param_fields(const DeclaredPattern& pattern) {
  const ir::Interface& interface = pattern.interface;
  std::string text;
  for (const ir::ParamInterface& param : interface.params) {
    const bool is_float = std::holds_alternative<double>(param.default_value);
    std::string comment = std::holds_alternative<bool>(param.default_value) ? "truth, 0 or 1; " : "";
    if (param.has_default) {
      comment += "default " + default_text(param.default_value, pattern.types.q == DType::kF64);
    } else {
      comment += "no default: give a value, and say so in the next field";
    }
    text += field(is_float ? "double" : "int32_t", "param_" + param.name, comment);
    if (!param.has_default) text += field("int32_t", "has_param_" + param.name, "1 where it is given");
  }
  return text;
}

// The text inside a comment, whatever it holds.
std::string quoted(std::string_view text) {
  std::string result = " *   ";
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool parts = i > 0 && ((text[i - 1] == '*' && c == '/') || (text[i - 1] == '/' && c == '*'));
    if (parts) result += ' ';
    if (c == '\r') continue;
    result += c;
    if (c == '\n' && i + 1 < text.size()) result += " *   ";
  }
  if (!result.ends_with('\n')) result += '\n';
  return result;
}

std::string struct_of(const DeclaredPattern& pattern) {
  std::string text =
      fmt::format("\n/* {}\n *\n{} */\ntypedef struct {}_args {{\n", pattern.name, quoted(pattern.text), pattern.name);
  text += field("size_t", "struct_size", fmt::format("set by {}_args_init()", pattern.name));
  text += tensor_fields(pattern);
  text += field("const flexjit_block_mask*", "block_mask", "optional; NULL: derived from the text's mask");
  text += field("const flexjit_sequences*", "sequences", "optional; lengths of their own, see flexjit/c_sequences.h");
  text += buffer_fields(pattern.interface);
  text += field("int32_t", "threads", "0: all processors, or OMP_NUM_THREADS");
  text += param_fields(pattern);
  return text + fmt::format("}} {}_args;\n", pattern.name);
}

std::string gradients_of(const DeclaredPattern& pattern, const std::vector<std::uint32_t>& buffers) {
  const auto wanted = [](std::string_view name, std::string_view of) {
    return tensor(name, fmt::format("optional; that of `{}`, of its extents and its element type or FLEXJIT_F32: written", of));
  };
  std::string text = fmt::format(
      "\n/* The gradients of {0}: see flexjit/c_backward.h. A tensor without data is absent. */\ntypedef struct {0}_gradients "
      "{{\n",
      pattern.name);
  text += field("size_t", "struct_size", fmt::format("set by {}_gradients_init()", pattern.name));
  text += tensor("out", "optional; of a loss by `out`, of its extents and its element type or FLEXJIT_F32");
  const bool softmax = pattern.weights == plan::Weights::kSoftmax;
  text += tensor("lse", softmax ? "optional; of the loss by `lse`" : "not for sigmoid weights");
  for (const char* name : {"q", "k", "v"}) text += wanted(name, name);
  text += softmax ? wanted("sinks", "sinks") : tensor("sinks", "not for sigmoid weights");
  for (std::uint32_t slot : buffers) {
    const std::string name = "buffer_" + pattern.interface.buffers[slot].name;
    text += wanted(name, name);
  }
  return text + fmt::format("}} {0}_gradients;\n", pattern.name) +
         fmt::format(kBackwardFunctions, fmt::arg("name", pattern.name));
}

std::string assignments_of(const DeclaredPattern& pattern) {
  std::string text;
  for (auto [name, dtype] :
       {std::pair{"q", pattern.types.q}, {"k", pattern.types.kv}, {"v", pattern.types.kv}, {"out", pattern.types.out}}) {
    text += fmt::format(" *   args.{0} = flexjit_dense_tensor({0}, {1}, 4, {0}_shape);\n", name, c_name_of(dtype));
  }
  for (const ir::BufferInterface& buffer : pattern.interface.buffers) {
    text += fmt::format(" *   args.buffer_{0} = flexjit_dense_tensor({0}, {1}, {2}, {0}_shape);\n", buffer.name,
                        c_name_of(buffer.dtype), buffer.extents.size());
  }
  return text;
}

}  // namespace

std::string c_header(std::span<const DeclaredPattern> patterns, std::span<const std::string> targets) {
  std::string text =
      fmt::format(kOpening, fmt::arg("version", FLEXJIT_VERSION), fmt::arg("targets", fmt::join(targets, ", ")),
                  fmt::arg("name", patterns.front().name), fmt::arg("assignments", assignments_of(patterns.front())));
  for (const DeclaredPattern& pattern : patterns) {
    text += struct_of(pattern);
    text += fmt::format(kFunctions, fmt::arg("name", pattern.name),
                        fmt::arg("required", pattern.interface.buffers.empty() ? "the tensors" : "the tensors and buffers"));
    if (pattern.gradients) text += gradients_of(pattern, *pattern.gradients);
  }
  return text + std::string(kClosing);
}

}  // namespace flexjit::aot
