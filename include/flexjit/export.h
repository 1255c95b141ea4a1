// Marks the symbols that libflexjit exports; everything else is hidden.
#pragma once

#define FLEXJIT_API __attribute__((visibility("default")))
