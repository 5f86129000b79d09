// The row kernels by hand in RVV intrinsics, LMUL 4: what a careful programmer's loops cost, counted beside the compiler's.
// One program handles one row. Errors: exp and erf at most 1 ulp or so, as the compiler's own. Built for one chip, by zig's clang.
#include "runtime.h"
#include <riscv_vector.h>

typedef vfloat32m4_t f4;
typedef vint32m4_t i4;

#define KERNEL(name) void name(const uint64_t *arguments, Context *context)
#define ROW ((int64_t)context->program_id[0])
#define TENSOR(type, i) ((type *)arguments[i])
#define COUNT(i) ((int64_t)arguments[i])
// Loops over `n` elements; `i` is the first of this step's `vl` elements.
#define STEPS(n) for (int64_t i = 0, vl; vl = __riscv_vsetvl_e32m4((n) - i), i < (n); i += vl)

static inline f4 constant(float value) { return __riscv_vfmv_v_f_f32m4(value, __riscv_vsetvlmax_e32m4()); }

// p x + c in two instructions: a splat of c for a fused one costs as much and a register group, of which there are eight.
static inline f4 step(f4 p, f4 x, float c, int64_t vl) { return __riscv_vfadd(__riscv_vfmul(p, x, vl), c, vl); }

// 2^k and the rest r of x = k ln 2 + r; x within the range of normal results.
static inline f4 reduce_exp(f4 x, i4 *power, int64_t vl) {
  const float shift = 12582912.0f + 127;
  f4 rounded = __riscv_vfadd(__riscv_vfmul(x, 1.44269504f, vl), shift, vl);
  f4 k = __riscv_vfsub(rounded, shift, vl);
  *power = __riscv_vsll(__riscv_vreinterpret_i32m4(rounded), 23, vl);
  return __riscv_vfmacc(__riscv_vfmacc(x, -0.693147182f, k, vl), 1.904654256e-09f, k, vl);
}

// exp(r) on +-ln 2 / 2. Four constants fit in registers beside four values.
static inline f4 exp_near_zero(f4 r, int64_t vl) {
  f4 p = __riscv_vfadd(__riscv_vfmul(r, 0.0013916509924456477f, vl), 0.008363209664821625f, vl);
  p = __riscv_vfmadd(p, r, constant(0.04166663810610771f), vl);
  p = __riscv_vfmadd(p, r, constant(0.16666577756404877f), vl);
  p = __riscv_vfmadd(p, r, constant(0.5f), vl);
  p = __riscv_vfmadd(p, r, constant(1.0f), vl);
  return __riscv_vfmadd(p, r, constant(1.0f), vl);
}

// exp(x) for x at most 88; at least the smallest normal number.
static inline f4 exp_f4(f4 x, int64_t vl) {
  i4 power;
  f4 r = reduce_exp(__riscv_vfmax(x, -87.33f, vl), &power, vl);
  return __riscv_vfmul(exp_near_zero(r, vl), __riscv_vreinterpret_f32m4(power), vl);
}

static inline float sum_lanes(f4 x) {
  int64_t vl = __riscv_vsetvlmax_e32m4();
  return __riscv_vfmv_f(__riscv_vfredusum(x, __riscv_vfmv_s_f_f32m1(0.0f, vl), vl));
}

static inline float max_lanes(f4 x) {
  int64_t vl = __riscv_vsetvlmax_e32m4();
  return __riscv_vfmv_f(__riscv_vfredmax(x, __riscv_vfmv_s_f_f32m1(-__builtin_inff(), vl), vl));
}

// x, y, out, columns
KERNEL(add) {
  int64_t n = COUNT(3);
  const float *x = TENSOR(float, 0) + ROW * n, *y = TENSOR(float, 1) + ROW * n;
  float *out = TENSOR(float, 2) + ROW * n;
  STEPS(n) __riscv_vse32(out + i, __riscv_vfadd(__riscv_vle32_v_f32m4(x + i, vl), __riscv_vle32_v_f32m4(y + i, vl), vl), vl);
}

