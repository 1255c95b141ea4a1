// What each file of the module adds to it.
#pragma once

#include <nanobind/nanobind.h>

namespace flexjit::python {

void bind_errors(nanobind::module_& module);
void bind_block_mask(nanobind::module_& module);
void bind_attention(nanobind::module_& module);
void bind_known_call(nanobind::module_& module);
void bind_texts(nanobind::module_& module);
void bind_flash_attention(nanobind::module_& module);
void bind_flex_flash_infer(nanobind::module_& module);
void bind_shards(nanobind::module_& module);
void bind_variants(nanobind::module_& module);

}  // namespace flexjit::python
