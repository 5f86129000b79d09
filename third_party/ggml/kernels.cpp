// Entry points to the SpacemiT kernels of a ggml checkout, as kernels of this backend: one program does all, arguments are in slots.
// Built beside rewritten copies of the checkout's files (compiled.py), of which it is the only user; it calls them as ime.cpp there does.
#include "ggml.h"

#include <cstdint>

// What the files ask of the rest of ggml and of libraries that kernels do not have.
extern "C" int64_t ggml_nrows(const ggml_tensor *tensor) { return tensor->ne[1] * tensor->ne[2] * tensor->ne[3]; }
extern "C" void ggml_abort(const char *, int, const char *, ...) { __builtin_trap(); }
extern "C" float nearbyintf(float x) {
  if (!(__builtin_fabsf(x) < 8388608.0f)) return x;
  int whole;
  __asm__("fcvt.w.s %0, %1, dyn" : "=r"(whole) : "f"(x));
  return static_cast<float>(whole);
}

#include "repack.cpp"

#include "ime1_kernels.cpp"

#define KERNEL(name) extern "C" void name(const uint64_t *arguments, void *)
#define POINTER(type, i) reinterpret_cast<type *>(arguments[i])
#define SIZE(i) static_cast<size_t>(arguments[i])

using ggml::cpu::riscv64_spacemit::repack;
using namespace spacemit_kernels;

constexpr size_t LENGTH = 32, COLUMNS = 16, BYTES = sizeof(float) + LENGTH;  // of a block of weights, of a packed one, of a block of a row

// weights, packed, status, n, k, bytes, type (0: Q4_0, 1: Q4_1, 2: Q4_K)
KERNEL(ggml_repack) {
  ggml_tensor tensor{};
  tensor.data = POINTER(void, 1);
  tensor.ne[0] = static_cast<int64_t>(SIZE(4));
  tensor.ne[1] = static_cast<int64_t>(SIZE(3));
  tensor.ne[2] = tensor.ne[3] = 1;
  const void *data = POINTER(const void, 0);
  int status = -1;
  switch (SIZE(6)) {
    case 0: tensor.type = GGML_TYPE_Q4_0; status = repack<block_q4_0, LENGTH, COLUMNS>(&tensor, data, SIZE(5)); break;
    case 1: tensor.type = GGML_TYPE_Q4_1; status = repack<block_q4_1, LENGTH, COLUMNS>(&tensor, data, SIZE(5)); break;
    case 2: tensor.type = GGML_TYPE_Q4_K; status = repack<block_q4_K, LENGTH, COLUMNS>(&tensor, data, SIZE(5)); break;
  }
  *POINTER(int32_t, 2) = status;
}

// x, quantised, m, k: rows by fours, those that are left over one by one
KERNEL(ggml_quantise) {
  const float *x = POINTER(const float, 0);
  uint8_t *out = POINTER(uint8_t, 1);
  size_t rows = SIZE(2), k = SIZE(3), stride = k / LENGTH * BYTES, row = 0;
  for (; row + 4 <= rows; row += 4) ime1::quantize_a_4row_i8(LENGTH, x + row * k, k, out + row * stride);
  for (; row < rows; row++) ime1::quantize_a_row_i8(LENGTH, x + row * k, k, out + row * stride);
}

// quantised, packed, out, m, n, k, whether there are zero points
KERNEL(ggml_product) {
  const uint8_t *a = POINTER(const uint8_t, 0), *packed = POINTER(const uint8_t, 1);
  float *out = POINTER(float, 2);
  size_t m = SIZE(3), n = SIZE(4), blocks = SIZE(5) / LENGTH;
  const bool zero_points = SIZE(6);
  const size_t row = blocks * BYTES, column = blocks * (sizeof(ggml_half) + LENGTH / 2 + zero_points), across = m == 1 ? n : COLUMNS;
  for (size_t j = 0; j < n; j += across) {
    const uint8_t *b = packed + j * column;
    for (size_t i = 0; i < m;)
      i += ime1::gemm_kernel_i8i4(LENGTH, a + i * row, b, zero_points ? b : nullptr, out + i * n + j, m - i, across, blocks, n);
  }
}
