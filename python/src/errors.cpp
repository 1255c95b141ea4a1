// flexjit::Error -> flexjit.Error, a ValueError with the rendered findings as its text and each of them in `diagnostics`.
#include "bind.h"
#include "flexjit/result.h"

#include <nanobind/stl/string.h>

namespace nb = nanobind;

namespace flexjit::python {
namespace {

nb::object list_of(const Diagnostics& diagnostics) {
  nb::list list;
  for (const Diagnostic& found : diagnostics) {
    nb::dict entry;
    entry["kind"] = found.kind;
    entry["severity"] = found.severity == Severity::kError ? "error" : "warning";
    entry["source_name"] = found.source_name;
    entry["line"] = found.line;
    entry["column"] = found.column;
    entry["length"] = found.length;
    entry["snippet"] = found.snippet;
    entry["message"] = found.message;
    list.append(entry);
  }
  return list;
}

void translate(const std::exception_ptr& thrown, void* type) {
  try {
    std::rethrow_exception(thrown);
  } catch (const Error& error) {
    const nb::handle of(static_cast<PyObject*>(type));
    const nb::object raised = of(error.what());
    raised.attr("diagnostics") = list_of(error.diagnostics());
    PyErr_SetObject(of.ptr(), raised.ptr());
  }
}

}  // namespace

void bind_errors(nb::module_& module) {
  PyObject* type = PyErr_NewExceptionWithDoc(
      "flexjit.Error",
      "A mistake in a text, a shape, a dtype or a binding. str() shows every finding; `diagnostics` is a list of dictionaries "
      "with kind, severity, source_name, line, column, length, snippet and message.",
      PyExc_ValueError, nullptr);
  if (type == nullptr) throw nb::python_error();
  module.attr("Error") = nb::handle(type);  // the type is never freed: the translator keeps it
  nb::register_exception_translator(translate, type);
}

}  // namespace flexjit::python
