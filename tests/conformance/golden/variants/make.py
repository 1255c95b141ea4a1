"""Published attentions, computed by the packages that their authors or users wrote, in fp64, as .npy files beside this one.

scripts/make-variant-goldens installs the packages and runs it. What a package projects before its attention is projected here by the
package's own layers, so that the files hold what meets in the attention: q, k and v (batch, heads, length, dim), and the result of all
heads, before any projection of it.
"""

import pathlib

import numpy as np
import torch

FOLDER = pathlib.Path(__file__).parent


def save(name, **tensors):
    for key, value in tensors.items():
        value = value.detach() if torch.is_tensor(value) else torch.as_tensor(value)
        dtype = np.float32 if value.is_floating_point() else np.int32
        np.save(FOLDER / f"{name}.{key}.npy", np.ascontiguousarray(value.numpy().astype(dtype)))


def normal(*shape):
    """fp64, of numbers that fp32 has."""
    return torch.randn(*shape, dtype=torch.float32).double()


def heads_of(x, count):
    batch, length, width = x.shape
    return x.reshape(batch, length, count, width // count).transpose(1, 2)


def rounded(module):
    """The module in fp64, with parameters that fp32 has."""
    return module.float().double().eval()


def performer():
    from performer_pytorch.performer_pytorch import (
        causal_linear_attention_noncuda, gaussian_orthogonal_random_matrix, linear_attention, softmax_kernel)
    q, k, v = (normal(2, 2, 40, 16) for _ in range(3))
    w = gaussian_orthogonal_random_matrix(nb_rows=24, nb_columns=16, scaling=0).float().double()
    # The features' stabiliser scales both sums alike; what is added to features is not scaled, so it is 0.
    features = [softmax_kernel(x, projection_matrix=w, is_query=is_query, eps=0) for x, is_query in ((q, True), (k, False))]
    save("performer", q=q, k=k, v=v, W=w, out=linear_attention(*features, v),
         causal=causal_linear_attention_noncuda(*features, v, chunk_size=8, eps=0))


def linformer():
    from linformer.linformer import LinformerSelfAttention
    module = rounded(LinformerSelfAttention(dim=32, seq_len=48, k=12, heads=2))
    x = normal(2, 48, 32)
    kept = []
    module.to_out.register_forward_pre_hook(lambda _, args: kept.append(args[0]))
    module(x)
    q, k, v = (heads_of(layer(x).float().double(), 2) for layer in (module.to_q, module.to_k, module.to_v))
    save("linformer", q=q, k=k, v=v, e=module.proj_k, f=module.proj_v, out=heads_of(kept[0], 2))


def swin():
    from timm.models.swin_transformer import SwinTransformerBlock
    # Of sizes that windows divide: timm pads an image after it has rolled it, the authors before.
    for name, size, window, shift in (("swin", (8, 12), (4, 4), (1, 1)), ("swin_oblong", (6, 9), (2, 3), (1, 1))):
        block = SwinTransformerBlock(dim=24, input_resolution=size, num_heads=2, window_size=window, shift_size=shift)
        torch.nn.init.normal_(block.attn.relative_position_bias_table)
        block = rounded(block)
        block.attn.proj = torch.nn.Identity()
        x = normal(2, *size, 24)
        tokens = x.reshape(2, -1, 24)
        q, k, v = (heads_of(part, 2) for part in block.attn.qkv(tokens).chunk(3, dim=-1))
        save(name, q=q, k=k, v=v, bias=block.attn.relative_position_bias_table.T, image=[*size, *window, *shift],
             out=heads_of(block._attn(x).reshape(2, -1, 24), 2))


def longformer():
    from transformers import LongformerConfig
    from transformers.models.longformer.modeling_longformer import LongformerSelfAttention
    config = LongformerConfig(hidden_size=32, num_attention_heads=2, attention_window=[8], attention_probs_dropout_prob=0.0,
                              num_hidden_layers=1)
    module = rounded(LongformerSelfAttention(config, layer_id=0))
    x = normal(2, 40, 32)
    tokens = torch.zeros(2, 40, dtype=torch.int64)
    tokens[0, [0, 7]] = 1
    tokens[1, [0, 13, 14]] = 1
    tokens[1, 33:] = -1
    out = module(x, attention_mask=tokens * 10000.0, is_index_masked=tokens < 0, is_index_global_attn=tokens > 0,
                 is_global_attn=True)[0]
    layers = {"q": module.query, "k": module.key, "v": module.value, "q_global": module.query_global,
              "k_global": module.key_global, "v_global": module.value_global}
    save("longformer", tokens=tokens, out=heads_of(out, 2), **{name: heads_of(layer(x), 2) for name, layer in layers.items()})


if __name__ == "__main__":
    for variant in (performer, linformer, swin, longformer):
        torch.manual_seed(1)
        variant()
