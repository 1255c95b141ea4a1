"""FlexAttention nodes of ONNX models: what flexjit makes of them equals onnx's reference evaluator, masks are taken out of scores."""
import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="no onnx here")
if not any(schema.name == "FlexAttention" for schema in onnx.defs.get_all_schemas()):
    pytest.skip("this onnx has no FlexAttention", allow_module_level=True)

import ml_dtypes  # noqa: E402  (onnx needs it)
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

import flexjit  # noqa: E402
import flexjit.onnx  # noqa: E402

DIMS = ["B", "H", "L", "S"]
POSITIONS = [("Shape", "s", "shape"), ("Gather", "shape two", "L"), ("Gather", "shape three", "S"), ("Range", "zero L one", "rows"),
             ("Range", "zero S one", "columns"), ("Reshape", "rows down", "q"), ("Reshape", "columns across", "k")]
CONSTANTS = {"zero": np.int64(0), "one": np.int64(1), "two": np.int64(2), "three": np.int64(3), "down": np.array([1, 1, -1, 1]),
             "across": np.array([1, 1, 1, -1]), "minus_inf": np.float32(-np.inf), "float_zero": np.float32(0), "half": np.float32(0.5),
             "cap": np.float32(2), "window": np.int64(3), "slope": np.linspace(0.1, 0.9, 4, dtype=np.float32).reshape(1, 4, 1, 1),
             "document": np.array([0, 0, 0, 1, 1, 1, 1]), "bias": np.random.default_rng(1).standard_normal((4, 7, 7), np.float32)}


def graph(steps, result="out", kind=TensorProto.FLOAT):
    """A score_mod of (operator, inputs, output[, attributes]), whose input is `s`."""
    nodes = [helper.make_node(op, inputs.split(), [output], **(rest[0] if rest else {})) for op, inputs, output, *rest in steps]
    used = {name for node in nodes for name in node.input}
    known = [numpy_helper.from_array(np.asarray(CONSTANTS[name]), name) for name in CONSTANTS if name in used]
    return helper.make_graph(nodes, "mod", [helper.make_tensor_value_info("s", kind, DIMS)], [helper.make_tensor_value_info(result, kind, DIMS)], known)


def model(score_mod=None, prob_mod=None, kind=TensorProto.FLOAT, extra=(), initializers=(), **attributes):
    node = helper.make_node("FlexAttention", ["Q", "K", "V"], ["Y"], domain=flexjit.onnx.DOMAIN, **attributes)
    for name, body in (("score_mod", score_mod), ("prob_mod", prob_mod)):
        if body is not None:
            node.attribute.append(helper.make_attribute(name, body))
    inputs = [helper.make_tensor_value_info(name, kind, [None] * 4) for name in "QKV"]
    whole = helper.make_graph([node], "model", [*inputs, *extra], [helper.make_tensor_value_info("Y", kind, [None] * 4)], list(initializers))
    return helper.make_model(whole, opset_imports=[helper.make_opsetid("", 26), helper.make_opsetid(flexjit.onnx.DOMAIN, 1)])


def arrays(dtype=np.float32, kv_heads=4, keys=7):
    draw = np.random.default_rng(0).standard_normal
    return [draw(shape).astype(dtype) for shape in ((2, 4, 7, 8), (2, kv_heads, keys, 8), (2, kv_heads, keys, 5))]


def check(proto, q, k, v, tolerance=2e-6, **tensors):
    node = flexjit.onnx.load(proto)["Y"]
    expected = ReferenceEvaluator(proto).run(None, {"Q": q, "K": k, "V": v, **tensors})[0]
    got = node(q, k, v, **tensors)
    assert got.dtype == expected.dtype and np.abs(got.astype(float) - expected.astype(float)).max() <= tolerance
    assert flexjit.check(program=node.text) == "", node.text
    return node


MODS = {
    "causal": (POSITIONS + [("GreaterOrEqual", "q k", "allowed"), ("Where", "allowed s minus_inf", "out")], True),
    "causal, added": (POSITIONS + [("Less", "q k", "later"), ("Where", "later minus_inf float_zero", "added"), ("Add", "s added", "out")], True),
    "window of both kinds": (POSITIONS + [("GreaterOrEqual", "q k", "c"), ("Sub", "q k", "d"), ("Less", "d window", "w"), ("Where", "c s minus_inf", "one_s"),
                                         ("Where", "w one_s minus_inf", "out")], True),
    "relative": (POSITIONS + [("Sub", "q k", "d"), ("Cast", "d", "f", {"to": TensorProto.FLOAT}), ("Add", "s f", "out")], False),
    "softcap": ([("Div", "s cap", "x"), ("Tanh", "x", "y"), ("Mul", "y cap", "out")], False),
    "alibi": (POSITIONS + [("Sub", "k q", "d"), ("Cast", "d", "f", {"to": TensorProto.FLOAT}), ("Mul", "f slope", "p"), ("Add", "s p", "out")], False),
    "bias": ([("Add", "s bias", "out")], False),
    "documents": (POSITIONS + [("Gather", "document rows", "dq"), ("Gather", "document columns", "dk"), ("Unsqueeze", "dq one", "dq1"),
                               ("Equal", "dq1 dk", "allowed"), ("Where", "allowed s minus_inf", "out")], True),
    "a score decides": ([("Less", "s half", "small"), ("Mul", "s cap", "twice"), ("Where", "small twice s", "out")], False),
    "integers": (POSITIONS + [("Div", "k window", "part"), ("Mod", "q window", "rest"), ("Mul", "part rest", "p"), ("Cast", "p", "f", {"to": 1}),
                              ("Max", "f half", "m"), ("Clip", "m float_zero cap", "c"), ("Add", "s c", "out")], False),
}


