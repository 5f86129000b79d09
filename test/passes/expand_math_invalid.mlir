// RUN: triton-spacemit-opt %s --chip x60 --split-input-file --expand-math --verify-diagnostics

func.func @unknown(%x: f32) -> f32 {
  // expected-error@below {{unknown function '__nv_expf': use those of triton.language.extra.libdevice}}
  %a = "tt.extern_elementwise"(%x) {libname = "", libpath = "", pure = true, symbol = "__nv_expf"} : (f32) -> f32
  return %a : f32
}

// -----

func.func @unsupported(%x: f32) -> f32 {
  %c = arith.constant 2 : i32
  // expected-error@below {{'math.fpowi' is not supported}}
  %a = math.fpowi %x, %c : f32, i32
  return %a : f32
}
