struct Pair { float a, b; };
Pair score_mod(float score) { return {score, score}; }
