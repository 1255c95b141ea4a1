// The structs of c_api.h -> the C++ values that they describe. C callers can pass anything, so enums, null names and struct
// sizes are checked here; what the values mean is checked where the C++ API checks it.
#pragma once

#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "diagnostics/report.h"
#include "flexjit/backward.h"
#include "flexjit/c_api.h"
#include "flexjit/engine.h"
#include "flexjit/merge_states.h"
#include "flexjit/quantize.h"
#include "flexjit/rotary.h"

namespace flexjit::engine {

// A caller's tensor; `what` as shown.
template <typename View>
View to_view(const flexjit_tensor& tensor, std::string_view what, Report& report);
extern template TensorView to_view<TensorView>(const flexjit_tensor&, std::string_view, Report&);
extern template MutableTensorView to_view<MutableTensorView>(const flexjit_tensor&, std::string_view, Report&);
// `view` stays absent where the tensor has neither data nor a rank.
template <typename View>
void set_given(const flexjit_tensor& tensor, View& view, std::string_view what, Report& report) {
  if (tensor.data != nullptr || tensor.rank != 0) view = to_view<View>(tensor, what, report);
}
DType to_dtype(const flexjit_dtype& dtype, std::string_view what, Report& report);
// None where it is null.
std::optional<Rotary> to_rotary(const flexjit_rotary* rotary, Report& report);

// What an *_init function does: `values`, and the size that tells the version of the struct.
template <typename Struct>
void init_struct(Struct* target, Struct values = {}) {
  if (target == nullptr) return;
  values.struct_size = sizeof(Struct);
  *target = values;
}

// The caller's struct, completed with the defaults of fields that its version did not have. `init` is its *_init function.
template <typename Struct>
std::optional<Struct> complete(const Struct* given, std::string_view name, void (*init)(Struct*), Report& report) {
  if (given == nullptr) {
    report.add(Finding::kNullArgument, name);
    return std::nullopt;
  }
  if (given->struct_size < sizeof(std::size_t) || given->struct_size > sizeof(Struct)) {
    report.add(Finding::kStructSize, name, given->struct_size, sizeof(Struct), name);
    return std::nullopt;
  }
  Struct full;
  init(&full);
  std::memcpy(&full, given, given->struct_size);
  return full;
}

EngineOptions to_options(const flexjit_engine_options& options, Report& report);
AttentionSpec to_spec(const flexjit_spec& spec, Report& report);
Bindings to_bindings(const flexjit_bindings& bindings, Report& report);
// `bindings`, `block_mask`, `sequences` and `rotary` are left null.
RunArgs to_run_args(const flexjit_run_args& args, Report& report);
// The tensors, and copies of the block masks, which RunArgs::sequences are to refer to (see view).
struct OwnedSequences {
  Sequences sequences;
  std::vector<BlockMask> masks;

  // Points into this.
  const Sequences* view() {
    sequences.block_masks = masks;
    return &sequences;
  }
};
std::optional<OwnedSequences> to_sequences(const flexjit_sequences* given, Report& report);
BsrMatrix to_matrix(const flexjit_bsr_matrix& matrix, Report& report);
BlockMaskOptions to_mask_options(const flexjit_block_mask_options& options);
Gradients to_gradients(const flexjit_gradients& gradients, Report& report);
QuantizeArgs to_quantize_args(const flexjit_quantize_args& args, Report& report);
MergeArgs to_merge_args(const flexjit_merge_args& args, std::vector<AttentionState>& states, Report& report);
flexjit_scalar from_scalar(const Scalar& value);

// `count` strings; null ones are reported.
std::vector<std::string> to_strings(const char* const* texts, std::size_t count, std::string_view what, Report& report);

// C callers can put any int into an enum; reading it as an int is what makes a check possible.
template <typename Enum>
int number_of(const Enum& value) {
  static_assert(sizeof(Enum) == sizeof(int));
  int number = 0;
  std::memcpy(&number, &value, sizeof(number));
  return number;
}

// The C++ enum of the same numbers, 0 to `last`.
template <typename Enum, typename Number>
std::optional<Enum> enum_of(const Number& value, int last) {
  const int number = number_of(value);
  return number >= 0 && number <= last ? std::optional(static_cast<Enum>(number)) : std::nullopt;
}

inline std::string text_of(const char* text) { return text != nullptr ? text : ""; }

// The caller's array; a null one of another count than 0 is reported.
template <typename Element>
std::span<const Element> elements(const Element* data, std::size_t count, std::string_view what, Report& report) {
  if (data != nullptr) return {data, count};
  if (count != 0) report.add(Finding::kNullArgument, what);
  return {};
}

}  // namespace flexjit::engine
