"""What Triton finds as `triton.language.extra.cpu`."""
