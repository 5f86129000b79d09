"""Attention: softmax(q k^T) v without the matrix of weights, and its gradients."""
