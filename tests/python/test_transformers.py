"""Small random models of transformers with flexjit's attention: logits, gradients and generated tokens equal those of eager."""
import pytest

torch = pytest.importorskip("torch", reason="no torch here")
transformers = pytest.importorskip("transformers", reason="no transformers here")

import flexjit.integrations.transformers as integration  # noqa: E402

SMALL = dict(vocab_size=97, hidden_size=48, intermediate_size=64, num_hidden_layers=2, max_position_embeddings=256, head_dim=16,
             pad_token_id=0, bos_token_id=1, eos_token_id=None)


def llama(**options):
    return transformers.LlamaConfig(**{**SMALL, "num_attention_heads": 6, "num_key_value_heads": 2, **options})


def gemma2(**options):  # soft caps, windows in every other layer, a scale of its own
    return transformers.Gemma2Config(**{**SMALL, "num_attention_heads": 4, "num_key_value_heads": 1, "sliding_window": 7, "attn_logit_softcapping": 5.0,
                                        "query_pre_attn_scalar": 24, "tie_word_embeddings": False, **options})


def gpt_oss(**options):  # sinks
    return transformers.GptOssConfig(**{**SMALL, "num_attention_heads": 4, "num_key_value_heads": 2, "sliding_window": 6, "num_local_experts": 2,
                                        "num_experts_per_tok": 1, "layer_types": ["sliding_attention", "full_attention"], **options})


CONFIGS = {"llama": llama, "gemma2": gemma2, "gpt_oss": gpt_oss}


@pytest.fixture(autouse=True, scope="module")
def registered():
    integration.register()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # these models are too small for more
    yield
    torch.set_num_threads(threads)


def pair(config):
    """One random model twice: eager's and ours, in fp32 with the same weights."""
    torch.manual_seed(3)
    eager = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for weight in eager.parameters():
            weight.mul_(3)  # scores that differ enough for masks to matter
    ours = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="flexjit")
    ours.load_state_dict(eager.state_dict())
    return eager.eval(), ours.eval()


def tokens(batch=2, length=21):
    return torch.randint(2, 97, (batch, length), generator=torch.Generator().manual_seed(5))


def close(a, b):
    torch.testing.assert_close(a, b, rtol=2e-4, atol=2e-4 * b.abs().max().item())


@pytest.mark.parametrize("name", CONFIGS)
def test_logits_and_gradients(name):
    eager, ours = pair(CONFIGS[name]())
    ids = tokens()
    results = [model(ids, labels=ids) for model in (eager, ours)]
    close(results[1].logits, results[0].logits)
    for result in results:
        result.loss.backward()
    for (weight, expected), (_, got) in zip(eager.named_parameters(), ours.named_parameters()):
        assert (expected.grad is None) == (got.grad is None), weight
        if expected.grad is not None:
            close(got.grad, expected.grad)
    assert ours.model.layers[0].self_attn.k_proj.weight.grad.abs().max() > 0


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_generates_the_same_tokens(name, cache):
    """Past the window, with a batch that is padded on the left."""
    eager, ours = pair(CONFIGS[name]())
    ids, attended = tokens(), torch.ones(2, 21, dtype=torch.long)
    ids[1, :5], attended[1, :5] = 0, 0
    options = dict(attention_mask=attended, max_new_tokens=20, do_sample=False, repetition_penalty=1.5, cache_implementation=cache)
    expected, got = (model.generate(ids, **options) for model in (eager, ours))
    assert len(set(expected[0, 21:].tolist())) > 9, "the model repeats itself; the test shows nothing"
    assert torch.equal(expected, got)
    assert not torch.equal(expected[0, 21:], expected[1, 21:])


def test_padding_and_packed_sequences():
    eager, ours = pair(llama())
    ids, attended = tokens(), torch.ones(2, 21, dtype=torch.long)
    attended[0, 15:] = 0
    attended[1, :4] = 0
    expected, got = (model(ids, attention_mask=attended).logits[attended.bool()] for model in (eager, ours))
    close(got, expected)
    positions = torch.cat([torch.arange(9), torch.arange(12)])[None].expand(2, -1)
    expected, got = (model(ids, position_ids=positions).logits for model in (eager, ours))
    close(got, expected)
    assert (got - ours(ids).logits).abs().max() > 1e-2, "packing must matter"


@pytest.mark.parametrize("dtype", [torch.bool, torch.float32])
def test_masks_of_the_caller(dtype):
    eager, ours = pair(llama())
    allowed = torch.rand(2, 1, 21, 21, generator=torch.Generator().manual_seed(1)) < 0.6
    allowed |= torch.eye(21, dtype=torch.bool)
    additive = torch.where(allowed, 0.0, torch.finfo(torch.float32).min)
    close(ours(tokens(), attention_mask=allowed if dtype == torch.bool else additive).logits, eager(tokens(), attention_mask=additive).logits)


def test_no_mask_is_made(monkeypatch):
    """4096 tokens with a window: what is handed to the layers has blocks only, and few of them."""
    _, ours = pair(gemma2(max_position_embeddings=4096, sliding_window=64))
    seen = []
    run = integration.attention

    def watched(module, query, key, value, attention_mask, **options):
        seen.append(attention_mask)
        return run(module, query, key, value, attention_mask, **options)

    integration.register("watched")
    transformers.AttentionInterface.register("watched", watched)
    ours.set_attn_implementation("watched")
    with torch.no_grad():
        ours(tokens(1, 4096), logits_to_keep=1)
    windowed, full = seen
    assert all(isinstance(mask, integration.FunctionMask) for mask in seen)
    assert all(not isinstance(x, torch.Tensor) or x.numel() <= 1 for mask in seen for x in mask.pattern.bindings.values())
    assert windowed.shape == (1, 1, 4096, 4096) and windowed._blocks.sparsity > 93 and 45 < full._blocks.sparsity < 50


