"""`triton-spacemit inspect`: one HTML page that shows a kernel's stages side by side, from its Python lines to its machine code."""
