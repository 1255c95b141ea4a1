// One entry a name of flexjit/shard_names.h.
#include "attention/shard_call.h"

#include <string>
#include <string_view>

#include "flexjit/shard_names.h"

namespace flexjit::mpi {

Bindings bindings_of(const ShardCall& call, const Bindings* given) {
  Bindings made = given == nullptr ? Bindings{} : *given;
  const auto positions = [&](std::string_view name, std::span<const std::int32_t> of) {
    made.buffers[std::string(name)] = TensorView(of.data(), DType::kI32, {static_cast<std::int64_t>(of.size())});
  };
  const auto number = [&](std::string_view name, std::int64_t value) {
    made.params[std::string(name)] = static_cast<std::int32_t>(value);
  };
  positions(shard::kQPositions, call.q_positions);
  positions(shard::kKvPositions, call.kv_positions);
  number(shard::kQLen, call.q_len);
  number(shard::kKvLen, call.kv_len);
  number(shard::kHeads, call.heads);
  number(shard::kKvHeads, call.kv_heads);
  number(shard::kFirstHead, call.first_head);
  number(shard::kFirstKvHead, call.first_kv_head);
  return made;
}

}  // namespace flexjit::mpi
