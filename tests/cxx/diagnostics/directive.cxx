#pragma once
#define MAX(a, b) a
#if __has_include("x")
#endif
float score_mod(float score) { return score; }
