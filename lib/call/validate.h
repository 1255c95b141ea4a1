// One call's tensors, bindings and block mask, checked before anything reads them. Each check adds all that it finds to the
// report; a value comes back where enough was right for the later checks to go on.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "diagnostics/report.h"
#include "flexjit/attention.h"
#include "ir/evaluate/environment.h"
#include "pattern/pattern.h"

namespace flexjit::engine {

// Positions, extents and head counts above this could overflow the 32-bit index arithmetic of the language.
inline constexpr std::int64_t kMaxLength = std::int64_t{1} << 30;
// Query rows that share a kv head are numbered in 32 bits.
inline constexpr std::int64_t kMaxSharedRows = (std::int64_t{1} << 31) - 1;
// Between the first and the last byte of a tensor. No machine has so much memory; what lies inside it is addressed, and its
// rows are counted, without overflow.
inline constexpr std::int64_t kMaxReach = std::int64_t{1} << 56;

// The sizes that one call has.
struct CallShape {
  std::int32_t batch = 0;
  std::int32_t q_heads = 0;
  std::int32_t kv_heads = 0;
  std::int32_t q_len = 0;
  std::int32_t kv_len = 0;
  bool ragged = false;  // lengths are those of the longest sequence

  bool operator==(const CallShape&) const = default;
};

// What any tensor must satisfy, whatever it means: extents within 0..2^30, strides that keep it within kMaxReach, data present
// and aligned. `name` as shown.
void check_view(const std::string& name, const TensorView& view, Report& report);

// Of results: two of its elements may share an address. Nothing is said of views that check_view has findings about.
bool overlaps_itself(const TensorView& view);

// Two tensors of one call, by name. `written` is a result, so it must have no byte in common with `read`, which may be another
// result. Tensors side by side in one array have none, however their rows take turns.
struct Named {
  const char* name;
  const TensorView& view;
};
void check_apart(const Named& read, const Named& written, Report& report);
// The same of all that a call writes: what it reads, captured buffers among it (`bindings` may be null), and the results
// before.
void check_apart(std::span<const Named> read, std::span<const Named> written, const Bindings* bindings, Report& report);

// q, k, v, out and lse against each other and the pattern. No value when ranks or extents leave the shape unknown.
std::optional<CallShape> check_tensors(const Pattern& pattern, const RunArgs& args, Report& report);

// The bound values of a pattern's names, by slot. The environment refers into the vectors, whose elements stay where they
// are when this is moved.
struct Bound {
  Bound() = default;
  Bound(Bound&&) = default;
  Bound& operator=(Bound&&) = default;

  std::vector<TensorView> buffers;
  std::vector<Scalar> params;
  ir::Environment environment;
};

// Without `shape` (it was wrong itself), extents that are declared by a builtin are not compared. `bindings` may be null.
Bound bind_names(const ir::Interface& interface, const Bindings* bindings, const std::optional<CallShape>& shape,
                 Report& report);

// A wanted number of threads, 0 for all cores.
void check_threads(const char* name, int threads, Report& report);

// A given block mask against the call's sizes.
// What findings about a block mask call it, and what its lengths must fit.
struct MaskNames {
  std::string mask = "the block mask", call = "this call";
};
void check_block_mask(const BlockMaskShape& mask, const CallShape& shape, Report& report, const MaskNames& names = {});

// BlockMaskOptions as a call's sizes. No value when they are not usable.
// The same elements, to be read.
TensorView as_const(const MutableTensorView& view);

// A mask that is to be extended.
void check_shorter_mask(const BlockMaskShape& mask, const BlockMaskOptions& options, Report& report);
BlockMaskShape mask_shape_of(const BlockMaskOptions& options);
CallShape call_shape_of(const BlockMaskOptions& options);
std::optional<CallShape> check_mask_options(const BlockMaskOptions& options, Report& report);

}  // namespace flexjit::engine
