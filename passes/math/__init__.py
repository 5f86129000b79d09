"""Vector expansions of mathematical functions: polynomials and integer arithmetic on scalars or lanes, no call per lane."""