@pytest.mark.parametrize("name", MODS)
def test_score_mods(name):
    steps, masks = MODS[name]
    node = check(model(graph(steps)), *arrays())
    assert bool(node.mask_mod) == masks, node.text
    assert "inf" not in node.text


def own_cases():
    """onnx's own test cases of the operator, but those that spell it out as other operators."""
    from onnx.backend.test.case.node import _NodeTestCases, flexattention  # noqa: F401  (it adds its own; collecting all takes half a minute)

    return [case for case in _NodeTestCases if any(node.op_type == "FlexAttention" for node in case.model.graph.node)]


@pytest.mark.parametrize("case", own_cases(), ids=lambda case: case.name)
def test_cases_of_onnx(case):
    (node,) = flexjit.onnx.load(case.model).values()
    for inputs, (expected,) in case.data_sets:
        got = node(*inputs)
        assert got.dtype == expected.dtype
        wide = {2: 1e-2, 4: 2e-6, 8: 1e-7}[expected.dtype.itemsize]
        assert np.abs(got.astype(float) - expected.astype(float)).max() <= wide


def test_a_mask_skips_blocks():
    node = flexjit.onnx.load(model(graph(MODS["causal"][0])))["Y"]
    assert flexjit.create_block_mask(node.mask_mod, 1024, 1024).sparsity == pytest.approx(100 * 28 / 64)
    assert node.score_mod == ""


@pytest.mark.parametrize("dtype, kind, tolerance", [(np.float32, 1, 2e-6), (np.float64, 11, 1e-7), (np.float16, 10, 2e-3), (ml_dtypes.bfloat16, 16, 2e-2)])
def test_element_types_scale_and_groups(dtype, kind, tolerance):
    q, k, v = arrays(dtype, kv_heads=2, keys=9)  # onnx takes the root of the scale in fp32, whatever the tensors are
    node = check(model(kind=kind, scale=0.3), q, k, v, tolerance)
    assert node.scale == pytest.approx(0.3) and node.inputs == ("Q", "K", "V")


def test_prob_mod_multiplies():
    halved = helper.make_graph([helper.make_node("Mul", ["half", "s"], ["x"]), helper.make_node("Div", ["x", "cap"], ["out"])], "p",
                               [helper.make_tensor_value_info("s", 1, DIMS)], [helper.make_tensor_value_info("out", 1, DIMS)],
                               [numpy_helper.from_array(CONSTANTS[name], name) for name in ("half", "cap")])
    assert check(model(prob_mod=halved), *arrays()).factor == 0.25
    squared = graph([("Mul", "s s", "out")])
    with pytest.raises(flexjit.onnx.OnnxError, match="Mul 'out'.*weights"):
        flexjit.onnx.load(model(prob_mod=squared))


def test_tensors_of_the_model_around():
    """An initializer is captured, an input is bound by each call."""
    steps = [("Add", "s table", "x"), ("Add", "x given", "out")]
    table = np.random.default_rng(3).standard_normal((7, 7), np.float32)
    given = np.random.default_rng(4).standard_normal((2, 1, 1, 7), np.float32)
    proto = model(graph(steps), extra=[helper.make_tensor_value_info("given", 1, [2, 1, 1, None])], initializers=[numpy_helper.from_array(table, "table")])
    q, k, v = arrays()
    node = check_outer(proto, steps, q, k, v, table, given)
    assert list(node.outer) == ["given"]
    with pytest.raises(flexjit.onnx.OnnxError, match="given"):
        node(q, k, v)


def check_outer(proto, steps, q, k, v, table, given):
    node = flexjit.onnx.load(proto)["Y"]
    scores = np.einsum("bhqd,bhkd->bhqk", q, k) / np.sqrt(8) + table + given
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    expected = weights / weights.sum(-1, keepdims=True) @ v
    assert np.abs(node(q, k, v, given=given) - expected).max() < 2e-6
    return node


def test_what_is_no_pattern_is_named():
    with pytest.raises(flexjit.onnx.OnnxError, match="ReduceMax 'm'.*no part of a pattern"):
        flexjit.onnx.load(model(graph([("ReduceMax", "s", "m"), ("Sub", "s m", "out")])))
    with pytest.raises(flexjit.onnx.OnnxError, match="other scores"):
        flexjit.onnx.load(model(graph([("Transpose", "s", "t", {"perm": [0, 1, 3, 2]}), ("Add", "s t", "out")])))
    node = flexjit.onnx.load(model(softmax_precision=TensorProto.DOUBLE))["Y"]
    with pytest.raises(flexjit.onnx.OnnxError, match="double"):
        node(*arrays())


def test_paths_bytes_and_names(tmp_path):
    proto = model(graph(MODS["softcap"][0]))
    onnx.save(proto, tmp_path / "model.onnx")
    proto.graph.node[0].name = "attention"
    assert list(flexjit.onnx.load(tmp_path / "model.onnx")) == ["Y"] and list(flexjit.onnx.load(proto.SerializeToString())) == ["attention"]
    assert flexjit.onnx.load(helper.make_model(helper.make_graph([], "empty", [], []))) == {}
