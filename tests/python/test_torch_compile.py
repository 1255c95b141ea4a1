"""flex_attention where PyTorch does not run it at once: torch.compile, fake tensors, make_fx, the operators themselves, torch.func."""
import pytest

torch = pytest.importorskip("torch", reason="no torch here")

from torch._dynamo.testing import CompileCounterWithBackend  # noqa: E402
from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402
from torch.fx.experimental.proxy_tensor import make_fx  # noqa: E402

from flexjit._patterns import pattern_of  # noqa: E402
from flexjit.torch import AuxRequest, create_block_mask, flex_attention  # noqa: E402
from flexjit.torch.operators import NO_BLOCKS, Blocks, blocks_of  # noqa: E402


def causal(b, h, q_idx, kv_idx):
    return q_idx >= kv_idx


def leaves(*shapes, length=24, dtype=torch.float32):
    torch.manual_seed(0)
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in [(1, 2, length, 8)] * 3 + list(shapes)]


def graphed(function, backend="aot_eager", **options):
    torch._dynamo.reset()
    counter = CompileCounterWithBackend(backend)
    return torch.compile(function, fullgraph=True, backend=counter, **options), counter


def is_eager(function, tensors, *others, **options):
    """Results and gradients of the compiled function are those of the function."""
    compiled, _ = graphed(function, **options)
    again = [x.detach().clone().requires_grad_(x.requires_grad) for x in tensors]
    for result, expected in zip(*[[*run(*given, *others)] for run, given in ((compiled, tensors), (function, again))]):
        torch.testing.assert_close(result, expected)
        weight = torch.linspace(-1, 1, result.numel(), dtype=result.dtype).view(result.shape)
        for x in (result, expected):
            if x.requires_grad:
                (x * weight).sum().backward(retain_graph=True)
    for one, other in zip(tensors, again):
        torch.testing.assert_close(one.grad, other.grad)


