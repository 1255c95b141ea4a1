// The plain structs that compiled code reads and writes; their offsets are asserted here and used by codegen. Pointers are
// the caller's; nothing here owns memory.
#pragma once

#include <cstddef>
#include <cstdint>

namespace flexjit::plan {

// A (batch, heads, length, dim) tensor; strides in elements, innermost 1.
struct TensorArg {
  void* data;
  std::int64_t stride_batch;
  std::int64_t stride_head;
  std::int64_t stride_row;
};

// One fp32 number a query row, (batch, heads, q_len); strides in elements. `data` may be null: not wanted.
struct RowArg {
  float* data;
  std::int64_t stride_batch;
  std::int64_t stride_head;
  std::int64_t stride_row;
};

// A captured buffer; strides in elements.
struct BufferArg {
  const void* data;
  std::int64_t extents[4];
  std::int64_t strides[4];
};

// Written by compiled code when an unmasked lane reads outside a buffer; `raised` is cleared by the launcher.
struct FaultArg {
  std::int32_t raised;
  std::uint32_t site;  // ReadInfo::site
  std::int32_t dimension;
  std::int32_t reserved;
  std::int64_t index;
};

// Constant over one launch.
struct LaunchArg {
  TensorArg q, k, v, out;
  RowArg lse{};                 // ln sum exp
  RowArg max_scores{};          // the largest modified score that the mask allows, -inf for none
  const float* sinks;           // by query head: a logit without a value, that takes part in every row's sum; null: none
  const BufferArg* buffers;     // by slot
  const std::uint64_t* params;  // by slot: bits of the i32, f64 or bool (0/1)
  std::int32_t batch_size;
  std::int32_t num_heads;
  std::int32_t num_kv_heads;
  std::int32_t q_len;
  std::int32_t kv_len;
  double scale;
  std::int64_t* block_counts = nullptr;  // of kernels that count how often each of their blocks runs; else not read
};

// Which pairs of a span are allowed.
enum class SpanKind : std::int32_t {
  kWhole,   // every pair, and both bounds are multiples of the panel
  kMasked,  // the mask decides per element inside the bounds, which may lie anywhere
  kCut,     // every pair inside the bounds, which may lie anywhere; the mask is not asked
};

// Key columns to visit, [begin, end), ascending and disjoint.
struct SpanArg {
  std::int32_t begin;
  std::int32_t end;
  SpanKind kind;
};

// One work item: the rows [q_begin, q_begin + q_count) of one (b, h), q_count <= q_tile.
struct TileArg {
  const LaunchArg* launch;
  std::int32_t b, h, kv_head;
  std::int32_t q_begin, q_count;
  std::int32_t span_count;
  const SpanArg* spans;
  const void* k_panels;   // packed K of (b, kv_head), see KernelLayout
  const void* v_rows;     // V of (b, kv_head): the caller's rows, or packed rows, see KernelLayout
  std::int64_t v_stride;  // elements between two rows of v_rows
  void* scratch;          // KernelLayout::scratch_bytes, 64-byte aligned
  FaultArg* fault;
};

// One packing item: the panels that cover keys [kv_begin, kv_end) of (b, kv_head), kv_begin a multiple of the panel.
struct PackArg {
  const LaunchArg* launch;
  std::int32_t b, kv_head;
  std::int32_t kv_begin, kv_end;
  void* k_panels;  // as in TileArg, whole (b, kv_head); columns past kv_len are filled with 0
  void* v_rows;    // whole (b, kv_head); null when V is read in place
};

// One work item of the decode nest: rows [row_begin, row_begin + row_count) of the query heads that share (b, kv_head), against
// the keys of `spans`. Row r is query r % q_len of head kv_head * group + r / q_len. The item leaves its state: what it would
// have to be merged with the states of other keys.
struct DecodeArg {
  const LaunchArg* launch;
  std::int32_t b, kv_head;
  std::int32_t row_begin, row_count;  // row_count <= KernelLayout::q_tile
  std::int32_t group;                 // query heads a kv head
  std::int32_t span_count;
  const SpanArg* spans;  // of kWhole ones bounds are multiples of KernelLayout::strip
  float* o;              // (row_count, v_padded), 64-byte aligned: sum of weight * v / scale, weights relative to max
  float* max;            // (row_count): the largest modified score that the mask allows, -inf for none
  float* sum;            // (row_count): sum of the weights
  float* scale;          // (row_count): 1, or more where o would overflow
  void* scratch;         // KernelLayout::scratch_bytes, 64-byte aligned
  FaultArg* fault;
};

using AttendFn = void (*)(const TileArg*);
using PackFn = void (*)(const PackArg*);
using DecodeFn = void (*)(const DecodeArg*);

static_assert(offsetof(LaunchArg, k) == 32 && offsetof(LaunchArg, out) == 96 && offsetof(LaunchArg, lse) == 128);
static_assert(offsetof(LaunchArg, max_scores) == 160 && offsetof(LaunchArg, sinks) == 192);
static_assert(offsetof(LaunchArg, buffers) == 200 && offsetof(LaunchArg, params) == 208);
static_assert(offsetof(LaunchArg, batch_size) == 216 && offsetof(LaunchArg, scale) == 240 && sizeof(LaunchArg) == 256);
static_assert(sizeof(BufferArg) == 72 && offsetof(BufferArg, strides) == 40);
static_assert(sizeof(FaultArg) == 24 && offsetof(FaultArg, index) == 16);
static_assert(sizeof(SpanArg) == 12);
static_assert(offsetof(TileArg, b) == 8 && offsetof(TileArg, span_count) == 28 && offsetof(TileArg, spans) == 32);
static_assert(offsetof(TileArg, scratch) == 64 && offsetof(TileArg, fault) == 72 && sizeof(TileArg) == 80);
static_assert(offsetof(PackArg, kv_begin) == 16 && offsetof(PackArg, k_panels) == 24 && sizeof(PackArg) == 40);
static_assert(offsetof(DecodeArg, b) == 8 && offsetof(DecodeArg, group) == 24 && offsetof(DecodeArg, spans) == 32);
static_assert(offsetof(DecodeArg, o) == 40 && offsetof(DecodeArg, scratch) == 72 && sizeof(DecodeArg) == 88);

}  // namespace flexjit::plan
