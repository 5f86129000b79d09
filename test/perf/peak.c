// Independent multiply-adds of float32 in vector registers, as many as a core can have on their way, and nothing else.

#ifdef __AVX512F__
#define LANES 16
#define REGISTER "zmm"
#else
#define LANES 8
#define REGISTER "ymm"
#endif

// Each register's sum waits for its own last one alone. Registers 14 and 15 are factors, all zero.
#define ADD(n) "vfmadd231ps %%" REGISTER "14, %%" REGISTER "15, %%" REGISTER #n "\n"
#define ALL ADD(0) ADD(1) ADD(2) ADD(3) ADD(4) ADD(5) ADD(6) ADD(7) ADD(8) ADD(9) ADD(10) ADD(11)
#define SUMS 12

// Run the multiply-adds of `turns` turns; how many operations each turn is, a product and a sum counted as two.
int multiply_add(long turns) {
  __asm__ volatile("vzeroall\n1:\n" ALL ALL "dec %0\njnz 1b\nvzeroupper\n"
                   : "+r"(turns)
                   :
                   : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",
                     "xmm14", "xmm15");
  return 2 * SUMS * 2 * LANES;
}
