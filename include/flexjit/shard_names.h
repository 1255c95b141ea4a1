// The names that calls of a handle of compile_shard() (flexjit/shards.h) bind.
#pragma once

#include <string_view>

namespace flexjit {

// What every call of a shard's handle binds besides what the pattern declares.
namespace shard {
inline constexpr std::string_view kQPositions = "shard_q_positions";    // buffer i32 (q_len): where each query row stands
inline constexpr std::string_view kKvPositions = "shard_kv_positions";  // buffer i32 (kv_len): where each key stands
inline constexpr std::string_view kQLen = "shard_q_len";                // params, int: lengths of the whole sequence
inline constexpr std::string_view kKvLen = "shard_kv_len";
inline constexpr std::string_view kHeads = "shard_heads";  // heads of the whole
inline constexpr std::string_view kKvHeads = "shard_kv_heads";
inline constexpr std::string_view kFirstHead =
    "shard_first_head";  // the head of the whole that head 0 of the call is; default 0
inline constexpr std::string_view kFirstKvHead = "shard_first_kv_head";
}  // namespace shard

}  // namespace flexjit
