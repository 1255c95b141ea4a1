// The plain structs that compiled code reads and writes; their offsets are asserted here and used by codegen. Pointers are
// the caller's; nothing here owns memory.
#pragma once

#include <cstddef>
#include <cstdint>

namespace flexjit::plan {

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
  const float* sinks;           // by query head: a logit without a value, that takes part in every row's sum; null: none
  const BufferArg* buffers;     // by slot
  const std::uint64_t* params;  // by slot: bits of the i32, f64 or bool (0/1)
  std::int64_t* block_counts;   // of kernels that count how often each of their blocks runs; else not read
  double scale;
  std::int32_t batch_size;
  std::int32_t num_heads;
  std::int32_t num_kv_heads;
  std::int32_t lse_f64;  // not 0: lse of rows are doubles, of fp64 kernels alone; else floats
};

// Positions are logical, addresses physical; they meet in the next two structs, which the host makes for each item.
//
// A query row: which one it is, where it lies and where its results go. Null: not wanted.
struct QueryRow {
  const void* q;      // head_dim elements
  void* out;          // v_head_dim elements
  void* lse;          // ln sum exp, see LaunchArg::lse_f64
  float* max_scores;  // the largest modified score that the mask allows, -inf for none
  std::int32_t h;
  std::int32_t q_idx;
};

// Scales of the rows of a KeyRun, of quantised keys alone; strides in elements.
struct ScaleRun {
  const float* first;     // where those of key 0 would lie
  std::int64_t by_key;    // between two keys, 0 where they share one; of listed rows always
  std::int64_t by_group;  // between two groups of dims
};

// Keys of one sequence and kv head, whose rows of K and V lie evenly or where lists say; strides in elements. Row n is n
// strides behind the pointer, which may lie outside the tensor.
struct KeyRun {
  const void* k;
  const void* v;
  std::int64_t k_stride;
  std::int64_t v_stride;
  // Decoding alone, by key: the numbers of the rows of K and of V. Null: key i has the rows i. Of keys past those of an item's
  // spans, up to KernelLayout::keys_to_come on from the last step, rows are prefetched.
  const std::int32_t* k_rows = nullptr;
  const std::int32_t* v_rows = nullptr;
  // Likewise, beside k_rows: the rows that are prefetched while those of a key are read. Null: those of a key some keys on.
  const std::int32_t* k_to_come = nullptr;
  const std::int32_t* v_to_come = nullptr;
  ScaleRun k_scales{};
  ScaleRun v_scales{};
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
  std::int32_t run = 0;  // of the item's key runs, that has them all; decoding alone
};

// One work item: the queries [q_begin, q_begin + q_count) of one (b, h), q_count <= q_tile.
struct TileArg {
  const LaunchArg* launch;
  std::int32_t b, h, kv_head;
  std::int32_t q_len, kv_len;  // of the sequence
  std::int32_t q_begin, q_count;
  std::int32_t span_count;
  std::int32_t q_offset, kv_offset;  // packed positions of query 0 and key 0 of the sequence
  const SpanArg* spans;
  const QueryRow* rows;   // q_count
  std::int64_t q_ahead;   // bytes from a row of q to the one that is most often read by the next item, and is prefetched
  const void* k_panels;   // packed K of (b, kv_head), see KernelLayout
  const void* v_rows;     // V of (b, kv_head): the caller's rows, or packed rows, see KernelLayout
  std::int64_t v_stride;  // elements between two rows of v_rows
  void* scratch;          // KernelLayout::scratch_bytes, 64-byte aligned
  FaultArg* fault;
};

// One packing item: the panels that cover keys [kv_begin, kv_end) of (b, kv_head), kv_begin a multiple of the panel; all of one
// run, so that kv_end is a multiple too where keys follow.
struct PackArg {
  const LaunchArg* launch;
  std::int32_t b, kv_head;
  std::int32_t kv_begin, kv_end;
  std::int32_t kv_len;  // of the sequence
  std::int32_t reserved;
  const KeyRun* run;
  void* k_panels;  // as in TileArg, whole (b, kv_head); columns past kv_len are filled with 0
  void* v_rows;    // whole (b, kv_head); null when V is read in place
};

