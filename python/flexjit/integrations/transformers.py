"""Attention and masks of HuggingFace's transformers by flexjit: a model's mask function becomes part of the kernel.

    import flexjit.integrations.transformers

    flexjit.integrations.transformers.register()
    model = AutoModelForCausalLM.from_pretrained(name, attn_implementation="flexjit")

No mask of q_len x kv_len elements is made: what transformers describes as a function (causal, window, chunks, padding, packed
sequences, what a model adds) is traced once a forward pass, and its blocks serve every layer.
"""
import torch
from torch.nn.attention import flex_attention as pytorch

from .. import _core
from .._engine import default_engine
from .._patterns import Pattern

NAME = "flexjit"
BLOCK = 128


class FunctionMask(pytorch.BlockMask):
    """The mask of one forward pass, shape (batch, 1, q_len, kv_len): `pattern`, a mask_mod and the tensors that it reads, and its
    blocks, made by the first layer that asks. transformers takes a BlockMask with four dimensions for a mask that is ready; the
    lists of PyTorch's are not filled."""

    def __init__(self, mask_mod, batch, q_len, kv_len):
        self.mask_mod, self.seq_lengths, self.batch = mask_mod, (q_len, kv_len), batch
        self.pattern = Pattern(None, mask_mod)
        self._blocks = None

    def blocks(self, handle):
        """The engine's block mask. handle: of any pattern with this mask."""
        if self._blocks is None:
            self._blocks = handle.core.create_block_mask((*self.shape, BLOCK, BLOCK), self.pattern.bindings)
        return self._blocks

    @property
    def shape(self):
        return (self.batch, 1, *self.seq_lengths)

    def __repr__(self):
        return f"FunctionMask(shape={self.shape}, mask_mod={self.pattern.mask_mod!r})"

    __str__ = __repr__


def positions(offset):
    """A function of a position within the call to one within the sequence. The offset, which grows with each token, is read from
    a tensor, so that it is no constant of the kernel; it is copied, as a static cache counts in place."""
    if not isinstance(offset, torch.Tensor) and offset == 0:
        return lambda index: index
    at = torch.as_tensor(offset).to(torch.int32).clone().reshape(())
    return lambda index: torch.clamp(index + at, min=0)  # min: an index that needs no wrapping, whatever the length


def mask(batch_size, q_length, kv_length, q_offset=0, kv_offset=0, mask_function=None, attention_mask=None,
         allow_is_bidirectional_skip=False, **ignored):
    """A FunctionMask of transformers' mask arguments; None where a bidirectional model needs no mask. attention_mask: bool
    (batch, keys), False for padding."""
    from transformers.masking_utils import causal_mask_function, prepare_padding_mask

    padding = None
    if attention_mask is not None and not attention_mask.all():
        padding = prepare_padding_mask(attention_mask, kv_length, kv_offset)
    inner = mask_function or causal_mask_function
    if allow_is_bidirectional_skip and padding is None and ignored.get("local_size") is None:
        return None
    query_at, key_at = positions(q_offset), positions(kv_offset)

    def mask_mod(b, h, q_idx, kv_idx):
        query, key = query_at(q_idx), key_at(kv_idx)
        allowed = inner(b, h, query, key)
        return allowed if padding is None else allowed & padding[b, key]

    return FunctionMask(mask_mod, batch_size, q_length, kv_length)


class Attend(torch.autograd.Function):
    """The engine's forward and backward pass. call: (handle, bindings, blocks); bias: "position_bias" of the bindings, or None."""

    @staticmethod
    def forward(ctx, call, q, k, v, sinks, bias):
        handle, bindings, blocks = call
        batch, heads, q_len, _ = q.shape
        out = q.new_empty(batch, q_len, heads, v.shape[3]).transpose(1, 2)  # as the model reads it next
        lse = torch.empty(q.shape[:3], dtype=torch.float64 if q.dtype == torch.float64 else torch.float32)
        handle.core.run(q=q, k=k, v=v, out=out, lse=lse, sinks=sinks, bindings=bindings, block_mask=blocks)
        ctx.call = call
        ctx.save_for_backward(q, k, v, sinks, bias, out, lse)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_out):
        handle, bindings, blocks = ctx.call
        q, k, v, sinks, bias, out, lse = ctx.saved_tensors
        wanted = {name: torch.empty(x.shape, dtype=x.dtype)
                  for name, x, needed in zip(("q", "k", "v", "sinks", "bias"), (q, k, v, sinks, bias), ctx.needs_input_grad[1:]) if needed}
        grads = {name: wanted[name] for name in wanted if name != "bias"}
        buffers = {"position_bias": wanted["bias"]} if "bias" in wanted else {}
        handle.core.run_backward({"out": in_rows(grad_out), **grads}, buffers, q=q, k=k, v=v, out=out, lse=lse, sinks=sinks,
                                 bindings=bindings, block_mask=blocks)
        return (None, *[wanted.get(name) for name in ("q", "k", "v", "sinks", "bias")])


