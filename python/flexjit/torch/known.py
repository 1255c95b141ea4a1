"""Calls of flex_attention that come again, with the same mods: what the call before checked and built is kept for the next one."""
import weakref

import torch

from .. import _core
from ..trace import checks_of
from .autograd import PLAIN
from .kernel import Kernel, statistics

KEPT = 1024
modes, autocast, transforms = torch._C._len_torch_dispatch_stack, torch._C._is_any_autocast_enabled, torch._C._are_functorch_transforms_active
recording = torch.is_grad_enabled
calls = {}  # (id(score_mod), id(block_mask), scale) -> (KnownCall, whether heads share keys, what keeps the ids from being others')


def recorded():
    """Whether anything but the tensors themselves sees what is done with them: torch.func, autocast, a mode."""
    return modes() or autocast() or transforms()


def call_again(query, key, value, score_mod, block_mask, scale, enable_gqa, with_lse, with_max):
    """(out, lse, max_scores), or None where no call before was like this one."""
    found = calls.get((id(score_mod), id(block_mask), scale))
    if found is None or found[1] and not enable_gqa or modes() or autocast() or transforms():
        return None
    lse = most = mask_mod = engine_mask = None
    if block_mask is not None:
        mask_mod, engine_mask = block_mask.mask_mod, block_mask._blocks.core or block_mask.engine_mask()
    if with_lse or with_max:
        lse, most = statistics(query, with_lse, with_max)
    out = found[0](query, key, value, score_mod, mask_mod, engine_mask, recording(), lse, most)
    return None if out is None else (out, lse, most)


def checks(mod, kind, captured):
    """Of a traced mod, as KnownCall takes them; None where a trace cannot be told to hold still."""
    if mod is None or isinstance(mod, str):
        return []
    return checks_of(mod, kind, captured)


def remember(query, key, value, score_mod, block_mask, scale, pattern):
    """Called with the arguments of a call that was made, whose mods had been traced before."""
    mask_mod = None if block_mask is None else block_mask.mask_mod
    captured = list(pattern.bindings.values())
    of_score, of_mask = checks(score_mod, "score", captured), checks(mask_mod, "mask", captured)
    if of_score is None or of_mask is None or recorded():
        return
    every = [(False, *check) for check in of_score] + [(True, *check) for check in of_mask]
    kernel = Kernel(pattern, query, key, value, scale)
    call = _core.KnownCall(kernel.handle.core, pattern.bindings, every, PLAIN, torch.empty_like, mask_mod, query, key, value)
    if not call.usable:
        return
    at = (id(score_mod), id(block_mask), scale)
    if len(calls) >= KEPT:
        calls.clear()
    calls[at] = (call, query.size(1) != key.size(1), [kept(x, at) for x in (score_mod, block_mask)])


def kept(x, at):
    """A text itself; of what else has an id, a reference that forgets the call when x is gone."""
    return x if x is None or isinstance(x, str) else weakref.ref(x, lambda _, forget=calls.pop: forget(at, None))  # bound: modules may be gone when it is called
