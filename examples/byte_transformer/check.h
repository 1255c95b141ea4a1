// Are the gradients those of the loss?
#pragma once

#include "model.h"

// Compares some elements of the gradient of every parameter of a small model with central differences of its loss, all in
// double, prints the errors and says whether all are small.
bool check_gradients(const ModelSize& size);