// x, out, columns
KERNEL(softmax) {
  int64_t n = COUNT(2);
  const float *x = TENSOR(float, 0) + ROW * n;
  float *out = TENSOR(float, 1) + ROW * n;
  f4 largest = constant(-__builtin_inff()), total = constant(0.0f);
  STEPS(n) largest = __riscv_vfmax_tu(largest, largest, __riscv_vle32_v_f32m4(x + i, vl), vl);
  float shift = max_lanes(largest);
  STEPS(n) {
    f4 e = exp_f4(__riscv_vfsub(__riscv_vle32_v_f32m4(x + i, vl), shift, vl), vl);
    total = __riscv_vfadd_tu(total, total, e, vl);
    __riscv_vse32(out + i, e, vl);
  }
  float scale = 1.0f / sum_lanes(total);
  STEPS(n) __riscv_vse32(out + i, __riscv_vfmul(__riscv_vle32_v_f32m4(out + i, vl), scale, vl), vl);
}

// x, weight, bias, out, columns
KERNEL(layer_norm) {
  int64_t n = COUNT(4);
  const float *x = TENSOR(float, 0) + ROW * n, *w = TENSOR(float, 1), *b = TENSOR(float, 2);
  float *out = TENSOR(float, 3) + ROW * n;
  f4 total = constant(0.0f), squares = constant(0.0f);
  STEPS(n) total = __riscv_vfadd_tu(total, total, __riscv_vle32_v_f32m4(x + i, vl), vl);
  float mean = sum_lanes(total) / n;
  STEPS(n) {
    f4 d = __riscv_vfsub(__riscv_vle32_v_f32m4(x + i, vl), mean, vl);
    squares = __riscv_vfmacc_tu(squares, d, d, vl);
  }
  float scale = 1.0f / __builtin_sqrtf(sum_lanes(squares) / n + 1e-5f);
  STEPS(n) {
    f4 d = __riscv_vfmul(__riscv_vfsub(__riscv_vle32_v_f32m4(x + i, vl), mean, vl), scale, vl);
    __riscv_vse32(out + i, __riscv_vfmacc(__riscv_vle32_v_f32m4(b + i, vl), d, __riscv_vle32_v_f32m4(w + i, vl), vl), vl);
  }
}

// x, out, columns: x / (1 + exp(-2 u)), u = sqrt(2 / pi) (x + 0.044715 x^3)
KERNEL(gelu_tanh) {
  int64_t n = COUNT(2);
  const float *x = TENSOR(float, 0) + ROW * n;
  float *out = TENSOR(float, 1) + ROW * n;
  STEPS(n) {
    f4 v = __riscv_vle32_v_f32m4(x + i, vl);
    f4 inner = __riscv_vfmul(__riscv_vfmul(v, v, vl), -2 * 0.79788456f * 0.044715f, vl);
    inner = __riscv_vfadd(inner, -2 * 0.79788456f, vl);
    f4 e = exp_f4(__riscv_vfmin(__riscv_vfmul(v, inner, vl), 88.0f, vl), vl);
    __riscv_vse32(out + i, __riscv_vfdiv(v, __riscv_vfadd(e, 1.0f, vl), vl), vl);
  }
}