// One work item of the decode nest: rows of query heads that share (b, kv_head), against the keys of `spans`. The item leaves
// its state: what it would have to be merged with the states of other keys.
struct DecodeArg {
  const LaunchArg* launch;
  std::int32_t b, kv_head;
  std::int32_t q_len, kv_len;  // of the sequence
  std::int32_t row_count;      // <= KernelLayout::q_tile
  std::int32_t span_count;
  std::int32_t q_offset, kv_offset;
  const QueryRow* rows;  // row_count, in any order; of their results nothing is written
  const SpanArg* spans;  // of kWhole ones bounds are multiples of KernelLayout::strip
  const KeyRun* runs;
  float* o;       // (row_count, v_padded), 64-byte aligned: sum of weight * v / scale, weights relative to max
  float* max;     // (row_count): the largest modified score that the mask allows, -inf for none
  float* sum;     // (row_count): sum of the weights
  float* scale;   // (row_count): 1, or more where o would overflow
  void* scratch;  // KernelLayout::scratch_bytes, 64-byte aligned
  FaultArg* fault;
  // An item may be computed by several calls, in the order of its keys and with one scratch: the first one begins it, the last
  // one ends it. all_spans are those of the whole item, of which some rows may be visited once more in the end.
  const SpanArg* all_spans;
  std::int32_t all_span_count;
  std::int32_t begins, ends;  // 0 or 1
  std::int32_t reserved;
};

// What the backward nest takes of a query row, and where its gradient goes.
struct GradientRow {
  const void* q;          // head_dim elements
  const void* out;        // v_head_dim elements, as the forward pass wrote them
  const void* grad_out;   // v_head_dim elements of the type of out; null: zeros
  const void* lse;        // as QueryRow has it; null: of weights that are not normalised
  const float* grad_lse;  // null: 0
};

// The rows [0, count) -> rows of reals, padded with zeros to whole vectors. `count` rows are written at each target.
struct TakeRowsArg {
  const LaunchArg* launch;
  const GradientRow* rows;
  std::int64_t count;
  std::int64_t grad_out_stride;  // elements between two of a row of grad_out
  std::int64_t grad_out_f32;     // not 0: grad_out is of fp32, else of the type of out
  void* q_rows;                  // [count][k_padded], times the scale
  void* grad_out_rows;           // [count][v_padded]
  void* lse;                     // [count]; 0 where it is -inf, so that weights of 0 stay 0
  std::int64_t* not_finite;      // becomes 1 where an element of q or grad_out is not
  void* delta;                   // [count]: sum of grad_out * out over a row, less grad_lse
};

// The keys [kv_begin, kv_end) of one run -> panels of K and of V, and rows of K; kv_begin a multiple of the panel.
struct TakeKeysArg {
  const LaunchArg* launch;
  const KeyRun* run;
  std::int64_t kv_begin, kv_end;
  std::int64_t kv_len;       // columns of a panel from here on are 0
  void* k_panels;            // [panel][head_dim][lanes], from key 0 on
  void* v_panels;            // [panel][v_head_dim][lanes]
  void* k_rows;              // [kv][k_padded]; null: not wanted; that of the run: they lie there, and are looked at alone
  std::int64_t* not_finite;  // becomes 1 where an element of k is not
};

// Where what a program adds to the gradient of a captured buffer is summed up; strides in reals.
struct SumArg {
  void* data;
  std::int64_t strides[4];
};

// One work item of the backward nest: what the queries [q_begin, q_begin + q_count) of one (b, h) and the keys of `spans`, at
// most kv_tile of them from the first to the last, add to the gradients. Positions count from 0 of the sequence.
struct GradientsArg {
  const LaunchArg* launch;
  std::int32_t b, h, kv_head;
  std::int32_t q_len, kv_len;  // of the sequence
  std::int32_t q_begin, q_count;
  std::int32_t span_count;
  std::int32_t q_offset, kv_offset;  // packed positions of query 0 and key 0 of the sequence
  const SpanArg* spans;
  const void* q_rows;  // of (b, h), as TakeRowsArg leaves them
  const void* grad_out_rows;
  const void* lse;
  const void* delta;
  const void* k_panels;  // of (b, kv_head), as TakeKeysArg leaves them
  const void* v_panels;
  const void* k_rows;
  void* grad_q;        // [q_len][k_padded] reals of (b, h), in units of 1 / scale; null: not wanted, as the others
  void* grad_k;        // [kv_len][k_padded] of (b, kv_head)
  void* grad_v;        // [kv_len][v_padded]
  const SumArg* sums;  // by slot of a buffer; only those that the program adds to are looked at
  void* scratch;       // KernelLayout::scratch_bytes, 64-byte aligned
  FaultArg* fault;
  std::int64_t careful;  // not 0: rows that are not finite are left out where they have no weight
};

// Rows of reals, [count][k_padded or v_padded] -> elements of the type of q, k or v, times a factor, rounded once.
struct GiveRowsArg {
  const LaunchArg* launch;
  const void* rows;
  std::int64_t count;
  void* target;
  std::int64_t stride;  // elements between two rows of the target
  double factor;
  std::int64_t as_f32;  // not 0: as fp32, else of the type of the tensor
};

