"""New arrays of the caller's kind: torch tensors beside torch tensors, else numpy arrays."""
import sys

NUMPY = {"f32": "float32", "f64": "float64", "f16": "float16", "bool": "bool", "i32": "int32"}


def is_torch(x):
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def empty(like, shape, dtype):
    """dtype: "f32", ..."""
    if is_torch(like):
        torch = sys.modules["torch"]
        return torch.empty(shape, dtype=torch.bfloat16 if dtype == "bf16" else getattr(torch, NUMPY[dtype]))
    import numpy

    if dtype == "bf16":
        import ml_dtypes

        return numpy.empty(shape, ml_dtypes.bfloat16)
    return numpy.empty(shape, NUMPY[dtype])
