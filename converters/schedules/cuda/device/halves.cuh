// Halves, which are moved as their bits, to floats and back; ties go to the even neighbour, NaN stays NaN.

INSIDE unsigned word_of(float value) {
  unsigned word;
  memcpy(&word, &value, 4);
  return word;
}

INSIDE float widen_float16(unsigned short half) {
  const unsigned sign = (half & 0x8000u) << 16, rest = (half & 0x7fffu) << 13;
  // Infinity and NaN have the largest exponent here and there; all else is scaled, which normalises small ones.
  const unsigned word = rest >= 0x0f800000u ? rest | 0x7f800000u : word_of(float_of(rest) * 0x1p112f);
  return float_of(sign | word);
}
INSIDE unsigned short narrow_float16(float value) { return half_of(value); }

INSIDE float widen_bfloat16(unsigned short half) { return float_of(static_cast<unsigned>(half) << 16); }
INSIDE unsigned short narrow_bfloat16(float value) {
  const unsigned word = word_of(value);
  if (value != value) return (word >> 16) | 0x40u;
  return (word + 0x7fffu + (word >> 16 & 1u)) >> 16;
}