// One step of linear weights: queries and keys of one sequence, each at most a chunk (KernelLayout::q_tile), and the state of
// the keys before. The queries meet the state and, of the keys, query i those up to number i, so that there are as many of
// both; without keys the state alone. Then the state takes the keys. A token is one key and one query, and as many heads as
// leave room for the key in a chunk. What is of a query head is of those that share the kv head.
struct LinearArg {
  const LaunchArg* launch;
  std::int32_t b, h, kv_head;        // h: the first of `heads`
  std::int32_t q_len, kv_len;        // of the sequence
  std::int32_t heads;                // that share the state
  std::int32_t q_offset, kv_offset;  // packed positions of query 0 and key 0 of the sequence
  std::int32_t q_count;
  std::int32_t kv_begin, kv_count;
  std::int32_t as_f32;  // of what rows of a gradient are: not 0: fp32, else the type of the tensor; of the nest of rows alone
  const void* q;        // the first of the queries of head h; strides in elements
  std::int64_t q_head, q_row;
  void* out;
  std::int64_t out_head, out_row;
  const void* k;  // the first of the keys
  std::int64_t k_row;
  const void* v;
  std::int64_t v_row;
  const void* w_rows;    // reals, [features][head_dim]: what rows are multiplied with
  const void* w_panels;  // the same as [f_padded / lanes][head_dim][lanes], zeros past the features
  double eps;            // the least that sums of weights count as
  void* state;           // KernelLayout::state_bytes, 64-byte aligned; zeros before the first key
  void* scratch;         // KernelLayout::scratch_bytes, 64-byte aligned
  FaultArg* fault;
};

// The nest of rows takes the same, of up to a chunk of rows, with what is said here in the place of what is said above. Rows of
// reals have strides in reals: features [f_padded], and values with a 1 or gradients with what is taken from all of them behind
// them, [v_head_dim + 1 rounded up to lanes].
//   query_features, key_features: q or k -> out, features; of masked keys zeros
//   key_values: v -> out, values and a 1; of masked keys zeros
//   output_gradients: q, the gradients of rows of outputs, v, the outputs, k, the sums of their weights -> out
//   pull_queries, pull_keys: q or k, and v, the gradients of their features -> out, the gradients of the rows
//   give_values: v, rows of v_padded reals -> out, elements

using AttendFn = void (*)(const TileArg*);
using PackFn = void (*)(const PackArg*);
using DecodeFn = void (*)(const DecodeArg*);
using GradientsFn = void (*)(const GradientsArg*);
using TakeRowsFn = void (*)(const TakeRowsArg*);
using TakeKeysFn = void (*)(const TakeKeysArg*);
using LinearFn = void (*)(const LinearArg*);
using GiveRowsFn = void (*)(const GiveRowsArg*);

static_assert(offsetof(LaunchArg, scale) == 32 && offsetof(LaunchArg, batch_size) == 40 && sizeof(LaunchArg) == 56);
static_assert(offsetof(QueryRow, h) == 32 && sizeof(QueryRow) == 40 && offsetof(KeyRun, k_rows) == 32 && sizeof(KeyRun) == 112);
static_assert(sizeof(ScaleRun) == 24 && offsetof(KeyRun, k_scales) == 64);
static_assert(sizeof(BufferArg) == 72 && offsetof(BufferArg, strides) == 40);
static_assert(sizeof(FaultArg) == 24 && offsetof(FaultArg, index) == 16);
static_assert(sizeof(SpanArg) == 16);
static_assert(offsetof(TileArg, b) == 8 && offsetof(TileArg, span_count) == 36 && offsetof(TileArg, spans) == 48);
static_assert(offsetof(TileArg, scratch) == 96 && offsetof(TileArg, fault) == 104 && sizeof(TileArg) == 112);
// A tile of rows is loaded from either by one function.
static_assert(offsetof(GradientsArg, b) == offsetof(TileArg, b) &&
              offsetof(GradientsArg, q_count) == offsetof(TileArg, q_count));
static_assert(offsetof(GradientsArg, spans) == offsetof(TileArg, spans) && sizeof(GradientsArg) == 168);
static_assert(sizeof(GradientRow) == 40 && sizeof(TakeRowsArg) == 80 && sizeof(TakeKeysArg) == 72 && sizeof(GiveRowsArg) == 56);
static_assert(offsetof(PackArg, kv_begin) == 16 && offsetof(PackArg, run) == 32 && sizeof(PackArg) == 56);
static_assert(offsetof(LinearArg, b) == 8 && offsetof(LinearArg, q) == 56 && sizeof(LinearArg) == 184);
static_assert(offsetof(DecodeArg, b) == 8 && offsetof(DecodeArg, rows) == 40 && offsetof(DecodeArg, o) == 64);
static_assert(offsetof(DecodeArg, scratch) == 96 && sizeof(DecodeArg) == 136);

}  // namespace flexjit::plan