def biased(q, k, v, weight, mask):
    bias = weight.sin() * 2  # what a mod captures may be made in the compiled region
    return flex_attention(q * 2, k, v, lambda s, b, h, i, j: torch.where(i > j, s + bias[h, i - j], s) * 1.5 + bias[0, j], mask, 0.5,
                          return_lse=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_results_and_gradients(dtype):
    is_eager(biased, leaves((2, 24), dtype=dtype), create_block_mask(causal, None, None, 24, 24, BLOCK_SIZE=16))


def test_inductor():
    is_eager(biased, leaves((2, 24)), create_block_mask(causal, None, None, 24, 24, BLOCK_SIZE=16), backend="inductor")


def relative(s, b, h, i, j):
    return s * 2 - (i - j).abs()


@pytest.mark.parametrize("score, mask", [(None, None), (None, causal), ("score * 2 - abs(q_idx - kv_idx)", None),
                                         ("score * 2 - abs(q_idx - kv_idx)", causal), (relative, "q_idx >= kv_idx")])
def test_mods_of_every_form(score, mask):
    mask = mask and create_block_mask(mask, None, None, 24, 24)
    is_eager(lambda q, k, v: (flex_attention(q, k, v, score, mask),), leaves())


def test_lists_as_the_mask():
    mask = create_block_mask(causal, 1, 2, 24, 24, BLOCK_SIZE=8)
    mask.full_kv_num_blocks[0, 1] = 0  # the second head has the blocks on the diagonal alone
    is_eager(lambda q, k, v, mask: (flex_attention(q, k, v, None, mask),), leaves(), mask)


def test_aux_outputs():
    def attend(q, k, v):
        out, aux = flex_attention(q, k, v, return_aux=AuxRequest(lse=True, max_scores=True))
        return out, aux.lse, aux.max_scores

    is_eager(attend, leaves())


def test_a_module_with_a_parameter():
    class Relative(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.table = torch.nn.Parameter(torch.linspace(-1, 1, 2 * 47).view(2, 47))

        def forward(self, q, k, v):
            return flex_attention(q, k, v, lambda s, b, h, i, j: s + self.table[h, i - j + 23])

    module = Relative()
    compiled, _ = graphed(module)
    tensors = leaves()
    grads = []
    for run in (module, compiled):
        module.zero_grad()
        run(*tensors).square().sum().backward()
        grads.append(module.table.grad.clone())
    torch.testing.assert_close(*grads)
    assert grads[0].abs().sum() > 0


def test_other_lengths_and_masks_are_no_other_graph():
    compiled, counter = graphed(lambda q, k, v, doc, mask: flex_attention(q, k, v, lambda s, b, h, i, j: s + doc[i], mask))
    for length in (24, 33, 40, 56):
        doc = torch.arange(length) // 7
        mask = create_block_mask(lambda b, h, i, j: doc[i] == doc[j], None, None, length, length)
        tensors = leaves(length=length)
        expected = flex_attention(*tensors, lambda s, b, h, i, j: s + doc[i], mask)
        torch.testing.assert_close(compiled(*tensors, doc, mask), expected)
    assert counter.frame_count == 2


def test_a_mask_lives_until_the_gradients_are_there():
    compiled, _ = graphed(lambda q, k, v, mask: flex_attention(q, k, v, None, mask))
    tensors = leaves()
    out = compiled(*tensors, create_block_mask(causal, None, None, 24, 24))
    out.sum().backward()
    first = tensors[1].grad[0, 0].abs().sum(-1)
    assert first[0] > 0 and first[-1] > 0


def test_numbers_that_change():
    compiled, _ = graphed(lambda q, k, v, window: flex_attention(q, k, v, lambda s, b, h, i, j: torch.where(i - j < window, s, -float("inf"))))
    tensors = leaves()
    for window in (3, 9, 20):
        expected = flex_attention(*tensors, lambda s, b, h, i, j: torch.where(i - j < window, s, -float("inf")))
        torch.testing.assert_close(compiled(*tensors, window), expected)


def test_autocast():
    def attend(q, k, v):
        with torch.autocast("cpu", torch.bfloat16):
            return (flex_attention(q, k, v, lambda s, b, h, i, j: s * 1.5),)

    is_eager(attend, leaves())
    assert graphed(attend)[0](*leaves())[0].dtype == torch.bfloat16


def test_what_cannot_be_traced_is_said():
    compiled, _ = graphed(lambda q, k, v: flex_attention(q, k, v, lambda s, b, h, i, j: torch.linalg.norm(s)))
    with pytest.raises(Exception, match="docs/python.md lists what can be traced"):
        compiled(*leaves())


def test_graph_breaks_and_masks_made_inside():
    torch._dynamo.reset()

    def attend(q, k, v):
        return flex_attention(q, k, v, None, create_block_mask(causal, None, None, 24, 24)) * 2

    tensors = leaves()
    torch.testing.assert_close(torch.compile(attend, backend="aot_eager")(*tensors), attend(*tensors))


def operator_arguments(dtype=torch.float32, mask=None):
    q, k, v, slope = leaves((2,), dtype=dtype)
    pattern = pattern_of(lambda s, b, h, i, j: s * slope[h], mask and mask.mask_mod)
    blocks, lists = (NO_BLOCKS, []) if mask is None else mask.operands()
    return q, k, v, [slope], pattern.written(), blocks, lists, [0, 0] if mask is None else list(mask.BLOCK_SIZE), None, True


@pytest.mark.parametrize("dtype, masked, needed", [(torch.float32, "exact", [True, False, True, True]), (torch.float64, "", [True] * 4),
                                                   (torch.bfloat16, "lists", [False, True, False, False])])
def test_opcheck(dtype, masked, needed):
    mask = create_block_mask(causal, None, None, 24, 24, BLOCK_SIZE=8) if masked else None
    if masked == "lists":
        mask.sparsity()
    arguments = operator_arguments(dtype, mask)
    torch.library.opcheck(torch.ops.flexjit.attention.default, arguments)
    q, k, v, captured, pattern, *rest = [x.detach() if isinstance(x, torch.Tensor) else x for x in arguments]
    captured = [captured[0].detach()]
    out, lse, _ = torch.ops.flexjit.attention(q, k, v, captured, pattern, *rest)
    torch.library.opcheck(torch.ops.flexjit.attention_backward.default,
                          (torch.ones_like(out), None, q, k, v, captured, out, lse, pattern, *rest[:-1], needed))


def test_operators_have_rules():
    q, k, v, captured, *rest = operator_arguments()
    stacked = torch.stack([q, 2 * q]).detach()
    out, lse, most = torch.func.vmap(lambda q: torch.ops.flexjit.attention(q, k.detach(), v.detach(), [captured[0].detach()], *rest))(stacked)
    for n in range(2):
        expected = torch.ops.flexjit.attention(stacked[n], k, v, captured, *rest)
        for one, other in zip((out[n], lse[n], most[n]), expected):
            torch.testing.assert_close(one, other.detach())
    with pytest.raises(RuntimeError):
        grad, = torch.autograd.grad(torch.ops.flexjit.attention(q, k, v, captured, *rest)[0].sum(), q, create_graph=True)
        grad.sum().backward()
    assert isinstance(blocks_of(None), Blocks)


def test_fake_and_recorded_tensors():
    q, k, v = (x.detach() for x in leaves())
    with FakeTensorMode() as mode:
        fake = flex_attention(*[mode.from_tensor(x) for x in (q, k, v)], lambda s, b, h, i, j: s * 2)
    assert fake.shape == q.shape and type(fake) is not torch.Tensor

    def attend(q, k, v):
        return flex_attention(q, k, v, lambda s, b, h, i, j: s * 2)

    graph = make_fx(attend)(q, k, v)
    assert "flexjit.attention" in graph.code
    torch.testing.assert_close(graph(2 * q, k, v), attend(2 * q, k, v))
    with pytest.raises(ValueError, match="processor"):
        flex_attention(q.to("meta"), k, v)


def per_call(function, *stacks):
    return torch.stack([function(*rows) for rows in zip(*stacks)])


@pytest.mark.parametrize("mod", [None, lambda s, b, h, i, j: s * (1 + b), lambda s, b, h, i, j: s - (i - j).abs()])
def test_vmap_and_grad(mod):
    torch.manual_seed(1)
    stacks = [torch.randn(3, 2, 2, 12, 8) for _ in range(3)]
    bias = torch.randn(3, 2)
    mask = create_block_mask(causal, None, None, 12, 12)
    torch.testing.assert_close(torch.func.vmap(lambda *x: flex_attention(*x, mod, mask))(*stacks),
                               per_call(lambda *x: flex_attention(*x, mod, mask), *stacks))
    torch.testing.assert_close(torch.func.vmap(lambda q, k: flex_attention(q, k, stacks[2][0], mod, mask), (1, None))(stacks[0].transpose(0, 1), stacks[1][0]),
                               per_call(lambda q: flex_attention(q, stacks[1][0], stacks[2][0], mod, mask), stacks[0]))

    def loss(q, k, v, bias):
        return flex_attention(q, k, v, lambda s, b, h, i, j: s + bias[h] if mod is None else mod(s, b, h, i, j) * bias[h], mask).square().sum()

    each = torch.func.vmap(torch.func.grad(loss, (0, 1, 2, 3)))(*stacks, bias)
    for n in range(3):
        given = [x[n].clone().requires_grad_() for x in (*stacks, bias)]
        for one, other in zip(each, torch.autograd.grad(loss(*given), given)):
            torch.testing.assert_close(one[n], other, rtol=1e-4, atol=1e-4)


def test_jacrev():
    q, k, v = (x.detach()[:, :1, :3, :4].double().contiguous() for x in leaves())

    def attend(q):
        return flex_attention(q, k, v, lambda s, b, h, i, j: s * 2)

    torch.testing.assert_close(torch.func.jacrev(attend)(q), torch.autograd.functional.jacobian(attend, q))
