"""Reading and adding at indices. Views and plain copies stay PyTorch's: there is nothing to gain."""