// x, out, columns: x (1 + erf(x / sqrt 2)) / 2; erf is a polynomial up to 1, from there on 1 - exp(-polynomial)
KERNEL(gelu_erf) {
  int64_t n = COUNT(2);
  const float *x = TENSOR(float, 0) + ROW * n;
  float *out = TENSOR(float, 1) + ROW * n;
  STEPS(n) {
    f4 v = __riscv_vle32_v_f32m4(x + i, vl);
    f4 z = __riscv_vfmul(v, 0.70710678f, vl);
    f4 size = __riscv_vfmin(__riscv_vfabs(z, vl), 3.95f, vl);
    f4 p = __riscv_vfadd(__riscv_vfmul(size, 1.41309292303049e-05f, vl), -0.0003523100458551198f, vl);
    p = step(step(p, size, 0.0037645916454494f, vl), size, -0.02402540110051632f, vl);
    p = step(step(p, size, 0.10654901713132858f, vl), size, 0.6349583268165588f, vl);
    p = step(p, size, 0.128697156906128f, vl);
    i4 power;
    f4 r = reduce_exp(__riscv_vfnmadd(p, size, size, vl), &power, vl);
    f4 large = __riscv_vfnmsac(constant(1.0f), exp_near_zero(r, vl), __riscv_vreinterpret_f32m4(power), vl);
    large = __riscv_vfsgnj(large, z, vl);
    f4 square = __riscv_vfmul(z, z, vl);
    f4 q = __riscv_vfadd(__riscv_vfmul(square, 7.920368079794571e-05f, vl), -0.0008030761382542551f, vl);
    q = step(step(q, square, 0.005190733820199966f, vl), square, -0.02685512602329254f, vl);
    q = step(step(q, square, 0.11283618211746216f, vl), square, -0.3761262893676758f, vl);
    q = step(q, square, 0.12837916612625122f, vl);
    f4 small = __riscv_vfmadd(q, z, z, vl);
    f4 erf = __riscv_vmerge(small, large, __riscv_vmfge(size, 1.0f, vl), vl);
    f4 half = __riscv_vfmul(v, 0.5f, vl);
    __riscv_vse32(out + i, __riscv_vfmadd(erf, half, half, vl), vl);
  }
}

// x, out, columns
KERNEL(sum) {
  int64_t n = COUNT(2), step = __riscv_vsetvlmax_e32m4(), i = 0;
  const float *x = TENSOR(float, 0) + ROW * n;
  f4 even = constant(0.0f), odd = constant(0.0f);
  for (; i + 2 * step <= n; i += 2 * step) {
    even = __riscv_vfadd(even, __riscv_vle32_v_f32m4(x + i, step), step);
    odd = __riscv_vfadd(odd, __riscv_vle32_v_f32m4(x + i + step, step), step);
  }
  for (int64_t vl; i < n; i += vl) {
    vl = __riscv_vsetvl_e32m4(n - i);
    even = __riscv_vfadd_tu(even, even, __riscv_vle32_v_f32m4(x + i, vl), vl);
  }
  TENSOR(float, 1)[ROW] = sum_lanes(__riscv_vfadd(even, odd, step));
}

// x, out (int64), columns: the first of the largest; each lane keeps the number of the step in which it found its largest
KERNEL(argmax) {
  int64_t n = COUNT(2), step = __riscv_vsetvlmax_e32m4(), number = 0;
  const float *x = TENSOR(float, 0) + ROW * n;
  f4 largest = constant(-__builtin_inff());
  i4 found = __riscv_vmv_v_x_i32m4(0, step);
  for (int64_t i = 0, vl; i < n; i += vl, number++) {
    vl = __riscv_vsetvl_e32m4(n - i);
    f4 v = __riscv_vle32_v_f32m4(x + i, vl);
    found = __riscv_vmerge_tu(found, found, number, __riscv_vmflt(largest, v, vl), vl);
    largest = __riscv_vfmax_tu(largest, largest, v, vl);
  }
  vbool8_t best = __riscv_vmfeq(largest, max_lanes(largest), step);
  i4 place = __riscv_vmadd(found, step, __riscv_vreinterpret_i32m4(__riscv_vid_v_u32m4(step)), step);
  vint32m1_t last = __riscv_vmv_s_x_i32m1(0x7fffffff, step);
  TENSOR(int64_t, 1)[ROW] = __riscv_vmv_x(__riscv_vredmin(best, place, last, step));
}
