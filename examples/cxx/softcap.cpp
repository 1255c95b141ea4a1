// Gemma's cap of scores.
template <int kCap>
float capped(float x) {
  return kCap * std::tanh(x / kCap);
}

float score_mod(float score) { return capped<50>(score); }
