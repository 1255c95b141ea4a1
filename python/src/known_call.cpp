// KnownCall: flex_attention on tensors like those of a call before. What that call checked and built is kept, and compared with
// what comes now; where anything is different, the answer is None, and Python makes the call anew.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <optional>

#include "bind.h"
#include "exchange.h"
#include "flexjit/attention.h"
#include "gil.h"
#include "tensors.h"

using namespace nb::literals;

namespace flexjit::python {
namespace {

// Something that a mod depends on: an attribute of an object, or an item of a dictionary.
struct Check {
  nb::object owner;  // None: the mod itself, which is not kept alive
  nb::object name, value;
  bool of_mask = false;

  bool holds(nb::handle mod) const {
    const nb::handle from = owner.is_none() ? mod : nb::handle(owner);
    PyObject* found = PyDict_Check(from.ptr()) ? PyDict_GetItemWithError(from.ptr(), name.ptr()) : nullptr;
    const nb::object now =
        PyDict_Check(from.ptr()) ? nb::borrow(nb::handle(found)) : nb::steal(PyObject_GetAttr(from.ptr(), name.ptr()));
    if (!now.is_valid()) PyErr_Clear();
    if (now.is(value)) return true;
    const bool number =
        PyLong_Check(value.ptr()) || PyUnicode_Check(value.ptr());  // floats are these objects alone: 0.0 is -0.0
    return now.is_valid() && number && now.type().is(value.type()) &&
           PyObject_RichCompareBool(now.ptr(), value.ptr(), Py_EQ) == 1;
  }
};

struct Captured {
  std::string name;
  nb::object tensor;
  MutableTensorView view;  // as it was
};

bool has_rows(const MutableTensorView& view) { return view.strides[3] == 1 || view.shape[3] == 1; }

class KnownCall {
 public:
  // captured: {name: tensor}. checks: tuples (of the mask?, owner or None, name, value). types: of tensors that are no more
  // than tensors. q, k, v: those of the call before.
  KnownCall(const Attention& attention, const nb::dict& captured, const nb::list& checks, const nb::tuple& types,
            nb::object empty_like, nb::handle mask_mod, nb::handle q, nb::handle k, nb::handle v)
      : attention_(attention),
        tensor_(types[0]),
        parameter_(types[1]),
        empty_like_(std::move(empty_like)),
        mask_mod_(nb::borrow(mask_mod)) {
    for (const nb::handle check : checks)
      checks_.push_back({.owner = check[1], .name = check[2], .value = check[3], .of_mask = nb::cast<bool>(check[0])});
    usable_ = view(q, q_) && view(k, k_) && view(v, v_) && q_.rank == 4 && k_.rank == 4 && v_.rank == 4 &&
              q_.shape[3] == v_.shape[3];  // the output is like q
    for (const auto& [name, tensor] : captured) {
      Captured& kept = captured_.emplace_back(Captured{nb::cast<std::string>(name), nb::borrow(tensor), {}});
      usable_ = usable_ && view(tensor, kept.view);
    }
  }

  bool usable() const { return usable_; }

  // The output, or None. block_mask: the engine's or None. with_grad: whether gradients are recorded. lse, max_scores: new
  // tensors to write to, or None.
  nb::object call(nb::handle q, nb::handle k, nb::handle v, nb::handle score_mod, nb::handle mask_mod,
                  const BlockMask* block_mask, bool with_grad, nb::handle lse, nb::handle max_scores) const {
    RunArgs args;
    Bindings bindings;
    if (!mask_mod.is(mask_mod_) || (with_grad && any_gradient(q, k, v)) || !take(q, k, v, args) || !take_captured(bindings))
      return nb::none();
    if (block_mask != nullptr &&
        (block_mask->shape().q_len != args.q.shape[2] || block_mask->shape().kv_len != args.k.shape[2]))
      return nb::none();
    for (const Check& check : checks_) {
      if (!check.holds(check.of_mask ? mask_mod : score_mod)) return nb::none();
    }
    nb::object out = empty_like_(q);
    MutableTensorView out_view;
    if (!view(out, out_view) || !has_rows(out_view)) return nb::none();
    args.out = out_view;
    if ((!lse.is_none() && !view(lse, args.lse)) || (!max_scores.is_none() && !view(max_scores, args.max_scores)))
      return nb::none();
    args.bindings = &bindings;
    args.block_mask = block_mask;
    std::optional<Result<RunStats>> result;
    {
      const WithoutGil without;
      result.emplace(attention_.run(args));
    }
    result->value();
    return out;
  }

 private:
  bool view(nb::handle tensor, MutableTensorView& to) const {
    const auto* type = reinterpret_cast<PyObject*>(Py_TYPE(tensor.ptr()));
    return (type == tensor_.ptr() || type == parameter_.ptr()) && exchange_view(tensor, to);
  }

  bool any_gradient(nb::handle q, nb::handle k, nb::handle v) const {
    const auto wanted = [&](nb::handle tensor) { return !tensor.attr(requires_grad_).is(nb::handle(Py_False)); };
    return wanted(q) || wanted(k) || wanted(v) ||
           std::any_of(captured_.begin(), captured_.end(), [&](const Captured& each) { return wanted(each.tensor); });
  }

  // Like those before but for batch and lengths.
  bool take(nb::handle q, nb::handle k, nb::handle v, RunArgs& args) const {
    const auto take_one = [&](nb::handle tensor, const MutableTensorView& was, TensorView& to) {
      MutableTensorView now;
      if (!view(tensor, now)) return false;
      to = now;
      return now.dtype == was.dtype && now.rank == 4 && now.shape[1] == was.shape[1] && now.shape[3] == was.shape[3] &&
             has_rows(now);
    };
    return take_one(q, q_, args.q) && take_one(k, k_, args.k) && take_one(v, v_, args.v) && args.q.shape[0] == args.k.shape[0];
  }

  bool take_captured(Bindings& bindings) const {
    for (const Captured& each : captured_) {
      MutableTensorView now;
      if (!view(each.tensor, now) || now.dtype != each.view.dtype || now.rank != each.view.rank || now.shape != each.view.shape)
        return false;
      bindings.buffers.emplace(each.name, now);
    }
    return true;
  }

  Attention attention_;
  nb::object requires_grad_ = nb::steal(PyUnicode_InternFromString("requires_grad"));
  nb::object tensor_, parameter_;  // types
  nb::object empty_like_, mask_mod_;
  std::vector<Check> checks_;
  std::vector<Captured> captured_;
  MutableTensorView q_, k_, v_;
  bool usable_ = false;
};

}  // namespace

void bind_known_call(nb::module_& module) {
  nb::class_<KnownCall>(module, "KnownCall", "flex_attention on tensors like those of a call before.")
      .def(nb::init<const Attention&, const nb::dict&, const nb::list&, const nb::tuple&, nb::object, nb::handle, nb::handle,
                    nb::handle, nb::handle>(),
           "attention"_a, "captured"_a, "checks"_a, "types"_a, "empty_like"_a, "mask_mod"_a.none(), "q"_a, "k"_a, "v"_a)
      .def_prop_ro("usable", &KnownCall::usable)
      .def("__call__", &KnownCall::call, "q"_a, "k"_a, "v"_a, "score_mod"_a.none(), "mask_mod"_a.none(), "block_mask"_a.none(),
           "with_grad"_a, "lse"_a.none() = nb::none(), "max_scores"_a.none() = nb::none());
}

}  // namespace flexjit::python
