// The layout of the struct that a built pattern's C function takes: the head that all have (flexjit_built_args), a tensor a
// captured buffer, the thread count, and the params. The header of a library declares this layout and libflexjit reads it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "flexjit/c_api.h"
#include "ir/program/interface.h"

namespace flexjit::aot {

// Offsets in bytes.
struct ArgumentLayout {
  struct Param {
    std::size_t value = 0;
    std::size_t is_set = 0;  // of the int32 that says so; 0: it has a default and needs none
  };
  std::vector<std::size_t> buffers;  // by slot, each a flexjit_tensor
  std::size_t threads = 0;           // int32
  std::vector<Param> params;         // by slot
  std::size_t bytes = 0;
};

ArgumentLayout layout_of(const ir::Interface& interface);

// What the _args_init function writes: the struct's size, the defaults of the params, and 0.
std::vector<std::uint8_t> initial_arguments(const ir::Interface& interface);

// What one call gave, in the form of the C interface. Names are those of `interface`, which must outlive it.
struct Arguments {
  flexjit_run_args run;
  std::vector<flexjit_buffer> buffers;  // those with a rank; the others count as not bound
  std::vector<flexjit_param> params;
  std::int32_t threads = 0;
};
// `bytes` are ArgumentLayout::bytes of the caller's struct. `run.bindings` is left empty.
Arguments read_arguments(const ir::Interface& interface, std::span<const std::uint8_t> bytes);

// The same of what gradients a call gives and wants: the head of all (flexjit_built_gradients), and a tensor for each captured
// buffer of `buffers`, slots.
std::size_t gradient_bytes(std::span<const std::uint32_t> buffers);
std::vector<std::uint8_t> initial_gradients(std::span<const std::uint32_t> buffers);
struct GivenGradients {
  flexjit_gradients head;               // its buffers are left empty
  std::vector<flexjit_buffer> buffers;  // those with a rank
};
GivenGradients read_gradients(const ir::Interface& interface, std::span<const std::uint32_t> buffers,
                              std::span<const std::uint8_t> bytes);

}  // namespace flexjit::aot
