float score_mod(float score) { goto end; end: return __builtin_fabs(score); }
