"""OpenVINO's CPU plug-in: one model that is a ScaledDotProductAttention.

Inputs are shared, not copied; the precision hint is the dtype of the tensors. It has causal attention (which skips nothing) and additive
or boolean masks, and no grouped heads.
"""
import numpy as np
import openvino as ov
import openvino.opset13 as ops
from openvino.properties import hint, inference_num_threads

VERSION = f"openvino {ov.__version__.split('-')[0]}"
TYPES = {np.dtype(np.float32): ov.Type.f32, np.dtype(np.float16): ov.Type.f16, np.dtype(np.uint16): ov.Type.bf16}
CORE = ov.Core()


def as_tensor(array, element_type):
    if element_type == ov.Type.bf16:
        return ov.Tensor(array.view(np.uint16), ov.Shape(array.shape), ov.Type.bf16)
    return ov.Tensor(array, shared_memory=True)


def mask_of(request, q, k):
    """A boolean (q_len, kv_len) or fp32 (1, heads, q_len, kv_len) array, or None."""
    if request["pattern"] in ("full", "causal"):
        return None
    from patterns import dense_bias  # needs torch for nothing but this
    from torch_peers import load

    tensors = {name: load(path) for name, path in request["buffers"].items()}
    tensors["kv_len"] = k.shape[2]
    mask = dense_bias(request["pattern"], tensors, q.shape[1], q.shape[2], k.shape[2])
    return mask.numpy() if mask.dim() == 2 else mask.numpy()[None]


def prepare(request):
    if request["pass"] == "backward":
        raise NotImplementedError("computes no gradients")
    if request["dropout"]:
        raise NotImplementedError("has no dropout")
    q, k, v = (np.load(request[name]) for name in "qkv")
    if q.dtype not in TYPES or q.dtype != k.dtype:
        raise NotImplementedError("takes fp32, fp16 or bf16, one for q, k and v")
    if q.shape[1] != k.shape[1]:
        raise NotImplementedError("has no grouped heads")
    element_type = TYPES[q.dtype]
    mask = mask_of(request, q, k)
    if mask is not None and mask.dtype != bool and element_type != ov.Type.f32:
        raise NotImplementedError("left out: a bias tensor in another dtype than the inputs")
    parameters = [ops.parameter(ov.Shape(x.shape), element_type) for x in (q, k, v)]
    inputs = [as_tensor(x, element_type) for x in (q, k, v)]
    if mask is not None:
        mask_type = ov.Type.boolean if mask.dtype == bool else ov.Type.f32
        parameters.append(ops.parameter(ov.Shape(mask.shape), mask_type))
        inputs.append(ov.Tensor(mask, shared_memory=True))
    attention = ops.scaled_dot_product_attention(*parameters, causal=request["pattern"] == "causal")
    model = ov.Model([attention.output(0)], parameters)
    compiled = CORE.compile_model(
        model, "CPU", {inference_num_threads: request["threads"], hint.inference_precision: element_type}
    )
    infer = compiled.create_infer_request()
    for index, tensor in enumerate(inputs):
        infer.set_input_tensor(index, tensor)

    def call():
        infer.infer()
        return infer.get_output_tensor(0)

    def as_arrays(tensor):
        if tensor.element_type == ov.Type.bf16:
            bits = tensor.data.view(np.uint16).reshape(tuple(tensor.shape))
            return [(bits.astype(np.uint32) << 16).view(np.float32)]
        return [tensor.data.astype(np.float32)]

    call.shared = (q, k, v, mask, inputs)  # the request holds no reference to what it shares
    return call, as_arrays
