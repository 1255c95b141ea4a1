// The compiled half of the package: flexjit's public C++ API for Python. flexjit/ is the half that users see.
#include "bind.h"
#include "gil.h"

NB_MODULE(_core, module) {
  nanobind::set_leak_warnings(false);  // handles in module globals outlive the interpreter, on purpose
  nanobind::module_::import_("atexit").attr("register")(
      nanobind::cpp_function(&flexjit::python::WithoutGil::end_of_interpreter));
  flexjit::python::WithoutGil::watch_forks();
  flexjit::python::bind_errors(module);
  flexjit::python::bind_block_mask(module);
  flexjit::python::bind_attention(module);
  flexjit::python::bind_known_call(module);
  flexjit::python::bind_texts(module);
  flexjit::python::bind_flash_attention(module);
  flexjit::python::bind_flex_flash_infer(module);
  flexjit::python::bind_shards(module);
  flexjit::python::bind_variants(module);
}
