"""Five steps of gradient descent on the queries of causal attention, with torch's gradients."""
import torch

from flexjit.compat.flash_attn import flash_attn_func

RATE, STEPS = 0.01, 5


def main():
    torch.manual_seed(3)
    q, k, v, target = (torch.randn(1, 256, 4, 64) for _ in range(4))
    q.requires_grad_()
    print(f"output {tuple(flash_attn_func(q, k, v, causal=True).shape)}")
    losses = []
    for step in range(STEPS):
        # A step of 0.01 changes a mean of squares in its seventh digit, so that it is summed up in float64.
        loss = ((flash_attn_func(q, k, v, causal=True).double() - target) ** 2).mean()
        (dq,) = torch.autograd.grad(loss, q)
        with torch.no_grad():
            q -= RATE * dq
        losses.append(loss.item())
        print(f"Step {step}: Loss = {losses[-1]:.9f}   largest gradient {dq.abs().max():.2e}")
    assert all(after < before for before, after in zip(losses, losses[1:]))
    return losses


if __name__ == "__main__":
    main()
