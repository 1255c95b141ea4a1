float score_modifier(float score) { return score; }
