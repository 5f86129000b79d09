// RUN: triton-spacemit-opt %s --chip x60 --split-input-file --legalize-floats --verify-diagnostics

func.func @several() -> vector<2xbf16> {
  // expected-error@below {{constants of several bf16 values are not supported}}
  %a = arith.constant dense<[1.0, 2.0]> : vector<2xbf16>
  return %a : vector<2xbf16>
}
