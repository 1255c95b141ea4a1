"""Linformer, Performer and Longformer at shapes of language models, as FlexAttention-Examples tests them. --reduced: one sequence of two
heads of each."""
import sys
import unittest

import torch

from flexjit.compat.attention_ops import LinformerAttention, LongformerAttention, PerformerAttention

SHAPES = [(8, 32, 1024, 128), (4, 40, 2048, 64), (2, 16, 4096, 80)]  # batch, heads, length, dim
if "--reduced" in sys.argv:
    SHAPES = [(1, 2, *shape[2:]) for shape in SHAPES]


class LanguageModels(unittest.TestCase):
    def through(self, module, shape):
        with torch.no_grad():
            out = module(*(torch.randn(shape) for _ in range(3)))
        self.assertEqual(out.shape, shape)
        self.assertFalse(torch.isnan(out).any())
        return out

    def test_linformer(self):
        for shape in SHAPES:
            _, heads, length, dim = shape
            self.through(LinformerAttention(dim=heads * dim, n_heads=heads, seq_len=length, proj_len=max(64, length // 8)), shape)

    def test_performer(self):
        for shape in SHAPES:
            _, heads, _, dim = shape
            self.through(PerformerAttention(dim=heads * dim, n_heads=heads, feature_dim=max(32, dim)), shape)

    def test_longformer(self):
        for shape in SHAPES:
            out = self.through(LongformerAttention(window_size=32, global_positions={0, 1}), shape)
            self.assertTrue((out[:, :, [0, 1]].abs().sum() > 0).all())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
