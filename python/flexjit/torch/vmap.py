"""torch.func.vmap: the vmapped dimension joins the batch where nothing sees the difference, else the calls come one after the other."""
import torch


def one_call(kernel_reads_batch, mask_batch, of_captured):
    """Whether calls that differ in q, k and v alone are one call of a larger batch: no mod and no mask depends on the batch index,
    and no captured tensor is batched or has a gradient, which is one for each of the calls."""
    return not kernel_reads_batch and mask_batch == 1 and not any(of_captured)


def batched(call, size, tensors, dims, rows):
    """(results, their dims) of `size` calls. tensors: batched along dims, or the same for all where that is None. rows: how many of
    them, from the first on, are (batch, ...), for one call of a batch `size` times as large; 0: the calls one after the other."""
    if rows:
        batch = tensors[0].shape[:1] if dims[0] is None else tensors[0].movedim(dims[0], 0).shape[1:2]
        joined = [x if x is None else x.repeat(size, *[1] * (x.dim() - 1)) if dim is None else x.movedim(dim, 0).flatten(0, 1)
                  for x, dim in zip(tensors[:rows], dims)]
        results = [x if x is None or x.dim() == 1 else x.unflatten(0, (size, *batch)) for x in call(*joined, *tensors[rows:])]
        return results, [None if x is None or x.dim() == 1 else 0 for x in results]
    calls = [call(*[x if dim is None else x.select(dim, n) for x, dim in zip(tensors, dims)]) for n in range(size)]
    results = [None if column[0] is None else torch.stack(column) for column in zip(*calls)]
    return results, [None if x is None else 0 for x in results]
