"""flex_attention inside torch.compile. Dynamo traces each mod into a graph, whose own inputs are what it captures; the graph is
traced once more, into the language's text, and the call becomes torch.ops.flexjit.attention."""
import torch
from torch._ops import HigherOrderOperator

from .._patterns import Pattern
from ..trace import trace_once
from .autograd import Call, attend


class FlexjitAttention(HigherOrderOperator):
    """With the arguments of PyTorch's operator, so that what Dynamo does for that one serves this one: mods as graphs, and the
    tensors that each captures. block_mask: (blocks, lists, block_size, mask's graph). options: texts of mods that are texts."""

    def __init__(self):
        super().__init__("flexjit_attention")

    def __call__(self, query, key, value, score_mod, block_mask, scale, options, score_held=(), mask_held=()):
        blocks, lists, block_size, mask_mod = block_mask
        score = options["score"] if options["score"] is not None else trace_once(score_mod, "score", score_held)
        mask = options["mask"] if options["mask"] is not None else trace_once(mask_mod, "mask", mask_held)
        pattern = Pattern(score, mask)
        call = Call(pattern, blocks, list(lists), list(block_size), scale, options["with_max"])
        return attend(call, query, key, value, *pattern.bindings.values())


attention = FlexjitAttention()


def known_to_dynamo():
    from torch._dynamo.variables import higher_order_ops

    higher_order_ops._hop_name_to_variable_class["flexjit_attention"] = higher_order_ops.FlexAttentionHigherOrderVariable
    return True


known_to_dynamo._dynamo_marked_constant = True  # Dynamo calls it while it traces, and not before: it takes seconds to load


def same_score(score, b, h, q_idx, kv_idx):
    return score


def every_pair(b, h, q_idx, kv_idx):
    return b >= 0
