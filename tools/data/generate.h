// Values for the inputs that no file gives: the same for the same seed on every machine and compiler, which the standard
// library's distributions do not promise.
#pragma once

#include <cstdint>
#include <vector>

#include "data/array.h"
#include "flexjit/attention.h"

namespace flexjit::tools {

// Streams of one seed are independent: q, k, v and each buffer take their own.
struct Stream {
  std::uint64_t seed = 0;
  std::uint64_t number = 0;
};

// fp32, N(0, 1).
Array normal_array(std::vector<std::int64_t> shape, Stream stream);

// A captured buffer of this dtype and shape whose values make sense in most patterns:
//   float  uniform in [0, 0.25): slopes, decays, scales and biases stay tame and positive
//   bool   one in eight is true: global tokens
//   int    the last extent is q_len or kv_len: segment ids 0, 0, ... 7, 7 in equal runs (documents, images, sequences)
//          batch_size, num_heads or num_kv_heads: spread over (0, kv_len) (lengths, windows)
//          anything else: evenly from 0 to kv_len (offsets; with 9 entries, those of the segments above); of a table with
//          several rows, each its own part of that (spans)
Array buffer_array(const BufferDeclaration& declaration, std::vector<std::int64_t> shape, std::int64_t kv_len, Stream stream);

}  // namespace flexjit::tools