def in_rows(x):
    return x if x.stride(-1) == 1 or x.size(-1) == 1 else x.contiguous()


def element(name, tensor):
    """The text that reads a (batch or 1, heads or 1, q_len or 1, kv_len) tensor."""
    at = ["0" if n == 1 else index for n, index in zip(tensor.shape[:3], ("b", "h", "q_idx"))]
    return f"{name}[{', '.join(at)}, kv_idx]"


def pattern_of(attention_mask, bias, causal, kv_len):
    """The Pattern of what a layer is given: a FunctionMask, a 4-dimensional mask of the caller's, or None."""
    score, mask_text, bindings = "score", None, {}
    if isinstance(attention_mask, FunctionMask):
        bindings.update(attention_mask.pattern.bindings)
        mask_text = attention_mask.pattern.mask_mod
    elif attention_mask is not None:
        if attention_mask.dim() != 4:
            raise ValueError(f"attention_mask has shape {tuple(attention_mask.shape)}; a layer takes (batch, 1, q_len, kv_len)")
        bindings["given"] = given = attention_mask[..., :kv_len]
        if given.dtype == torch.bool:
            mask_text = element("given", given)
        else:
            score += " + " + element("given", given)
    elif causal:
        mask_text = "q_idx >= kv_idx"
    if bias is not None:
        bindings["position_bias"] = bias
        score += " + " + element("position_bias", bias)
    return Pattern(None if score == "score" else score, mask_text, None, bindings)


@torch.compiler.disable
def attention(module, query, key, value, attention_mask, dropout=0.0, scaling=None, is_causal=None, softcap=None, s_aux=None,
              position_bias=None, **kwargs):
    """transformers' attention function: (out, None), out (batch, q_len, q_heads, v_head_dim), of query (batch, q_heads, q_len,
    head_dim), key and value (batch, kv_heads, kv_len, ...). attention_mask: what mask() made, a bool or additive tensor of four
    dimensions, or None: causal where is_causal, or module.is_causal, says so and q_len > 1. s_aux: (q_heads) sinks; position_bias:
    (batch or 1, q_heads, q_len, kv_len). Differentiable once by the tensors but masks. Dropout takes its seed from torch."""
    if kwargs.get("output_attentions"):
        raise ValueError("flexjit makes no attention weights; load the model with attn_implementation='eager' for output_attentions")
    if query.device.type != "cpu":
        raise ValueError(f"flexjit runs on the processor, and the model is on {query.device}; move it by .to('cpu')")
    if torch.is_autocast_enabled("cpu"):
        query, key, value = (x.to(torch.get_autocast_dtype("cpu")) for x in (query, key, value))
    if not query.dtype == key.dtype == value.dtype:
        raise TypeError(f"query, key and value are of one dtype, not {query.dtype}, {key.dtype} and {value.dtype}")
    query, key, value = in_rows(query), in_rows(key), in_rows(value)
    causal = query.shape[2] > 1 and (getattr(module, "is_causal", True) if is_causal is None else is_causal)
    bias = None if position_bias is None else in_rows(position_bias[..., :key.shape[2]])
    pattern = pattern_of(attention_mask, bias, causal, key.shape[2])
    handle = default_engine().handle(pattern, dtype=_core.dtype_name(query), head_dim=query.shape[3], v_head_dim=value.shape[3], scale=scaling,
                                     softcap=softcap, dropout=float(dropout) or None)
    if dropout:
        seed, offset = torch.randint(2**31 - 1, (2,)).tolist()
        pattern.bindings.update(dropout_seed=seed, dropout_offset=offset)
    blocks = attention_mask.blocks(handle) if isinstance(attention_mask, FunctionMask) else None
    sinks = None if s_aux is None else s_aux.float()
    out = Attend.apply((handle, pattern.bindings, blocks), query, key, value, sinks, bias)
    return out.transpose(1, 2), None


def register(name=NAME):
    """Makes attn_implementation=name of every model whose attention goes through transformers' interface be flexjit, masks
    included. Raises ImportError without transformers."""
    try:
        from transformers import AttentionInterface, AttentionMaskInterface
    except ImportError as error:
        raise ImportError("flexjit.integrations.transformers needs transformers 5 or later: pip install transformers") from error
    AttentionInterface.register(name, attention)
    AttentionMaskInterface.register(name, mask)
