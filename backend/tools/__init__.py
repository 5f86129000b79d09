"""Developer tools, which nothing outside this folder needs: `triton-spacemit bench` and `inspect`, llvm-mca, fetching QEMU."""
