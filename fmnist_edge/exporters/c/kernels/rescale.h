/* sums * factor / 2^shift, rounded as TensorFlow Lite rounds it: twice for convolutions (SaturatingRoundingDoublingHighMul,
   then RoundingDivideByPOT), once for dense layers. One multiplication does both:
   sign(a) * ((|a| * factor + add - (a < 0)) >> shift), with add as fe_rounding computes it. */

FE_FUNCTION int64_t fe_rounding(int32_t shift, int32_t once) {
  const int64_t half = (int64_t)1 << (shift - 1);
  return once || shift <= 31 ? half : half + ((int64_t)1 << 30);
}

FE_FUNCTION int32_t fe_rescale(int32_t sum, int32_t factor, int64_t add, int32_t shift) {
  const int64_t magnitude = sum < 0 ? -(int64_t)sum : sum;
  const int32_t scaled = (int32_t)((magnitude * factor + add - (sum < 0)) >> shift);
  return sum < 0 ? -scaled : scaled;
}
