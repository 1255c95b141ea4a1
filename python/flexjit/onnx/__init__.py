"""FlexAttention nodes of ONNX models (domain ai.onnx.preview) -> patterns: their score_mod and prob_mod graphs become texts.

    nodes = flexjit.onnx.load("model.onnx")      # {name of the node, or of its output: FlexNode}
    print(nodes["attention"].text)               # buffers, score, mask
    out = nodes["attention"](q, k, v)            # arrays (batch, heads, length, dim)

What is outside of the nodes is not run.
"""
from .graph import OnnxError
from .node import DOMAIN, FlexNode

__all__ = ["DOMAIN", "FlexNode", "OnnxError", "load"]


def load(model):
    """{name: FlexNode} of every FlexAttention node of a model: an onnx.ModelProto, its bytes, or a path. A node without a name has
    that of its output. Raises OnnxError, with the operator and the node, for a graph that is no pattern; ImportError without onnx."""
    import onnx

    if isinstance(model, bytes):
        model = onnx.load_model_from_string(model)
    elif not isinstance(model, onnx.ModelProto):
        model = onnx.load(model)
    return {node.name: node for node in [FlexNode(proto, model.graph) for proto in model.graph.node
                                         if proto.op_type == "FlexAttention" and proto.domain == DOMAIN]}