def test_decoding_compiles_nothing():
    from flexjit import default_engine

    _, ours = pair(gemma2())
    ours.generate(tokens(), max_new_tokens=12, do_sample=False)
    before = default_engine().stats()["compiles"]
    ours.generate(tokens(1, 30), max_new_tokens=40, do_sample=False)
    assert default_engine().stats()["compiles"] == before


def test_dropout():
    """Averages to no dropout, differs from step to step, repeats with torch's seed, also when it is computed again."""
    _, ours = pair(llama(attention_dropout=0.4))
    layer = ours.model.layers[0].self_attn
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, heads, 12, 16, requires_grad=True) for heads in (6, 2, 2))

    def attend(dropout):
        return integration.attention(layer, q, k, v, None, dropout=dropout, scaling=0.25)[0]

    expected = attend(0.0)
    mean = sum(attend(0.4).detach() for _ in range(600)) / 600
    torch.testing.assert_close(mean, expected, rtol=0, atol=0.25)
    torch.manual_seed(4)
    first, second = attend(0.4), attend(0.4)
    torch.manual_seed(4)
    assert torch.equal(attend(0.4), first) and not torch.equal(first, second)
    torch.manual_seed(4)
    first.square().sum().backward()
    grad, q.grad = q.grad, None
    torch.manual_seed(4)
    torch.utils.checkpoint.checkpoint(attend, 0.4, use_reentrant=False).square().sum().backward()
    assert torch.equal(q.grad, grad)

    ours.train()
    torch.manual_seed(1)
    one, two = ours(tokens()).logits, ours(tokens()).logits
    assert not torch.equal(one, two)


def test_position_bias_has_gradients():
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 4, 9, 8, dtype=torch.float64) for _ in range(3))
    bias = torch.randn(1, 4, 9, 9, dtype=torch.float64, requires_grad=True)

    def attend(bias):
        return integration.attention(None, q, k, v, None, is_causal=False, scaling=0.3, position_bias=bias)[0]

    expected = ((0.3 * q @ k.mT + bias).softmax(-1) @ v).transpose(1, 2)
    torch.testing.assert_close(attend(bias), expected)
    assert torch.autograd.gradcheck(attend, bias, fast_mode=True)


def test_sinks_have_gradients():
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, heads, 7, 8, requires_grad=True) for heads in (4, 2, 2))
    sinks = torch.randn(4, requires_grad=True)
    ours = integration.attention(None, q, k, v, None, is_causal=True, s_aux=sinks)[0]
    scores = (q @ k.repeat_interleave(2, 1).mT * 8 ** -0.5).masked_fill(torch.ones(7, 7).triu(1).bool(), -torch.inf)
    weights = torch.cat([scores, sinks.view(1, 4, 1, 1).expand(2, 4, 7, 1)], -1).softmax(-1)[..., :-1]
    expected = (weights @ v.repeat_interleave(2, 1)).transpose(1, 2)
    torch.testing.assert_close(ours, expected)
    towards = torch.randn_like(ours)
    for got, wanted in zip(torch.autograd.grad(ours, (q, k, v, sinks), towards), torch.autograd.grad(expected, (q, k, v, sinks), towards)):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


def test_without_a_mask_a_causal_layer_stays_causal():
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 2, 6, 8) for _ in range(3))
    sdpa = torch.nn.functional.scaled_dot_product_attention
    for causal in (True, False):
        got = integration.attention(torch.nn.Module(), q, k, v, None, is_causal=causal)[0]
        torch.testing.assert_close(got, sdpa(q, k, v, is_causal=causal).transpose(1, 2))
    assert torch.equal(integration.attention(torch.nn.Module(), q, k, v, None)[0], integration.attention(None, q, k, v, None, is_causal=True)[0])


def test_what_is_refused():
    q = torch.randn(1, 2, 6, 8)
    with pytest.raises(ValueError, match="eager"):
        integration.attention(None, q, q, q, None, output_attentions=True)
    with pytest.raises(TypeError, match="one dtype"):
        integration.attention(None, q, q, q.bfloat16(), None)
    with pytest.raises(ValueError, match="shape"):
        integration.attention(None, q, q, q, torch.ones(1, 6))
    with torch.autocast("cpu", torch.bfloat16):
        assert integration.attention(None, q, q, q.bfloat16(), None)[0].dtype == torch.bfloat16


def test_a_mask_that_reads_what_cannot_be_traced_says_so():
    import flexjit

    with pytest.raises(flexjit.TraceError, match="torch.where"):
        integration.mask(1, 8, 8, mask_function=lambda b, h, q, k: q >= k if q > 3 else k >= q)


def test_bidirectional_models():
    config = transformers.BertConfig(vocab_size=97, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
    torch.manual_seed(2)
    eager = transformers.AutoModel.from_config(config, attn_implementation="eager").eval()
    ours = transformers.AutoModel.from_config(config, attn_implementation="flexjit").eval()
    ours.load_state_dict(eager.state_dict())
    attended = torch.ones(2, 21, dtype=torch.long)
    close(ours(tokens(), attention_mask=attended).last_hidden_state, eager(tokens(), attention_mask=attended).last_hidden_state)
    attended[0, 12:] = 0
    close(ours(tokens(), attention_mask=attended).last_hidden_state[attended.bool()],
          eager(tokens(), attention_mask=attended).last_hidden_state[attended.bool()])
