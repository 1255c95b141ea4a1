// The layout that a C compiler gives the struct: every field at a multiple of its alignment.
#include "aot/arguments.h"

#include <cstring>
#include <variant>

namespace flexjit::aot {

namespace {

constexpr std::size_t kAlignment = 8;
static_assert(sizeof(flexjit_built_args) % kAlignment == 0 && sizeof(flexjit_tensor) % kAlignment == 0);

template <typename T>
T load(std::span<const std::uint8_t> bytes, std::size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(value));
  return value;
}

// Of its field: a double, or an int32_t.
std::size_t bytes_of(const Scalar& scalar) {
  return std::holds_alternative<double>(scalar) ? sizeof(double) : sizeof(std::int32_t);
}

std::size_t round_up(std::size_t bytes, std::size_t multiple) { return (bytes + multiple - 1) / multiple * multiple; }

flexjit_scalar scalar_of(const Scalar& declared, std::span<const std::uint8_t> bytes, std::size_t offset) {
  flexjit_scalar scalar{};
  scalar.type = std::holds_alternative<double>(declared) ? FLEXJIT_FLOAT
                : std::holds_alternative<bool>(declared) ? FLEXJIT_TRUTH
                                                         : FLEXJIT_INT;
  std::memcpy(&scalar.value, bytes.data() + offset, bytes_of(declared));
  return scalar;
}

flexjit_run_args run_args_of(const flexjit_built_args& head) {
  flexjit_run_args run;
  flexjit_run_args_init(&run);
  run.q = head.q;
  run.k = head.k;
  run.v = head.v;
  run.out = head.out;
  run.lse = head.lse;
  run.max_scores = head.max_scores;
  run.sinks = head.sinks;
  run.block_mask = head.block_mask;
  run.sequences = head.sequences;
  return run;
}

}  // namespace

ArgumentLayout layout_of(const ir::Interface& interface) {
  ArgumentLayout layout;
  std::size_t end = sizeof(flexjit_built_args);
  const auto place = [&end](std::size_t bytes, std::size_t alignment) {
    const std::size_t begin = round_up(end, alignment);
    end = begin + bytes;
    return begin;
  };
  const auto number = [&](std::size_t bytes) { return place(bytes, bytes); };
  for (std::size_t i = 0; i < interface.buffers.size(); ++i)
    layout.buffers.push_back(place(sizeof(flexjit_tensor), kAlignment));
  layout.threads = number(sizeof(std::int32_t));
  for (const ir::ParamInterface& param : interface.params) {
    ArgumentLayout::Param& placed = layout.params.emplace_back();
    placed.value = number(bytes_of(param.default_value));
    if (!param.has_default) placed.is_set = number(sizeof(std::int32_t));
  }
  layout.bytes = round_up(end, kAlignment);
  return layout;
}

std::vector<std::uint8_t> initial_arguments(const ir::Interface& interface) {
  const ArgumentLayout layout = layout_of(interface);
  std::vector<std::uint8_t> bytes(layout.bytes);
  std::memcpy(bytes.data() + offsetof(flexjit_built_args, struct_size), &layout.bytes, sizeof(layout.bytes));
  for (std::size_t slot = 0; slot < layout.params.size(); ++slot) {
    const ir::ParamInterface& param = interface.params[slot];
    if (!param.has_default) continue;
    std::uint8_t* value = bytes.data() + layout.params[slot].value;
    std::visit([&](auto number) { std::memcpy(value, &number, sizeof(number)); }, param.default_value);
  }
  return bytes;
}

Arguments read_arguments(const ir::Interface& interface, std::span<const std::uint8_t> bytes) {
  const ArgumentLayout layout = layout_of(interface);
  Arguments arguments;
  arguments.run = run_args_of(load<flexjit_built_args>(bytes, 0));
  for (std::size_t slot = 0; slot < layout.buffers.size(); ++slot) {
    const auto tensor = load<flexjit_tensor>(bytes, layout.buffers[slot]);
    if (tensor.rank != 0) arguments.buffers.push_back({interface.buffers[slot].name.c_str(), tensor});
  }
  for (std::size_t slot = 0; slot < layout.params.size(); ++slot) {
    const ir::ParamInterface& param = interface.params[slot];
    const ArgumentLayout::Param& place = layout.params[slot];
    if (place.is_set != 0 && load<std::int32_t>(bytes, place.is_set) == 0) continue;
    arguments.params.push_back({param.name.c_str(), scalar_of(param.default_value, bytes, place.value)});
  }
  arguments.threads = load<std::int32_t>(bytes, layout.threads);
  return arguments;
}

std::size_t gradient_bytes(std::span<const std::uint32_t> buffers) {
  return sizeof(flexjit_built_gradients) + buffers.size() * sizeof(flexjit_tensor);
}

std::vector<std::uint8_t> initial_gradients(std::span<const std::uint32_t> buffers) {
  const std::size_t size = gradient_bytes(buffers);
  std::vector<std::uint8_t> bytes(size);
  std::memcpy(bytes.data() + offsetof(flexjit_built_gradients, struct_size), &size, sizeof(size));
  return bytes;
}

GivenGradients read_gradients(const ir::Interface& interface, std::span<const std::uint32_t> buffers,
                              std::span<const std::uint8_t> bytes) {
  GivenGradients given{};
  flexjit_gradients_init(&given.head);
  const auto head = load<flexjit_built_gradients>(bytes, 0);
  given.head.out = head.out;
  given.head.lse = head.lse;
  given.head.q = head.q;
  given.head.k = head.k;
  given.head.v = head.v;
  given.head.sinks = head.sinks;
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    const auto tensor = load<flexjit_tensor>(bytes, sizeof(flexjit_built_gradients) + i * sizeof(flexjit_tensor));
    if (tensor.rank != 0) given.buffers.push_back({interface.buffers[buffers[i]].name.c_str(), tensor});
  }
  return given;
}

}  // namespace flexjit::aot
