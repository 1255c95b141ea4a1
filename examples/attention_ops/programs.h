// The programs, each to the exit status: 0, or 1 where it does not show what it should.
#pragma once

// Shapes of language models through Linformer, Performer and Longformer. `reduced`: one sequence of two heads of each.
enum class Sizes { kAll, kReduced };
int test_language_models(Sizes sizes);

// An image of 56 x 56 tokens through Swin, shifted Swin and neighborhood attention.
int test_vision();

// Masks as matrices of 0 and 1.
int print_masks();
