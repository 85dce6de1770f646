// What models of the Llama family do beyond Llama, a part of kernels.h: norms of heads, and xIELU.

// Up to W floats; what is missing is zero.
INLINE vf load_part(const float *p, long n) {
  if (n >= W) return load(p);
  float lanes[W] = {0};
  memcpy(lanes, p, sizeof(float) * (size_t)n);
  return load(lanes);
}

INLINE void store_part(float *p, vf v, long n) {
  if (n >= W) {
    store(p, v);
    return;
  }
  float lanes[W];
  store(lanes, v);
  memcpy(p, lanes, sizeof(float) * (size_t)n);
}

INLINE vf recall_part(const void *kept, long at, long n, int bf16) {
  if (n >= W) return recall(kept, at, bf16);
  if (!bf16) return load_part((const float *)kept + at, n);
  uint16_t lanes[W] = {0};
  memcpy(lanes, (const uint16_t *)kept + at, sizeof(uint16_t) * (size_t)n);
  return from_bf16(lanes);
}

INLINE void keep_part(void *kept, long at, vf v, long n, int bf16) {
  if (n >= W) {
    keep(kept, at, v, bf16);
    return;
  }
  if (!bf16) {
    store_part((float *)kept + at, v, n);
    return;
  }
  uint16_t lanes[W];
  to_bf16(lanes, v);
  memcpy((uint16_t *)kept + at, lanes, sizeof(uint16_t) * (size_t)n);
}

static void head_norm_forward(
  long rows, long heads, long dimension, float *x, long ldx, const float *weight, float epsilon,
  void *kept, int bf16, float *rstd
) {
  for (long r = 0; r < rows; r++)
    for (long h = 0; h < heads; h++) {
      long at = r * ldx + h * dimension;
      float *head = x + at;
      vf squares = 0;
      for (long i = 0; i < dimension; i += W) {
        vf v = load_part(head + i, dimension - i);
        squares += v * v;
      }
      float scale = 1 / sqrtf(sum(squares) / (float)dimension + epsilon);
      if (rstd) rstd[r * heads + h] = scale;
      for (long i = 0; i < dimension; i += W) {
        vf unit = load_part(head + i, dimension - i) * scale;
        if (kept) keep_part(kept, at + i, unit, dimension - i, bf16);
        store_part(head + i, unit * load_part(weight + i, dimension - i), dimension - i);
      }
    }
}

static void head_norm_backward(
  long rows, long heads, long dimension, float *dx, long ldx, const float *weight,
  const void *kept, int bf16, const float *rstd
) {
  for (long r = 0; r < rows; r++)
    for (long h = 0; h < heads; h++) {
      long at = r * ldx + h * dimension;
      float *head = dx + at;
      vf along = 0;
      for (long i = 0; i < dimension; i += W) {
        long n = dimension - i;
        along += load_part(head + i, n) * load_part(weight + i, n)
          * recall_part(kept, at + i, n, bf16);
      }
      float mean = sum(along) / (float)dimension;
      for (long i = 0; i < dimension; i += W) {
        long n = dimension - i;
        vf across = load_part(head + i, n) * load_part(weight + i, n)
          - recall_part(kept, at + i, n, bf16) * mean;
        store_part(head + i, rstd[r * heads + h] * across, n);
      }
    }
}

// e^x − 1 − x for x ≤ 0. Near zero that is x²/2 and less, which the difference would lose: there by
// the series, whose tenth term is below 2^-30 of the first at −½.
INLINE vf exponential_past_linear(vf x) {
  vf series = x * 2.7557319e-6f + 2.4801587e-5f;
  series = series * x + 1.9841270e-4f;
  series = series * x + 1.3888889e-3f;
  series = series * x + 8.3333333e-3f;
  series = series * x + 4.1666667e-2f;
  series = series * x + 1.6666667e-1f;
  series = series * x + 0.5f;
  return choose(x > (vf)-0.5f, series * x * x, exponential(x) - 1 - x);
}

static void xielu_forward(long n, const hk_xielu *curve, const float *up, float *act) {
  vf eps = curve->epsilon;
  for (long i = 0; i < n; i += W) {
    vf x = load(up + i), low = smaller(x, eps);
    vf above = curve->positive * x * x;
    vf below = curve->negative * (exponential_past_linear(low) + (low - x));
    store(act + i, choose(x > (vf)0, above, below) + curve->beta * x);
  }
}

static void xielu_backward(long n, const hk_xielu *curve, float *up, float *dact) {
  vf eps = curve->epsilon;
  for (long i = 0; i < n; i += W) {
    vf x = load(up + i), d = load(dact + i), low = smaller(x, eps);
    vf past = exponential_past_linear(low);
    vf above = curve->positive * x * x;
    vf below = curve->negative * (past + (low - x));
    vf slope = choose(
      x > (vf)0, 2 * curve->positive * x,
      curve->negative * choose(x < eps, past + x, (vf)-1));
    store(dact + i, choose(x > (vf)0, above, below) + curve->beta * x);
    store(up + i, d * (slope + curve->beta));
  }
}
