"""C that tells whether the processor it runs on can run the code of a chip."""

from triton_spacemit.dialect.chips import Chip

#: x86-64 features by LLVM's name: the leaf and subleaf of cpuid, the register (0 eax, 1 ebx, 2 ecx, 3 edx) and the bit.
#: Source: Intel's Software Developer's Manual, volume 2A, CPUID.
_CPUID = {
    "avx": (1, 0, 2, 28),
    "avx2": (7, 0, 1, 5),
    "avx512bf16": (7, 1, 0, 5),
    "avx512bw": (7, 0, 1, 30),
    "avx512dq": (7, 0, 1, 17),
    "avx512f": (7, 0, 1, 16),
    "avx512fp16": (7, 0, 3, 23),
    "avx512vbmi": (7, 0, 2, 1),
    "avx512vl": (7, 0, 1, 31),
    "avx512vnni": (7, 0, 2, 11),
    "avxvnni": (7, 1, 0, 4),
    "bmi2": (7, 0, 1, 8),
    "f16c": (1, 0, 2, 29),
    "fma": (1, 0, 2, 12),
}


def fits(name: str, chip: Chip) -> str:
    """The C function `bool NAME_fits(void)`; it needs `stdbool.h`, `stdint.h`, and on x86-64 a compiler with `cpuid.h`."""
    return _fits_riscv(name, chip) if chip.is_riscv else _fits_x86(name, chip)


def _fits_x86(name: str, chip: Chip) -> str:
    enabled = {feature[1:] for feature in chip.features.split(",") if feature.startswith("+")}
    needed: dict[tuple[int, int], list[int]] = {}
    for feature in sorted(enabled & _CPUID.keys()):
        leaf, subleaf, register, bit = _CPUID[feature]
        needed.setdefault((leaf, subleaf), [0, 0, 0, 0])[register] |= 1 << bit
    rows = "".join(f"{{{leaf}, {subleaf}, {{{', '.join(map(hex, masks))}}}}}, " for (leaf, subleaf), masks in needed.items())
    # State that the system saves: 6 for AVX, 0xe0 besides for AVX-512.
    saved = (6 if "avx" in enabled else 0) | (0xE0 if "avx512f" in enabled else 0)
    return f"""#include <cpuid.h>

// What the processor has, and the system keeps registers of, against what the code was compiled for.
bool {name}_fits(void) {{
  static const struct {{ unsigned leaf, subleaf, needed[4]; }} rows[] = {{{rows}{{0, 0, {{0, 0, 0, 0}}}}}};
  static int known;  // 1: it fits, 2: it does not; the same whoever writes it
  if (__atomic_load_n(&known, __ATOMIC_RELAXED)) return known == 1;
  int fits = 1;
  unsigned have[4];
  for (unsigned i = 0; rows[i].leaf; i++) {{
    if (!__get_cpuid_count(rows[i].leaf, rows[i].subleaf, &have[0], &have[1], &have[2], &have[3])) fits = 0;
    for (int r = 0; fits && r < 4; r++) fits = (have[r] & rows[i].needed[r]) == rows[i].needed[r];
  }}
  if (fits && {saved}) {{
    unsigned low, high;
    __get_cpuid(1, &have[0], &have[1], &have[2], &have[3]);
    if (!(have[2] >> 27 & 1)) {{
      fits = 0;
    }} else {{
      __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
      fits = (low & {saved}u) == {saved}u;
    }}
  }}
  __atomic_store_n(&known, fits ? 1 : 2, __ATOMIC_RELAXED);
  return fits;
}}
"""


def _fits_riscv(name: str, chip: Chip) -> str:
    marchid = f"UINT64_C(0x{chip.marchid:x})" if chip.marchid else "0"
    return f"""#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

// Vectors of the right length, and the core of that number where the system tells one: `riscv_hwprobe` knows keys by number, 1 is marchid.
bool {name}_fits(void) {{
  static int known;  // 1: it fits, 2: it does not; the same whoever writes it
  if (__atomic_load_n(&known, __ATOMIC_RELAXED)) return known == 1;
  int fits = getauxval(AT_HWCAP) >> ('v' - 'a') & 1;
  if (fits) {{
    unsigned long bytes;
    __asm__(".option push\\n.option arch, +v\\ncsrr %0, vlenb\\n.option pop" : "=r"(bytes));
    fits = bytes * 8 == {chip.vlen};
  }}
  struct {{ int64_t key; uint64_t value; }} marchid = {{1, 0}};
  if (fits && !syscall(258, &marchid, 1, 0, 0, 0) && marchid.key == 1) {{
    // 0 is what emulators have; SpacemiT's own numbers all have the top bit set.
    fits = !(marchid.value >> 63) || marchid.value == {marchid} || marchid.value == UINT64_MAX;
  }}
  __atomic_store_n(&known, fits ? 1 : 2, __ATOMIC_RELAXED);
  return fits;
}}
"""
