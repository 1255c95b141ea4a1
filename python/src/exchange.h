// Tensors of PyTorch -> views, by the C functions that DLPack 1.3 has for it (`__dlpack_c_exchange_api__`): no Python object is
// made, which the attributes of a tensor would each cost.
#pragma once

#include <nanobind/nanobind.h>

#include "flexjit/tensor.h"

namespace flexjit::python {

// False, without a Python error, for what has no such functions or cannot be viewed by them, as tensors elsewhere than in the
// memory of the processor, of other element types, without memory, or of more than 4 dimensions.
bool exchange_view(nanobind::handle tensor, MutableTensorView& view);

}  // namespace flexjit::python
