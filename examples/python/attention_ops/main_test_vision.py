"""Swin, shifted Swin and neighborhood attention over an image of 56 x 56 tokens, as FlexAttention-Examples tests them."""
import unittest

import torch

from flexjit.compat.attention_ops import NeighborhoodAttention, SwinAttention

BATCH, HEADS, CHANNELS, HEIGHT, WIDTH = 1, 8, 96, 56, 56
GRID = {"dim": CHANNELS, "n_heads": HEADS, "H_img": HEIGHT, "W_img": WIDTH}


class Vision(unittest.TestCase):
    def setUp(self):
        qkv = torch.nn.Linear(CHANNELS, 3 * CHANNELS, bias=False)(torch.randn(BATCH, HEIGHT * WIDTH, CHANNELS)).chunk(3, dim=-1)
        self.qkv = [x.view(BATCH, HEIGHT * WIDTH, HEADS, CHANNELS // HEADS).transpose(1, 2) for x in qkv]

    def through(self, module):
        out = module(*self.qkv)
        self.assertEqual(out.shape, (BATCH, HEADS, HEIGHT * WIDTH, CHANNELS // HEADS))
        self.assertFalse(torch.isnan(out).any())

    def test_swin(self):
        for shift in (0, 3):
            self.through(SwinAttention(**GRID, window_size=7, shift_size=shift))

    def test_neighborhood(self):
        self.through(NeighborhoodAttention(**GRID, radius=2))


if __name__ == "__main__":
    unittest.main()
